// The errors that math.h states, on floats drawn evenly from all there are, against libm's double.
#include "hearth/backend/cpu/math.h"

#include <gtest/gtest.h>

namespace hearth::cpu {
namespace {

// The largest error of f in units in the last place of the result, and where.
struct Worst {
  double ulps = 0;
  float x = 0;
};
Worst worst(float (*f)(float), double (*exact)(double), float limit) {
  Worst out;
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 2047) {  // 2 million, odd ends too
    const float x = std::bit_cast<float>(uint32_t(bits));
    if (!(std::abs(x) <= limit)) continue;
    const double want = exact(double(x)), got = f(x);
    if (want != want && got != got) continue;
    if (std::abs(want) > 3.4028235677973366e38) {  // rounds to infinity
      if (got != double(float(want))) return {INFINITY, x};
      continue;
    }
    int e = 0;
    std::frexp(want, &e);
    const double ulps = std::abs(got - want) / std::ldexp(1.0, std::max(e - 24, -149));
    if (!(ulps <= out.ulps)) out = {ulps, x};
  }
  return out;
}

#define EXPECT_WITHIN(bound, name, exact, limit)                                        \
  {                                                                                     \
    const Worst w = worst([](float x) { return math::name(x); }, exact, limit);         \
    EXPECT_LE(w.ulps, bound) << #name " at " << w.x;                                    \
    EXPECT_GE(w.ulps, bound / 2) << #name ": the bound that math.h states is too wide"; \
  }

TEST(Math, ErrorsAreAsStated) {
  using F = double (*)(double);
  constexpr float all = INFINITY;
  EXPECT_WITHIN(1.2, exp, F(std::exp), all);
  EXPECT_WITHIN(2, expm1, F(std::expm1), all);
  EXPECT_WITHIN(1.2, log, F(std::log), all);
  EXPECT_WITHIN(2, log2, F(std::log2), all);
  EXPECT_WITHIN(2, log10, F(std::log10), all);
  EXPECT_WITHIN(2, log1p, F(std::log1p), all);
  EXPECT_WITHIN(
      2.5, sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, all);
  EXPECT_WITHIN(2, tanh, F(std::tanh), all);
  EXPECT_WITHIN(1.5, erf, F(std::erf), all);
  EXPECT_WITHIN(
      6.5, gelu, [](double x) { return 0.5 * x * std::erfc(-x * std::sqrt(0.5)); }, all);
  EXPECT_WITHIN(1.5, sin, F(std::sin), math::kPeriodic);
  EXPECT_WITHIN(1.5, cos, F(std::cos), math::kPeriodic);
  EXPECT_WITHIN(3, tan, F(std::tan), math::kPeriodic);
}

}  // namespace
}  // namespace hearth::cpu
