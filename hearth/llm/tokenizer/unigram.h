// The unigram model: of all ways to write a piece with tokens, the likeliest.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string_view>
#include <vector>

#include "hearth/llm/tokenizer/trie.h"
#include "hearth/llm/tokenizer/vocab.h"

namespace hearth::llm {

class Unigram {
 public:
  /// Working memory of one thread.
  struct Memory {
    struct Node {  // the best way to a place in the piece
      double score;
      int id;
      uint32_t from;  // where its last token begins; kNowhere for none
    };
    std::vector<Node> nodes;
    std::vector<uint32_t> ends;  // of the tokens, backwards
  };

  struct Options {
    double unknown_score = 0;
    int unknown = -1;
    bool byte_fallback = false;
    bool single_precision = false;  // sums are rounded to float, as in sentencepiece
  };

  /// `scores` has that of each id; tokens that are not in the model need none.
  Unigram(const Vocab& vocab, std::vector<double> scores, Options options);

  /// Reads the "model" of a tokenizer.json, whose tokens are in `vocab`.
  static Unigram read(const nlohmann::json& model, const Vocab& vocab);

  size_t part_end(std::string_view piece, const Vocab&) const { return piece.size(); }

  /// Appends the tokens of `piece`. Throws std::runtime_error for a character that is in no token
  /// where the model has none for the unknown.
  void encode(std::string_view piece, const Vocab& vocab, Memory& memory,
              std::vector<int>& ids) const;

  int unknown() const { return options_.unknown; }

 private:
  void append_unknown(std::string_view text, const Vocab& vocab, std::vector<int>& ids) const;

  Trie trie_;
  std::vector<double> scores_;
  Options options_;
  int byte_ids_[256];
};

}  // namespace hearth::llm
