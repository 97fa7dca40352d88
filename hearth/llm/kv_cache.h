// The keys and values that a model has seen: explicit state, written in place, grown in steps.
#pragma once
#include <span>
#include <vector>

#include "hearth/core/array.h"

namespace hearth::llm {

/// What a cache is made for.
struct CacheShape {
  int layers, kv_heads, head_dim;
  int context_length;  // the most positions a row may have
  Dtype dtype;
};

/// Rows may have different lengths: row b's next token stands at position length(b).
class KvCache {
 public:
  struct Layer {
    array k, v;  // (batch, kv_heads, capacity, head_dim)
  };

  explicit KvCache(const CacheShape& shape, int batch = 1);

  int batch() const { return int(lengths_.size()); }
  int length(int row) const { return lengths_[row]; }
  int context_length() const { return shape_.context_length; }
  /// The lengths as the kernels read them: int32 (batch).
  const array& offsets() const { return offsets_; }
  Layer& layer(int i) { return layers_[i]; }
  size_t nbytes() const;

  /// Makes room for `more` tokens in every row; throws when the context is too short, with the
  /// counts. Capacity grows by half, so that all copies together cost a small factor of the last.
  void reserve(int more);
  /// Row b has counts[b] tokens more; reserve came before.
  void advance(std::span<const int> counts);
  /// The offsets are kept by `offsets` from now on, until the next advance or clear: an
  /// array of the same values that a recorded step writes in place.
  void keep_offsets(const array& offsets) { offsets_ = offsets; }
  int capacity() const { return capacity_; }
  /// Forgets all tokens, keeps the memory.
  void clear();

 private:
  void set_offsets();

  CacheShape shape_;
  int capacity_ = 0;
  std::vector<int> lengths_;
  array offsets_;
  std::vector<Layer> layers_;
};

}  // namespace hearth::llm
