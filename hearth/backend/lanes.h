// What a register of an elementwise program holds while a backend computes: the type that its dtype
// widens to.
#pragma once
#include "hearth/core/dtype.h"

namespace hearth {

// X(lane, its type in backend/cpu/math.h and backend/cuda/math.cuh, the kinds that it computes:
// letters as in elementwise.inc). bool is computed as 0 or 1 in 32 bits.
// clang-format off
#define HEARTH_LANES(X)                                                     \
  X(f32, float, "f") X(f64, double, "f") X(i32, i32, "i") X(u32, u32, "bu") \
  X(i64, i64, "i") X(u64, u64, "u") X(c64, Complex, "c")
// clang-format on

enum class Lane : uint8_t {
#define X(name, type, kinds) name,
  HEARTH_LANES(X)
#undef X
};
#define X(name, type, kinds) +1
inline constexpr int kLanes = HEARTH_LANES(X);
#undef X

constexpr Lane lane(Dtype d) {
  const bool wide = size_of(d) == 8;
  switch (kind_of(d)) {
    case Kind::c: return Lane::c64;
    case Kind::f: return wide ? Lane::f64 : Lane::f32;
    case Kind::i: return wide ? Lane::i64 : Lane::i32;
    case Kind::b:
    case Kind::u: break;
  }
  return wide ? Lane::u64 : Lane::u32;
}

/// Does an operation that takes `kinds` (a column of elementwise.inc) compute in this lane?
constexpr bool accepts(std::string_view kinds, Lane l) {
  switch (l) {
#define X(name, type, taken) \
  case Lane::name: return kinds.find_first_of(taken) != kinds.npos;
    HEARTH_LANES(X)
#undef X
  }
  return false;
}

}  // namespace hearth
