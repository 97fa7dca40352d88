#include "hearth/llm/tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/byte_alphabet.h"
#include "hearth/llm/tokenizer/json.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

constexpr uint64_t kFree = ~uint64_t{0};
constexpr uint64_t kMix = 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio

uint64_t pair_key(int left, int right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}

// Two characters as a number of kJunctionBits bits. Those of ASCII, with sentencepiece's space in
// the place of the zero, have numbers of their own; others share theirs by chance, which only
// makes the parts longer.
constexpr int kJunctionBits = 22;
uint64_t junction(char32_t left, char32_t right) {
  const auto small = [](char32_t c) { return c == 0x2581 ? 0 : c; };
  left = small(left), right = small(right);
  if (left < 128 && right < 128) return left << 7 | right;
  return (uint64_t{left} << 21 | right) * kMix >> (64 - kJunctionBits);
}

// Tokens longer than this are in no real file; each of their splits would be looked up.
constexpr size_t kMostRankedBytes = 2048;

}  // namespace

Bpe::Bpe(Options options, const Vocab& vocab) : options_(std::move(options)) {
  for (int b = 0; b < 256; ++b) {
    const auto byte = static_cast<unsigned char>(b);
    std::string character;
    append_utf8(character, alphabet_character(byte));
    byte_ids_[b] = options_.byte_level ? vocab.model_id(character) : vocab.id(byte_token(byte));
  }
  for (int c = 0; c < 128; ++c)
    known_ascii_[c] = vocab.model_id(std::string(1, static_cast<char>(c))) >= 0;
  // Where the piece is cut, both sides must be encoded as they are within the whole.
  if (!options_.byte_level && !options_.ignore_merges && options_.prefix.empty() &&
      options_.suffix.empty())
    junctions_.resize((size_t{1} << kJunctionBits) / 64);
}

Bpe Bpe::read(const nlohmann::json& model, const Vocab& vocab, bool byte_level) {
  const char* const where = "model BPE";
  const auto& dropout = member(model, "dropout", where);
  ensure(dropout.is_null() || dropout == 0, "model BPE: dropout is for training; set it to null");
  const auto text = [&](const char* key) {
    const auto& value = member(model, key, where);
    return value.is_null() ? "" : string_of(value, concat(where, ": ", key));
  };
  Options options;
  options.byte_level = byte_level;
  options.ignore_merges = bool_member(model, "ignore_merges", false, where);
  options.fuse_unknown = bool_member(model, "fuse_unk", false, where);
  options.byte_fallback = bool_member(model, "byte_fallback", false, where);
  options.prefix = text("continuing_subword_prefix");
  options.suffix = text("end_of_word_suffix");
  const auto& unknown = member(model, "unk_token", where);
  if (!unknown.is_null()) {
    options.unknown = vocab.model_id(string_of(unknown, "model BPE: unk_token"));
    ensure(options.unknown >= 0, "model BPE: unk_token '", unknown.get_ref<const std::string&>(),
           "' is not in the vocabulary");
  }
  Bpe bpe(std::move(options), vocab);
  const auto& merges = array_member(model, "merges", where);
  bpe.reserve(merges.size());
  uint32_t rank = 0;
  for (const auto& merge : merges) {
    if (merge.is_array()) {
      if (merge.size() != 2)
        ensure(false, "model BPE: merge ", rank, " has ", merge.size(), " parts, not 2");
      bpe.add_merge(string_of(merge[0], "model BPE: merges"),
                    string_of(merge[1], "model BPE: merges"), rank, vocab);
    } else {
      const std::string_view both = string_of(merge, "model BPE: merges");
      if (both.starts_with("#version")) continue;  // a comment of merges.txt; it has no rank
      const size_t space = both.find(' ');
      if (space == both.npos || both.find(' ', space + 1) != both.npos)
        ensure(false, "model BPE: merge ", rank, " '", both,
               "' is not two tokens with one space between");
      bpe.add_merge(both.substr(0, space), both.substr(space + 1), rank, vocab);
    }
    ++rank;
  }
  return bpe;
}

Bpe Bpe::of_merges(std::span<const std::string_view> merges, const Vocab& vocab, Options options) {
  Bpe bpe(std::move(options), vocab);
  bpe.reserve(merges.size());
  uint32_t rank = 0;
  std::string joined;
  for (const std::string_view merge : merges) {
    const size_t space = merge.find(' ', 1);
    if (space == merge.npos)
      ensure(false, "merge ", rank, " '", merge, "' is not two tokens with a space between");
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    joined.assign(left).append(right);
    const int a = vocab.model_id(left), b = vocab.model_id(right), c = vocab.model_id(joined);
    if (a >= 0 && b >= 0 && c >= 0) {
      bpe.add_pair(a, b, rank, c);
      bpe.add_junction(left, right);
    }
    ++rank;
  }
  return bpe;
}

Bpe Bpe::of_ranks(const std::vector<uint32_t>& ranks, const Vocab& vocab, Options options) {
  Bpe bpe(std::move(options), vocab);
  bpe.reserve(vocab.tokens().size());
  for (const Token& token : vocab.tokens()) {
    if (!token.in_model || ranks[token.id] == kNoRank) continue;
    const std::string_view text = token.text;
    ensure(text.size() <= kMostRankedBytes, "a token of ", text.size(), " bytes; at most ",
           kMostRankedBytes, " are read");
    for (size_t at = 0; at < text.size();) {
      at += size_t(utf8_step(text.substr(at)).length);
      const int left = vocab.model_id(text.substr(0, at));
      const int right = left < 0 || at == text.size() ? -1 : vocab.model_id(text.substr(at));
      if (right < 0) continue;
      bpe.add_pair(left, right, ranks[token.id], token.id);
      bpe.add_junction(text.substr(0, at), text.substr(at));
    }
  }
  return bpe;
}

bool Bpe::can_read_bytes(const nlohmann::json& model) {
  const auto absent = [&](const char* key) {
    const auto& value = member(model, key, "model BPE");
    return value.is_null() || value == "" || value == false;
  };
  return absent("byte_fallback") && absent("continuing_subword_prefix") &&
         absent("end_of_word_suffix");
}

void Bpe::reserve(size_t merges) {
  std::vector<Pair> old(std::bit_ceil(2 * merges + 2), Pair{kFree, 0, 0});
  old.swap(pairs_);
  count_ = 0;
  for (const Pair& pair : old)
    if (pair.key != kFree)
      add_pair(int(pair.key >> 32), int(uint32_t(pair.key)), pair.rank, pair.id);
}

void Bpe::add_merge(std::string_view left, std::string_view right, uint32_t rank,
                    const Vocab& vocab) {
  const std::string_view behind = right.substr(std::min(options_.prefix.size(), right.size()));
  const std::string joined = concat(left, behind);
  const int a = vocab.model_id(left), b = vocab.model_id(right), c = vocab.model_id(joined);
  if (a < 0 || b < 0 || c < 0)
    ensure(false, "model BPE: merge ", rank, " needs the token '",
           a < 0   ? left
           : b < 0 ? right
                   : std::string_view(joined),
           "', which is not in the vocabulary");
  add_pair(a, b, rank, c);
  add_junction(left, right);
}

void Bpe::add_pair(int left, int right, uint32_t rank, int id) {
  if (2 * (count_ + 1) > pairs_.size()) reserve(2 * count_ + 2);
  const uint64_t key = pair_key(left, right);
  size_t at = key * kMix >> 32 & (pairs_.size() - 1);
  while (pairs_[at].key != kFree && pairs_[at].key != key) at = (at + 1) & (pairs_.size() - 1);
  count_ += pairs_[at].key == kFree;
  pairs_[at] = {key, rank, id};
}

void Bpe::add_junction(std::string_view left, std::string_view right) {
  if (junctions_.empty() || left.empty() || right.empty()) return;
  const uint64_t bit = junction(utf8_step(last_character(left)).code, utf8_step(right).code);
  junctions_[bit / 64] |= uint64_t{1} << bit % 64;
}

const Bpe::Pair* Bpe::find(int left, int right) const {
  const uint64_t key = pair_key(left, right);
  for (size_t at = key * kMix >> 32 & (pairs_.size() - 1);; at = (at + 1) & (pairs_.size() - 1)) {
    if (pairs_[at].key == key) return &pairs_[at];
    if (pairs_[at].key == kFree) return nullptr;
  }
}

size_t Bpe::part_end(std::string_view piece, const Vocab& vocab) const {
  if (junctions_.empty()) return piece.size();
  const auto known = [&](char32_t code, size_t begin, size_t end) {
    return code < 128 ? known_ascii_[code] : vocab.model_id(piece.substr(begin, end - begin)) >= 0;
  };
  Utf8Step left = utf8_step(piece);
  size_t begin = 0;  // of the character `left`
  for (size_t at = size_t(left.length); at < piece.size();) {
    const Utf8Step right = utf8_step(piece.substr(at));
    const size_t end = at + size_t(right.length);
    const uint64_t bit = junction(left.code, right.code);
    // What is behind an unknown character may belong to the same unknown token; and one that
    // becomes nothing lets its neighbours join.
    if ((junctions_[bit / 64] >> bit % 64 & 1) == 0 && known(left.code, begin, at) &&
        (options_.unknown >= 0 || known(right.code, at, end)))
      return at;
    begin = at;
    left = right;
    at = end;
  }
  return piece.size();
}

void Bpe::first_symbols(std::string_view piece, const Vocab& vocab,
                        std::vector<Memory::Symbol>& symbols) const {
  symbols.clear();
  const auto add = [&](int id) {
    const int at = static_cast<int>(symbols.size());
    symbols.push_back({id, at - 1, at + 1});
  };
  // An unknown token is put down when it is known that it does not grow; tokens of bytes that come
  // meanwhile stand before it, as in Hugging Face's tokenizers.
  bool unknown = false;
  const auto add_or_unknown = [&](int id, std::string_view character) {
    if (id >= 0) {
      if (unknown) add(options_.unknown);
      unknown = false;
      return add(id);
    }
    if (options_.byte_fallback) {
      const auto token = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
      if (std::all_of(character.begin(), character.end(), [&](char c) { return token(c) >= 0; })) {
        for (const char c : character) add(token(c));
        return;
      }
    }
    if (options_.unknown < 0) return;
    if (unknown && !options_.fuse_unknown) add(options_.unknown);
    unknown = true;
  };
  if (options_.byte_level) {
    for (const char& c : piece)
      add_or_unknown(byte_ids_[static_cast<unsigned char>(c)], std::string_view(&c, 1));
  } else {
    std::string with;
    for (bool first = true; !piece.empty(); first = false) {
      std::string_view character = piece.substr(0, size_t(utf8_step(piece).length));
      piece.remove_prefix(character.size());
      if ((!first && !options_.prefix.empty()) || (piece.empty() && !options_.suffix.empty())) {
        with.clear();
        if (!first) with += options_.prefix;
        with += character;
        if (piece.empty()) with += options_.suffix;
        character = with;
      }
      add_or_unknown(vocab.model_id(character), character);
    }
  }
  if (unknown) add(options_.unknown);
  if (!symbols.empty()) symbols.back().next = -1;
}

int Bpe::whole_token(std::string_view piece, const Vocab& vocab) const {
  if (!options_.byte_level) return vocab.model_id(piece);
  std::string text;
  append_in_alphabet(piece, text);
  return vocab.model_id(text);
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
  const int whole = options_.ignore_merges ? whole_token(piece, vocab) : -1;
  if (whole >= 0) return ids.push_back(whole);
  first_symbols(piece, vocab, memory.symbols);
  join_all(memory);
  for (const auto& symbol : memory.symbols)
    if (symbol.id >= 0) ids.push_back(symbol.id);
}

}  // namespace hearth::llm
