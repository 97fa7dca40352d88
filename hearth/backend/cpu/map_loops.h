// The loops of elementwise programs: one for each step and lane, compiled once per instruction set.
// Code size is ops x 7 lanes, not ops x dtypes^2.
#pragma once
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>

#include "hearth/backend/cpu/math.h"
#include "hearth/core/dtype.h"
#include "hearth/ops/primitives.h"

namespace hearth::cpu {

/// What a register holds while computing: the type that its dtype widens to.
enum class Lane : uint8_t { f32, f64, i32, u32, i64, u64, c64 };
inline constexpr int kLanes = 7;
template <Lane L>
using lane_t = std::tuple_element_t<
    size_t(L), std::tuple<float, double, int32_t, uint32_t, int64_t, uint64_t, math::Complex>>;
template <class T>  // an element type
using lane_of = std::conditional_t<
    is_half<T>, float,
    std::conditional_t<
        std::is_same_v<T, complex64_t>, math::Complex,
        std::conditional_t<!std::is_integral_v<T> || sizeof(T) == 8, T,
                           std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>>>>;
inline constexpr Lane kLaneOf[] = {
#define X(name, type, kind, text)                                       \
  Kind::kind == Kind::c   ? Lane::c64                                   \
  : Kind::kind == Kind::f ? (sizeof(type) == 8 ? Lane::f64 : Lane::f32) \
  : Kind::kind == Kind::i ? (sizeof(type) == 8 ? Lane::i64 : Lane::i32) \
                          : (sizeof(type) == 8 ? Lane::u64 : Lane::u32),
    HEARTH_DTYPES(X)
#undef X
};
constexpr Lane lane(Dtype d) { return kLaneOf[int(d)]; }
inline constexpr size_t kLaneSize[kLanes] = {4, 8, 4, 4, 8, 8, 8};

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
