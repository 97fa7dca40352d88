// UTF-8, judged as the Unicode standard recommends (and Python and Rust do): what is not valid
// becomes one U+FFFD for each maximal subpart.
#pragma once
#include <string>
#include <string_view>

namespace hearth::llm {

/// U+FFFD in UTF-8.
inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// One step through a text: a character, bytes that can never be one, or a character whose end is
/// missing because the text ends.
struct Utf8Step {
  enum class Kind { character, invalid, cut } kind;
  int length;     // bytes, at least 1
  char32_t code;  // of a character
};

/// The first step through `text`, which is not empty.
Utf8Step utf8_step(std::string_view text);

/// The last character of `text`, which is valid and not empty.
std::string_view last_character(std::string_view text);

/// Whether all of `text` is valid.
bool valid_utf8(std::string_view text);

/// `text` with U+FFFD for each part that is not valid.
std::string sanitize_utf8(std::string_view text);

/// The token that stands for `byte` where a model falls back to bytes: "<0x0A>".
std::string byte_token(unsigned char byte);

/// Appends the character `code` to `text`.
void append_utf8(std::string& text, char32_t code);

}  // namespace hearth::llm
