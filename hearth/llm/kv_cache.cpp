#include "hearth/llm/kv_cache.h"

#include <algorithm>

#include "hearth/core/allocate.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

constexpr int kStep = 256;  // positions: the least that capacity grows by
constexpr int kRing = 512;  // a ring's capacity is a multiple, as the stretches of attention are

Shape with_batch(int batch, const Shape& shape) {
  Shape all{batch};
  all.insert(all.end(), shape.begin(), shape.end());
  return all;
}
Shape positions_of(int batch, const Shape& part, int capacity) {
  return {batch, part[0], capacity, part[1]};
}

}  // namespace

KvCache::KvCache(CacheShape shape, int batch)
    : shape_(std::move(shape)),
      lengths_(size_t(batch), 0),
      expected_(size_t(batch), 0),
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
        state.parts.push_back(zeros(positions_of(batch, part, 0), shape_.dtype));
    state.fixed = layer.kind == StateShape::fixed;
  }
  clear();
}

LayerState& KvCache::layer(int i) {
  const StateShape& shape = shape_.layers[size_t(i)];
  return states_[size_t(shape.kind == StateShape::alias ? shape.source : i)];
}

void KvCache::set_offsets() { offsets_ = array(lengths_.begin(), Shape{batch()}, int32); }

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
  if (longest + more <= capacity_ && more <= step_) return;
  step_ = std::max(step_, more);
  if (longest + more > capacity_) {
    const int wanted = std::max(longest + more, capacity_ + capacity_ / 2);
    capacity_ = std::min((wanted + kStep - 1) / kStep * kStep, shape_.context_length);
  }
  for (size_t i = 0; i < states_.size(); ++i)
    if (shape_.layers[i].kind == StateShape::positions) grow(states_[i], shape_.layers[i], longest);
}

// Devices keep every position: no kernel of theirs reads a ring.
void KvCache::grow(LayerState& state, const StateShape& shape, int longest) {
  int capacity = capacity_;
  if (shape.window > 0 && ambient_stream().device == Device(Device::cpu)) {
    const int64_t needed = int64_t(shape.window) + step_;
    capacity = int(std::min<int64_t>((needed + kRing - 1) / kRing * kRing, capacity_));
  }
  const int before = state.parts.empty() ? capacity : state.parts[0].shape(2);
  capacity = std::max(capacity, before);
  state.ring = capacity < capacity_;
  if (capacity == before) return;
  ++growths_;
  for (size_t p = 0; p < state.parts.size(); ++p) {
    array& x = state.parts[p];
    const Shape wanted = positions_of(batch(), shape.parts[p], capacity);
    if (longest == 0) {  // what no token has written is never read: no zeros
      x = uninitialized(wanted, shape_.dtype, ambient_stream());
    } else if (longest <= before) {  // nothing went around
      Shape stop = wanted, room = wanted;
      stop[2] = longest, room[2] = capacity - longest;
      x = concatenate({slice(x, {0, 0, 0, 0}, stop), zeros(room, shape_.dtype)}, 2);
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
  for (int b = 0; b < batch(); ++b) lengths_[b] += counts[b];
  set_offsets();
}

void KvCache::clear() {
  std::fill(lengths_.begin(), lengths_.end(), 0);
  std::fill(expected_.begin(), expected_.end(), 0);
  for (size_t i = 0; i < states_.size(); ++i) {
    const StateShape& layer = shape_.layers[i];
    if (layer.kind != StateShape::fixed) continue;
    states_[i].parts.clear();
    for (const Shape& part : layer.parts)
      states_[i].parts.push_back(
          zeros(with_batch(batch(), part), layer.dtype.value_or(shape_.dtype)));
  }
  set_offsets();
}

}  // namespace hearth::llm
