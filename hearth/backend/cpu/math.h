// Scalar functions of elementwise kernels: what the CPU brings to backend/scalar.inc, and libm. All
// are inlined into their caller and take its instruction set: call them in plain loops over floats
// inside a Highway region, e.g. for (...) y[i] = math::gelu_approx(x[i]).
//
// Largest errors: see scalar.inc; sin, cos 1.5 units in the last place (|x| up to kPeriodic; libm
// beyond), tan 3. Those that call std are libm's. f64 and complex use libm.
#pragma once
#include <bit>
#include <cmath>
#include <complex>
#include <concepts>
#include <cstdint>
#include <limits>

#ifdef __clang__
#pragma clang diagnostic ignored "-Wbitwise-instead-of-logical"  // meant: no branches
#endif
#define HEARTH_FN inline __attribute__((always_inline))
#define HEARTH_FUNCTION inline

namespace hearth::cpu::math {

using i32 = int32_t;
using u32 = uint32_t;
using i64 = int64_t;
using u64 = uint64_t;
template <class T>
concept Int = std::integral<T>;
template <class T>
concept Real = std::floating_point<T>;
template <class T>
inline constexpr bool is_signed = std::is_signed_v<T>;
template <class T>
using unsigned_of = std::make_unsigned_t<T>;

/// complex64 in a kernel: std::complex would call a library function for each product. Products and
/// quotients are NumPy's.
struct Complex {
  float re, im;
  HEARTH_FN Complex() = default;
  HEARTH_FN constexpr Complex(float re, float im = 0) : re(re), im(im) {}
  HEARTH_FN Complex(std::complex<float> z) : re(z.real()), im(z.imag()) {}
  HEARTH_FN std::complex<float> value() const { return {re, im}; }
};

template <Real T>
HEARTH_FN constexpr T infinity() {
  return std::numeric_limits<T>::infinity();
}
HEARTH_FN u32 to_bits(float x) { return std::bit_cast<u32>(x); }
HEARTH_FN float from_bits(u32 x) { return std::bit_cast<float>(x); }
HEARTH_FN float abs(float x) { return __builtin_fabsf(x); }
HEARTH_FN double abs(double x) { return __builtin_fabs(x); }
HEARTH_FN float abs(Complex x) { return std::hypot(x.re, x.im); }
HEARTH_FN float copy_sign(float x, float sign) { return __builtin_copysignf(x, sign); }
HEARTH_FN double copy_sign(double x, double sign) { return __builtin_copysign(x, sign); }
#define HEARTH_ROUNDING(name)                                      \
  HEARTH_FN float name(float x) { return __builtin_##name##f(x); } \
  HEARTH_FN double name(double x) { return __builtin_##name(x); }
HEARTH_ROUNDING(floor)
HEARTH_ROUNDING(ceil)
HEARTH_ROUNDING(trunc)
HEARTH_ROUNDING(rint)
#undef HEARTH_ROUNDING
HEARTH_FN float sqrt(float x) { return __builtin_sqrtf(x); }

// ---- libm ---------------------------------------------------------------------------------------

#define HEARTH_F32(name) \
  HEARTH_FN float name(float x) { return std::name(x); }
#define HEARTH_F64(name) \
  HEARTH_FN double name(double x) { return std::name(x); }
#define HEARTH_C64(name) \
  HEARTH_FN Complex name(Complex x) { return std::name(x.value()); }
#define HEARTH_LIBM(X) X(asin) X(acos) X(atan) X(sinh) X(cosh) X(asinh) X(acosh) X(atanh)
#define HEARTH_LIBM_WIDE(X) \
  HEARTH_LIBM(X) X(sqrt) X(exp) X(log) X(log10) X(sin) X(cos) X(tan) X(tanh)
HEARTH_LIBM(HEARTH_F32)
HEARTH_LIBM_WIDE(HEARTH_F64)
HEARTH_LIBM_WIDE(HEARTH_C64)
HEARTH_F64(expm1)
HEARTH_F64(log2)
HEARTH_F64(log1p)
HEARTH_F64(erf)
HEARTH_F64(erfc)
#undef HEARTH_LIBM_WIDE
#undef HEARTH_LIBM
#undef HEARTH_F32
#undef HEARTH_F64
#undef HEARTH_C64
template <Real T>
HEARTH_FN T float_mod(T a, T b) {
  return std::fmod(a, b);
}
template <Real T>
HEARTH_FN T pow(T a, T b) {
  return std::pow(a, b);
}
template <Real T>
HEARTH_FN T atan2(T a, T b) {
  return std::atan2(a, b);
}

#include "hearth/backend/scalar.inc"

// ---- Of the CPU alone ---------------------------------------------------------------------------

/// sin, cos and tan hold up to here: k of 20 bits times 33 bits of pi/2 is exact in a double.
constexpr float kPeriodic = 1e6f;
namespace detail {
// x = k pi/2 + r: sin(r), cos(r) and k.
HEARTH_FN i32 sin_cos(float x, float& s, float& c) {
  constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
  const double k = (double(x) * 0.63661977236758134308 + magic) - magic;
  // pi/2 in two parts, the first of 33 bits.
  const float r =
      float((double(x) - k * 1.57079632673412561417e+00) - k * 6.07710050650619224932e-11);
  const float z = r * r;
  float p = 2.71823719e-06f;
  p = p * z - 0.000198393271f;
  p = p * z + 0.00833332936f;
  p = p * z - 0.166666666f;
  s = r + r * (z * p);
  float q = 2.44377282e-05f;
  q = q * z - 0.00138873614f;
  q = q * z + 0.0416666467f;
  c = 1.0f - (0.5f * z - z * z * q);
  return i32(k);
}
}  // namespace detail
HEARTH_FN float sin(float x) {
  float s, c;
  const i32 k = detail::sin_cos(x, s, c);
  const float y = k & 1 ? c : s;
  return x == 0 ? x : k & 2 ? -y : y;
}
HEARTH_FN float cos(float x) {
  float s, c;
  const i32 k = detail::sin_cos(x, s, c);
  const float y = k & 1 ? s : c;
  return (k + 1) & 2 ? -y : y;
}
HEARTH_FN float tan(float x) {
  float s, c;
  const i32 k = detail::sin_cos(x, s, c);
  return x == 0 ? x : k & 1 ? -c / s : s / c;
}

HEARTH_FN Complex log2(Complex x) {
  const Complex y = log(x);
  return {y.re * 1.44269504f, y.im * 1.44269504f};
}
HEARTH_FN Complex pow(Complex a, Complex b) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  if (a == Complex(0))
    return b == Complex(0) ? Complex(1) : b.re > 0 ? Complex(0) : Complex(nan, nan);
  return std::pow(a.value(), b.value());
}

}  // namespace hearth::cpu::math
