// Scalar functions of elementwise kernels: what CUDA brings to backend/scalar.inc, and conversions
// between element types. Needs no header but that: NVRTC compiles this text at run time for
// programs of several steps (jit.cpp). Compile it with -fmad=false: joined programs then give the
// bits of separate ones.
//
// sin, cos, tan, the hyperbolic and inverse functions and those of double are CUDA's (largest
// errors: CUDA programming guide, "Mathematical Functions"). Complex functions compute in double.
#pragma once

#define HEARTH_FN __device__ __forceinline__
#define HEARTH_FUNCTION __device__ inline

namespace hearth::cuda::math {

using i32 = int;
using u32 = unsigned;
using i64 = long long;
using u64 = unsigned long long;

// ---- Element types, and the lanes in which they are computed ------------------------------------

struct Bool {
  unsigned char bits;
};
struct Half {
  unsigned short bits;
};
struct Bfloat {
  unsigned short bits;
};
struct alignas(8) Complex {
  float re, im;
  Complex() = default;
  HEARTH_FN constexpr Complex(float re, float im = 0) : re(re), im(im) {}
};

// By the names of dtypes, for the text that jit.cpp writes.
using element_bool_ = Bool;
using element_uint8 = unsigned char;
using element_uint16 = unsigned short;
using element_uint32 = u32;
using element_uint64 = u64;
using element_int8 = signed char;
using element_int16 = short;
using element_int32 = i32;
using element_int64 = i64;
using element_float16 = Half;
using element_float32 = float;
using element_float64 = double;
using element_bfloat16 = Bfloat;
using element_complex64 = Complex;

template <class S>  // an element type
struct LaneOf {
  using type = S;
};
template <>
struct LaneOf<Bool> {
  using type = u32;
};
template <>
struct LaneOf<unsigned char> {
  using type = u32;
};
template <>
struct LaneOf<unsigned short> {
  using type = u32;
};
template <>
struct LaneOf<signed char> {
  using type = i32;
};
template <>
struct LaneOf<short> {
  using type = i32;
};
template <>
struct LaneOf<Half> {
  using type = float;
};
template <>
struct LaneOf<Bfloat> {
  using type = float;
};
template <class S>
using lane_of = typename LaneOf<S>::type;

template <class A, class B>
inline constexpr bool same = false;
template <class A>
inline constexpr bool same<A, A> = true;

template <class T>
concept Int = same<T, i32> || same<T, u32> || same<T, i64> || same<T, u64>;
template <class T>
concept Real = same<T, float> || same<T, double>;
template <class T>
inline constexpr bool is_signed = T(-1) < T(0);
template <class T>
struct UnsignedOf {
  using type = T;
};
template <>
struct UnsignedOf<i32> {
  using type = u32;
};
template <>
struct UnsignedOf<i64> {
  using type = u64;
};
template <class T>
using unsigned_of = typename UnsignedOf<T>::type;

template <Real T>
HEARTH_FN T infinity() {
  if constexpr (same<T, float>)
    return __int_as_float(0x7f800000);
  else
    return __longlong_as_double(0x7ff0000000000000ll);
}

HEARTH_FN u32 to_bits(float x) { return __float_as_uint(x); }
HEARTH_FN float from_bits(u32 x) { return __uint_as_float(x); }
HEARTH_FN float abs(float x) { return ::fabsf(x); }
HEARTH_FN double abs(double x) { return ::fabs(x); }
HEARTH_FN float abs(Complex x) {
  const float re = ::fabsf(x.re), im = ::fabsf(x.im), inf = infinity<float>();
  if (re == inf || im == inf) return inf;
  return float(::sqrt(double(re) * re + double(im) * im));
}
HEARTH_FN float copy_sign(float x, float sign) { return ::copysignf(x, sign); }
HEARTH_FN double copy_sign(double x, double sign) { return ::copysign(x, sign); }
HEARTH_FN float float_mod(float a, float b) { return ::fmodf(a, b); }
HEARTH_FN double float_mod(double a, double b) { return ::fmod(a, b); }
HEARTH_FN float pow(float a, float b) { return ::powf(a, b); }
HEARTH_FN double pow(double a, double b) { return ::pow(a, b); }
HEARTH_FN float atan2(float a, float b) { return ::atan2f(a, b); }
HEARTH_FN double atan2(double a, double b) { return ::atan2(a, b); }

#define HEARTH_F32(name) \
  HEARTH_FN float name(float x) { return ::name##f(x); }
#define HEARTH_F64(name) \
  HEARTH_FN double name(double x) { return ::name(x); }
// clang-format off
#define HEARTH_CUDA(X)                                                                   \
  X(floor) X(ceil) X(trunc) X(rint) X(sqrt) X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) \
  X(sinh) X(cosh) X(asinh) X(acosh) X(atanh)
// clang-format on
HEARTH_CUDA(HEARTH_F32)
HEARTH_CUDA(HEARTH_F64)
HEARTH_F64(exp)
HEARTH_F64(expm1)
HEARTH_F64(log)
HEARTH_F64(log2)
HEARTH_F64(log10)
HEARTH_F64(log1p)
HEARTH_F64(tanh)
HEARTH_F64(erf)
HEARTH_F64(erfc)
#undef HEARTH_CUDA
#undef HEARTH_F32
#undef HEARTH_F64

// ---- Complex functions, in double ---------------------------------------------------------------

namespace detail {
struct Wide {
  double re, im;
  HEARTH_FN constexpr Wide(double re, double im) : re(re), im(im) {}
  HEARTH_FN Wide(Complex z) : re(z.re), im(z.im) {}
  HEARTH_FN operator Complex() const { return {float(re), float(im)}; }
};
HEARTH_FN double times(double a, double b) {  // 0 wins over infinity
  return a == 0 || b == 0 ? ::copysign(0.0, a) * ::copysign(1.0, b) : a * b;
}
// Squares of floats, and of their square roots, neither overflow nor vanish in double.
HEARTH_FN Wide sqrt(Wide z) {
  const double inf = infinity<double>(), re = ::fabs(z.re);
  if (::fabs(z.im) == inf) return {inf, z.im};
  if (re == inf)
    return z.re > 0 ? Wide(inf, times(0.0, z.im))
                    : Wide(z.im != z.im ? z.im : 0.0, ::copysign(inf, z.im));
  if (re == 0 && z.im == 0) return {0, z.im};
  const double t = ::sqrt((::sqrt(re * re + z.im * z.im) + re) * 0.5), u = z.im / (2 * t);
  return z.re >= 0 ? Wide(t, u) : Wide(::fabs(u), ::copysign(t, z.im));
}
HEARTH_FN Wide exp(Wide z) {
  const double e = ::exp(z.re);
  if (z.im == 0) return {e, z.im};
  if (e == 0 && !(::fabs(z.im) < infinity<double>())) return {0, 0};
  if (e == infinity<double>() && !(::fabs(z.im) < infinity<double>())) return {e, z.im - z.im};
  return {times(e, ::cos(z.im)), times(e, ::sin(z.im))};
}
HEARTH_FN Wide log(Wide z) {
  const double re = ::fabs(z.re), im = ::fabs(z.im), inf = infinity<double>();
  const double big = ::fmax(re, im), little = ::fmin(re, im);
  const double square = re * re + im * im;
  const double length = re == inf || im == inf ? inf
                        : square > 0.5 && square < 2
                            ? 0.5 * ::log1p((big - 1) * (big + 1) + little * little)
                            : 0.5 * ::log(square);
  return {length, ::atan2(z.im, z.re)};
}
HEARTH_FN Wide sin(Wide z) {
  return {times(::sin(z.re), ::cosh(z.im)), times(::cos(z.re), ::sinh(z.im))};
}
HEARTH_FN Wide cos(Wide z) {
  return {times(::cos(z.re), ::cosh(z.im)), -times(::sin(z.re), ::sinh(z.im))};
}
HEARTH_FN Wide tan(Wide z) {
  const double s = ::sin(z.re), c = ::cos(z.re);
  if (::fabs(z.im) > 40) {  // 1 to the last place, and a real part of e^-80
    const double e = ::exp(-2 * ::fabs(z.im));
    return {times(4 * s * c, e), ::copysign(1.0, z.im)};
  }
  const double sh = ::sinh(z.im), d = c * c + sh * sh;
  return {s * c / d, sh * ::cosh(z.im) / d};
}
HEARTH_FN bool infinite(Wide z) {
  return ::fabs(z.re) == infinity<double>() || ::fabs(z.im) == infinity<double>();
}
// W. Kahan, "Branch cuts for complex elementary functions" (1987).
HEARTH_FN Wide asin(Wide z) {
  const double inf = infinity<double>();
  if (infinite(z)) return {::atan2(z.re, ::fabs(z.im)), ::copysign(inf, z.im)};
  const Wide p = sqrt(Wide(1 - z.re, -z.im)), q = sqrt(Wide(1 + z.re, z.im));
  return {::atan2(z.re, p.re * q.re - p.im * q.im), ::asinh(p.re * q.im - p.im * q.re)};
}
HEARTH_FN Wide acos(Wide z) {
  const double inf = infinity<double>();
  if (infinite(z)) return {::atan2(::fabs(z.im), z.re), -::copysign(inf, z.im)};
  const Wide p = sqrt(Wide(1 - z.re, -z.im)), q = sqrt(Wide(1 + z.re, z.im));
  return {2 * ::atan2(p.re, q.re), ::asinh(q.re * p.im - q.im * p.re)};
}
HEARTH_FN Wide acosh(Wide z) {
  if (infinite(z)) return {infinity<double>(), ::atan2(z.im, z.re)};
  const Wide p = sqrt(Wide(z.re - 1, z.im)), q = sqrt(Wide(z.re + 1, z.im));
  return {::asinh(p.re * q.re + p.im * q.im), 2 * ::atan2(p.im, q.re)};
}
HEARTH_FN Wide atanh(Wide z) {
  const double x = ::fabs(z.re), y = z.im;
  if (!(x < infinity<double>()) || !(::fabs(y) < infinity<double>())) {
    if (z.re != z.re || y != y) return {z.re + y, z.re + y};
    return {::copysign(0.0, z.re), ::copysign(1.57079632679489661923, y)};
  }
  const double re = 0.25 * ::log1p(4 * x / ((1 - x) * (1 - x) + y * y));
  return {::copysign(re, z.re), 0.5 * ::atan2(2 * y, (1 - x) * (1 + x) - y * y)};
}
}  // namespace detail

HEARTH_FN Complex sqrt(Complex x) { return detail::sqrt(x); }
HEARTH_FN Complex exp(Complex x) { return detail::exp(x); }
HEARTH_FN Complex log(Complex x) { return detail::log(x); }
HEARTH_FN Complex log2(Complex x) {
  const detail::Wide y = detail::log(x);
  return detail::Wide(y.re * 1.44269504088896340736, y.im * 1.44269504088896340736);
}
HEARTH_FN Complex log10(Complex x) {
  const detail::Wide y = detail::log(x);
  return detail::Wide(y.re * 0.43429448190325182765, y.im * 0.43429448190325182765);
}
HEARTH_FN Complex sin(Complex x) { return detail::sin(x); }
HEARTH_FN Complex cos(Complex x) { return detail::cos(x); }
HEARTH_FN Complex tan(Complex x) { return detail::tan(x); }
HEARTH_FN Complex asin(Complex x) { return detail::asin(x); }
HEARTH_FN Complex acos(Complex x) { return detail::acos(x); }
HEARTH_FN Complex acosh(Complex x) { return detail::acosh(x); }
HEARTH_FN Complex atanh(Complex x) { return detail::atanh(x); }
// Those of i z, turned by -i.
HEARTH_FN Complex sinh(Complex x) {
  const detail::Wide y = detail::sin({-double(x.im), x.re});
  return detail::Wide(y.im, -y.re);
}
HEARTH_FN Complex cosh(Complex x) { return detail::cos({-double(x.im), x.re}); }
HEARTH_FN Complex tanh(Complex x) {
  const detail::Wide y = detail::tan({-double(x.im), x.re});
  return detail::Wide(y.im, -y.re);
}
HEARTH_FN Complex asinh(Complex x) {
  const detail::Wide y = detail::asin({-double(x.im), x.re});
  return detail::Wide(y.im, -y.re);
}
HEARTH_FN Complex atan(Complex x) {
  const detail::Wide y = detail::atanh({-double(x.im), x.re});
  return detail::Wide(y.im, -y.re);
}

#include "hearth/backend/scalar.inc"

// ---- Conversions --------------------------------------------------------------------------------

template <class S>
HEARTH_FN lane_of<S> to_lane(S v) {
  if constexpr (same<S, Half>) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
    return f;
  } else if constexpr (same<S, Bfloat>) {
    return __uint_as_float(u32(v.bits) << 16);
  } else if constexpr (same<S, Bool>) {
    return v.bits != 0;
  } else {
    return lane_of<S>(v);
  }
}
template <class S>
HEARTH_FN S to_element(lane_of<S> v) {  // rounds
  if constexpr (same<S, Half>) {
    S h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(v));
    return h;
  } else if constexpr (same<S, Bfloat>) {
    S h;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h.bits) : "f"(v));
    return h;
  } else if constexpr (same<S, Bool>) {
    return {v != 0};
  } else {
    return S(v);
  }
}
/// A lane rounded to what its element type holds.
template <class S>
HEARTH_FN lane_of<S> rounded(lane_of<S> v) {
  if constexpr (sizeof(S) == sizeof(v))
    return v;
  else
    return to_lane(to_element<S>(v));
}

template <class To, class From>
HEARTH_FN To lane_cast(From x) {
  if constexpr (same<To, From>) {
    return x;
  } else if constexpr (same<From, Complex>) {
    return lane_cast<To>(x.re);
  } else if constexpr (same<To, Complex>) {
    return Complex(float(x));
  } else if constexpr (Int<To> && Real<From>) {
    // Towards zero, saturating; NaN is 0. Unsigned types take negative numbers as signed ones do.
    if constexpr (same<To, i32>) {
      return x != x              ? 0
             : x >= From(0x1p31) ? 0x7fffffff
                                 : i32(x < -From(0x1p31) ? -From(0x1p31) : x);
    } else {
      constexpr From end = From(0x1p63);
      if (same<To, u64> && x >= end) return To(x >= From(0x1p64) ? ~u64(0) : u64(x));
      return To(x != x ? 0 : x >= end ? 0x7fffffffffffffffll : i64(x < -end ? -end : x));
    }
  } else {
    return To(x);
  }
}
// To float, the last bit telling whether any was lost ("round to odd"): rounding it again to a half
// is right.
template <class From>
HEARTH_FN float odd(From x) {
  if constexpr (same<From, float>) {
    return x;
  } else if constexpr (same<From, Complex>) {
    return x.re;
  } else {
    constexpr u64 lost = (u64(1) << 29) - 1;
    const double wide = double(x);
    const u64 bits = u64(__double_as_longlong(wide));
    const u64 sticky = (bits & ~lost) | ((bits & lost) != 0 ? lost + 1 : 0);
    return float(__longlong_as_double(i64(wide != wide ? bits : sticky)));
  }
}
/// A lane as the lane of another element type, rounded to it.
template <class S, class From>
HEARTH_FN lane_of<S> astype(From x) {
  if constexpr (same<S, Bool>)
    return x != From(0);
  else if constexpr (same<S, Half> || same<S, Bfloat>)
    return rounded<S>(odd(x));
  else
    return rounded<S>(lane_cast<lane_of<S>>(x));
}

HEARTH_FN Complex pow(Complex a, Complex b) {
  const float nan = __int_as_float(0x7fffffff);
  if (a == Complex(0))
    return b == Complex(0) ? Complex(1) : b.re > 0 ? Complex(0) : Complex(nan, nan);
  const detail::Wide l = detail::log(a);
  return detail::exp({l.re * b.re - l.im * b.im, l.re * b.im + l.im * b.re});
}

}  // namespace hearth::cuda::math
