#include "hearth/backend/cpu/map_loops.h"

#include "hearth/backend/cpu/isa.h"
// Plain loops: where there is no AVX2, those of plain x86-64 serve as well as SSE4's.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HEARTH_FEW_TARGETS | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/map_loops.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "hearth/backend/cpu/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

// No element depends on another: in place is fine, and compilers need no check for overlap.
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed"  // loops of libm calls stay scalar
#define HEARTH_LOOP(i, n) \
  _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < n; ++i)
#else
#define HEARTH_LOOP(i, n) _Pragma("GCC ivdep") for (size_t i = 0; i < n; ++i)
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
  HEARTH_LOOP(i, n) y[i] = F::of(a[i]);
}
template <class F, class T>
void binary(const void* pa, const void* pb, const void*, void* out, size_t n) {
  using R = result_t<decltype(F::of(T(), T()))>;
  const T *a = static_cast<const T*>(pa), *b = static_cast<const T*>(pb);
  R* y = static_cast<R*>(out);
  HEARTH_LOOP(i, n) y[i] = F::of(a[i], b[i]);
}
template <class F, class T>
void ternary(const void* pa, const void* pb, const void* pc, void* out, size_t n) {
  const uint32_t* a = static_cast<const uint32_t*>(pa);
  const T *b = static_cast<const T*>(pb), *c = static_cast<const T*>(pc);
  T* y = static_cast<T*>(out);
  HEARTH_LOOP(i, n) y[i] = F::of(a[i] != 0, b[i], c[i]);
}
// sin, cos, tan: a block with a huge argument goes to libm.
template <class F, float (*Libm)(float)>
void periodic(const void* pa, const void*, const void*, void* out, size_t n) {
  const float* a = static_cast<const float*>(pa);
  uint32_t huge = 0;
  HEARTH_LOOP(i, n) huge |= abs(a[i]) > kPeriodic;
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
  HEARTH_LOOP(i, n) y[i] = lane_cast<To>(a[i]);
}
template <class From>
void to_bool(const void* pa, const void*, const void*, void* out, size_t n) {
  const From* a = static_cast<const From*>(pa);
  uint32_t* y = static_cast<uint32_t*>(out);
  HEARTH_LOOP(i, n) y[i] = a[i] != From(0);
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
    HEARTH_LOOP(i, n) y[i] = real(a[i]);
  } else {
    HEARTH_LOOP(i, n) y[i] = odd(double(a[i]));
  }
}

template <class T>
HWY_INLINE lane_of<T> to_lane(T v) {
  if constexpr (is_half<T>)
    return float(v);
  else if constexpr (std::is_same_v<T, complex64_t>)
    return Complex(v);
  else
    return lane_of<T>(v);
}
template <class T>
HWY_INLINE T to_element(lane_of<T> v) {
  if constexpr (std::is_same_v<T, complex64_t>) {
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
// As many halves as fill a vector, converted by the processor where it can.
template <class T>
HWY_INLINE size_t widen_whole(const std::byte* from, float* y, size_t n) {
  const F32 d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d))
    hn::StoreU(load_wide<T>(from + i * sizeof(T)), d, y + i);
  return i;
}
template <class T>
void load(const std::byte* from, int64_t stride, void* lanes, size_t n) {
  auto* y = static_cast<lane_of<T>*>(lanes);
  if (stride == 0) {
    const lane_of<T> all = to_lane(load_one<T>(from));
    HEARTH_LOOP(i, n) y[i] = all;
  } else if (stride != 1) {
    for (size_t i = 0; i < n; ++i, from += stride * int64_t(sizeof(T)))
      y[i] = to_lane(load_one<T>(from));
  } else if constexpr (is_half<T>) {
    for (size_t i = widen_whole<T>(from, y, n); i < n; ++i)
      y[i] = float(load_one<T>(from + i * sizeof(T)));
  } else {
    HEARTH_LOOP(i, n) y[i] = to_lane(load_one<T>(from + i * sizeof(T)));
  }
}
template <class T>
void store(const void* lanes, std::byte* to, size_t n) {
  const auto* a = static_cast<const lane_of<T>*>(lanes);
  if constexpr (is_half<T>) {
    const F32 d;
    size_t i = 0;
    for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d))
      store_narrow<T>(hn::LoadU(d, a + i), to + i * sizeof(T));
    if (i < n)
      store_narrow<T>(load_wide<float>(reinterpret_cast<const std::byte*>(a + i), n - i),
                      to + i * sizeof(T), n - i);
  } else {
    T* y = reinterpret_cast<T*>(to);
    HEARTH_LOOP(i, n) y[i] = to_element<T>(a[i]);
  }
}
template <class T>
void round(const void* pa, const void*, const void*, void* out, size_t n) {
  const auto* a = static_cast<const lane_of<T>*>(pa);
  auto* y = static_cast<lane_of<T>*>(out);
  if constexpr (is_half<T>) {
    alignas(64) std::byte halves[256 * sizeof(T)];
    for (size_t i = 0, m; i < n; i += m) {
      m = std::min<size_t>(256, n - i);
      store<T>(a + i, halves, m);
      load<T>(halves, 1, y + i, m);
    }
  } else {
    HEARTH_LOOP(i, n) y[i] = to_lane(to_element<T>(a[i]));
  }
}

template <Lane L>
void fill_lane(Loops& l) {
  using T = lane_t<L>;
  constexpr int lane = int(L);
#define UNARY(name, kinds, ...) \
  if constexpr (accepts(kinds, L)) l.op[int(ElementOp::name)][lane] = unary<name##_op, T>;
#define BINARY(name, kinds, ...) \
  if constexpr (accepts(kinds, L)) l.op[int(ElementOp::name)][lane] = binary<name##_op, T>;
#define TERNARY(name, kinds, ...) \
  if constexpr (accepts(kinds, L)) l.op[int(ElementOp::name)][lane] = ternary<name##_op, T>;
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
#define X(name, type, kinds) l.cast[lane][int(Lane::name)] = cast<T, lane_t<Lane::name>>;
  HEARTH_LANES(X)
#undef X
  l.to_bool[lane] = to_bool<T>;
  l.to_half[lane] = to_half<T>;
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
#define X(name, type, kinds) fill_lane<Lane::name>(l);
    HEARTH_LANES(X)
#undef X
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

HEARTH_EXPORT(loops);

const Loops& map_loops() { return *HEARTH_DISPATCH(loops)(); }

}  // namespace hearth::cpu
#endif
