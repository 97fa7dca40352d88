// Reads a pattern written for Oniguruma: its characters, escapes and classes. What they are made
// into, and groups and quantifiers, is onig.cpp's.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/unicode_set.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {

class OnigReader {
 public:
  explicit OnigReader(std::string_view pattern) : pattern_(pattern) {}

 protected:
  static constexpr int kMaxDepth = 200;  // of groups and classes in each other

  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static bool is_octal(char c) { return c >= '0' && c <= '7'; }
  static bool is_letter(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

  /// A character as PCRE2 writes it outside a class.
  static std::string literal(char32_t code);

  [[noreturn]] void refuse(std::string_view what) const {
    throw std::runtime_error(
        concat("regular expression '", pattern_, "': ", what, " at byte ", at_ + 1));
  }
  [[noreturn]] void not_supported(std::string_view what) const {
    refuse(concat(what, " is not supported: PCRE2 means something else by it, or nothing;"));
  }

  bool at_end() const { return at_ == pattern_.size(); }
  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!next_is(text)) return false;
    at_ += text.size();
    return true;
  }
  char32_t take_character();

  /// For a literal that without regard to case equals a text of another length: "ss" and the sharp
  /// s. Oniguruma knows that, PCRE2 does not.
  [[noreturn]] void refuse_fold() const;

  /// An escape that is one character, in a class or not; nothing (and nothing taken) otherwise.
  std::optional<char32_t> escaped_character();
  /// The set of \w, \d, \s, \h, or of these letters in capitals; nothing where `c` is none.
  static std::optional<NamedSet> short_set(char c);
  /// Behind \p or \P: {name}, {^name}; true: all but these.
  std::pair<NamedSet, bool> property(bool negated);
  /// Behind the [ of a class, up to its end: the class as PCRE2 writes it.
  std::string bracket(bool caseless, int depth);

  std::string_view pattern_;
  size_t at_ = 0;

 private:
  /// A class, or one of its operands: the union of its members.
  struct Members {
    CodeSet plain;
    std::vector<std::pair<NamedSet, bool>> sets;  // true: all but these
    CodeSet all() const;
  };
  Members read_class(int depth, bool& negated, bool& simple);
  void member(Members& to, int depth, bool& simple);
  /// One character of a class into `code`; or a set, added to `to`: then false.
  bool class_character(Members& to, char32_t& code);
  /// [:name:], [:^name:]
  bool posix(Members& to);
  [[noreturn]] void refuse_byte() const {
    not_supported("a byte of a character (\\x80 and above; write \\x{80})");
  }
};

}  // namespace hearth::llm
