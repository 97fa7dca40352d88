// Added tokens: texts that are one token wherever they stand, found before anything else looks at
// the text. Special tokens like <|endoftext|> are among them.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hearth/llm/tokenizer/trie.h"

namespace hearth::llm {

/// An entry of "added_tokens", named as there.
struct AddedToken {
  int id;
  std::string content;
  bool single_word = false;  // not within a word
  bool lstrip = false;       // takes the white space before it with it
  bool rstrip = false;       // and that behind it
  bool normalized = true;    // looked for in the normalised text, else in the text as given
  bool special = false;
};

/// The parts of a text in which no special token is recognised, ascending: [begin, end).
class PlainRanges {
 public:
  void add(size_t begin, size_t end) {
    if (end > begin) ranges_.emplace_back(begin, end);
  }
  bool empty() const { return ranges_.empty(); }
  /// Whether any of [begin, end) is in one.
  bool touch(size_t begin, size_t end) const;
  /// Where, behind `at`, one begins or ends; `end` if that comes first.
  size_t next_edge(size_t at, size_t end) const;

 private:
  std::vector<std::pair<size_t, size_t>> ranges_;
};

/// Finds any of a set of texts: at each place the longest, from left to right.
class AddedTokens {
 public:
  struct Part {
    std::string_view text;
    int id;  // -1: no added token, but text to be encoded
  };

  explicit AddedTokens(std::vector<AddedToken> tokens);

  bool empty() const { return trie_.empty(); }
  bool any_special() const { return any_special_; }

  /// Appends the parts of `text` (valid UTF-8) in order, none empty. No special token is found that
  /// touches a part of `plain`.
  void split(std::string_view text, const PlainRanges& plain, std::vector<Part>& parts) const;

 private:
  std::vector<AddedToken> tokens_;
  Trie trie_;
  bool any_special_ = false;
};

}  // namespace hearth::llm
