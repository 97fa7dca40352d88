// What one reduction has to do, worked out once for all instruction sets.
#pragma once
#include <cstdlib>

#include "hearth/backend/walk.h"
#include "hearth/core/backend.h"

namespace hearth::cpu {

/// The types that elements are joined in: small integers and halves are widened.
enum class JoinLane : uint8_t { u8, i32, u32, i64, u64, f32, f64, c64 };
inline int64_t lane_size(JoinLane lane) {
  switch (lane) {
    case JoinLane::u8: return 1;
    case JoinLane::i32:
    case JoinLane::u32:
    case JoinLane::f32: return 4;
    default: return 8;
  }
}

inline bool is_inexact(JoinLane lane) {
  return lane == JoinLane::f32 || lane == JoinLane::f64 || lane == JoinLane::c64;
}

/// How far apart neighbours along the axis lie; an axis that repeats is the farthest.
inline int64_t step(const WalkAxis& a) { return a.stride == 0 ? INT64_MAX : std::abs(a.stride); }

/// Are elements of `type` lanes as they are?
inline bool is_lane(Dtype type, JoinLane lane) {
  return int64_t(size_of(type)) == lane_size(lane) &&
         hearth::is_inexact(type) == is_inexact(lane) && (lane != JoinLane::u8 || type == bool_);
}
/// Which of `axes` is walked in the smallest steps, the last of equals; not empty.
inline size_t nearest(const WalkAxes& axes) {
  size_t best = 0;
  for (size_t i = 0; i < axes.size(); ++i)
    if (step(axes[i]) <= step(axes[best])) best = i;
  return best;
}

// Complex numbers without std::complex's checks of products.
template <class F>
struct Pair {
  F re, im;
};
enum class Join : uint8_t { sum, product, max, min };

/// What `type` is compared in.
inline JoinLane compare_lane(Dtype type) {
  switch (type) {
    case uint32: return JoinLane::u32;
    case int64: return JoinLane::i64;
    case uint64: return JoinLane::u64;
    case float16:
    case bfloat16:
    case float32: return JoinLane::f32;
    case float64: return JoinLane::f64;
    case complex64: return JoinLane::c64;
    default: return JoinLane::i32;
  }
}

/// Rows: each output joins elements along `run`. Columns: outputs along `across` are joined side by
/// side. Work is cut, by sizes alone, into groups of `width` outputs along `across`, and these into
/// segments of their elements.
struct ReduceJob {
  const std::byte* in;
  std::byte* out;
  Dtype type, out_type;
  Join join;
  JoinLane lane;
  bool direct;  // elements are lanes already, side by side
  bool columns;
  double divisor = 0;      // for means
  WalkAxes kept, reduced;  // without `across`; without `run`
  WalkAxis run, across;
  int64_t width = 1;   // outputs of a group
  int64_t chunks = 1;  // groups along `across`
  int64_t groups = 0;
  int64_t segments = 1;           // of each group
  int64_t per_segment = 1;        // rows: runs; columns: elements of one output
  int64_t parts = 1;              // rows: pieces of a long run, each a segment
  int64_t per_task = 1;           // pairs of group and segment
  std::byte* partials = nullptr;  // (groups, segments, width) totals when segments > 1
};

/// Writes n totals, divided by the job's divisor and rounded once, from element `to` on.
template <class Total>
void store_totals(const ReduceJob& j, const Total* t, int64_t n, int64_t to);

}  // namespace hearth::cpu
