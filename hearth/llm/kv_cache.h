// What a model has seen, layer by layer: explicit state, written in place, grown in steps.
#pragma once
#include <deque>
#include <span>
#include <vector>

#include "hearth/llm/row_state.h"

namespace hearth::llm {

/// What one layer keeps of all rows. Whoever changes a part puts the new array in its place: that
/// of fast::cached_attention, which wrote the old one's memory, or for fixed parts any other.
struct LayerState {
  std::vector<array> parts;
  bool ring = false;                 // position p lies in row p % capacity
  Packing packing = Packing::dense;  // of the rows of positions
  bool fixed = false;                // parts are new arrays after a step, not written in place
  /// fixed: the parts after each position of the latest step but the last, where they may be wanted
  /// (Step::drafted).
  std::vector<Arrays> each = {};
};

/// Rows may have different lengths: row b's next token stands at position length(b). What was
/// computed of a row is to be evaluated before put, truncate or clear change it.
class KvCache {
 public:
  explicit KvCache(CacheShape shape, int batch = 1);
  /// Those rows, at least one; cheaper than putting one after the other.
  KvCache(CacheShape shape, std::span<const RowState> rows);

  int batch() const { return int(lengths_.size()); }
  int length(int row) const { return lengths_[row]; }
  int context_length() const { return shape_.context_length; }
  /// The lengths as the kernels read them: int32 (batch).
  const array& offsets() const { return offsets_; }
  /// The state of layer i; of another where it is an alias.
  LayerState& layer(int i);
  /// Those of all layers; an alias has nothing.
  std::vector<LayerState>& states() { return states_; }
  size_t nbytes() const;

  /// Makes room for `more` tokens in every row; throws when the context is too short, with the
  /// counts, and std::runtime_error when memory is. Capacity grows by half, so that all copies
  /// together cost a small factor of the last.
  void reserve(int more);
  /// The prompt that row b is read from will make it so long: read in pieces, it is treated as if
  /// it were read at once. Shorter than the row: nothing is known.
  void expect(int row, int total) { expected_[size_t(row)] = total; }
  int expected(int row) const { return expected_[size_t(row)]; }
  /// The most tokens that the row had, or was expected to have, since it was clear: what a rope
  /// that depends on the length took for it, though the row is shorter now.
  int read_as(int row) const { return read_as_[size_t(row)]; }
  /// Row b has counts[b] tokens more; reserve came before.
  void advance(std::span<const int> counts);
  /// The offsets are kept by `offsets` from now on, until the next advance or clear: an
  /// array of the same values that a recorded step writes in place.
  void keep_offsets(const array& offsets) { offsets_ = offsets; }
  int capacity() const { return capacity_; }
  /// Changes whenever memory moved, or a row became another: what was recorded before reads the
  /// old one.
  int growths() const { return growths_; }

  /// A copy of the row, computed.
  RowState take(int row) const;
  /// The same where it lies, as far as it can: good until the row is written to.
  RowState view(int row) const;
  /// What a cache of so many rows takes when the longest has `length` tokens and steps have `step`.
  static size_t nbytes_of(const CacheShape& shape, int rows, int length, int step);
  /// The row becomes that one, whatever it was; room grows as needed. Throws, and changes nothing,
  /// for a state of other layers, sizes or dtypes, or longer than the context.
  void put(int row, const RowState& state);
  /// Keeps the fixed states that a row has now beside it, in place of an earlier mark: what can be
  /// truncated to. Without such states there is nothing to keep.
  void mark(int row);
  /// From now on fixed states are kept after each of the last `positions` tokens too; of a step of
  /// several tokens that is not Step::drafted after the last only. A step that writes them in place
  /// (Decoder) must not run meanwhile. 0: none are kept.
  void keep_back(int positions);
  /// Can all but the first `length` tokens be forgotten? A window must still have what it needs;
  /// fixed states can only forget everything, or go back to a mark or to what is kept.
  bool can_truncate(int row, int length) const;
  void truncate(int row, int length);
  /// Forgets a row's tokens, or those of all rows; keeps the memory.
  void clear(int row);
  void clear();

 private:
  void set_offsets();
  void became_another();
  void forget(int row);
  /// Room for so many positions and for steps of so many tokens.
  void make_room(int positions, int step);
  void grow(LayerState& state, const StateShape& shape, int longest);
  void check_row(const char* what, int row) const;
  void write(int row, const RowState& state, Arrays& written);
  void set_fixed(int row, const std::vector<Arrays>& layers);
  /// The fixed states of all layers and rows after a position; a row's length is -1 where it has
  /// become another since.
  struct Kept {
    std::vector<int> lengths;
    std::vector<Arrays> layers;
  };
  const Kept* kept_of(int row, int length) const;
  void keep(std::span<const int> counts);

  CacheShape shape_;
  int capacity_ = 0, step_ = 0;  // positions of full states; the most tokens of a step
  int growths_ = 0;
  std::vector<int> lengths_, expected_, read_as_, mark_;
  std::vector<std::vector<Arrays>> marked_;  // of each row: of each layer
  std::deque<Kept> kept_;                    // in order
  size_t keep_back_ = 0;
  bool has_fixed_ = false;
  /// Of each layer and row the first position that no later one was written over.
  std::vector<std::vector<int>> first_;
  array offsets_;
  std::vector<LayerState> states_;
};

}  // namespace hearth::llm
