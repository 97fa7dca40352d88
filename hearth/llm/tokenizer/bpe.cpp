#include "hearth/llm/tokenizer/bpe.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/json.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

// Printable Latin-1 stands for itself, the other bytes follow from U+0100 on, in order.
constexpr std::array<char32_t, 256> kAlphabet = [] {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    alphabet[b] = printable ? b : next++;
  }
  return alphabet;
}();

constexpr std::array<short, 0x144> kByteOf = [] {
  std::array<short, 0x144> bytes{};
  bytes.fill(-1);
  for (int b = 0; b < 256; ++b) bytes[kAlphabet[b]] = b;
  return bytes;
}();

constexpr uint64_t kFree = ~uint64_t{0};
constexpr uint64_t kMix = 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio

uint64_t pair_key(int left, int right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}

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

constexpr size_t kCacheSlots = 1 << 16;  // 1.3 MB: hot words stay in the second-level cache
constexpr size_t kCachedWord = 64;       // bytes; longer ones rarely come again

}  // namespace

void append_bytes_of(std::string_view text, std::string& bytes) {
  const size_t before = bytes.size();
  for (std::string_view rest = text; !rest.empty();) {
    const Utf8Step step = utf8_step(rest);
    const int byte = step.code < kByteOf.size() ? kByteOf[step.code] : -1;
    if (byte < 0) {
      bytes.resize(before);
      bytes += text;
      return;
    }
    bytes += static_cast<char>(byte);
    rest.remove_prefix(step.length);
  }
}

WordCache::WordCache() : slots_(kCacheSlots) {}

size_t WordCache::slot_of(std::string_view word, uint32_t hash) const {
  size_t at = hash % kCacheSlots;
  for (;; at = (at + 1) % kCacheSlots) {
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
  if (used_ > kCacheSlots / 2) {  // start afresh: cheaper than to keep an order of use
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

Bpe::Bpe(const nlohmann::json& model, const Vocab& vocab, bool byte_level)
    : byte_level_(byte_level),
      ignore_merges_(bool_member(model, "ignore_merges", false, "model BPE")),
      fuse_unknown_(bool_member(model, "fuse_unk", false, "model BPE")) {
  const auto& dropout = member(model, "dropout", "model BPE");
  ensure(dropout.is_null() || dropout == 0, "model BPE: dropout is for training; set it to null");
  ensure(!bool_member(model, "byte_fallback", false, "model BPE"),
         "model BPE: byte_fallback is not supported");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const auto& value = member(model, key, "model BPE");
    ensure(value.is_null() || value == "", "model BPE: ", key, " is not supported");
  }
  const auto& unknown = member(model, "unk_token", "model BPE");
  if (!unknown.is_null()) {
    unknown_ = vocab.id(string_of(unknown, "model BPE: unk_token"));
    ensure(unknown_ >= 0, "model BPE: unk_token '", unknown.get_ref<const std::string&>(),
           "' is not in the vocabulary");
  }
  for (int b = 0; b < 256; ++b) {
    std::string character;
    append_utf8(character, kAlphabet[b]);
    byte_ids_[b] = vocab.id(character);
  }
  const auto& merges = array_member(model, "merges", "model BPE");
  pairs_.assign(std::bit_ceil(2 * merges.size() + 2), {kFree, 0, 0});
  uint32_t rank = 0;
  for (const auto& merge : merges) {
    if (merge.is_array()) {
      if (merge.size() != 2)
        ensure(false, "model BPE: merge ", rank, " has ", merge.size(), " parts, not 2");
      add_merge(string_of(merge[0], "model BPE: merges"), string_of(merge[1], "model BPE: merges"),
                rank, vocab);
    } else {
      const std::string_view both = string_of(merge, "model BPE: merges");
      if (both.starts_with("#version")) continue;  // a comment of merges.txt; it has no rank
      const size_t space = both.find(' ');
      if (space == both.npos || both.find(' ', space + 1) != both.npos)
        ensure(false, "model BPE: merge ", rank, " '", both,
               "' is not two tokens with one space between");
      add_merge(both.substr(0, space), both.substr(space + 1), rank, vocab);
    }
    ++rank;
  }
}

void Bpe::add_merge(std::string_view left, std::string_view right, uint32_t rank,
                    const Vocab& vocab) {
  const std::string joined = concat(left, right);
  const int a = vocab.id(left), b = vocab.id(right), c = vocab.id(joined);
  if (a < 0 || b < 0 || c < 0)
    ensure(false, "model BPE: merge ", rank, " needs the token '",
           a < 0   ? left
           : b < 0 ? right
                   : std::string_view(joined),
           "', which is not in the vocabulary");
  const uint64_t key = pair_key(a, b);
  size_t at = key * kMix >> 32 & (pairs_.size() - 1);
  while (pairs_[at].key != kFree && pairs_[at].key != key) at = (at + 1) & (pairs_.size() - 1);
  pairs_[at] = {key, rank, c};
}

const Bpe::Pair* Bpe::find(int left, int right) const {
  const uint64_t key = pair_key(left, right);
  for (size_t at = key * kMix >> 32 & (pairs_.size() - 1);; at = (at + 1) & (pairs_.size() - 1)) {
    if (pairs_[at].key == key) return &pairs_[at];
    if (pairs_[at].key == kFree) return nullptr;
  }
}

void Bpe::first_symbols(std::string_view piece, const Vocab& vocab,
                        std::vector<Memory::Symbol>& symbols) const {
  symbols.clear();
  const auto add = [&](int id) {
    const int at = static_cast<int>(symbols.size());
    symbols.push_back({id, at - 1, at + 1});
  };
  bool after_unknown = false;
  const auto add_or_unknown = [&](int id) {
    if (id >= 0)
      add(id);
    else if (unknown_ >= 0 && !(fuse_unknown_ && after_unknown))
      add(unknown_);
    after_unknown = id < 0;
  };
  if (byte_level_) {
    for (const char c : piece) add_or_unknown(byte_ids_[static_cast<unsigned char>(c)]);
  } else {
    while (!piece.empty()) {
      const int length = utf8_step(piece).length;
      add_or_unknown(vocab.id(piece.substr(0, length)));
      piece.remove_prefix(length);
    }
  }
  if (!symbols.empty()) symbols.back().next = -1;
}

int Bpe::whole_token(std::string_view piece, const Vocab& vocab) const {
  if (!byte_level_) return vocab.id(piece);
  std::string text;
  for (const char c : piece) append_utf8(text, kAlphabet[static_cast<unsigned char>(c)]);
  return vocab.id(text);
}

void Bpe::join_all(Memory& memory) const {
  auto& symbols = memory.symbols;
  auto& queue = memory.queue;
  using Join = Memory::Join;
  const auto later = [](const Join& a, const Join& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
  };
  const auto candidate = [&](int at) -> const Pair* {
    return symbols[at].next < 0 ? nullptr : find(symbols[at].id, symbols[symbols[at].next].id);
  };
  queue.clear();
  for (size_t at = 0; at < symbols.size(); ++at)
    if (const Pair* pair = candidate(static_cast<int>(at)))
      queue.push_back({pair->rank, static_cast<int>(at), pair->id});
  std::make_heap(queue.begin(), queue.end(), later);
  const auto push = [&](int at) {
    if (const Pair* pair = candidate(at)) {
      queue.push_back({pair->rank, at, pair->id});
      std::push_heap(queue.begin(), queue.end(), later);
    }
  };
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), later);
    const Join join = queue.back();
    queue.pop_back();
    if (symbols[join.at].id < 0) continue;
    const Pair* pair = candidate(join.at);  // the neighbour may have changed since
    if (!pair || pair->id != join.id) continue;
    const int gone = symbols[join.at].next;
    symbols[join.at].id = join.id;
    symbols[join.at].next = symbols[gone].next;
    symbols[gone].id = -1;
    if (symbols[gone].next >= 0) symbols[symbols[gone].next].previous = join.at;
    if (symbols[join.at].previous >= 0) push(symbols[join.at].previous);
    push(join.at);
  }
}

void Bpe::encode(std::string_view piece, const Vocab& vocab, Memory& memory,
                 std::vector<int>& ids) const {
  const bool cached = piece.size() <= kCachedWord;
  if (cached && memory.cache.find(piece, ids)) return;
  const size_t before = ids.size();
  const int whole = ignore_merges_ ? whole_token(piece, vocab) : -1;
  if (whole >= 0) {
    ids.push_back(whole);
  } else {
    first_symbols(piece, vocab, memory.symbols);
    join_all(memory);
    for (const auto& symbol : memory.symbols)
      if (symbol.id >= 0) ids.push_back(symbol.id);
  }
  if (cached) memory.cache.remember(piece, ids.data() + before, ids.size() - before);
}

}  // namespace hearth::llm
