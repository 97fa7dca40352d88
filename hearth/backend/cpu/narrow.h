// Totals in double, rounded once to what is stored.
#pragma once
#include "hearth/core/dtype.h"

namespace hearth::cpu {

/// v as a float which, rounded again to a half, gives what rounding v once would: the last bit is
/// set if any digit was lost.
inline float round_to_odd(double v) {
  float f = float(v);
  if (double(f) != v && v - v == 0) {  // inexact, and v is finite
    uint32_t bits = std::bit_cast<uint32_t>(f);
    if ((double(f) > v) == (v > 0)) --bits;  // towards zero
    f = std::bit_cast<float>(bits | 1);
  }
  return f;
}

/// v as T, rounded once.
template <class T>
T narrow(double v) {
  if constexpr (is_half<T>)
    return T(round_to_odd(v));
  else
    return T(v);
}

}  // namespace hearth::cpu
