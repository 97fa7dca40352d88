// What an element becomes when an update meets it.
#pragma once
#include "hearth/core/dtype.h"
#include "hearth/ops/primitives_movement.h"

namespace hearth::cpu {

/// Halves compute in float; integers wrap; bool add is or, prod is and; the larger and the smaller
/// of NaN and a number is NaN; complex compares by real part, then imaginary.
template <Update mode, class T>
T updated(T old, T by) {
  if constexpr (mode == Update::assign) {
    return by;
  } else if constexpr (is_half<T>) {
    return T(updated<mode>(float(old), float(by)));
  } else if constexpr (std::is_same_v<T, bool>) {
    return mode == Update::add || mode == Update::max ? old || by : old && by;
  } else if constexpr (std::is_integral_v<T> && (mode == Update::add || mode == Update::prod)) {
    using Wide = uint64_t;  // unsigned: overflow wraps
    return mode == Update::add ? T(Wide(old) + Wide(by)) : T(Wide(old) * Wide(by));
  } else if constexpr (mode == Update::add) {
    return old + by;
  } else if constexpr (mode == Update::prod) {
    return old * by;
  } else if constexpr (std::is_same_v<T, complex64_t>) {
    if (std::isnan(old.real()) || std::isnan(old.imag())) return old;
    if (std::isnan(by.real()) || std::isnan(by.imag())) return by;
    const bool less = old.real() < by.real() || (old.real() == by.real() && old.imag() < by.imag());
    return (mode == Update::max) == less ? by : old;
  } else {
    if (old != old) return old;
    if (by != by) return by;
    return mode == Update::max ? (old < by ? by : old) : (by < old ? by : old);
  }
}

/// Calls f<T, mode>() for a mode other than assign.
template <class F>
void with_update(Update mode, Dtype dtype, F&& f) {
  visit(AllTypes{}, dtype, to_string(mode), [&]<class T>() {
    switch (mode) {
      case Update::add: return f.template operator()<T, Update::add>();
      case Update::prod: return f.template operator()<T, Update::prod>();
      case Update::max: return f.template operator()<T, Update::max>();
      default: return f.template operator()<T, Update::min>();
    }
  });
}

}  // namespace hearth::cpu
