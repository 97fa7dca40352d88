// Text of which every byte knows whether it came from the input (messages, tools) or from the
// template: what came from the input must never become a special token. The mark survives every
// operation, since all of them are made of append() and slice().
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::llm::jinja {

class Text {
 public:
  Text() = default;
  explicit Text(std::string bytes, bool from_input = false);

  const std::string& str() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  void append(std::string_view bytes, bool from_input = false);
  void append(const Text& other) { append(other, 0, other.size()); }
  /// Bytes begin to end of another.
  void append(const Text& other, size_t begin, size_t end);
  /// Bytes begin to end.
  Text slice(size_t begin, size_t end) const;
  bool from_input(size_t at) const;
  bool operator==(const Text& other) const { return bytes_ == other.bytes_; }

  struct Piece {
    std::string_view text;
    bool from_input;
  };
  /// Neighbours differ in their mark; views of this text.
  std::vector<Piece> pieces() const;

 private:
  std::string bytes_;              // valid UTF-8
  std::vector<uint32_t> changes_;  // where the mark changes; the first piece is the template's
};

/// The character at `at`, which moves behind it. The text is valid UTF-8.
char32_t next_character(std::string_view text, size_t& at);
/// Characters of valid UTF-8.
size_t length(std::string_view text);
/// The byte where character `index` begins; the text's size if there are fewer.
size_t byte_of(std::string_view text, size_t index);

// Classes of characters, as Python's str has them.
bool is_space(char32_t c);
bool is_letter(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_title(char32_t c);
bool is_printable(char32_t c);
bool is_line_break(char32_t c);

// Case, as Python's str has it; one character may become several.
Text upper(const Text& text);
Text lower(const Text& text);
Text casefold(const Text& text);
Text swapcase(const Text& text);
Text title(const Text& text);
Text capitalize(const Text& text);

/// Without the characters of `these` (nullptr: white space) at the ends.
Text strip(const Text& text, const std::string* these, bool left, bool right);
/// str.split: at white space where `by` is nullptr, at most `most` times (below 0: no limit).
std::vector<Text> split(const Text& text, const std::string* by, int64_t most);
std::vector<Text> rsplit(const Text& text, const std::string* by, int64_t most);
std::vector<Text> split_lines(const Text& text, bool keep_ends);

}  // namespace hearth::llm::jinja
