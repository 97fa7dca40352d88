// What an element becomes when an update meets it: backend/cpu/update.h for device code.
#pragma once
#include "hearth/backend/cuda/device.cuh"

namespace hearth::cuda {

/// Halves compute in float; integers wrap; bool add is or, prod is and; the larger and the smaller
/// of NaN and a number is NaN; complex compares by real part, then imaginary.
template <class T>
__device__ T updated(Update mode, T old, T by) {
  if (mode == Update::assign) return by;
  if constexpr (std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>) {
    return narrow<T>(updated(mode, widen(old), widen(by)));
  } else if constexpr (std::is_same_v<T, bool>) {
    return mode == Update::add || mode == Update::max ? old || by : old && by;
  } else if constexpr (std::is_same_v<T, Complex>) {
    if (mode == Update::add) return {old.re + by.re, old.im + by.im};
    if (mode == Update::prod)
      return {__fsub_rn(__fmul_rn(old.re, by.re), __fmul_rn(old.im, by.im)),
              __fadd_rn(__fmul_rn(old.re, by.im), __fmul_rn(old.im, by.re))};
    if (isnan(old.re) || isnan(old.im)) return old;
    if (isnan(by.re) || isnan(by.im)) return by;
    const bool less = old.re < by.re || (old.re == by.re && old.im < by.im);
    return (mode == Update::max) == less ? by : old;
  } else {
    if constexpr (std::is_integral_v<T>) {
      using Wide = uint64_t;  // unsigned: overflow wraps
      if (mode == Update::add) return T(Wide(old) + Wide(by));
      if (mode == Update::prod) return T(Wide(old) * Wide(by));
    } else {
      if (mode == Update::add) return old + by;
      if (mode == Update::prod) return old * by;
      if (old != old) return old;
      if (by != by) return by;
    }
    return mode == Update::max ? (old < by ? by : old) : (by < old ? by : old);
  }
}

/// Calls f<T>() with the device's type of the elements; for assign, any type of their size.
template <class F>
void with_update(Update mode, Dtype dtype, F&& f) {
  if (mode == Update::assign) switch (size_of(dtype)) {
      case 1: return f.template operator()<uint8_t>();
      case 2: return f.template operator()<uint16_t>();
      case 4: return f.template operator()<uint32_t>();
      default: return f.template operator()<uint64_t>();
    }
  visit(AllTypes{}, dtype, to_string(mode),
        [&]<class T>() { f.template operator()<OnDevice<T>>(); });
}

}  // namespace hearth::cuda
