// What one row of a cache holds, layer by layer: its shape, and as arrays of its own.
#pragma once
#include <algorithm>
#include <optional>
#include <vector>

#include "hearth/core/array.h"
#include "hearth/ops/state_packing.h"

namespace hearth::llm {

/// What one layer keeps of one row.
struct StateShape {
  enum Kind {
    none,
    positions,  // a row of each part for every position: keys and values, latents
    fixed,      // the same whatever the length: recurrent states
    alias       // another layer's
  };
  Kind kind = none;
  /// positions: (heads, dims), kept as (batch, heads, capacity, dims). fixed: kept as (batch, ...),
  /// zeros before the first token.
  std::vector<Shape> parts = {};
  int window = 0;                   // positions: only so many of the last are needed; 0: all
  int source = -1;                  // alias: whose
  std::optional<Dtype> dtype = {};  // of fixed parts; the cache's if absent
  bool on_host = false;             // its layer runs on the CPU, whatever the others do
};

/// What a cache is made for.
struct CacheShape {
  std::vector<StateShape> layers;
  int context_length;  // the most positions a row may have
  Dtype dtype;
  Packing state = Packing::dense;  // of the positions' rows: uint8 where they are packed

  Dtype dtype_of(const StateShape& layer) const {
    if (layer.kind == StateShape::fixed) return layer.dtype.value_or(dtype);
    return state == Packing::dense ? dtype : uint8;
  }
  /// A part of positions of so many rows and positions.
  Shape positions(int rows, const Shape& part, int count) const {
    return {rows, part[0], count, int(state_row(state, part[1]))};
  }
};

/// A row of a cache as arrays of its own, in a form that no cache's capacity shows in.
struct RowState {
  int length = 0;   // tokens
  int read_as = 0;  // KvCache::read_as
  /// The parts of each layer, an alias has none. positions: (heads, kept, dims) of the latest
  /// `kept` tokens, all of them where there is no window, and what a window needs where there is.
  /// fixed: as StateShape has it.
  std::vector<Arrays> layers = {};
  int mark = 0;  // KvCache::mark: the tokens at it, and the parts that layers with fixed ones had
  std::vector<Arrays> marked = {};
};

/// Throws for a state of other layers, sizes or dtypes than `shape`, or longer than its context.
void check_fits(const CacheShape& shape, const RowState& state);

/// Is it enough for a window if nothing before `first` is left of a row of so many tokens?
inline bool window_holds(const StateShape& layer, int first, int length) {
  return layer.window == 0 || first <= std::max(0, length - layer.window + 1);
}

/// That of the first `length` tokens alone, if it is to be had: a window must have what it needs,
/// and fixed states are known for nothing, for all tokens and for those at a mark. Nothing is
/// copied.
std::optional<RowState> first_tokens(const CacheShape& shape, const RowState& state, int length);

}  // namespace hearth::llm
