// Gradients of fused products of every floating dtype against the same in float64: in the dtype of
// what they are of, and as exact as that dtype allows.
#include <gtest/gtest.h>

#include "hearth/core/eval.h"
#include "hearth/ops/ops.h"
#include "hearth/ops/primitives_fast.h"
#include "hearth/transforms/grad.h"
#include "tests/memory_before.h"

namespace hearth {
namespace {

using fast::Activation;

array numbers(const Shape& shape, Dtype dtype, int seed) {
  const int n = int(element_count(shape));
  const array x = sin(arange(n) * 1.7f + float(seed)) * (1.0f + float(seed % 3));
  return astype(reshape(x, shape), dtype);
}
double epsilon(Dtype d) {
  return d == float16 ? 0x1p-10 : d == bfloat16 ? 0x1p-7 : d == float32 ? 0x1p-23 : 0x1p-52;
}
Arrays wide(const Arrays& in) {
  Arrays out;
  for (const array& x : in) out.push_back(astype(x, float64));
  return out;
}

// `ulps`: of the largest gradient of each input; what is rounded once is within half of one.
void expect_gradients(const Function& f, const Arrays& in, double ulps, const std::string& what) {
  const Dtype dtype = in[0].dtype();
  Arrays d;
  for (const array& y : f(in)) d.push_back(numbers(y.shape(), dtype, 5));
  const Arrays got = vjp(f, in, d).second, want = vjp(f, wide(in), wide(d)).second;
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_EQ(got[i].dtype(), dtype) << what << ", input " << i;
    ASSERT_EQ(got[i].shape(), in[i].shape()) << what << ", input " << i;
    if (got[i].size() == 0) continue;
    const double off = max(abs(astype(got[i], float64) - want[i])).item<double>();
    const double largest = max(abs(want[i])).item<double>();
    EXPECT_LE(off, ulps * epsilon(dtype) * largest) << what << ", input " << i;
  }
}

TEST(FastGradients, OfALinearLayer) {
  for (Dtype dtype : {float16, bfloat16, float32, float64})
    for (Shape shape : {Shape{3, 5, 64}, Shape{40}, Shape{1, 300}, Shape{0, 8}, Shape{2, 0}})
      for (Activation a : fast::kActivations) {
        Shape out = shape;
        out.back() = 19;
        const Arrays in{numbers(shape, dtype, 1), numbers({19, shape.back()}, dtype, 2),
                        numbers({19}, dtype, 3), numbers(out, dtype, 4)};
        const auto f = [a](const Arrays& x) {
          return Arrays{fast::linear(x[0], x[1], x[2], a, x[3])};
        };
        // float32 sums as many terms as there are; activations take what was rounded.
        const double ulps = size_of(dtype) > 2 ? 64 : a == Activation::none ? 0.51 : 2.5;
        expect_gradients(f, in, ulps, concat(dtype, " ", shape, " ", to_string(a)));
      }
}

TEST(FastGradients, OfSeveralLayersAreSummedBeforeTheyAreRounded) {
  for (Dtype dtype : {float16, bfloat16}) {
    const Arrays in{numbers({6, 200}, dtype, 1), numbers({30, 200}, dtype, 2),
                    numbers({30}, dtype, 3), numbers({50, 200}, dtype, 4),
                    numbers({7, 200}, dtype, 6)};
    const auto linears = [](const Arrays& x) {
      const fast::Projection all[] = {{x[1], x[2]}, {x[3], {}}, {x[4], {}}};
      return fast::linears(x[0], all);
    };
    expect_gradients(linears, in, 0.51, concat("linears ", dtype));
    const auto sums = [](const Arrays& x) {
      const fast::Term all[] = {{x[0], x[1], x[2]}, {x[3], x[4], {}}};
      return Arrays{fast::linear_sum(all, x[5])};
    };
    expect_gradients(
        sums,
        {numbers({6, 90}, dtype, 1), numbers({30, 90}, dtype, 2), numbers({30}, dtype, 3),
         numbers({6, 70}, dtype, 4), numbers({30, 70}, dtype, 6), numbers({6, 30}, dtype, 7)},
        0.51, concat("linear_sum ", dtype));
  }
}

// Where it was not a gradient of x that was asked for, nothing but the weight's is made.
TEST(FastGradients, NoWeightIsWidened) {
  const array x = numbers({4, 1024}, float16, 1), w = numbers({1024, 1024}, float16, 2);
  eval(x, w);
  const auto both = value_and_grad(
      ScalarFunction([&](const Arrays& in) { return sum(fast::linear(x, in[0])); }), 0);
  reset_peak_memory();
  const size_t before = memory_before();
  const auto [y, g] = both({w});
  eval(y, g[0]);
  EXPECT_EQ(g[0].dtype(), float16);
  EXPECT_LT(get_peak_memory() - before, w.nbytes() * 5 / 4);
}

}  // namespace
}  // namespace hearth
