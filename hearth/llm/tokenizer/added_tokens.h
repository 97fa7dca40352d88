// Added tokens: texts that are one token wherever they stand, found before anything else looks at
// the text. Special tokens like <|endoftext|> are among them.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/llm/tokenizer/regex.h"

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

/// Finds any of a set of texts: at each place the longest, from left to right.
class AddedTokens {
 public:
  struct Part {
    std::string_view text;
    int id;  // -1: no added token, but text to be encoded
  };

  explicit AddedTokens(std::vector<AddedToken> tokens);

  /// Appends the parts of `text` (valid UTF-8) in order, none empty.
  void split(std::string_view text, Regex::Memory& memory, std::vector<Part>& parts) const;

 private:
  struct Node {  // of a trie: first child and next sibling, so that memory stays in proportion
    char byte;
    int token, child, sibling;  // -1 for none
  };
  struct Found {
    size_t end;
    int token;
  };
  std::optional<Found> longest_at(std::string_view text, size_t at) const;
  bool word_at(std::string_view character, Regex::Memory& memory) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  int roots_[256];
  std::optional<Regex> word_;  // a character of a word; only if a token is single_word
};

}  // namespace hearth::llm
