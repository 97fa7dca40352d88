// Scalar functions of elementwise kernels, written so that compilers vectorise loops over them: no
// branches, no tables, no fused multiply-add (each instruction set gives the same bits). All are
// inlined into their caller and take its instruction set: call them in plain loops over floats
// inside a Highway region, e.g. for (...) y[i] = math::gelu_approx(x[i]).
//
// Largest error in f32, in units in the last place, over all inputs, denormals included (measured
// by tests/backend/math_test.cpp): exp 1.2, expm1 2, log 1.2, log2 2, log10 2, log1p 2,
// sigmoid 2.5, tanh 2, erf 1.5, sin, cos 1.5 (|x| up to kPeriodic; libm beyond), tan 3. Those that
// call std are libm's. f64 and complex use libm.
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
#define HEARTH_INLINE inline __attribute__((always_inline))

namespace hearth::cpu::math {

/// complex64 in a kernel: std::complex would call a library function for each product. Products and
/// quotients are NumPy's.
struct Complex {
  float re, im;
  HEARTH_INLINE Complex() = default;
  HEARTH_INLINE constexpr Complex(float re, float im = 0) : re(re), im(im) {}
  HEARTH_INLINE Complex(std::complex<float> z) : re(z.real()), im(z.imag()) {}
  HEARTH_INLINE std::complex<float> value() const { return {re, im}; }
};
HEARTH_INLINE Complex operator-(Complex x) { return {-x.re, -x.im}; }
HEARTH_INLINE Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
HEARTH_INLINE Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
HEARTH_INLINE Complex operator*(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
HEARTH_INLINE Complex operator/(Complex a, Complex b) {  // Smith's, in double
  const double ar = a.re, ai = a.im, br = b.re, bi = b.im;
  const bool wide = std::abs(br) >= std::abs(bi);
  if (br == 0 && bi == 0) return {a.re / std::abs(b.re), a.im / std::abs(b.re)};
  const double ratio = wide ? bi / br : br / bi,
               scale = 1 / (wide ? br + bi * ratio : bi + br * ratio);
  return wide ? Complex(float((ar + ai * ratio) * scale), float((ai - ar * ratio) * scale))
              : Complex(float((ar * ratio + ai) * scale), float((ai * ratio - ar) * scale));
}
HEARTH_INLINE bool operator==(Complex a, Complex b) { return a.re == b.re && a.im == b.im; }
HEARTH_INLINE bool operator!=(Complex a, Complex b) { return !(a == b); }
// NumPy's order: by the real part, then the imaginary; false with a NaN.
HEARTH_INLINE bool operator<(Complex a, Complex b) {
  return (a.re < b.re && a.im == a.im && b.im == b.im) || (a.re == b.re && a.im < b.im);
}
HEARTH_INLINE bool operator<=(Complex a, Complex b) {
  return (a.re < b.re && a.im == a.im && b.im == b.im) || (a.re == b.re && a.im <= b.im);
}
HEARTH_INLINE bool operator>(Complex a, Complex b) { return b < a; }
HEARTH_INLINE bool operator>=(Complex a, Complex b) { return b <= a; }

using i32 = int32_t;
using u32 = uint32_t;
using i64 = int64_t;
using u64 = uint64_t;

template <class T>
concept Int = std::integral<T>;
template <class T>
concept Real = std::floating_point<T>;

// ---- Any type -----------------------------------------------------------------------------------

template <Int T>
HEARTH_INLINE T abs(T x) {
  using U = std::make_unsigned_t<T>;
  return x < T(0) ? T(U(0) - U(x)) : x;
}
HEARTH_INLINE float abs(float x) { return __builtin_fabsf(x); }
HEARTH_INLINE double abs(double x) { return __builtin_fabs(x); }
HEARTH_INLINE float abs(Complex x) { return std::hypot(x.re, x.im); }

template <class T>
HEARTH_INLINE T sign(T x) {  // NaN stays NaN
  if constexpr (Int<T>)
    return x > T(0) ? T(1) : x < T(0) ? T(-1) : T(0);
  else
    return x > T(0) ? T(1) : x < T(0) ? T(-1) : x == T(0) ? T(0) : x;
}
HEARTH_INLINE Complex sign(Complex x) {
  const float a = abs(x);
  return a == 0 ? Complex(0) : Complex(x.re / a, x.im / a);
}

#define HEARTH_ROUNDING(name, f32, f64)                \
  template <Int T>                                     \
  HEARTH_INLINE T name(T x) {                          \
    return x;                                          \
  }                                                    \
  HEARTH_INLINE float name(float x) { return f32(x); } \
  HEARTH_INLINE double name(double x) { return f64(x); }
HEARTH_ROUNDING(floor, __builtin_floorf, __builtin_floor)
HEARTH_ROUNDING(ceil, __builtin_ceilf, __builtin_ceil)
HEARTH_ROUNDING(trunc, __builtin_truncf, __builtin_trunc)
HEARTH_ROUNDING(rint, __builtin_rintf, __builtin_rint)
#undef HEARTH_ROUNDING
HEARTH_INLINE Complex rint(Complex x) { return {rint(x.re), rint(x.im)}; }

#define HEARTH_PREDICATE(name, real, complex)             \
  template <Int T>                                        \
  HEARTH_INLINE bool name(T) {                            \
    return false;                                         \
  }                                                       \
  template <Real T>                                       \
  HEARTH_INLINE bool name(T x) {                          \
    constexpr T inf = std::numeric_limits<T>::infinity(); \
    (void)inf;                                            \
    return real;                                          \
  }                                                       \
  HEARTH_INLINE bool name(Complex x) { return complex; }
HEARTH_PREDICATE(isnan, x != x, (x.re != x.re) | (x.im != x.im))
HEARTH_PREDICATE(isinf, (x == inf) | (x == -inf), isinf(x.re) || isinf(x.im))
HEARTH_PREDICATE(isposinf, x == inf, isposinf(x.re) & (x.im == 0))
HEARTH_PREDICATE(isneginf, x == -inf, isneginf(x.re) & (x.im == 0))
#undef HEARTH_PREDICATE
template <Int T>
HEARTH_INLINE bool isfinite(T) {
  return true;
}
template <Real T>
HEARTH_INLINE bool isfinite(T x) {
  return abs(x) <= std::numeric_limits<T>::max();
}
HEARTH_INLINE bool isfinite(Complex x) { return isfinite(x.re) && isfinite(x.im); }

template <class T>
HEARTH_INLINE T max(T a, T b) {  // a NaN wins
  return ((a > b) | isnan(a)) ? a : b;
}
template <class T>
HEARTH_INLINE T min(T a, T b) {
  return ((a < b) | isnan(a)) ? a : b;
}

template <class T>
HEARTH_INLINE T real(T x) {
  return x;
}
HEARTH_INLINE float real(Complex x) { return x.re; }
template <class T>
HEARTH_INLINE T imag(T) {
  return T(0);
}
HEARTH_INLINE float imag(Complex x) { return x.im; }
template <class T>
HEARTH_INLINE T conj(T x) {
  return x;
}
HEARTH_INLINE Complex conj(Complex x) { return {x.re, -x.im}; }

// ---- Integers: wrap, never trap -----------------------------------------------------------------

template <Int T>
HEARTH_INLINE T floor_divide(T a, T b) {
  if (b == T(0)) return T(0);
  if constexpr (std::is_signed_v<T>) {
    if (b == T(-1)) return T(std::make_unsigned_t<T>(0) - std::make_unsigned_t<T>(a));
    return T(a / b - T(a % b != 0 && (a < 0) != (b < 0)));
  } else {
    return a / b;
  }
}
template <Int T>
HEARTH_INLINE T remainder(T a, T b) {
  if (b == T(0)) return T(0);
  if constexpr (std::is_signed_v<T>) {
    if (b == T(-1)) return T(0);
    const T r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? T(r + b) : r;
  } else {
    return a % b;
  }
}
template <Int T>
HEARTH_INLINE T pow(T a, T b) {
  if constexpr (std::is_signed_v<T>)
    if (b < 0) return a == 1 ? T(1) : a == -1 ? (b & 1 ? T(-1) : T(1)) : T(0);
  using U = std::make_unsigned_t<T>;
  U result = 1, base = U(a);
  for (U e = U(b); e; e >>= 1, base *= base)
    if (e & 1) result *= base;
  return T(result);
}
template <Int T>
HEARTH_INLINE T shift_left(T a, T b) {
  using U = std::make_unsigned_t<T>;
  constexpr U width = 8 * sizeof(T);
  return U(b) < width ? T(U(a) << (U(b) & (width - 1))) : T(0);
}
template <Int T>
HEARTH_INLINE T shift_right(T a, T b) {
  using U = std::make_unsigned_t<T>;
  constexpr U width = 8 * sizeof(T);
  return T(a >> (U(b) < width ? U(b) : width - 1) >> (!std::is_signed_v<T> && U(b) >= width));
}

// ---- f32 ----------------------------------------------------------------------------------------

namespace detail {
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLn2Hi = 0.693359375f, kLn2Lo = -2.12194440e-4f;  // hi: 9 bits, so n * hi is exact

HEARTH_INLINE float power_of_2(int32_t n) { return std::bit_cast<float>((n + 127) << 23); }

// x = n ln2 + r, |r| <= ln2 / 2: returns e^r - 1.
HEARTH_INLINE float expm1_reduced(float x, int32_t& n) {
  constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float z = x * 1.44269504f + magic;
  n = std::bit_cast<int32_t>(z) - std::bit_cast<int32_t>(magic);
  const float k = z - magic;
  const float r = (x - k * kLn2Hi) - k * kLn2Lo;
  float p = 0.00139517173f;
  p = p * r + 0.00836959841f;
  p = p * r + 0.0416661873f;
  p = p * r + 0.166665129f;
  p = p * r + 0.5f;
  return p * (r * r) + r;
}
// x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2)): returns log(1 + f) - f. Positive, finite x.
HEARTH_INLINE float log_reduced(float x, float& f, float& e) {
  const bool tiny = x < std::numeric_limits<float>::min();
  const int32_t i = int32_t(std::bit_cast<uint32_t>(tiny ? x * 0x1p23f : x) - 0x3f3504f3u);
  e = float((i >> 23) - (tiny ? 23 : 0));
  f = std::bit_cast<float>((i & 0x7fffff) + 0x3f3504f3) - 1.0f;
  float q = 0.0674660133f;
  q = q * f - 0.116756413f;
  q = q * f + 0.118881746f;
  q = q * f - 0.124055914f;
  q = q * f + 0.142195509f;
  q = q * f - 0.166679957f;
  q = q * f + 0.200021187f;
  q = q * f - 0.250000096f;
  q = q * f + 0.333333126f;
  return f * f * (f * q) - 0.5f * (f * f);
}
// What a logarithm is at 0, infinity, below 0 and at NaN.
HEARTH_INLINE float log_special(float x, float result) {
  result = x > 0 ? result : x == 0 ? -kInf : kNaN;
  return x == kInf ? kInf : result;
}
}  // namespace detail

HEARTH_INLINE float sqrt(float x) { return __builtin_sqrtf(x); }
HEARTH_INLINE float exp(float x) {
  x = x < -104.0f ? -104.0f : x;  // e^-104 rounds to 0
  x = x > 89.0f ? 89.0f : x;
  int32_t n;
  const float p = detail::expm1_reduced(x, n) + 1.0f;
  return p * detail::power_of_2(n >> 1) * detail::power_of_2(n - (n >> 1));  // denormals, overflow
}
HEARTH_INLINE float expm1(float x) {
  float c = x < -20.0f ? -20.0f : x;  // -1 from there on
  c = c > 89.0f ? 89.0f : c;
  int32_t n;
  const float p = detail::expm1_reduced(c, n), s = detail::power_of_2(n - 1);
  const float y = (s * p + (s - 0.5f)) * 2.0f;
  return x == 0 ? x : y;
}
HEARTH_INLINE float log(float x) {
  float f, e;
  const float tail = detail::log_reduced(x, f, e) + e * detail::kLn2Lo;
  return detail::log_special(x, f + tail + e * detail::kLn2Hi);
}
HEARTH_INLINE float log2(float x) {
  float f, e;
  const float tail = detail::log_reduced(x, f, e);
  return detail::log_special(x, (f + tail) * 1.44269504f + e);
}
HEARTH_INLINE float log10(float x) {
  float f, e;
  const float tail = detail::log_reduced(x, f, e);
  // log10(2) in two parts, the first of 8 bits.
  return detail::log_special(x,
                             ((f + tail) * 0.434294482f + e * 0.000248745637f) + e * 0.30078125f);
}
HEARTH_INLINE float log1p(float x) {
  const float u = 1.0f + x;
  const float y = log(u) + (x - (u - 1.0f)) / u;  // what the rounding of u lost
  return ((x == 0) | (u == detail::kInf)) ? x : u == 0 ? -detail::kInf : y;
}
HEARTH_INLINE float sigmoid(float x) {
  const float e = exp(-abs(x)), q = 1.0f / (1.0f + e);
  return x < 0 ? e * q : q;
}
HEARTH_INLINE float tanh(float x) {
  const float a = abs(x), z = x * x;
  float p = 0.00214463434f;
  p = p * z - 0.00817916552f;
  p = p * z + 0.0217013924f;
  p = p * z - 0.0539468839f;
  p = p * z + 0.133332069f;
  p = p * z - 0.333333308f;
  const float big = 1.0f - 2.0f / (exp(a + a) + 1.0f);
  return __builtin_copysignf(a < 0.625f ? a + a * (z * p) : big, x);
}
HEARTH_INLINE float erf(float x) {
  const float a = abs(x), s = x * x;
  float p = 7.85385771e-05f;
  p = p * s - 0.000801019252f;
  p = p * s + 0.00518832756f;
  p = p * s - 0.0268538119f;
  p = p * s + 0.112835851f;
  p = p * s - 0.376126258f;
  p = p * s + 0.128379166f;
  const float t = a > 4.0f ? 4.0f : a;  // 1 from 3.92 on
  float q = -2.168685e-05f;             // log(erfc(t))
  q = q * t + 0.000441336378f;
  q = q * t - 0.00420456188f;
  q = q * t + 0.0252082567f;
  q = q * t - 0.108418577f;
  q = q * t - 0.633219893f;
  q = q * t - 1.12957842f;
  q = q * t + 0.000188040231f;
  return a < 1.0f ? x + x * p : __builtin_copysignf(1.0f - exp(q), x);
}

/// sin, cos and tan hold up to here: k of 20 bits times 33 bits of pi/2 is exact in a double.
constexpr float kPeriodic = 1e6f;
namespace detail {
// x = k pi/2 + r: sin(r), cos(r) and k.
HEARTH_INLINE int32_t sin_cos(float x, float& s, float& c) {
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
  return int32_t(k);
}
}  // namespace detail
HEARTH_INLINE float sin(float x) {
  float s, c;
  const int32_t k = detail::sin_cos(x, s, c);
  const float y = k & 1 ? c : s;
  return x == 0 ? x : k & 2 ? -y : y;
}
HEARTH_INLINE float cos(float x) {
  float s, c;
  const int32_t k = detail::sin_cos(x, s, c);
  const float y = k & 1 ? s : c;
  return (k + 1) & 2 ? -y : y;
}
HEARTH_INLINE float tan(float x) {
  float s, c;
  const int32_t k = detail::sin_cos(x, s, c);
  return x == 0 ? x : k & 1 ? -c / s : s / c;
}

// ---- libm ---------------------------------------------------------------------------------------

#define HEARTH_F32(name) \
  HEARTH_INLINE float name(float x) { return std::name(x); }
#define HEARTH_F64(name) \
  HEARTH_INLINE double name(double x) { return std::name(x); }
#define HEARTH_C64(name) \
  HEARTH_INLINE Complex name(Complex x) { return std::name(x.value()); }
#define HEARTH_LIBM(X) X(asin) X(acos) X(atan) X(sinh) X(cosh) X(asinh) X(acosh) X(atanh)
HEARTH_LIBM(HEARTH_F32)
#define HEARTH_LIBM_WIDE(X) \
  HEARTH_LIBM(X) X(sqrt) X(exp) X(log) X(log10) X(sin) X(cos) X(tan) X(tanh)
HEARTH_LIBM_WIDE(HEARTH_F64)
HEARTH_LIBM_WIDE(HEARTH_C64)
#undef HEARTH_LIBM_WIDE
#undef HEARTH_LIBM
HEARTH_F64(expm1)
HEARTH_F64(log2)
HEARTH_F64(log1p)
HEARTH_F64(erf)
#undef HEARTH_F32
#undef HEARTH_F64
#undef HEARTH_C64

HEARTH_INLINE double sigmoid(double x) {
  const double e = exp(-abs(x)), q = 1 / (1 + e);
  return x < 0 ? e * q : q;
}
HEARTH_INLINE Complex sigmoid(Complex x) { return Complex(1) / (Complex(1) + exp(-x)); }
HEARTH_INLINE Complex log2(Complex x) {
  const Complex y = log(x);
  return {y.re * 1.44269504f, y.im * 1.44269504f};
}
HEARTH_INLINE Complex expm1(Complex x) {
  const double s = std::sin(x.im / 2.0);
  return {float(std::expm1(double(x.re)) * std::cos(double(x.im)) - 2 * s * s),
          float(std::exp(double(x.re)) * std::sin(double(x.im)))};
}
HEARTH_INLINE Complex log1p(Complex x) {
  const double re = x.re, im = x.im;
  return {float(0.5 * std::log1p(re * (2 + re) + im * im)), float(std::atan2(im, 1 + re))};
}

template <Real T>
HEARTH_INLINE T floor_divide(T a, T b) {
  return floor(a / b);
}
template <Real T>
HEARTH_INLINE T remainder(T a, T b) {  // the sign of b, also for zero
  const T r = std::fmod(a, b);
  return r == 0 ? std::copysign(T(0), b) : (r < 0) != (b < 0) ? r + b : r;
}
template <Real T>
HEARTH_INLINE T pow(T a, T b) {
  return std::pow(a, b);
}
HEARTH_INLINE Complex pow(Complex a, Complex b) {
  if (a == Complex(0))
    return b == Complex(0) ? Complex(1)
           : b.re > 0      ? Complex(0)
                           : Complex(detail::kNaN, detail::kNaN);
  return std::pow(a.value(), b.value());
}
template <Real T>
HEARTH_INLINE T atan2(T a, T b) {
  return std::atan2(a, b);
}
template <Real T>
HEARTH_INLINE T logaddexp(T a, T b) {
  const T most = max(a, b);
  return a == b ? most + T(0.69314718055994530942) : most + log1p(exp(-abs(a - b)));
}
template <Real T>
HEARTH_INLINE T gelu(T x) {
  return T(0.5) * x * (T(1) + erf(x * T(0.70710678118654752440)));
}
template <Real T>
HEARTH_INLINE T gelu_approx(T x) {  // 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  return x * sigmoid(x * (T(1) + x * x * T(0.044715)) * T(1.59576912160573071176));
}
/// Giles' approximation ("Approximating the erfinv function", 2010), relative error about 2e-7.
HEARTH_INLINE float erfinv(float x) {
  const float a = abs(x), w = -log((1.0f - a) * (1.0f + a));
  const bool mid = w < 5.0f;
  // Products, not a choice: a root that only one side needs would become a branch.
  const float near = mid ? 1.0f : 0.0f;
  const float v = near * (w - 2.5f) + (1.0f - near) * (std::sqrt(w) - 3.0f);
  float p = mid ? 2.81022636e-08f : -0.000200214257f;
  p = p * v + (mid ? 3.43273939e-07f : 0.000100950558f);
  p = p * v + (mid ? -3.5233877e-06f : 0.00134934322f);
  p = p * v + (mid ? -4.39150654e-06f : -0.00367342844f);
  p = p * v + (mid ? 0.00021858087f : 0.00573950773f);
  p = p * v + (mid ? -0.00125372503f : -0.0076224613f);
  p = p * v + (mid ? -0.00417768164f : 0.00943887047f);
  p = p * v + (mid ? 0.246640727f : 1.00167406f);
  p = p * v + (mid ? 1.50140941f : 2.83297682f);
  return __builtin_copysignf(a == 1.0f ? detail::kInf : p * a, x);
}
/// From the one in float, by Newton's steps: on erf(y) = x near 0, on log(erfc(y)) = log(1 - x)
/// towards 1.
inline double erfinv(double x) {
  const double a = std::abs(x);
  if (!(a < 1)) return a == 1 ? x * detail::kInf : detail::kNaN;
  // Nearest to 1, where the float would be 1: some 5.4 to start from.
  double y = std::min(double(erfinv(float(a))), 5.4);
  constexpr double slope = 0.88622692545275801365;  // sqrt(pi) / 2
  for (int i = 0; i < 4; ++i) {
    const double c = std::erfc(y), e = slope * std::exp(y * y);
    y += a < 0.5 ? (a - std::erf(y)) * e : std::log(c / (1 - a)) * c * e;
  }
  return std::copysign(y, x);
}

}  // namespace hearth::cpu::math
