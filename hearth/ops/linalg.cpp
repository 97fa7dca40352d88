#include "hearth/ops/linalg.h"

#include <cfloat>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_linalg.h"
#include "hearth/ops/reduce.h"

namespace hearth::linalg {

namespace {

void check_matrices(const array& a, std::string_view who, bool square, bool complex = false) {
  check(a.ndim() >= 2, who, ": wanted matrices, got shape ", a.shape());
  check(!square || a.shape(-1) == a.shape(-2), who, ": wanted square matrices, got shape ",
        a.shape());
  check(a.dtype() == float32 || a.dtype() == float64 || (complex && a.dtype() == complex64), who,
        ": dtype ", a.dtype(), " is not one of float32, float64", complex ? ", complex64" : "",
        "; astype gives another");
}
array transposed(const array& a) { return swapaxes(a, -1, -2); }
Shape batch_of(const array& a) { return {a.shape().begin(), a.shape().end() - 2}; }
array with_batch(const array& a, const Shape& batch) {
  Shape shape = batch;
  shape.insert(shape.end(), a.shape().end() - 2, a.shape().end());
  return broadcast_to(a, shape);
}

// x with a x = b, whose batches broadcast; b may be one vector.
array solved(const array& a, const array& b, const Solve& op) {
  const Dtype dtype = promote_types(a.dtype(), b.dtype());
  const array left = astype(a, dtype);
  check_matrices(left, op.name(), true);
  check(b.ndim() >= 1, op.name(), ": wanted a vector or matrices, got shape ", b.shape());
  const bool vector = b.ndim() == 1;
  const array right = astype(vector ? expand_dims(b, 1) : b, dtype);
  check(left.shape(-1) == right.shape(-2), op.name(), ": ", left.shape(-1), " unknowns of shape ",
        a.shape(), " for right sides of shape ", b.shape());
  const Shape batch = broadcast_shapes(batch_of(left), batch_of(right), op.name());
  const array x = hearth::apply(std::make_shared<Solve>(op),
                                {with_batch(left, batch), with_batch(right, batch)});
  return vector ? squeeze(x, -1) : x;
}
// The identities of a's batch.
array eyes(const array& a) {
  const int n = a.shape(-1);
  return broadcast_to(eye(n, a.dtype()), a.shape());
}
array columns(const array& a, int start, int stop) {
  Shape from(size_t(a.ndim()), 0), to = a.shape();
  from.back() = start, to.back() = stop;
  return slice(a, from, to);
}
array rows_of(const array& a, int count) { return transposed(columns(transposed(a), 0, count)); }

}  // namespace

std::pair<array, array> qr(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  check_matrices(a, "linalg::qr", false);
  const int m = a.shape(-2), n = a.shape(-1);
  const array tall = m < n ? columns(a, 0, m) : a;
  const Arrays out = apply_all(std::make_shared<QR>(), {tall});
  if (m >= n) return {out[0], out[1]};
  const array rest = matmul(transposed(out[0]), columns(a, m, n));
  return {out[0], concatenate({out[1], rest}, -1)};
}
std::vector<array> svd(const array& a, bool compute_uv, StreamOrDevice s) {
  StreamScope scope(s);
  check_matrices(a, "linalg::svd", false);
  return apply_all(std::make_shared<SVD>(compute_uv), {a});
}

array inv(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  check_matrices(a, "linalg::inv", true);
  return solve(a, eyes(a));
}
array tri_inv(const array& a, bool upper, StreamOrDevice s) {
  StreamScope scope(s);
  check_matrices(a, "linalg::tri_inv", true);
  return solve_triangular(a, eyes(a), upper);
}
array cholesky(const array& a, bool upper, StreamOrDevice s) {
  StreamScope scope(s);
  check_matrices(a, "linalg::cholesky", true);
  const array lower = hearth::apply(std::make_shared<Cholesky>(), {upper ? transposed(a) : a});
  return upper ? transposed(lower) : lower;
}
array cholesky_inv(const array& a, bool upper, StreamOrDevice s) {
  StreamScope scope(s);
  check_matrices(a, "linalg::cholesky_inv", true);
  const array i = tri_inv(a, upper);
  return upper ? matmul(i, transposed(i)) : matmul(transposed(i), i);
}
array pinv(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  check_matrices(a, "linalg::pinv", false);
  const int m = a.shape(-2), n = a.shape(-1), k = std::min(m, n);
  if (k == 0) return zeros_like(transposed(a));
  const Arrays usv = svd(a, true, {});
  const double least = (a.dtype() == float64 ? DBL_EPSILON : FLT_EPSILON) * std::max(m, n);
  const array counts = usv[1] > max(usv[1], -1, true) * array(least, a.dtype());
  const array inverse = where(counts, 1 / where(counts, usv[1], 1), 0);  // (..., k)
  const array v = transposed(rows_of(usv[2], k));
  return matmul(v * expand_dims(inverse, -2), transposed(columns(usv[0], 0, k)));
}

std::vector<array> lu(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  check_matrices(a, "linalg::lu", false);
  const int k = std::min(a.shape(-2), a.shape(-1));
  const Arrays out = apply_all(std::make_shared<LU>(), {a});
  const array lower = tril(columns(out[0], 0, k), -1);
  return {argsort(out[2], -1), lower + eye(a.shape(-2), k, 0, a.dtype()), triu(rows_of(out[0], k))};
}
std::pair<array, array> lu_factor(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  check_matrices(a, "linalg::lu_factor", false);
  const Arrays out = apply_all(std::make_shared<LU>(), {a});
  return {out[0], out[1]};
}
array solve(const array& a, const array& b, StreamOrDevice s) {
  StreamScope scope(s);
  return solved(a, b, Solve());
}
array solve_triangular(const array& a, const array& b, bool upper, StreamOrDevice s) {
  StreamScope scope(s);
  return solved(a, b, Solve(true, upper));
}

std::pair<array, array> eig(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  check_matrices(a, "linalg::eig", true, true);
  const Arrays out = apply_all(std::make_shared<Eig>(true), {a});
  return {out[0], out[1]};
}
array eigvals(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  check_matrices(a, "linalg::eigvals", true, true);
  return hearth::apply(std::make_shared<Eig>(false), {a});
}

// The matrices whose lower triangles say what a's triangle UPLO says.
static array by_lower(const array& a, const std::string& UPLO, std::string_view who) {
  check_matrices(a, who, true, true);
  check(UPLO == "L" || UPLO == "U", who, ": UPLO is '", UPLO, "', wanted 'L' or 'U'");
  if (UPLO == "L") return a;
  return is_complex(a.dtype()) ? conjugate(transposed(a)) : transposed(a);
}
std::pair<array, array> eigh(const array& a, std::string UPLO, StreamOrDevice s) {
  StreamScope scope(s);
  const Arrays out = apply_all(std::make_shared<Eigh>(true), {by_lower(a, UPLO, "linalg::eigh")});
  return {out[0], out[1]};
}
array eigvalsh(const array& a, std::string UPLO, StreamOrDevice s) {
  StreamScope scope(s);
  return hearth::apply(std::make_shared<Eigh>(false), {by_lower(a, UPLO, "linalg::eigvalsh")});
}

array det(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  const array x = is_inexact(a.dtype()) ? a : astype(a, float32);
  check_matrices(x, "linalg::det", true);
  return hearth::apply(std::make_shared<Determinant>(false), {x});
}
std::pair<array, array> slogdet(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  const array x = is_inexact(a.dtype()) ? a : astype(a, float32);
  check_matrices(x, "linalg::slogdet", true);
  const Arrays out = apply_all(std::make_shared<Determinant>(true), {x});
  return {out[0], out[1]};
}

}  // namespace hearth::linalg
