// The model of a tokenizer, which makes tokens of the pieces of a text: any of the kinds, with the
// words it remembers.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>
#include <vector>

#include "hearth/llm/tokenizer/bpe.h"
#include "hearth/llm/tokenizer/unigram.h"
#include "hearth/llm/tokenizer/vocab.h"
#include "hearth/llm/tokenizer/word_cache.h"
#include "hearth/llm/tokenizer/words.h"

namespace hearth::llm {

class Model {
 public:
  /// Working memory of one thread.
  struct Memory {
    WordCache cache;
    std::tuple<Bpe::Memory, Unigram::Memory, WordPiece::Memory, WordLevel::Memory> kinds;
  };

  template <class Kind>
  explicit Model(Kind kind) : kind_(std::move(kind)) {}

  /// What "type" says of the "model" of a tokenizer.json, or what its members do in old files that
  /// leave it out. Throws std::runtime_error where it is none of the kinds.
  static std::string kind_of(const nlohmann::json& model);

  /// The tokens of the "model" of a tokenizer.json.
  static std::vector<Token> tokens_of(const nlohmann::json& model);

  /// Reads it, with `vocab` that has its tokens. Throws std::runtime_error naming what is wrong.
  static Model read(const nlohmann::json& model, const Vocab& vocab, bool byte_level);

  /// Appends the tokens of `piece`, none of them one of `never` (ascending) but the unknown one.
  void encode(std::string_view piece, const Vocab& vocab, std::span<const int> never,
              Memory& memory, std::vector<int>& ids) const {
    const bool known =
        never.empty() && piece.size() <= WordCache::kLongestWord && memory.cache.find(piece, ids);
    if (!known) encode_new(piece, vocab, never, memory, ids);
  }

 private:
  void encode_new(std::string_view piece, const Vocab& vocab, std::span<const int> never,
                  Memory& memory, std::vector<int>& ids) const;

  std::variant<Bpe, Unigram, WordPiece, WordLevel> kind_;
};

}  // namespace hearth::llm
