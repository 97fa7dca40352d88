#include "hearth/ops/fp8.h"

#include <cmath>

#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"

namespace hearth {

namespace {

constexpr int kNanCode = 127;  // the last of the positive ones

// The number that a code without sign means.
float of_code(int code) {
  if (code == kNanCode) return NAN;
  const int exponent = code >> 3, digits = code & 7;
  return exponent == 0 ? std::ldexp(float(digits), -9)
                       : std::ldexp(float(8 + digits), exponent - 10);
}
std::vector<float> positive_numbers() {
  std::vector<float> all;
  for (int code = 0; code <= kNanCode; ++code) all.push_back(of_code(code));
  return all;
}

}  // namespace

array to_fp8(array x, StreamOrDevice s) {
  StreamScope scope(s);
  check(is_floating(x.dtype()), "to_fp8: ", x.dtype(), " is not a floating dtype");
  const std::vector<float> numbers = positive_numbers();
  std::vector<double> between;  // neighbours: a number goes up if it is beyond
  for (int code = 0; code + 1 < kNanCode; ++code)
    between.push_back((double(numbers[size_t(code)]) + double(numbers[size_t(code) + 1])) / 2);
  const Dtype wide = x.dtype() == float64 ? float64 : float32;
  const array size = abs(astype(x, wide)), steps(between, wide);
  const array below = searchsorted(steps, size, "left"), above = searchsorted(steps, size, "right");
  const array code =
      where(isnan(x), array(uint32_t(kNanCode)), where((below & 1u) == 0u, below, above));
  const array sign = where(view(astype(x, float32), uint32) >= 0x80000000u, 128u, 0u);
  return astype(code | sign, uint8);
}

array from_fp8(array x, Dtype dtype, StreamOrDevice s) {
  StreamScope scope(s);
  check(x.dtype() == uint8, "from_fp8: the codes are ", x.dtype(), ", wanted uint8");
  check(is_floating(dtype), "from_fp8: ", dtype, " is not a floating dtype");
  std::vector<float> all = positive_numbers();
  for (int code = 0; code <= kNanCode; ++code) all.push_back(-all[size_t(code)]);
  return take(array(all, dtype), x, 0);
}

}  // namespace hearth
