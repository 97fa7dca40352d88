// Loads that widen to f32 and stores that narrow, compiled once per instruction set. Include after
// Highway, inside no namespace.
#if defined(HEARTH_BACKEND_CPU_CONVERT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_BACKEND_CPU_CONVERT_INL_H_
#undef HEARTH_BACKEND_CPU_CONVERT_INL_H_
#else
#define HEARTH_BACKEND_CPU_CONVERT_INL_H_
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

}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the toggle
