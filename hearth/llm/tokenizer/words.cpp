#include "hearth/llm/tokenizer/words.h"

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/json.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

size_t characters(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (c & 0xC0) != 0x80;
  return count;
}

void append_unknown(int unknown, std::string_view name, std::string_view word,
                    std::vector<int>& ids) {
  ensure(unknown >= 0, "tokenizer: the text has '", word.substr(0, 100),
         "', which is no token, and the unk_token '", name, "' is not in the vocabulary");
  ids.push_back(unknown);
}

}  // namespace

WordPiece WordPiece::read(const nlohmann::json& model, const Vocab& vocab) {
  const char* const where = "model WordPiece";
  WordPiece result;
  const auto text = [&](const char* key, const char* absent) {
    const auto& value = member(model, key, where);
    return value.is_null() ? absent : string_of(value, concat(where, ": ", key));
  };
  result.unknown_text_ = text("unk_token", "[UNK]");
  result.unknown_ = vocab.model_id(result.unknown_text_);
  const auto& most = member(model, "max_input_chars_per_word", where);
  if (!most.is_null())
    result.most_characters_ = size_t(id_of(most, "model WordPiece: max_input_chars_per_word"));
  const std::string prefix = text("continuing_subword_prefix", "##");
  std::vector<std::pair<std::string_view, int>> first, next;
  for (const Token& token : vocab.tokens()) {
    if (!token.in_model) continue;
    const std::string_view all = token.text;
    first.emplace_back(all, token.id);
    if (all.starts_with(prefix)) next.emplace_back(all.substr(prefix.size()), token.id);
  }
  result.first_ = Trie(std::move(first));
  result.next_ = Trie(std::move(next));
  return result;
}

void WordPiece::encode(std::string_view piece, const Vocab&, Memory&, std::vector<int>& ids) const {
  const size_t before = ids.size();
  const auto unknown = [&] {
    ids.resize(before);
    append_unknown(unknown_, unknown_text_, piece, ids);
  };
  if (characters(piece) > most_characters_) return unknown();
  for (std::string_view rest = piece; !rest.empty();) {
    const auto found = (rest.size() == piece.size() ? first_ : next_).longest(rest);
    if (!found) return unknown();
    ids.push_back(found->value);
    rest.remove_prefix(found->length);
  }
}

WordLevel WordLevel::read(const nlohmann::json& model, const Vocab& vocab) {
  WordLevel result;
  const auto& unknown = member(model, "unk_token", "model WordLevel");
  result.unknown_text_ =
      unknown.is_null() ? "<unk>" : string_of(unknown, "model WordLevel: unk_token");
  result.unknown_ = vocab.model_id(result.unknown_text_);
  return result;
}

void WordLevel::encode(std::string_view piece, const Vocab& vocab, Memory&,
                       std::vector<int>& ids) const {
  const int id = vocab.model_id(piece);
  id >= 0 ? ids.push_back(id) : append_unknown(unknown_, unknown_text_, piece, ids);
}

}  // namespace hearth::llm
