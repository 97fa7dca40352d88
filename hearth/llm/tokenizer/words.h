// The models that look up words: WordPiece, which takes the longest token that a word begins with
// again and again, and WordLevel, where a word is a token or unknown.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/llm/tokenizer/trie.h"
#include "hearth/llm/tokenizer/vocab.h"

namespace hearth::llm {

class WordPiece {
 public:
  struct Memory {};

  /// Reads the "model" of a tokenizer.json, whose vocabulary is part of `vocab`.
  static WordPiece read(const nlohmann::json& model, const Vocab& vocab);

  size_t part_end(std::string_view piece, const Vocab&) const { return piece.size(); }

  /// Appends the tokens of `piece`. Throws std::runtime_error for an unknown word where the model
  /// has no token for it.
  void encode(std::string_view piece, const Vocab& vocab, Memory& memory,
              std::vector<int>& ids) const;

  int unknown() const { return unknown_; }

 private:
  Trie first_, next_;  // tokens that begin a word, and that go on with it, without their prefix
  size_t most_characters_ = 100;
  std::string unknown_text_;
  int unknown_ = -1;
};

class WordLevel {
 public:
  struct Memory {};

  static WordLevel read(const nlohmann::json& model, const Vocab& vocab);
  size_t part_end(std::string_view piece, const Vocab&) const { return piece.size(); }
  void encode(std::string_view piece, const Vocab& vocab, Memory& memory,
              std::vector<int>& ids) const;
  int unknown() const { return unknown_; }

 private:
  std::string unknown_text_;
  int unknown_ = -1;
};

}  // namespace hearth::llm
