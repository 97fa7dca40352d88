// GPT-2's alphabet of bytes: each byte is written as a printable character, so that any bytes are
// a text.
#pragma once
#include <string>
#include <string_view>

namespace hearth::llm {

/// The character that stands for `byte`.
char32_t alphabet_character(unsigned char byte);

/// Appends `bytes` written in the alphabet.
void append_in_alphabet(std::string_view bytes, std::string& text);

/// Appends to `bytes` what `text` stands for in the alphabet; text with any other character in it
/// stands for itself.
void append_bytes_of(std::string_view text, std::string& bytes);

}  // namespace hearth::llm
