// Joining many elements into one, compiled once per instruction set: loads that widen, the joins,
// and a fold of contiguous elements in 128 bytes of lanes. The order of joins is fixed, so that
// results have the same bits for every instruction set and number of threads.
#if defined(HEARTH_BACKEND_CPU_FOLD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_BACKEND_CPU_FOLD_INL_H_
#undef HEARTH_BACKEND_CPU_FOLD_INL_H_
#else
#define HEARTH_BACKEND_CPU_FOLD_INL_H_
#endif

#include <hwy/highway.h>

#include <cstring>
#include <limits>

#include "hearth/backend/cpu/convert-inl.h"
#include "hearth/backend/cpu/reduce.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {

/// Can elements of this type be lanes C? Bytes (for all and any) hold whether an element is
/// nonzero.
template <class C>
constexpr bool widens(Dtype type) {
  if (std::is_same_v<C, uint8_t>) return true;
  if (std::is_same_v<C, float>) return type == float32 || type == float16 || type == bfloat16;
  if (std::is_same_v<C, double>) return type == float64 || type == int64 || type == uint64;
  if (std::is_same_v<C, Pair<float>>) return type == complex64;
  return !is_inexact(type);
}
template <class C, class T>
HWY_INLINE C widen(T v) {
  if constexpr (is_half<T>)
    return widen<C>(float(v));
  else if constexpr (std::is_same_v<C, uint8_t>)
    return v != T(0);
  else if constexpr (std::is_same_v<T, complex64_t>)
    return C{v.real(), v.imag()};
  else
    return C(v);
}

/// The ith T at p, which need not be aligned.
template <class T>
HWY_INLINE T load(const std::byte* p, int64_t i) {
  T v;
  std::memcpy(&v, p + i * int64_t(sizeof(T)), sizeof(T));
  return v;
}

template <class C, class T>
void stage_as(const std::byte* p, int64_t stride, int64_t n, C* out) {
  using Stored = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;  // any byte may be there
  int64_t i = 0;
  if constexpr (std::is_same_v<T, float16_t> && std::is_same_v<C, float>)
    if (stride == 1)  // the processor's own conversion
      for (const int64_t lanes = int64_t(hn::Lanes(F32())); i + lanes <= n; i += lanes)
        hn::StoreU(load_wide<T>(p + i * 2), F32(), out + i);
  if (stride == 1)
    for (; i < n; ++i) out[i] = widen<C>(load<Stored>(p, i));
  else
    for (; i < n; ++i) out[i] = widen<C>(load<Stored>(p, i * stride));
}

/// n elements of `type` at p, `stride` apart, widened to C.
template <class C>
void stage(Dtype type, const std::byte* p, int64_t stride, int64_t n, C* out) {
  switch (type) {
#define X(name, T, kind, text)                                               \
  case Dtype::name:                                                          \
    if constexpr (widens<C>(Dtype::name)) stage_as<C, T>(p, stride, n, out); \
    return;
    HEARTH_DTYPES(X)
#undef X
  }
}

HWY_INLINE float add(float a, float b) { return a + b; }
HWY_INLINE double add(double a, double b) { return a + b; }
HWY_INLINE uint32_t add(uint32_t a, uint32_t b) { return a + b; }
HWY_INLINE uint64_t add(uint64_t a, uint64_t b) { return a + b; }
HWY_INLINE int64_t add(int64_t a, int64_t b) { return int64_t(uint64_t(a) + uint64_t(b)); }
template <class F>
HWY_INLINE Pair<F> add(Pair<F> a, Pair<F> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class T>
HWY_INLINE T multiply(T a, T b) {
  return T(a * b);
}
template <class F>
HWY_INLINE Pair<F> multiply(Pair<F> a, Pair<F> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

template <class T>
HWY_INLINE bool is_nan(T v) {
  return v != v;
}
HWY_INLINE bool is_nan(Pair<float> v) { return v.re != v.re || v.im != v.im; }
template <class T>
HWY_INLINE bool at_least(T a, T b) {
  return a >= b;
}
HWY_INLINE bool at_least(Pair<float> a, Pair<float> b) {  // false for NaN, as for real numbers
  return !is_nan(a) && !is_nan(b) && (a.re > b.re || (a.re == b.re && a.im >= b.im));
}

// Sums and products join lanes as C and their results as Total.
template <class C>
struct TotalOf {
  using type = C;
};
template <>
struct TotalOf<float> {
  using type = double;
};
template <>
struct TotalOf<Pair<float>> {
  using type = Pair<double>;
};

template <class Total, class C>
HWY_INLINE Total to_total(C v) {
  if constexpr (std::is_same_v<Total, Pair<double>>)
    return {v.re, v.im};
  else
    return Total(v);
}
template <class C>
HWY_INLINE C constant(float v) {
  if constexpr (std::is_class_v<C>)
    return C{v, 0};
  else
    return C(v);
}
/// The least value (sign -1) or the greatest (sign 1).
template <class C>
HWY_INLINE C extreme(int sign) {
  if constexpr (std::is_class_v<C>)
    return C{extreme<float>(sign), extreme<float>(sign)};
  else if constexpr (std::is_floating_point_v<C>)
    return C(sign) * std::numeric_limits<C>::infinity();
  else
    return sign < 0 ? std::numeric_limits<C>::min() : std::numeric_limits<C>::max();
}

template <class C_>
struct Sum {
  using C = C_;
  using Total = typename TotalOf<C>::type;
  static HWY_INLINE C identity() { return constant<C>(0); }
  template <class T>
  static HWY_INLINE T join(T a, T b) {
    return add(a, b);
  }
};
template <class C_>
struct Product {
  using C = C_;
  using Total = typename TotalOf<C>::type;
  static HWY_INLINE C identity() { return constant<C>(1); }
  template <class T>
  static HWY_INLINE T join(T a, T b) {
    return multiply(a, b);
  }
};
template <class C_>
struct Max {
  using C = C_;
  using Total = C;
  static HWY_INLINE C identity() { return extreme<C>(-1); }
  static HWY_INLINE C join(C a, C b) { return at_least(a, b) || is_nan(a) ? a : b; }
};
template <class C_>
struct Min {
  using C = C_;
  using Total = C;
  static HWY_INLINE C identity() { return extreme<C>(1); }
  static HWY_INLINE C join(C a, C b) { return at_least(b, a) || is_nan(a) ? a : b; }
};

/// All n elements T at x joined: lane l takes every kth element, k lanes, then halves are joined.
template <class Op, class T = typename Op::C>
typename Op::C fold(const std::byte* x, int64_t n) {
  using C = typename Op::C;
  constexpr int kLanes = int(128 / sizeof(C));
  C lane[kLanes];
  for (int l = 0; l < kLanes; ++l) lane[l] = Op::identity();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    if constexpr (is_half<T>) {
      C wide[kLanes];  // stays in registers
      for (int l = 0; l < kLanes; l += int(hn::Lanes(F32())))
        hn::StoreU(load_wide<T>(x + (i + l) * 2), F32(), wide + l);
      for (int l = 0; l < kLanes; ++l) lane[l] = Op::join(lane[l], wide[l]);
    } else {
      for (int l = 0; l < kLanes; ++l) lane[l] = Op::join(lane[l], load<C>(x, i + l));
    }
  }
  for (int l = 0; i < n; ++i, ++l) lane[l] = Op::join(lane[l], widen<C>(load<T>(x, i)));
  for (int w = kLanes / 2; w > 0; w /= 2)
    for (int l = 0; l < w; ++l) lane[l] = Op::join(lane[l], lane[l + w]);
  return lane[0];
}

/// Elements that `fold` sees at once: a lane of float takes 128 of them before it becomes double.
constexpr int64_t kBlock = 4096;

}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the toggle
