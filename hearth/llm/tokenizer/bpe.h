// Byte pair encoding: the model of a tokenizer.json that splits a piece into tokens by joining
// neighbours, the pair learnt first before all others.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/llm/tokenizer/vocab.h"

namespace hearth::llm {

/// Appends to `bytes` what `text` stands for in GPT-2's alphabet, which shows each byte as a
/// printable character; text with any other character in it stands for itself.
void append_bytes_of(std::string_view text, std::string& bytes);

/// Remembers the tokens of words, which repeat: a text of a megabyte has some 10,000 different.
class WordCache {
 public:
  WordCache();

  /// Appends the ids remembered for `word` to `ids`; false if there are none.
  bool find(std::string_view word, std::vector<int>& ids) const;
  void remember(std::string_view word, const int* ids, size_t count);

 private:
  struct Slot {
    uint32_t hash, length, word, ids, count;  // length 0: free; word, ids: places in the arrays
  };
  size_t slot_of(std::string_view word, uint32_t hash) const;

  std::vector<Slot> slots_;
  size_t used_ = 0;
  std::string words_;
  std::vector<int> ids_;
};

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
    WordCache cache;
    std::vector<Symbol> symbols;
    std::vector<Join> queue;
  };

  /// Reads the "model" of a tokenizer.json, whose vocabulary is part of `vocab`. Throws
  /// std::runtime_error naming what is wrong or not supported.
  Bpe(const nlohmann::json& model, const Vocab& vocab, bool byte_level);

  /// Appends the tokens of `piece` to `ids`.
  void encode(std::string_view piece, const Vocab& vocab, Memory& memory,
              std::vector<int>& ids) const;

 private:
  struct Pair {
    uint64_t key;  // both ids; kFree for an empty slot
    uint32_t rank;
    int id;
  };
  void add_merge(std::string_view left, std::string_view right, uint32_t rank, const Vocab& vocab);
  const Pair* find(int left, int right) const;
  int whole_token(std::string_view piece, const Vocab& vocab) const;  // -1 for none
  void first_symbols(std::string_view piece, const Vocab& vocab,
                     std::vector<Memory::Symbol>& symbols) const;
  void join_all(Memory& memory) const;

  std::vector<Pair> pairs_;  // hashed by key, open addressing, at most half full
  int byte_ids_[256];        // of each byte's token, -1 for none; used if byte_level_
  bool byte_level_, ignore_merges_, fuse_unknown_;
  int unknown_ = -1;
};

}  // namespace hearth::llm
