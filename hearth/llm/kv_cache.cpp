#include "hearth/llm/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "hearth/core/allocate.h"
#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

constexpr int kStep = 256;  // positions: the least that capacity grows by
constexpr int kRing = 512;  // a ring's capacity is a multiple, as the stretches of attention are
constexpr int kMore = 512;  // tokens before those of a window that a RowState keeps, to be cut back

Shape with_batch(int batch, const Shape& shape) {
  Shape all{batch};
  all.insert(all.end(), shape.begin(), shape.end());
  return all;
}

int rounded(int positions, int context_length) {
  return int(std::min<int64_t>((int64_t(positions) + kStep - 1) / kStep * kStep, context_length));
}

/// Where a layer's state lies.
Stream stream_of(const StateShape& layer) {
  return layer.on_host ? default_stream(Device::cpu) : ambient_stream();
}

// Devices keep every position: no kernel of theirs reads a ring.
int capacity_of(const StateShape& layer, int capacity, int step) {
  if (layer.window == 0 || stream_of(layer).device != Device(Device::cpu)) return capacity;
  const int64_t needed = int64_t(layer.window) + step;
  return int(std::min<int64_t>((needed + kRing - 1) / kRing * kRing, capacity));
}

/// x[row], where it lies.
array row_of(const array& x, int row) {
  Shape start(size_t(x.ndim()), 0), stop = x.shape();
  start[0] = row, stop[0] = row + 1;
  return squeeze(slice(x, start, stop), 0);
}
/// Positions [from, from + count) of (heads, positions, dims), where they lie.
array stretch(const array& x, int from, int count) {
  return slice(x, {0, from, 0}, {x.shape(0), from + count, x.shape(2)});
}
/// The stretches of a part's memory that positions [from, to) lie in, at most two: f(position,
/// place, count).
template <class F>
void each_stretch(int from, int to, int capacity, const F& f) {
  while (from < to) {
    const int place = from % capacity, count = std::min(to - from, capacity - place);
    f(from, place, count);
    from += count;
  }
}
/// Row `row` of x is `value`, the others stay.
array with_row(const array& x, int row, const array& value) {
  Shape start(size_t(x.ndim()), 0), stop = x.shape();
  start[0] = row, stop[0] = row + 1;
  return slice_update(x, expand_dims(value, 0), start, stop);
}

}  // namespace

KvCache::KvCache(CacheShape shape, int batch)
    : shape_(std::move(shape)),
      lengths_(size_t(batch), 0),
      expected_(size_t(batch), 0),
      read_as_(size_t(batch), 0),
      mark_(size_t(batch), 0),
      marked_(size_t(batch)),
      first_(shape_.layers.size(), std::vector<int>(size_t(batch), 0)),
      offsets_(0) {
  check(batch > 0, "KvCache: a batch of ", batch, " rows; wanted at least 1");
  for (const StateShape& layer : shape_.layers) {
    LayerState& state = states_.emplace_back();
    if (layer.kind == StateShape::alias)
      check(layer.source >= 0 && size_t(layer.source) + 1 < states_.size() &&
                shape_.layers[size_t(layer.source)].kind != StateShape::alias,
            "KvCache: layer ", states_.size() - 1, " uses the state of layer ", layer.source,
            ", which has none before it");
    if (layer.kind == StateShape::positions)
      for (const Shape& part : layer.parts)
        state.parts.push_back(zeros(shape_.positions(batch, part, 0), shape_.dtype_of(layer)));
    state.packing = shape_.state;
    state.fixed = layer.kind == StateShape::fixed;
    has_fixed_ = has_fixed_ || state.fixed;
  }
  clear();
}

LayerState& KvCache::layer(int i) {
  const StateShape& shape = shape_.layers[size_t(i)];
  return states_[size_t(shape.kind == StateShape::alias ? shape.source : i)];
}

void KvCache::set_offsets() { offsets_ = array(lengths_.begin(), Shape{batch()}, int32); }

void KvCache::became_another() {
  set_offsets();
  ++growths_;
}

size_t KvCache::nbytes() const {
  size_t bytes = 0;
  for (const LayerState& state : states_)
    for (const array& part : state.parts) bytes += part.nbytes();
  return bytes;
}

void KvCache::reserve(int more) {
  const int longest = *std::max_element(lengths_.begin(), lengths_.end());
  check(more <= shape_.context_length - longest, "context: ", longest, " tokens so far and ", more,
        " more do not fit in the model's ", shape_.context_length);
  make_room(longest + more, more);
  for (LayerState& state : states_) state.each.clear();
  for (size_t i = 0; i < states_.size(); ++i)
    if (shape_.layers[i].window > 0)
      for (int b = 0; b < batch(); ++b) {
        int& first = first_[i][size_t(b)];
        first = std::max(first, lengths_[size_t(b)] + more - states_[i].parts[0].shape(2));
      }
}

size_t KvCache::nbytes_of(const CacheShape& shape, int rows, int length, int step) {
  const int capacity = rounded(length, shape.context_length);
  size_t bytes = 0;
  for (const StateShape& layer : shape.layers)
    for (const Shape& part : layer.parts)
      bytes += size_of(shape.dtype_of(layer)) *
               element_count(layer.kind == StateShape::positions
                                 ? shape.positions(rows, part, capacity_of(layer, capacity, step))
                                 : with_batch(rows, part));
  return bytes;
}

void KvCache::make_room(int positions, int step) {
  if (positions <= capacity_ && step <= step_) return;
  step = std::max(step_, step);
  int capacity = capacity_;
  if (positions > capacity) {
    const int wanted = std::max(positions, capacity + capacity / 2);
    capacity = rounded(wanted, shape_.context_length);
  }
  std::map<Stream, size_t> more;  // bytes; what there was goes when it was copied
  for (size_t i = 0; i < states_.size(); ++i) {
    const StateShape& layer = shape_.layers[i];
    if (layer.kind != StateShape::positions) continue;
    const int rows = capacity_of(layer, capacity, step);
    for (size_t p = 0; p < layer.parts.size(); ++p)
      if (rows > states_[i].parts[p].shape(2))
        more[stream_of(layer)] += element_count(shape_.positions(batch(), layer.parts[p], rows)) *
                                  size_of(shape_.dtype_of(layer));
  }
  for (const auto& [stream, bytes] : more) {
    const auto room = backend(stream.device.type)->memory(stream.device.index).room();
    if (room)
      ensure(bytes <= *room,
             fmt::format("context: room for {} tokens in each of {} rows needs {:.2f} GB, {:.2f} "
                         "GB are free; a shorter context needs less",
                         capacity, batch(), double(bytes) / 1e9, double(*room) / 1e9));
  }
  const auto before = std::tuple(step_, capacity_, states_);
  step_ = step, capacity_ = capacity;
  const int longest = *std::max_element(lengths_.begin(), lengths_.end());
  try {
    Arrays grown;
    for (size_t i = 0; i < states_.size(); ++i)
      if (shape_.layers[i].kind == StateShape::positions) {
        grow(states_[i], shape_.layers[i], longest);
        grown.insert(grown.end(), states_[i].parts.begin(), states_[i].parts.end());
      }
    if (longest > 0) eval(grown);  // now, where it can be taken back
  } catch (...) {
    std::tie(step_, capacity_, states_) = before;
    throw;
  }
}

void KvCache::grow(LayerState& state, const StateShape& shape, int longest) {
  const StreamScope where(stream_of(shape));
  int capacity = capacity_of(shape, capacity_, step_);
  const int before = state.parts.empty() ? capacity : state.parts[0].shape(2);
  capacity = std::max(capacity, before);
  // Where the rest grew past it, it becomes a ring where it lies: no step goes on as it was
  // recorded.
  if (std::exchange(state.ring, capacity < capacity_) != (capacity < capacity_)) ++growths_;
  if (capacity == before) return;
  ++growths_;
  for (size_t p = 0; p < state.parts.size(); ++p) {
    array& x = state.parts[p];
    const Shape wanted = shape_.positions(batch(), shape.parts[p], capacity);
    if (longest == 0) {  // what no token has written is never read: no zeros
      x = uninitialized(wanted, shape_.dtype_of(shape), ambient_stream());
    } else if (longest <= before) {  // nothing went around
      Shape stop = wanted, room = wanted;
      stop[2] = longest, room[2] = capacity - longest;
      x = concatenate({slice(x, {0, 0, 0, 0}, stop), zeros(room, shape_.dtype_of(shape))}, 2);
    } else {
      // Row r of the larger ring takes the latest position that belongs there, if it is kept still.
      std::vector<int> from;
      for (const int length : lengths_)
        for (int r = 0; r < capacity; ++r) {
          const int last = length - 1,
                    position = last - ((last - r) % capacity + capacity) % capacity;
          from.push_back(position < 0 ? 0 : position % before);
        }
      const array at = array(from.begin(), Shape{batch(), 1, capacity, 1}, int32);
      x = take_along_axis(x, broadcast_to(at, wanted), 2);
    }
  }
}

void KvCache::advance(std::span<const int> counts) {
  check(int(counts.size()) == batch(), "KvCache: ", counts.size(), " counts for ", batch(),
        " rows");
  keep(counts);
  for (size_t b = 0; b < counts.size(); ++b) {
    lengths_[b] += counts[b];
    read_as_[b] = std::max({read_as_[b], lengths_[b], expected_[b]});
  }
  set_offsets();
}

void KvCache::keep_back(int positions) {
  keep_back_ = size_t(positions);
  while (kept_.size() > keep_back_) kept_.pop_front();
}

void KvCache::keep(std::span<const int> counts) {
  size_t positions = 1;
  for (const LayerState& state : states_) positions = std::max(positions, state.each.size() + 1);
  for (size_t i = 0; has_fixed_ && keep_back_ > 0 && i < positions; ++i) {
    const bool last = i + 1 == positions;
    Kept& kept = kept_.emplace_back(Kept{lengths_, {}});
    for (size_t b = 0; b < counts.size(); ++b)
      kept.lengths[b] += last ? counts[b] : std::min(int(i) + 1, counts[b]);
    for (LayerState& state : states_)
      kept.layers.push_back(!state.fixed ? Arrays() : last ? state.parts : state.each[i]);
    if (kept_.size() > keep_back_ + 1) kept_.pop_front();
  }
  for (LayerState& state : states_) state.each.clear();
}

const KvCache::Kept* KvCache::kept_of(int row, int length) const {
  const auto at = std::ranges::find_if(
      kept_, [&](const Kept& kept) { return kept.lengths[size_t(row)] == length; });
  return at == kept_.end() ? nullptr : &*at;
}

void KvCache::check_row(const char* what, int row) const {
  check(row >= 0 && row < batch(), "KvCache: ", what, " row ", row, " of ", batch());
}

RowState KvCache::take(int row) const {
  RowState all = view(row);
  Arrays made;
  for (Arrays& parts : all.layers)
    for (array& part : parts) made.push_back(part = copy(part));
  eval(made);
  return all;
}

RowState KvCache::view(int row) const {
  check_row("take", row);
  const int length = lengths_[size_t(row)];
  RowState all{.length = length,
               .read_as = read_as_[size_t(row)],
               .mark = mark_[size_t(row)],
               .marked = marked_[size_t(row)]};
  for (size_t i = 0; i < states_.size(); ++i) {
    const StateShape& layer = shape_.layers[i];
    const StreamScope where(stream_of(layer));
    Arrays& parts = all.layers.emplace_back();
    for (const array& x : states_[i].parts) {
      if (layer.kind == StateShape::fixed) {
        parts.push_back(row_of(x, row));
      } else {
        int from = first_[i][size_t(row)];
        if (layer.window > 0)
          from = int(std::max<int64_t>(from, int64_t(length) - layer.window - kMore));
        Arrays stretches;
        each_stretch(from, length, x.shape(2), [&](int, int place, int count) {
          stretches.push_back(stretch(row_of(x, row), place, count));
        });
        if (stretches.empty()) stretches.push_back(stretch(row_of(x, row), 0, 0));
        parts.push_back(stretches.size() == 1 ? stretches[0] : concatenate(stretches, 1));
      }
    }
  }
  return all;
}

// Room for it is there. What is kept of positions is written in place.
void KvCache::write(int row, const RowState& state, Arrays& written) {
  for (size_t i = 0; i < states_.size(); ++i) {
    if (shape_.layers[i].kind != StateShape::positions) continue;
    const StreamScope where(stream_of(shape_.layers[i]));
    for (size_t p = 0; p < state.layers[i].size(); ++p) {
      const array memory = row_of(states_[i].parts[p], row), &value = state.layers[i][p];
      const int capacity = memory.shape(1), kept = value.shape(1);
      const int from = state.length - std::min(kept, capacity);
      first_[i][size_t(row)] = std::max(first_[i][size_t(row)], from);
      const auto put_at = [&](int place, int count, const array& values) {
        written.push_back(assign(stretch(memory, place, count), values));
      };
      // What is hidden from the window is multiplied by 0 and must be a number.
      each_stretch(
          std::max(0, state.length - capacity), from, capacity, [&](int, int place, int count) {
            put_at(place, count, zeros({memory.shape(0), count, memory.shape(2)}, value.dtype()));
          });
      each_stretch(from, state.length, capacity, [&](int position, int place, int count) {
        put_at(place, count, stretch(value, position - (state.length - kept), count));
      });
    }
  }
  lengths_[size_t(row)] = state.length;
  read_as_[size_t(row)] = state.read_as;
  mark_[size_t(row)] = state.mark;
  marked_[size_t(row)] = state.marked;
}

KvCache::KvCache(CacheShape shape, std::span<const RowState> rows)
    : KvCache(std::move(shape), int(rows.size())) {
  int longest = 0;
  for (const RowState& row : rows) {
    check_fits(shape_, row);
    longest = std::max(longest, row.length);
  }
  make_room(longest, 0);
  Arrays written;
  for (size_t b = 0; b < rows.size(); ++b) write(int(b), rows[b], written);
  for (size_t i = 0; i < states_.size(); ++i) {
    if (shape_.layers[i].kind != StateShape::fixed) continue;
    for (size_t p = 0; p < states_[i].parts.size(); ++p) {
      Arrays all;
      for (const RowState& row : rows) all.push_back(row.layers[i][p]);
      states_[i].parts[p] = stack(all, 0);
      written.push_back(states_[i].parts[p]);
    }
  }
  eval(written);
  became_another();
}

void KvCache::put(int row, const RowState& state) {
  check_row("put", row);
  check_fits(shape_, state);
  clear(row);
  make_room(state.length, 0);
  Arrays written;
  write(row, state, written);
  set_fixed(row, state.layers);
  eval(written);
  became_another();
}

void KvCache::set_fixed(int row, const std::vector<Arrays>& layers) {
  for (size_t i = 0; i < states_.size(); ++i)
    if (shape_.layers[i].kind == StateShape::fixed)
      for (size_t p = 0; p < states_[i].parts.size(); ++p)
        states_[i].parts[p] = with_row(states_[i].parts[p], row, layers[i][p]);
}

void KvCache::mark(int row) {
  check_row("mark", row);
  if (!has_fixed_ || length(row) == 0) return;
  std::vector<Arrays> marked;
  Arrays made;
  for (const LayerState& state : states_) {
    Arrays& parts = marked.emplace_back();
    if (!state.fixed) continue;
    for (const array& x : state.parts) made.push_back(parts.emplace_back(copy(row_of(x, row))));
  }
  eval(made);
  mark_[size_t(row)] = length(row);
  marked_[size_t(row)] = std::move(marked);
}

bool KvCache::can_truncate(int row, int length) const {
  check_row("truncate", row);
  if (length < 0 || length > lengths_[size_t(row)]) return false;
  if (length == 0 || length == lengths_[size_t(row)]) return true;
  for (size_t i = 0; i < states_.size(); ++i) {
    const StateShape& layer = shape_.layers[i];
    if (layer.kind == StateShape::fixed && length != mark_[size_t(row)] && !kept_of(row, length))
      return false;
    if (!window_holds(layer, first_[i][size_t(row)], length)) return false;
  }
  return true;
}

void KvCache::truncate(int row, int length) {
  check(can_truncate(row, length), "KvCache: of the ", lengths_[size_t(row)], " tokens of row ",
        row, " the first ", length, " cannot be kept alone; clear the row and read them again");
  if (length == 0) return clear(row);
  if (length == lengths_[size_t(row)]) return;
  const Kept* kept = kept_of(row, length);
  if (kept && batch() == 1) {
    for (size_t i = 0; i < states_.size(); ++i)
      if (states_[i].fixed) states_[i].parts = kept->layers[i];
  } else if (has_fixed_) {
    std::vector<Arrays> layers = kept ? kept->layers : marked_[size_t(row)];
    for (Arrays& parts : layers)
      for (array& part : parts)
        if (kept) part = row_of(part, row);
    set_fixed(row, layers);
  }
  for (Kept& later : kept_)
    if (later.lengths[size_t(row)] > length) later.lengths[size_t(row)] = -1;
  lengths_[size_t(row)] = length;
  expected_[size_t(row)] = 0;
  became_another();
}

void KvCache::forget(int row) {
  lengths_[size_t(row)] = expected_[size_t(row)] = read_as_[size_t(row)] = 0;
  mark_[size_t(row)] = 0, marked_[size_t(row)].clear();
  for (auto& first : first_) first[size_t(row)] = 0;
  for (Kept& kept : kept_) kept.lengths[size_t(row)] = -1;
}

void KvCache::clear(int row) {
  check_row("clear", row);
  forget(row);
  for (size_t i = 0; i < states_.size(); ++i)
    if (shape_.layers[i].kind == StateShape::fixed)
      for (array& x : states_[i].parts) x = with_row(x, row, zeros_like(row_of(x, row)));
  became_another();
}

void KvCache::clear() {
  for (int row = 0; row < batch(); ++row) forget(row);
  for (size_t i = 0; i < states_.size(); ++i) {
    const StateShape& layer = shape_.layers[i];
    if (layer.kind != StateShape::fixed) continue;
    states_[i].parts.clear();
    for (const Shape& part : layer.parts)
      states_[i].parts.push_back(zeros(with_batch(batch(), part), shape_.dtype_of(layer)));
  }
  became_another();
}

}  // namespace hearth::llm
