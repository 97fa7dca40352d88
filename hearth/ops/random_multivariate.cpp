// random::multivariate_normal.
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/random.h"
#include "hearth/ops/reduce.h"

namespace hearth::random {

// The symmetric square root of covariances (..., n, n), in float64, by products alone: Newton and
// Schulz's iterations (Higham, Functions of Matrices, 2008: 5.3 for the sign, 6.7 for the root).
// They grow an eigenvalue of relative size e by 1.5 a step, so the counts reach down to e = 1e-12
// and 1e-14; the root's must not be larger, for it blows up what rounding left below 0.
static array square_root(const array& covariance) {
  constexpr int kSignSteps = 70, kRootSteps = 40;
  const array x = astype(covariance, float64), zero(0.0, float64), half(0.5, float64);
  const array one = eye(x.shape(-1), float64), three = one * array(3.0, float64);
  const array norm = sqrt(sum(square(x), std::vector<int>{-2, -1}, true));
  const array size = where(norm > zero, norm, array(1.0, float64));
  array root = x / size, sign = root, inverse = one;
  // Of float32 numbers, a covariance has eigenvalues a little below 0: those are turned round.
  for (int i = 0; i < kSignSteps; ++i) sign = half * matmul(sign, three - matmul(sign, sign));
  root = matmul(root, sign);
  for (int i = 0; i < kRootSteps; ++i) {
    const array step = half * (three - matmul(inverse, root));
    root = matmul(root, step);
    inverse = matmul(step, inverse);
  }
  return root * sqrt(size);
}

array multivariate_normal(const array& mean, const array& cov, const Shape& shape, Dtype dtype,
                          const Key& key, StreamOrDevice s) {
  StreamScope scope(s);
  const char* op = "random::multivariate_normal";
  check(dtype == float32, op, ": only float32 is drawn, got ", dtype);
  check(mean.ndim() >= 1 && cov.ndim() >= 2 && cov.shape(-1) == cov.shape(-2) &&
            cov.shape(-1) == mean.shape(-1),
        op, ": wanted a mean (..., n) and a covariance (..., n, n), got ", mean.shape(), " and ",
        cov.shape());
  const int n = mean.shape(-1);
  const Shape means(mean.shape().begin(), mean.shape().end() - 1);
  const Shape covs(cov.shape().begin(), cov.shape().end() - 2);
  Shape out = broadcast_shapes(broadcast_shapes(covs, means, op), shape, op);
  out.push_back(n);
  const array drawn = expand_dims(normal(out, float32, key), -2);  // (..., 1, n)
  const array scale = astype(square_root(astype(cov, float32)), float32);
  return add(mean, squeeze(matmul(drawn, scale), -2));
}

}  // namespace hearth::random
