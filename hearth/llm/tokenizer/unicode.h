// What the steps of a tokenizer ask of characters, by libutf8proc's tables (Unicode 15), corrected
// where Hugging Face's are of another age.
#pragma once
#include <string>
#include <string_view>

namespace hearth::llm {

bool is_space(char32_t c);        // White_Space
bool is_number(char32_t c);       // Nd, Nl, No
bool is_punctuation(char32_t c);  // P, and the symbols of ASCII
bool is_mark(char32_t c);         // M
bool is_nonspacing_mark(char32_t c);
bool is_other(char32_t c);  // Cc, Cf, Co
bool is_word(char32_t c);   // \w: Alphabetic, M, Nd, Pc, the two joiners

/// Appends `c` in small letters, which are two characters for U+0130.
void append_lowercase(std::string& text, char32_t c);

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// Appends `text` (valid UTF-8) in a normal form. Takes time in proportion to the length, whatever
/// the order of the marks.
void append_normalized(std::string& out, std::string_view text, NormalForm form);

/// The length in bytes of the first grapheme cluster of `text`, which is valid and not empty.
size_t grapheme_length(std::string_view text);

}  // namespace hearth::llm
