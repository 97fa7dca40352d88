#include "hearth/llm/tokenizer/added_tokens.h"

#include <algorithm>

#include "hearth/llm/tokenizer/unicode.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

size_t spaces_before(std::string_view text, size_t at, size_t least) {
  while (at > least) {
    const std::string_view last = last_character(text.substr(0, at));
    if (!is_space(utf8_step(last).code)) break;
    at -= last.size();
  }
  return at;
}

size_t spaces_behind(std::string_view text, size_t at) {
  while (at < text.size()) {
    const Utf8Step step = utf8_step(text.substr(at));
    if (!is_space(step.code)) break;
    at += step.length;
  }
  return at;
}

Trie trie_of(const std::vector<AddedToken>& tokens) {
  std::vector<std::pair<std::string_view, int>> texts;
  for (size_t t = 0; t < tokens.size(); ++t)
    texts.emplace_back(tokens[t].content, static_cast<int>(t));
  return Trie(std::move(texts));
}

}  // namespace

bool PlainRanges::touch(size_t begin, size_t end) const {
  // The first that ends behind `begin`.
  const auto found = std::partition_point(ranges_.begin(), ranges_.end(),
                                          [&](const auto& range) { return range.second <= begin; });
  return found != ranges_.end() && found->first < end;
}

size_t PlainRanges::next_edge(size_t at, size_t end) const {
  const auto found = std::partition_point(ranges_.begin(), ranges_.end(),
                                          [&](const auto& range) { return range.second <= at; });
  if (found == ranges_.end()) return end;
  return std::min(end, found->first > at ? found->first : found->second);
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens)
    : tokens_(std::move(tokens)), trie_(trie_of(tokens_)) {
  for (const AddedToken& token : tokens_) any_special_ |= token.special;
}

void AddedTokens::split(std::string_view text, const PlainRanges& plain,
                        std::vector<Part>& parts) const {
  size_t done = 0, spaces_until = 0;
  const auto text_until = [&](size_t end) {
    if (end > done) parts.push_back({text.substr(done, end - done), -1});
  };
  const auto allowed = [&](size_t begin, size_t end, int token) {
    return plain.empty() || !tokens_[token].special || !plain.touch(begin, end);
  };
  for (size_t at = 0; at < text.size() && !trie_.empty();) {
    if (!trie_.begins(text[at])) {
      ++at;
      continue;
    }
    int found = -1;
    size_t found_end = at;
    int node = Trie::kRoot;
    for (size_t i = at; i < text.size(); ++i) {
      node = trie_.step(node, text[i]);
      if (node < 0) break;
      const int token = trie_.value(node);
      if (token >= 0 && allowed(at, i + 1, token)) found = token, found_end = i + 1;
    }
    if (found < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[found];
    size_t begin = at, end = found_end;
    at = found_end;  // whatever becomes of it, the next one starts behind it
    if (token.single_word) {
      const bool joins_left =
          begin > 0 && is_word(utf8_step(last_character(text.substr(0, begin))).code);
      const bool joins_right = end < text.size() && is_word(utf8_step(text.substr(end)).code);
      if (joins_left || joins_right) continue;
    }
    if (token.lstrip) begin = begin > done ? spaces_before(text, begin, done) : done;
    if (token.rstrip) {  // a run of spaces is gone through once, though each may be a token
      if (end >= spaces_until) spaces_until = spaces_behind(text, end);
      end = spaces_until;
    }
    text_until(begin);
    // One whose spaces went with the token before it, as a space's may, is not there.
    if (end > begin) parts.push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  text_until(text.size());
}

}  // namespace hearth::llm
