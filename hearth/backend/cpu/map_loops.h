// The loops of elementwise programs: one for each step and lane, compiled once per instruction set.
// Code size is ops x 7 lanes, not ops x dtypes^2.
#pragma once
#include <cstddef>
#include <cstdint>

#include "hearth/backend/cpu/math.h"
#include "hearth/backend/lanes.h"
#include "hearth/core/dtype.h"
#include "hearth/ops/primitives.h"

namespace hearth::cpu {

namespace math {
template <Lane>
struct LaneType;
#define X(name, t, kinds)       \
  template <>                   \
  struct LaneType<Lane::name> { \
    using type = t;             \
  };
HEARTH_LANES(X)
#undef X
}  // namespace math
template <Lane L>
using lane_t = typename math::LaneType<L>::type;
template <class T>  // an element type
using lane_of = lane_t<lane(dtype_of<T>)>;
inline constexpr size_t kLaneSize[] = {
#define X(name, type, kinds) sizeof(lane_t<Lane::name>),
    HEARTH_LANES(X)
#undef X
};

using Compute = void (*)(const void* a, const void* b, const void* c, void* out, size_t n);
using Load = void (*)(const std::byte* from, int64_t stride, void* lanes, size_t n);
using Store = void (*)(const void* lanes, std::byte* to, size_t n);

/// The loops of one instruction set. Null: not taken, or nothing to do.
struct Loops {
  Compute op[kElementOps][kLanes] = {};  // by the lane of the last operand
  Compute cast[kLanes][kLanes] = {};     // from, to
  Compute to_bool[kLanes] = {};          // x != 0
  Compute to_half[kLanes] = {};          // f32, rounded so that rounding it again is right
  Compute round[kDtypes] = {};           // lanes rounded to the dtype
  Load load[kDtypes] = {};               // elements of any stride and alignment, as lanes
  Store store[kDtypes] = {};             // lanes as elements, rounded
};

/// Those of the instruction set in use.
const Loops& map_loops();

}  // namespace hearth::cpu
