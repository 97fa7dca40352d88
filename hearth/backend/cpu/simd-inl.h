// Building blocks of kernels, compiled once per instruction set: loads that widen to f32, stores
// that narrow, exp and the activations. Include after Highway, inside no namespace.
#if defined(HEARTH_BACKEND_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_BACKEND_CPU_SIMD_INL_H_
#undef HEARTH_BACKEND_CPU_SIMD_INL_H_
#else
#define HEARTH_BACKEND_CPU_SIMD_INL_H_
#endif

#include <hwy/highway.h>

#include <cstring>
#include <type_traits>

#include "hearth/core/dtype.h"

// Whether Highway's f16 conversions are the processor's; its emulation (1.0.3) knows no infinity.
#undef HEARTH_HAS_F16C
#if HWY_TARGET <= HWY_AVX2 || HWY_TARGET == HWY_NEON
#define HEARTH_HAS_F16C 1
#else
#define HEARTH_HAS_F16C 0
#endif

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The type in which T is computed: double for double, else float.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
template <class T>
using WideTag = hn::ScalableTag<Wide<T>>;
template <class T>
using WideVec = hn::Vec<WideTag<T>>;

/// Lanes(d) elements of T at p, which need not be aligned, widened.
template <class T>
HWY_INLINE WideVec<T> load_wide(const std::byte* p) {
  const WideTag<T> d;
  if constexpr (std::is_same_v<T, bfloat16_t>) {
    const hn::RebindToUnsigned<WideTag<T>> du;
    const hn::Rebind<uint16_t, WideTag<T>> d16;
    const auto bits = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p));
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, bits)));
  } else if constexpr (std::is_same_v<T, float16_t>) {
#if HEARTH_HAS_F16C
    const hn::Rebind<hwy::float16_t, WideTag<T>> d16;
    return hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(p)));
#else  // as float16_t's conversion
    const hn::RebindToUnsigned<WideTag<T>> du;
    const hn::Rebind<uint16_t, WideTag<T>> d16;
    const auto bits = hn::PromoteTo(du, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p)));
    const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000)));
    const auto shifted = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7fff)));
    const auto finite = hn::BitCast(du, hn::Mul(hn::BitCast(d, shifted), hn::Set(d, 0x1p112f)));
    const auto special =
        hn::Ge(hn::BitCast(d, shifted), hn::BitCast(d, hn::Set(du, 0x7c00u << 13)));
    const auto magnitude = hn::IfThenElse(hn::RebindMask(du, special),
                                          hn::Or(shifted, hn::Set(du, 0x7f800000)), finite);
    return hn::BitCast(d, hn::Or(sign, magnitude));
#endif
  } else {
    return hn::LoadU(d, reinterpret_cast<const T*>(p));
  }
}

/// The first n < Lanes(d) elements at p, zeros after; touches no byte beyond them.
template <class T>
HWY_INLINE WideVec<T> load_wide(const std::byte* p, size_t n) {
  alignas(64) std::byte whole[64] = {};
  std::memcpy(whole, p, n * sizeof(T));
  return load_wide<T>(whole);
}

/// One element at p, which need not be aligned, widened.
template <class T>
HWY_INLINE Wide<T> load_one(const std::byte* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return Wide<T>(v);
}

/// Keeps the low half of each element.
template <class D, class V>
HWY_INLINE void store_low_halves(D, V v, std::byte* p) {
  const hn::RebindToSigned<D> di;  // DemoteTo saturates: extend the sign so that it does not
  const hn::Rebind<int16_t, D> d16;
  const auto extended = hn::ShiftRight<16>(hn::BitCast(di, hn::ShiftLeft<16>(v)));
  hn::StoreU(hn::DemoteTo(d16, extended), d16, reinterpret_cast<int16_t*>(p));
}

/// Rounds to T, ties to even, and stores Lanes(d) elements at p.
template <class T>
HWY_INLINE void store_narrow(WideVec<T> v, std::byte* p) {
  const WideTag<T> d;
  if constexpr (std::is_same_v<T, bfloat16_t>) {
    const hn::RebindToUnsigned<WideTag<T>> du;
    const auto bits = hn::BitCast(du, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff)));
    const auto quiet = hn::Or(bits, hn::Set(du, 0x400000));
    store_low_halves(
        du, hn::ShiftRight<16>(hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded)),
        p);
  } else if constexpr (std::is_same_v<T, float16_t>) {
#if HEARTH_HAS_F16C
    const hn::Rebind<hwy::float16_t, WideTag<T>> d16;
    hn::StoreU(hn::DemoteTo(d16, v), d16, reinterpret_cast<hwy::float16_t*>(p));
#else  // as float16_t's conversion
    const hn::RebindToUnsigned<WideTag<T>> du;
    const auto sign = hn::And(hn::ShiftRight<16>(hn::BitCast(du, v)), hn::Set(du, 0x8000));
    const auto abs = hn::Abs(v);
    const auto mag = hn::BitCast(du, abs);
    const auto odd = hn::And(hn::ShiftRight<13>(mag), hn::Set(du, 1));
    const auto normal = hn::ShiftRight<13>(hn::Add(mag, hn::Add(odd, hn::Set(du, 0xc8000fffu))));
    const auto denormal =
        hn::Sub(hn::BitCast(du, hn::Add(abs, hn::Set(d, 0.5f))), hn::Set(du, 0x3f000000));
    const auto is = [&](auto mask) HWY_ATTR { return hn::RebindMask(du, mask); };
    auto half = hn::IfThenElse(is(hn::Lt(abs, hn::Set(d, 0x1p-14f))), denormal, normal);
    half = hn::IfThenElse(is(hn::Ge(abs, hn::Set(d, 65520.0f))), hn::Set(du, 0x7c00), half);
    half = hn::IfThenElse(is(hn::IsNaN(v)), hn::Set(du, 0x7e00), half);
    store_low_halves(du, hn::Or(sign, half), p);
#endif
  } else {
    hn::StoreU(v, d, reinterpret_cast<T*>(p));
  }
}

/// Stores the first n < Lanes(d) elements only.
template <class T>
HWY_INLINE void store_narrow(WideVec<T> v, std::byte* p, size_t n) {
  alignas(64) std::byte whole[64];
  store_narrow<T>(v, whole);
  std::memcpy(p, whole, n * sizeof(T));
}

using F32 = hn::ScalableTag<float>;
using VF32 = hn::Vec<F32>;

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
HWY_INLINE VF32 gelu(VF32 x) {
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
HWY_INLINE VF32 gelu_erf(VF32 x) {
  const F32 d;
  const auto half =
      hn::Mul(hn::Set(d, 0.5f), erfc_positive(hn::Mul(hn::Abs(x), hn::Set(d, 0.707106781f))));
  const auto share = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), half, hn::Sub(hn::Set(d, 1.0f), half));
  return hn::Mul(x, share);
}

HWY_INLINE VF32 relu(VF32 x) {
  return hn::IfThenElse(hn::Lt(x, hn::Zero(F32())), hn::Zero(F32()), x);
}

}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the toggle
