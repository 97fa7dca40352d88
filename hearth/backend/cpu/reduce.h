// What one reduction has to do, worked out once for all instruction sets.
#pragma once
#include "hearth/backend/cpu/walk.h"
#include "hearth/core/backend.h"

namespace hearth::cpu {

/// The types that elements are joined in: small integers and halves are widened.
enum class Lane : uint8_t { u8, i32, u32, i64, u64, f32, f64, c64 };
// Complex numbers without std::complex's checks of products.
template <class F>
struct Pair {
  F re, im;
};
enum class Join : uint8_t { sum, product, max, min };

/// What `type` is compared in.
inline Lane compare_lane(Dtype type) {
  switch (type) {
    case uint32: return Lane::u32;
    case int64: return Lane::i64;
    case uint64: return Lane::u64;
    case float16:
    case bfloat16:
    case float32: return Lane::f32;
    case float64: return Lane::f64;
    case complex64: return Lane::c64;
    default: return Lane::i32;
  }
}
inline int64_t lane_size(Lane lane) {
  switch (lane) {
    case Lane::u8: return 1;
    case Lane::i32:
    case Lane::u32:
    case Lane::f32: return 4;
    default: return 8;
  }
}

/// Rows: each output joins runs of `inner` elements. Columns: outputs along `inner` are joined side
/// by side, `width` at once. Work is cut into units of fixed size: (outputs x segments).
struct ReduceJob {
  const std::byte* in;
  std::byte* out;
  Dtype type, out_type;
  Join join;
  Lane lane;
  bool direct;  // elements are lanes already, side by side
  bool columns;
  double divisor = 0;  // for means
  Axes kept, reduced;  // without `inner`
  Axis inner;
  int64_t width = 1;              // columns: outputs of a unit
  int64_t chunks = 1;             // columns: units along inner
  int64_t segments = 1;           // parts of each output's elements
  int64_t per_segment = 1;        // runs (or rows of columns) in a segment
  int64_t parts = 1;              // rows: pieces of a long run, each a segment
  int64_t groups = 0;             // units / segments
  int64_t per_task = 1;           // units a task
  std::byte* partials = nullptr;  // (groups, segments, width) totals when segments > 1
};

/// Writes n totals, divided by the job's divisor and rounded once, from element `to` on.
template <class Total>
void store_totals(const ReduceJob& j, const Total* t, int64_t n, int64_t to, int64_t stride);

}  // namespace hearth::cpu
