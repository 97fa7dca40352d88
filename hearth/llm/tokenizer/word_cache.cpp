#include "hearth/llm/tokenizer/word_cache.h"

#include <algorithm>
#include <cstring>

namespace hearth::llm {
namespace {

constexpr uint64_t kMix = 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio

uint32_t hash_of(std::string_view word) {
  uint64_t hash = word.size();
  const auto mix = [&](uint64_t part) {
    hash = (hash ^ part) * kMix;
    hash ^= hash >> 32;
  };
  size_t i = 0;
  for (; i + 8 <= word.size(); i += 8) {
    uint64_t part;
    std::memcpy(&part, word.data() + i, 8);
    mix(part);
  }
  uint64_t part = 0;
  std::memcpy(&part, word.data() + i, word.size() - i);
  mix(part);
  return static_cast<uint32_t>(hash);
}

constexpr size_t kSlots = 1 << 16;  // 1.3 MB: hot words stay in the second-level cache

}  // namespace

WordCache::WordCache() : slots_(kSlots) {}

size_t WordCache::slot_of(std::string_view word, uint32_t hash) const {
  size_t at = hash % kSlots;
  for (;; at = (at + 1) % kSlots) {
    const Slot& slot = slots_[at];
    if (slot.length == 0) return at;
    if (slot.hash == hash && slot.length == word.size() &&
        std::memcmp(words_.data() + slot.word, word.data(), word.size()) == 0)
      return at;
  }
}

bool WordCache::find(std::string_view word, std::vector<int>& ids) const {
  const Slot& slot = slots_[slot_of(word, hash_of(word))];
  if (slot.length == 0) return false;
  const int* first = ids_.data() + slot.ids;
  ids.insert(ids.end(), first, first + slot.count);
  return true;
}

void WordCache::remember(std::string_view word, const int* ids, size_t count) {
  if (used_ > kSlots / 2) {  // start afresh: cheaper than to keep an order of use
    std::fill(slots_.begin(), slots_.end(), Slot{});
    words_.clear(), ids_.clear(), used_ = 0;
  }
  const uint32_t hash = hash_of(word);
  slots_[slot_of(word, hash)] = {hash, static_cast<uint32_t>(word.size()),
                                 static_cast<uint32_t>(words_.size()),
                                 static_cast<uint32_t>(ids_.size()), static_cast<uint32_t>(count)};
  ++used_;
  words_ += word;
  ids_.insert(ids_.end(), ids, ids + count);
}

}  // namespace hearth::llm
