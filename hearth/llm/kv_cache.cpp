#include "hearth/llm/kv_cache.h"

#include <algorithm>

#include "hearth/core/allocate.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {
constexpr int kStep = 256;  // positions: the least that capacity grows by
}

KvCache::KvCache(const CacheShape& shape, int batch)
    : shape_(shape), lengths_(size_t(batch), 0), offsets_(0) {
  check(batch > 0, "KvCache: a batch of ", batch, " rows; wanted at least 1");
  const array empty = zeros({batch, shape.kv_heads, 0, shape.head_dim}, shape.dtype);
  layers_.assign(size_t(shape.layers), Layer{empty, empty});
  set_offsets();
}

void KvCache::set_offsets() { offsets_ = array(lengths_.begin(), Shape{batch()}, int32); }

size_t KvCache::nbytes() const {
  return layers_.empty() ? 0 : layers_.size() * 2 * layers_[0].k.nbytes();
}

void KvCache::reserve(int more) {
  const int longest = *std::max_element(lengths_.begin(), lengths_.end());
  check(more <= shape_.context_length - longest, "context: ", longest, " tokens so far and ", more,
        " more do not fit in the model's ", shape_.context_length);
  if (longest + more <= capacity_) return;
  const int wanted = std::max(longest + more, capacity_ + capacity_ / 2);
  capacity_ = std::min((wanted + kStep - 1) / kStep * kStep, shape_.context_length);
  const Shape shape{batch(), shape_.kv_heads, capacity_, shape_.head_dim};
  for (Layer& layer : layers_)
    for (array* x : {&layer.k, &layer.v}) {
      if (longest == 0) {  // what no token has written is never read: no zeros
        *x = uninitialized(shape, shape_.dtype, ambient_stream());
        continue;
      }
      const array old =
          slice(*x, {0, 0, 0, 0}, {batch(), shape_.kv_heads, longest, shape_.head_dim});
      const array room = zeros({shape[0], shape[1], capacity_ - longest, shape[3]}, shape_.dtype);
      *x = concatenate({old, room}, 2);
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
  set_offsets();
}

}  // namespace hearth::llm
