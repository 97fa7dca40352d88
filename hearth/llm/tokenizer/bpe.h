// Byte pair encoding: the model that splits a piece into tokens by joining neighbours, the pair
// learnt first before all others.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/llm/tokenizer/vocab.h"

namespace hearth::llm {

class Bpe {
 public:
  /// Working memory of one thread.
  struct Memory {
    struct Symbol {
      int id, previous, next;  // id -1: joined into its neighbour
    };
    struct Join {
      uint32_t rank;
      int at, id;  // joins symbol `at` with its next into token `id`
    };
    std::vector<Symbol> symbols;
    std::vector<Join> queue;
  };

  struct Options {
    bool byte_level = false;     // pieces are bytes, tokens are written in the alphabet of bytes
    bool ignore_merges = false;  // a piece that is a token is that one
    bool fuse_unknown = false;   // several unknown characters are one unknown token
    bool byte_fallback = false;  // an unknown character becomes the tokens <0x..> of its bytes
    std::string prefix, suffix;  // of each character but the first, and of the last
    int unknown = -1;
  };

  /// Reads the "model" of a tokenizer.json, whose vocabulary is part of `vocab`. Throws
  /// std::runtime_error naming what is wrong or not supported.
  static Bpe read(const nlohmann::json& model, const Vocab& vocab, bool byte_level);

  /// Joins by merges, each two tokens with a space between, that of the lowest place first. Those
  /// whose tokens the vocabulary lacks are passed over.
  static Bpe of_merges(std::span<const std::string_view> merges, const Vocab& vocab,
                       Options options);

  /// Joins any two tokens that are a token together, the one with the lowest rank first: `ranks`
  /// has that of each id, kNoRank for one that nothing is joined into.
  static Bpe of_ranks(const std::vector<uint32_t>& ranks, const Vocab& vocab, Options options);
  static constexpr uint32_t kNoRank = ~uint32_t{0};

  /// Whether a piece must be written in the alphabet of bytes for this model to read bytes.
  static bool can_read_bytes(const nlohmann::json& model);

  /// The end of the first part of `piece` that no merge joins with what follows.
  size_t part_end(std::string_view piece, const Vocab& vocab) const;

  /// Appends the tokens of `piece` to `ids`.
  void encode(std::string_view piece, const Vocab& vocab, Memory& memory,
              std::vector<int>& ids) const;

  int unknown() const { return options_.unknown; }

 private:
  struct Pair {
    uint64_t key;  // both ids; kFree for an empty slot
    uint32_t rank;
    int id;
  };
  Bpe(Options options, const Vocab& vocab);
  void reserve(size_t merges);
  void add_merge(std::string_view left, std::string_view right, uint32_t rank, const Vocab& vocab);
  void add_pair(int left, int right, uint32_t rank, int id);
  void add_junction(std::string_view left, std::string_view right);
  const Pair* find(int left, int right) const;
  int whole_token(std::string_view piece, const Vocab& vocab) const;  // -1 for none
  void first_symbols(std::string_view piece, const Vocab& vocab,
                     std::vector<Memory::Symbol>& symbols) const;
  void join_all(Memory& memory) const;

  Options options_;
  std::vector<Pair> pairs_;  // hashed by key, open addressing, at most half full
  size_t count_ = 0;
  int byte_ids_[256];  // of each byte's token, -1 for none: byte_level's, else those of <0x..>
  std::vector<uint64_t> junctions_;  // a bit for each hash of two characters that a merge joins
  bool known_ascii_[128];            // whether the character is a token
};

}  // namespace hearth::llm
