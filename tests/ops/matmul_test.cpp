// Matrix products over dtypes and layouts; tests/backend/matmul_test.cpp has their kernels.
#include "tests/ops/fused.h"

namespace hearth {
namespace {

using namespace fused;

TEST(Matmul, TakesEveryLayout) {
  for (Dtype dtype : {float32, float16, bfloat16, float64, complex64})
    for (auto [m, k, n] : {std::tuple{1, 40, 30}, {20, 7, 33}, {3, 1, 1}, {5, 64, 9}}) {
      const array a = numbers({2, 3, m, k}, dtype, 1), b = numbers({3, k, n}, dtype, 2);
      const array want = sum(
          multiply(expand_dims(astype(a, complex64), -1), expand_dims(astype(b, complex64), -3)),
          -2);
      for (const array& x : layouts(a))
        for (const array& y : layouts(b))
          // The expected value is of f32: so is that of f64.
          expect_close(matmul(x, y), astype(want, dtype),
                       dtype == float64 ? Tolerance{0, 0, 2e-6} : tolerance(dtype),
                       concat("matmul ", dtype));
    }
}

TEST(Matmul, MultipliesComplexNumbers) {
  const complex64_t i(0, 1);
  const array a({complex64_t(1, 2), i, complex64_t(3, 0), complex64_t(0, -1)}, {2, 2});
  const array b({i, complex64_t(1, 1)}, {2});
  const auto y = matmul(a, b).to_vector<complex64_t>();
  EXPECT_EQ(y[0], complex64_t(1, 2) * i + i * complex64_t(1, 1));
  EXPECT_EQ(y[1], complex64_t(3, 0) * i + complex64_t(0, -1) * complex64_t(1, 1));
  EXPECT_EQ(vecdot(array({complex64_t(1, 2)}, {1}), array({i}, {1})).item<complex64_t>(),
            complex64_t(1, -2) * i);
}

TEST(Matmul, PromotesAndRefuses) {
  EXPECT_EQ(matmul(array({1.0f}), array({2}, int32)).dtype(), float32);
  EXPECT_EQ(matmul(astype(array({1.0f}), float16), astype(array({2.0f}), bfloat16)).dtype(),
            float32);
  EXPECT_THROW(matmul(array({1}, int32), array({2}, int32)), std::invalid_argument);
  EXPECT_THROW(matmul(array(1.0f), array({2.0f})), std::invalid_argument);
  EXPECT_THROW(matmul(array({1.0f, 2.0f}), array({2.0f})), std::invalid_argument);
  EXPECT_THROW(matmul(numbers({2, 3, 4}, float32), numbers({3, 4, 2}, float32)),
               std::invalid_argument);
}

}  // namespace
}  // namespace hearth
