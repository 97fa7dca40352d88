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

// What is added may lie in any way and be repeated along any axis, batches included.
TEST(Matmul, AddsWhatIsAddedOfEveryShapeAndLayout) {
  for (Dtype dtype : {float32, float16, complex64, float64})
    for (auto [m, n] : {std::pair{1, 30}, {7, 1}, {5, 9}, {40, 33}})
      for (int batches : {0, 1, 2}) {  // (m, n), (3, m, n), (2, 3, m, n)
        Shape lead;
        if (batches > 0) lead = {3};
        if (batches > 1) lead = {2, 3};
        const auto with = [&](Shape shape) {
          Shape out = lead;
          for (int d : shape) out.push_back(d);
          return out;
        };
        const auto some = [&](const Shape& shape, uint32_t seed) {
          const array x = numbers(shape, dtype, seed), i(complex64_t(0, 1));
          return is_complex(dtype) ? x + i * numbers(shape, dtype, seed + 10) : x;
        };
        // Of numbers up to some 12; halves are rounded up to three times.
        const double close = dtype == float16 ? 0.02 : dtype == float64 ? 1e-13 : 1e-5;
        const auto far = [](const array& x, const array& y) {
          return max(abs(astype(x, y.dtype()) - y)).item<float>();
        };
        const array a = some(with({m, 12}), 1);
        for (const array& b : {some({12, n}, 2), some(with({12, n}), 3)}) {
          const array product = matmul(a, b);
          for (const array& x : layouts(a)) EXPECT_LE(far(matmul(x, b), product), close);
          for (Shape shape :
               {Shape{n}, Shape{m, 1}, Shape{1}, Shape{m, n}, with({m, n}), with({1, n})})
            for (const array& c : layouts(some(shape, 4))) {
              const std::string what = concat("addmm ", dtype, " ", shape, " to ", product.shape());
              EXPECT_LE(far(addmm(c, a, b), product + c), close) << what;
              EXPECT_LE(far(addmm(c, a, b, 0.5f, -2.0f), product * 0.5f - c * 2.0f), close) << what;
            }
        }
      }
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
