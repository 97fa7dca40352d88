// exp and the activations in vectors, compiled once per instruction set. Include after Highway,
// inside no namespace.
#if defined(HEARTH_BACKEND_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_BACKEND_CPU_SIMD_INL_H_
#undef HEARTH_BACKEND_CPU_SIMD_INL_H_
#else
#define HEARTH_BACKEND_CPU_SIMD_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>

#include "hearth/backend/cpu/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {

/// exp(x), relative error below 2e-7; 0 below -87.3, infinity above 88.7, NaN for NaN.
HWY_INLINE VF32 exp(VF32 x) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const auto n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504f)));
  auto r = hn::NegMulAdd(n, hn::Set(d, 0.693145752f), x);  // ln 2 in two parts
  r = hn::NegMulAdd(n, hn::Set(d, 1.42860677e-6f), r);
  auto p = hn::Set(d, 1.98756939e-4f);  // Cephes' expf
  p = hn::MulAdd(p, r, hn::Set(d, 1.39819994e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.33345205e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.16657962e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.66666657e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5f));
  p = hn::Add(hn::MulAdd(hn::Mul(r, r), p, r), hn::Set(d, 1.0f));
  // 2^n in two factors: n reaches 128, beyond a float's exponent.
  const auto low = hn::Set(d, -87.33f), high = hn::Set(d, 88.72283f);
  const auto in = hn::ConvertTo(di, hn::Min(hn::Max(n, hn::Set(d, -127.0f)), hn::Set(d, 128.0f)));
  const auto half = hn::ShiftRight<1>(in);
  const auto bias = hn::Set(di, 127);
  const auto s1 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const auto s2 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(in, half), bias)));
  auto y = hn::Mul(hn::Mul(p, s1), s2);
  y = hn::IfThenElse(hn::Lt(x, low), hn::Zero(d), y);
  y = hn::IfThenElse(hn::Gt(x, high), hn::Inf(d), y);
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

/// 1 / (1 + exp(-x))
HWY_INLINE VF32 sigmoid(VF32 x) {
  const F32 d;
  const auto one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, exp(hn::Neg(x))));
}

HWY_INLINE VF32 silu(VF32 x) {
  const F32 d;
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp(hn::Neg(x))));
}

/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), as x sigmoid(2 ...): no cancellation below 0.
HWY_INLINE VF32 gelu_approx(VF32 x) {
  const F32 d;
  const auto cubic = hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.0713548163f), hn::Set(d, 1.59576912f));
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp(hn::Neg(hn::Mul(x, cubic)))));
}

/// erfc(x) for x >= 0, relative error about 1.2e-7 (Numerical Recipes 6.2) times x^2 of exp's.
HWY_INLINE VF32 erfc_positive(VF32 x) {
  const F32 d;
  const auto t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(x, hn::Set(d, 0.5f), hn::Set(d, 1.0f)));
  auto p = hn::Set(d, 0.17087277f);
  p = hn::MulAdd(p, t, hn::Set(d, -0.82215223f));
  p = hn::MulAdd(p, t, hn::Set(d, 1.48851587f));
  p = hn::MulAdd(p, t, hn::Set(d, -1.13520398f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.27886807f));
  p = hn::MulAdd(p, t, hn::Set(d, -0.18628806f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.09678418f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.37409196f));
  p = hn::MulAdd(p, t, hn::Set(d, 1.00002368f));
  p = hn::MulAdd(p, t, hn::Set(d, -1.26551223f));
  return hn::Mul(t, exp(hn::NegMulAdd(x, x, p)));
}

/// 0.5 x (1 + erf(x / sqrt 2)), by erfc so that the tail below 0 keeps its digits.
HWY_INLINE VF32 gelu(VF32 x) {
  const F32 d;
  const auto half =
      hn::Mul(hn::Set(d, 0.5f), erfc_positive(hn::Mul(hn::Abs(x), hn::Set(d, 0.707106781f))));
  const auto share = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), half, hn::Sub(hn::Set(d, 1.0f), half));
  return hn::Mul(x, share);
}

HWY_INLINE VF32 relu(VF32 x) {
  return hn::IfThenElse(hn::Lt(x, hn::Zero(F32())), hn::Zero(F32()), x);
}

// The same in double, by libm.
inline double relu(double x) { return x < 0 ? 0 : x; }
inline double silu(double x) { return x / (1 + std::exp(-x)); }
inline double gelu_approx(double x) {
  return x / (1 + std::exp(-2 * 0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}
inline double gelu(double x) { return 0.5 * x * std::erfc(-x * 0.70710678118654752440); }

}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the toggle
