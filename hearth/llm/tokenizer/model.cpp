#include "hearth/llm/tokenizer/model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/json.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

using nlohmann::json;

template <class Kind>
void encode_word(const Kind& kind, std::string_view word, const Vocab& vocab, Model::Memory& memory,
                 std::vector<int>& ids) {
  const bool cached = word.size() <= WordCache::kLongestWord;
  if (cached && memory.cache.find(word, ids)) return;
  const size_t before = ids.size();
  kind.encode(word, vocab, std::get<typename Kind::Memory>(memory.kinds), ids);
  if (cached) memory.cache.remember(word, ids.data() + before, ids.size() - before);
}

// A word that is, or holds, one of the tokens that it may not be is encoded in halves.
template <class Kind>
void encode_guarded(const Kind& kind, std::string_view word, const Vocab& vocab,
                    std::span<const int> never, Model::Memory& memory, std::vector<int>& ids) {
  const size_t before = ids.size();
  encode_word(kind, word, vocab, memory, ids);
  const auto forbidden = [&](int id) {
    return id != kind.unknown() && std::binary_search(never.begin(), never.end(), id);
  };
  if (std::none_of(ids.begin() + std::ptrdiff_t(before), ids.end(), forbidden)) return;
  ids.resize(before);
  size_t middle = word.size() / 2;
  while (middle > 0 && (word[middle] & 0xC0) == 0x80) --middle;
  if (middle == 0) middle = size_t(utf8_step(word).length);
  if (middle >= word.size()) {  // one character that is itself such a token
    if (kind.unknown() >= 0) ids.push_back(kind.unknown());
    return;
  }
  encode_guarded(kind, word.substr(0, middle), vocab, never, memory, ids);
  encode_guarded(kind, word.substr(middle), vocab, never, memory, ids);
}

}  // namespace

std::string Model::kind_of(const json& model) {
  const auto& type = member(model, "type", "model");
  const auto has = [&](const char* key) { return !member(model, key, "model").is_null(); };
  const std::string name = !type.is_null() ? string_of(type, "model: type")
                           : has("merges") ? "BPE"
                           : member(model, "vocab", "model").is_array() ? "Unigram"
                           : has("max_input_chars_per_word")            ? "WordPiece"
                           : has("unk_token")                           ? "WordLevel"
                                                                        : "BPE";
  ensure(name == "BPE" || name == "Unigram" || name == "WordPiece" || name == "WordLevel",
         "model: type '", name, "' is not one of BPE, Unigram, WordLevel, WordPiece");
  return name;
}

std::vector<Token> Model::tokens_of(const json& model) {
  std::vector<Token> tokens;
  if (kind_of(model) == "Unigram") {
    for (const auto& entry : array_member(model, "vocab", "model")) {
      ensure(entry.is_array() && !entry.empty(), "model Unigram: entry ", tokens.size(),
             " of vocab is not a token and its score");
      tokens.push_back({static_cast<int>(tokens.size()), string_of(entry[0], "model: vocab")});
    }
    return tokens;
  }
  const auto& entries = object_member(model, "vocab", "model");
  tokens.reserve(entries.size());
  for (const auto& [text, id] : entries.items())
    tokens.push_back({id_of(id, "model: vocab"), text});
  return tokens;
}

Model Model::read(const json& model, const Vocab& vocab, bool byte_level) {
  const std::string kind = kind_of(model);
  if (kind == "Unigram") return Model(Unigram::read(model, vocab));
  if (kind == "WordPiece") return Model(WordPiece::read(model, vocab));
  if (kind == "WordLevel") return Model(WordLevel::read(model, vocab));
  return Model(Bpe::read(model, vocab, byte_level));
}

void Model::encode_new(std::string_view piece, const Vocab& vocab, std::span<const int> never,
                       Memory& memory, std::vector<int>& ids) const {
  std::visit(
      [&](const auto& kind) {
        while (!piece.empty()) {
          const std::string_view word = piece.substr(0, kind.part_end(piece, vocab));
          piece.remove_prefix(word.size());
          if (never.empty())
            encode_word(kind, word, vocab, memory, ids);
          else
            encode_guarded(kind, word, vocab, never, memory, ids);
        }
      },
      kind_);
}

}  // namespace hearth::llm
