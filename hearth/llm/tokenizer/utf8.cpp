#include "hearth/llm/tokenizer/utf8.h"

#include <cstdint>
#include <cstring>

namespace hearth::llm {

Utf8Step utf8_step(std::string_view text) {
  using Kind = Utf8Step::Kind;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return {Kind::character, 1, first};
  const int length = first >= 0xC2 && first <= 0xDF   ? 2
                     : first >= 0xE0 && first <= 0xEF ? 3
                     : first >= 0xF0 && first <= 0xF4 ? 4
                                                      : 0;
  if (length == 0) return {Kind::invalid, 1, 0};
  // The second byte's range excludes overlong forms, surrogates and what lies above U+10FFFF.
  const unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  char32_t code = first & (0x7F >> length);
  for (int i = 1; i < length; ++i) {
    if (static_cast<size_t>(i) == text.size()) return {Kind::cut, i, 0};
    const unsigned next = byte(i);
    if (next < (i == 1 ? low : 0x80) || next > (i == 1 ? high : 0xBF)) return {Kind::invalid, i, 0};
    code = (code << 6) | (next & 0x3F);
  }
  return {Kind::character, length, code};
}

std::string_view last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (text[at] & 0xC0) == 0x80) --at;
  return text.substr(at);
}

bool valid_utf8(std::string_view text) {
  while (!text.empty()) {
    if (text.size() >= 8) {
      uint64_t eight;
      std::memcpy(&eight, text.data(), 8);
      if ((eight & 0x8080808080808080u) == 0) {
        text.remove_prefix(8);
        continue;
      }
    }
    const Utf8Step step = utf8_step(text);
    if (step.kind != Utf8Step::Kind::character) return false;
    text.remove_prefix(step.length);
  }
  return true;
}

std::string sanitize_utf8(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    clean += step.kind == Utf8Step::Kind::character ? text.substr(0, step.length) : kReplacement;
    text.remove_prefix(step.length);
  }
  return clean;
}

std::string byte_token(unsigned char byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
}

void append_utf8(std::string& text, char32_t code) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | (code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | (code >> 12));
    tail(6), tail(0);
  } else {
    text += static_cast<char>(0xF0 | (code >> 18));
    tail(12), tail(6), tail(0);
  }
}

}  // namespace hearth::llm
