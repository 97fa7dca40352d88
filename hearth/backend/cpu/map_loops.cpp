#include "hearth/backend/cpu/map_loops.h"

#include "hearth/backend/cpu/isa.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/map_loops.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <cstring>
#include <string_view>

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

constexpr bool accepts(std::string_view kinds, Lane l) {
  const char* any[kLanes] = {"f", "f", "i", "bu", "i", "u", "c"};
  return kinds.find_first_of(any[int(l)]) != kinds.npos;
}

// No element depends on another: in place is fine, and compilers need no check for overlap.
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed"  // loops of libm calls stay scalar
#define HEARTH_EACH(i, n) \
  _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < n; ++i)
#else
#define HEARTH_EACH(i, n) _Pragma("GCC ivdep") for (size_t i = 0; i < n; ++i)
#endif

using namespace math;

#define UNARY(name, kinds, rule, value, ...) \
  struct name##_op {                         \
    template <class T>                       \
    static HWY_INLINE auto of(T x) {         \
      return value;                          \
    }                                        \
  };
#define BINARY(name, kinds, rule, value, ...) \
  struct name##_op {                          \
    template <class T>                        \
    static HWY_INLINE auto of(T a, T b) {     \
      return value;                           \
    }                                         \
  };
#define TERNARY(name, kinds, rule, value, ...)    \
  struct name##_op {                              \
    template <class T>                            \
    static HWY_INLINE auto of(bool a, T b, T c) { \
      return value;                               \
    }                                             \
  };
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY

// bool is computed as 0 or 1 in 32 bits.
template <class R>
using result_t = std::conditional_t<std::is_same_v<R, bool>, uint32_t, R>;

template <class F, class T>
void unary(const void* pa, const void*, const void*, void* out, size_t n) {
  using R = result_t<decltype(F::of(T()))>;
  const T* a = static_cast<const T*>(pa);
  R* y = static_cast<R*>(out);
  HEARTH_EACH(i, n) y[i] = F::of(a[i]);
}
template <class F, class T>
void binary(const void* pa, const void* pb, const void*, void* out, size_t n) {
  using R = result_t<decltype(F::of(T(), T()))>;
  const T *a = static_cast<const T*>(pa), *b = static_cast<const T*>(pb);
  R* y = static_cast<R*>(out);
  HEARTH_EACH(i, n) y[i] = F::of(a[i], b[i]);
}
template <class F, class T>
void ternary(const void* pa, const void* pb, const void* pc, void* out, size_t n) {
  const uint32_t* a = static_cast<const uint32_t*>(pa);
  const T *b = static_cast<const T*>(pb), *c = static_cast<const T*>(pc);
  T* y = static_cast<T*>(out);
  HEARTH_EACH(i, n) y[i] = F::of(a[i] != 0, b[i], c[i]);
}
// sin, cos, tan: a block with a huge argument goes to libm.
template <class F, float (*Libm)(float)>
void periodic(const void* pa, const void*, const void*, void* out, size_t n) {
  const float* a = static_cast<const float*>(pa);
  uint32_t huge = 0;
  HEARTH_EACH(i, n) huge |= abs(a[i]) > kPeriodic;
  if (!huge) return unary<F, float>(pa, nullptr, nullptr, out, n);
  for (size_t i = 0; i < n; ++i) static_cast<float*>(out)[i] = Libm(a[i]);
}

template <class To, class From>
HWY_INLINE To lane_cast(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<From, Complex>) {
    return lane_cast<To>(x.re);
  } else if constexpr (std::is_same_v<To, Complex>) {
    return Complex(lane_cast<float>(x));
  } else if constexpr (std::integral<To> && std::floating_point<From>) {
    // Towards zero, saturating; NaN is 0. Unsigned types take negative numbers as signed ones do.
    using Signed = std::conditional_t<std::is_same_v<To, int32_t>, int32_t, int64_t>;
    constexpr From end = sizeof(Signed) == 4 ? From(0x1p31) : From(0x1p63);
    const From inside = x < -end ? -end : x >= end || x != x ? From(0) : x;
    const Signed v = x >= end ? std::numeric_limits<Signed>::max() : Signed(inside);
    if constexpr (std::is_same_v<To, uint64_t>) {
      if (x >= end) return x >= From(0x1p64) ? ~uint64_t{0} : uint64_t(x);
    }
    return To(v);
  } else {
    return To(x);
  }
}
template <class From, class To>
void cast(const void* pa, const void*, const void*, void* out, size_t n) {
  const From* a = static_cast<const From*>(pa);
  To* y = static_cast<To*>(out);
  HEARTH_EACH(i, n) y[i] = lane_cast<To>(a[i]);
}
template <class From>
void to_bool(const void* pa, const void*, const void*, void* out, size_t n) {
  const From* a = static_cast<const From*>(pa);
  uint32_t* y = static_cast<uint32_t*>(out);
  HEARTH_EACH(i, n) y[i] = a[i] != From(0);
}
// To float, the last bit telling whether any was lost ("round to odd").
HWY_INLINE float odd(double x) {
  constexpr uint64_t lost = (uint64_t{1} << 29) - 1;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  const uint64_t sticky = (bits & ~lost) | ((bits & lost) != 0 ? lost + 1 : 0);
  return float(std::bit_cast<double>(x != x ? bits : sticky));
}
template <class From>
void to_half(const void* pa, const void*, const void*, void* out, size_t n) {
  const From* a = static_cast<const From*>(pa);
  float* y = static_cast<float*>(out);
  if constexpr (std::is_same_v<From, float> || std::is_same_v<From, Complex>) {
    HEARTH_EACH(i, n) y[i] = real(a[i]);
  } else {
    HEARTH_EACH(i, n) y[i] = odd(double(a[i]));
  }
}

// The conversions of dtype.h without branches.
HWY_INLINE float widen(float16_t h) {
  const uint32_t sign = uint32_t(h.bits & 0x8000u) << 16, em = h.bits & 0x7fffu;
  const uint32_t finite = std::bit_cast<uint32_t>(std::bit_cast<float>(em << 13) * 0x1p112f);
  return std::bit_cast<float>(sign | (em >= 0x7c00u ? 0x7f800000u | (em & 0x3ffu) << 13 : finite));
}
HWY_INLINE float widen(bfloat16_t h) { return std::bit_cast<float>(uint32_t(h.bits) << 16); }
HWY_INLINE uint16_t narrow(float f, float16_t) {
  const uint32_t u = std::bit_cast<uint32_t>(f), sign = u >> 16 & 0x8000u, mag = u & 0x7fffffffu;
  const uint32_t tiny = std::bit_cast<uint32_t>(std::bit_cast<float>(mag) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (mag + 0xc8000fffu + (mag >> 13 & 1)) >> 13;
  uint32_t out = mag < 0x38800000u ? tiny : normal;
  out = mag >= 0x477ff000u ? 0x7c00u : out;
  out = mag > 0x7f800000u ? 0x7e00u : out;
  return uint16_t(sign | out);
}
HWY_INLINE uint16_t narrow(float f, bfloat16_t) {
  const uint32_t u = std::bit_cast<uint32_t>(f);
  const uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1)) >> 16;
  return uint16_t((u & 0x7fffffffu) > 0x7f800000u ? u >> 16 | 0x40u : rounded);
}
template <class T>
HWY_INLINE lane_of<T> to_lane(T v) {
  if constexpr (is_half<T>)
    return widen(v);
  else if constexpr (std::is_same_v<T, complex64_t>)
    return Complex(v);
  else
    return lane_of<T>(v);
}
template <class T>
HWY_INLINE T to_element(lane_of<T> v) {
  if constexpr (is_half<T>) {
    T h;
    h.bits = narrow(v, T());
    return h;
  } else if constexpr (std::is_same_v<T, complex64_t>) {
    return v.value();
  } else if constexpr (std::is_same_v<T, bool>) {
    return v != 0;
  } else {
    return T(v);
  }
}

template <class T>
HWY_INLINE T load_one(const std::byte* p) {
  if constexpr (std::is_same_v<T, bool>) {
    return *p != std::byte{0};
  } else {
    T v;
    std::memcpy(&v, p, sizeof(T));
    return v;
  }
}
template <class T>
void load(const std::byte* from, int64_t stride, void* lanes, size_t n) {
  auto* y = static_cast<lane_of<T>*>(lanes);
  if (stride == 1) {
    HEARTH_EACH(i, n) y[i] = to_lane(load_one<T>(from + i * sizeof(T)));
  } else {
    for (size_t i = 0; i < n; ++i, from += stride * int64_t(sizeof(T)))
      y[i] = to_lane(load_one<T>(from));
  }
}
template <class T>
void store(const void* lanes, std::byte* to, size_t n) {
  const auto* a = static_cast<const lane_of<T>*>(lanes);
  T* y = reinterpret_cast<T*>(to);
  HEARTH_EACH(i, n) y[i] = to_element<T>(a[i]);
}
template <class T>
void round(const void* pa, const void*, const void*, void* out, size_t n) {
  const auto* a = static_cast<const lane_of<T>*>(pa);
  auto* y = static_cast<lane_of<T>*>(out);
  HEARTH_EACH(i, n) y[i] = to_lane(to_element<T>(a[i]));
}

template <int L>
void fill_lane(Loops& l) {
  using T = lane_t<Lane(L)>;
  int op = 0;
#define UNARY(name, kinds, ...)                                             \
  if constexpr (accepts(kinds, Lane(L))) l.op[op][L] = unary<name##_op, T>; \
  ++op;
#define BINARY(name, kinds, ...)                                             \
  if constexpr (accepts(kinds, Lane(L))) l.op[op][L] = binary<name##_op, T>; \
  ++op;
#define TERNARY(name, kinds, ...)                                             \
  if constexpr (accepts(kinds, Lane(L))) l.op[op][L] = ternary<name##_op, T>; \
  ++op;
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
  l.cast[L][0] = cast<T, float>;
  l.cast[L][1] = cast<T, double>;
  l.cast[L][2] = cast<T, int32_t>;
  l.cast[L][3] = cast<T, uint32_t>;
  l.cast[L][4] = cast<T, int64_t>;
  l.cast[L][5] = cast<T, uint64_t>;
  l.cast[L][6] = cast<T, Complex>;
  l.to_bool[L] = to_bool<T>;
  l.to_half[L] = to_half<T>;
}
template <class T>
void fill_dtype(Loops& l) {
  const int d = int(dtype_of<T>);
  l.load[d] = load<T>;
  l.store[d] = store<T>;
  if (sizeof(T) < sizeof(lane_of<T>)) l.round[d] = round<T>;
}

const Loops* loops() {
  static const Loops all = [] {
    Loops l;
    fill_lane<0>(l), fill_lane<1>(l), fill_lane<2>(l), fill_lane<3>(l);
    fill_lane<4>(l), fill_lane<5>(l), fill_lane<6>(l);
#define X(name, type, kind, text) fill_dtype<type>(l);
    HEARTH_DTYPES(X)
#undef X
    l.op[int(ElementOp::sin)][int(Lane::f32)] = periodic<sin_op, ::sinf>;
    l.op[int(ElementOp::cos)][int(Lane::f32)] = periodic<cos_op, ::cosf>;
    l.op[int(ElementOp::tan)][int(Lane::f32)] = periodic<tan_op, ::tanf>;
    return l;
  }();
  return &all;
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu {

HWY_EXPORT(loops);

const Loops& map_loops() { return *HWY_DYNAMIC_DISPATCH(loops)(); }

}  // namespace hearth::cpu
#endif
