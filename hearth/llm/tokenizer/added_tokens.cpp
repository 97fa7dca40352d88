#include "hearth/llm/tokenizer/added_tokens.h"

#include <algorithm>

#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

// Unicode's White_Space.
bool is_space(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// The last character of `text`, which is not empty.
std::string_view last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (text[at] & 0xC0) == 0x80) --at;
  return text.substr(at);
}

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

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::fill(std::begin(roots_), std::end(roots_), -1);
  for (size_t t = 0; t < tokens_.size(); ++t) {
    int at = -1;
    for (const char byte : tokens_[t].content) {
      const int first = at < 0 ? roots_[static_cast<unsigned char>(byte)] : nodes_[at].child;
      int next = first;
      while (next >= 0 && nodes_[next].byte != byte) next = nodes_[next].sibling;
      if (next < 0) {
        next = static_cast<int>(nodes_.size());
        nodes_.push_back({byte, -1, -1, first});
        (at < 0 ? roots_[static_cast<unsigned char>(byte)] : nodes_[at].child) = next;
      }
      at = next;
    }
    if (at >= 0) nodes_[at].token = static_cast<int>(t);
    if (tokens_[t].single_word && !word_)
      word_.emplace(R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}])");
  }
}

std::optional<AddedTokens::Found> AddedTokens::longest_at(std::string_view text, size_t at) const {
  std::optional<Found> longest;
  for (int node = roots_[static_cast<unsigned char>(text[at])]; node >= 0;) {
    ++at;
    if (nodes_[node].token >= 0) longest = Found{at, nodes_[node].token};
    if (at == text.size()) break;
    node = nodes_[node].child;
    while (node >= 0 && nodes_[node].byte != text[at]) node = nodes_[node].sibling;
  }
  return longest;
}

bool AddedTokens::word_at(std::string_view character, Regex::Memory& memory) const {
  return word_->find(character, 0, memory).has_value();
}

void AddedTokens::split(std::string_view text, Regex::Memory& memory,
                        std::vector<Part>& parts) const {
  size_t done = 0, spaces_until = 0;
  const auto text_until = [&](size_t end) {
    if (end > done) parts.push_back({text.substr(done, end - done), -1});
  };
  for (size_t at = 0; at < text.size() && !nodes_.empty();) {
    if (roots_[static_cast<unsigned char>(text[at])] < 0) {
      ++at;
      continue;
    }
    const auto found = longest_at(text, at);
    if (!found) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[found->token];
    size_t begin = at, end = found->end;
    at = found->end;  // whatever becomes of it, the next one starts behind it
    if (token.single_word) {
      const bool joins_left = begin > 0 && word_at(last_character(text.substr(0, begin)), memory);
      const bool joins_right =
          end < text.size() &&
          word_at(text.substr(end, utf8_step(text.substr(end)).length), memory);
      if (joins_left || joins_right) continue;
    }
    if (token.lstrip) begin = begin > done ? spaces_before(text, begin, done) : done;
    if (token.rstrip) {  // a run of spaces is gone through once, though each may be a token
      if (end >= spaces_until) spaces_until = spaces_behind(text, end);
      end = spaces_until;
    }
    text_until(begin);
    parts.push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  text_until(text.size());
}

}  // namespace hearth::llm
