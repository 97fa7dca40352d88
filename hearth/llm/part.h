// What a decoder's layer is made of: a mixer, which sees other positions and keeps state, and
// feed-forwards, which see one position. Both are plain structs with the same three functions.
//
//   struct Part {
//     HEARTH_FIELDS(...)                              // parameters, as the checkpoint names them
//     static constexpr bool kUsesInput = false;       // whether operator() looks at Input::x
//     void reads(std::vector<fast::Projection>& all) const;   // appends the products of the input
//     Output operator()(const Input& in, LayerState& state) const;   // a mixer
//     Output operator()(const Input& in) const;                      // a feed-forward
//     StateShape state() const;                                      // a mixer
//   };
//
// The layer computes all products of all its parts, after the norm, in one pass (fast::linears),
// and sums what the parts give, with the residual, in one pass (fast::linear_sum). A part never
// adds the residual, never norms its input and never scales its output.
#pragma once
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "hearth/llm/kv_cache.h"
#include "hearth/ops/fast.h"
#include "hearth/ops/movement.h"

namespace hearth::llm {

/// What every layer of a step shares.
struct StepInfo {
  array offsets;  // int32 (B): positions that each row holds already; the step's first is offset
  array totals;   // int32 (B): positions that the row will hold when its prompt is read, or after
                  // this step; what decides between the frequencies of a short and a long context
  std::vector<int> lengths;  // of the step's L tokens of each row those that count; what is beyond
                             // is padding, which must not change a state that cannot be overwritten
  /// What parts of several layers compute once, by what it is of.
  mutable std::vector<std::pair<const void*, array>> made = {};
  /// Of drafted tokens: each position as a step of its own; else empty.
  std::vector<StepInfo> each = {};
};

/// What a layer gives a part.
struct Input {
  const array& x;               // (B, L, D): normed; only where kUsesInput is true
  std::span<const array> read;  // (B, L, n) for each of reads(), in order
  const StepInfo& step;
  int batch() const { return x.shape(0); }
  int length() const { return x.shape(1); }
};

/// Elements [from, to) of the last axis.
inline array last(const array& x, int from, int to) {
  Shape start(size_t(x.ndim()), 0), stop = x.shape();
  start.back() = from, stop.back() = to;
  return slice(x, start, stop);
}

/// What a part adds to the stream.
struct Output {
  std::vector<fast::Term> terms =
      {};                         // products (x, weight, bias) that the layer computes and sums
  std::optional<array> sum = {};  // (B, L, D): what is computed already; may stand beside terms
};

}  // namespace hearth::llm
