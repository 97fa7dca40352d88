// Unsigned integers in the order of elements: for sorting, and for the place of the largest.
#pragma once
#include "hearth/backend/cuda/device.cuh"

namespace hearth::cuda {

/// 32 bits for elements of up to 4 bytes, else 64.
template <class T>
using Key = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

__device__ inline uint32_t float_key(float x, bool zeros_equal) {
  const uint32_t bits = __float_as_uint(x), sign = 0x80000000u;
  if (x != x) return ~0u;
  if (zeros_equal && x == 0) return sign;
  return bits & sign ? ~bits : bits | sign;
}
__device__ inline uint64_t float_key(double x, bool zeros_equal) {
  const uint64_t bits = uint64_t(__double_as_longlong(x)), sign = uint64_t{1} << 63;
  if (x != x) return ~uint64_t{0};
  if (zeros_equal && x == 0) return sign;
  return bits & sign ? ~bits : bits | sign;
}

/// NaN has the greatest key; -0 comes before 0, or is its equal.
template <class T>
__device__ inline Key<T> order_key(T x, bool zeros_equal) {
  if constexpr (std::is_integral_v<T>) {
    constexpr Key<T> sign = std::is_signed_v<T> ? Key<T>(1) << (8 * sizeof(Key<T>) - 1) : 0;
    return Key<T>(x) ^ sign;
  } else if constexpr (std::is_same_v<T, Complex>) {
    // By real part, then imaginary; NumPy's order of NaN: (x, nan), (nan, x), (nan, nan).
    const uint64_t re = float_key(x.re, true), im = float_key(x.im, true);
    const bool re_nan = x.re != x.re, im_nan = x.im != x.im;
    if (re_nan && im_nan) return ~uint64_t{0};
    if (re_nan) return uint64_t{0xfffffffe} << 32 | im;
    if (im_nan) return uint64_t{0xfffffffd} << 32 | re;
    return re << 32 | im;
  } else {
    return float_key(widen(x), zeros_equal);
  }
}
}  // namespace hearth::cuda
