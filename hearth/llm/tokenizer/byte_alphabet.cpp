#include "hearth/llm/tokenizer/byte_alphabet.h"

#include <array>

#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

// Printable Latin-1 stands for itself, the other bytes follow from U+0100 on, in order.
constexpr std::array<char32_t, 256> kAlphabet = [] {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    alphabet[b] = printable ? b : next++;
  }
  return alphabet;
}();

constexpr std::array<short, 0x144> kByteOf = [] {
  std::array<short, 0x144> bytes{};
  bytes.fill(-1);
  for (int b = 0; b < 256; ++b) bytes[kAlphabet[b]] = b;
  return bytes;
}();

}  // namespace

char32_t alphabet_character(unsigned char byte) { return kAlphabet[byte]; }

void append_in_alphabet(std::string_view bytes, std::string& text) {
  for (const char c : bytes) append_utf8(text, kAlphabet[static_cast<unsigned char>(c)]);
}

void append_bytes_of(std::string_view text, std::string& bytes) {
  const size_t before = bytes.size();
  for (size_t at = 0; at < text.size();) {
    if (text[at] > ' ' && text[at] < 0x7F) {
      bytes += text[at++];
      continue;
    }
    const Utf8Step step = utf8_step(text.substr(at));
    const int byte = step.code < kByteOf.size() ? kByteOf[step.code] : -1;
    if (byte < 0) {
      bytes.resize(before);
      bytes += text;
      return;
    }
    bytes += static_cast<char>(byte);
    at += size_t(step.length);
  }
}

}  // namespace hearth::llm
