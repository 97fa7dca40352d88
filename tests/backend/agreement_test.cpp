// The functions of backend/scalar.inc give the same bits on a GPU as on the CPU.
#include <gtest/gtest.h>

#include "hearth/core/backend.h"
#include "hearth/ops/ops.h"

namespace hearth {
namespace {

// Each halves' value there is, and floats drawn evenly from all.
array values(Dtype dtype) {
  if (size_of(dtype) == 2) return view(astype(arange(65536), uint16), dtype);
  return view(astype(arange(0, 4294967296.0, 4095, float64), uint32), dtype);
}
bool same_bits(const array& a, const array& b) {
  const Dtype bits = a.itemsize() == 2 ? uint16 : uint32;
  return array_equal(where(isnan(a), 0, view(a, bits)), where(isnan(b), 0, view(b, bits)))
      .item<bool>();
}

TEST(BackendsAgree, InTheLastPlaceOfSharedFunctions) {
  if (!backend(Device::cuda)) GTEST_SKIP() << backend_absence(Device::cuda);
  using Unary = array (*)(const array&, StreamOrDevice);
  const std::pair<const char*, Unary> functions[] = {
#define X(name) {#name, [](const array& x, StreamOrDevice s) { return name(x, s); }},
      X(abs) X(sign) X(floor) X(round) X(square) X(sqrt) X(reciprocal) X(exp) X(expm1) X(log)
          X(log2) X(log10) X(log1p) X(tanh) X(sigmoid) X(erf) X(erfinv) X(relu) X(silu) X(softplus)
              X(gelu) X(gelu_approx) X(degrees)
#undef X
  };
  for (Dtype dtype : {float16, bfloat16, float32}) {
    const array x = values(dtype);
    x.eval();
    for (const auto& [name, f] : functions)
      EXPECT_TRUE(same_bits(f(x, Device::cpu), f(x, Device::cuda))) << name << " of " << dtype;
    const array y = flip(x);
    EXPECT_TRUE(same_bits(logaddexp(x, y, Device::cpu), logaddexp(x, y, Device::cuda))) << dtype;
    EXPECT_TRUE(same_bits(remainder(x, y, Device::cpu), remainder(x, y, Device::cuda))) << dtype;
    EXPECT_TRUE(same_bits(gelu(exp(x), Device::cpu), gelu(exp(x), Device::cuda))) << dtype;
  }
}

}  // namespace
}  // namespace hearth
