// What a row of an operation gives does not depend on how many rows there are, to the bit: models
// decode, verify and batch their rows on that.
#include <gtest/gtest.h>

#include <functional>

#include "hearth/ops/ops.h"
#include "tests/on_device.h"

namespace hearth {
namespace {

std::vector<float> floats(const array& x) { return astype(x, float32).to_vector<float>(); }
array random_of(const Shape& shape, Dtype dtype, uint64_t seed) {
  return copy(astype(random::normal(shape, float32, 0, 1, random::key(seed)), dtype));
}

TEST(Rows, AreWhatTheyAreAlone) {
  HEARTH_CPU_ONLY("a device shares the rows of a reduction out by how many there are");
  const std::pair<const char*, std::function<array(const array&)>> ops[] = {
      {"sum", [](const array& x) { return sum(x, -1); }},
      {"sum of columns", [](const array& x) { return sum(x, -2); }},
      {"sum of a transposed", [](const array& x) { return sum(swapaxes(x, -1, -2), -1); }},
      {"mean", [](const array& x) { return mean(x, -1); }},
      {"prod", [](const array& x) { return prod(x, -1); }},
      {"max", [](const array& x) { return max(x, -1); }},
      {"softmax", [](const array& x) { return softmax(x, -1); }},
      {"logsumexp", [](const array& x) { return logsumexp(x, -1); }},
      {"cumsum", [](const array& x) { return cumsum(x, -1); }},
      {"rms_norm", [](const array& x) { return fast::rms_norm(x, {}, 1e-5f); }},
      {"layer_norm", [](const array& x) { return fast::layer_norm(x, {}, {}, 1e-5f); }},
      {"silu", [](const array& x) { return multiply(x, sigmoid(x)); }},
      {"softplus", [](const array& x) { return softplus(x); }},
  };
  for (const Dtype dtype : {float32, float16, bfloat16})
    for (const auto& [name, op] : ops)
      for (const int n : {1, 2, 3, 4, 5, 8, 15, 16, 31, 32, 33, 100, 1025})
        for (const int m : {1, 3})
          for (const int rows : {2, 3, 5, 7, 9, 17, 33, 70}) {
            const array x = random_of({rows, m, n}, dtype, uint64_t(n + rows));
            const auto all = floats(op(x));
            const size_t each = all.size() / size_t(rows);
            for (int r : {0, rows / 2, rows - 1}) {
              const auto row = all.begin() + long(each) * r;
              EXPECT_EQ(std::vector<float>(row, row + long(each)),
                        floats(op(copy(slice(x, {r, 0, 0}, {r + 1, m, n})))))
                  << name << " " << dtype << " of " << n << ", " << m << ", row " << r << " of "
                  << rows;
            }
          }
}

// Of up to 32 rows: a product of more adds up by blocks.
TEST(Rows, OfAProductAreWhatTheyAreAlone) {
  HEARTH_CPU_ONLY(testing::kBits);
  for (const Dtype dtype : {float32, float16, bfloat16})
    for (const int k : {1, 3, 16, 31, 100, 256, 300, 2560})
      for (const int n : {1, 5, 300}) {
        const array w = random_of({n, k}, dtype, 5), v = random_of({n, k}, dtype, 6);
        const array bias = random_of({n}, dtype, 7);
        const std::vector<fast::Projection> products[] = {
            {{w, bias}}, {{w, bias, fast::Activation::silu, true}, {v, {}}}};  // plain, gated
        for (const int rows : {2, 5, 6, 7, 8, 13, 32}) {
          const array x = random_of({1, rows, k}, dtype, 8);
          for (const auto& of : products) {
            const auto all = floats(fast::linears(x, of)[0]);
            for (int r = 0; r < rows; ++r)
              EXPECT_EQ(std::vector<float>(all.begin() + r * n, all.begin() + (r + 1) * n),
                        floats(fast::linears(copy(slice(x, {0, r, 0}, {1, r + 1, k})), of)[0]))
                  << dtype << ": " << n << " x " << k << ", row " << r << " of " << rows;
          }
        }
      }
}

}  // namespace
}  // namespace hearth
