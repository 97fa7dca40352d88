// The hand-written cut of plain ASCII against PCRE2, and PCRE2 against the expression's words.
#include "hearth/llm/tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

namespace hearth::llm {
namespace {

std::vector<std::string> pieces(const PreTokenizer& pre_tokenizer, std::string_view text) {
  static PreTokenizer::Memory memory;
  std::vector<std::string> out;
  pre_tokenizer.run(text, true, memory, [&](std::string_view piece) { out.emplace_back(piece); });
  return out;
}

// ByteLevel, which cuts ASCII by hand, and the same expression as PCRE2 alone has it.
const PreTokenizer& by_hand() {
  static const auto made = PreTokenizer::read({{"type", "ByteLevel"}, {"add_prefix_space", false}});
  return made;
}
const PreTokenizer& by_pcre2() {
  static const auto made =
      PreTokenizer::read({{"type", "Split"},
                          {"behavior", "Isolated"},
                          {"pattern", {{"Regex", std::string("(?:") + kGpt2Pattern + ")"}}}});
  return made;
}

TEST(PreTokenizer, CutsAllShortAsciiTextsAsPcre2Does) {
  // One character of each class and each letter of a contraction: all texts of up to 5.
  const std::string alphabet = "' \n7.asrevl";
  std::string text;
  int texts = 0;
  const std::function<void(int)> longer = [&](int left) {
    ASSERT_EQ(pieces(by_hand(), text), pieces(by_pcre2(), text)) << text;
    ++texts;
    if (left == 0) return;
    for (const char c : alphabet) {
      text += c;
      longer(left - 1);
      text.pop_back();
    }
  };
  longer(5);
  EXPECT_GT(texts, 170'000);
}

TEST(PreTokenizer, CutsEveryAsciiCharacterAsPcre2Does) {
  for (int a = 0; a < 128; ++a)
    for (int b = 0; b < 128; ++b)
      for (const char* frame : {"%c%c", " %c%cx", "a%c %c", "9%c\t%c ", "'%c%c"}) {
        char text[16];
        const int size = std::snprintf(text, sizeof text, frame, a ? a : 1, b ? b : 1);
        const std::string_view all(text, size);
        ASSERT_EQ(pieces(by_hand(), all), pieces(by_pcre2(), all)) << a << ' ' << b << ' ' << frame;
      }
}

TEST(PreTokenizer, CutsMixedTextAsPcre2Does) {
  const std::vector<std::string> parts = {
      " ", "  ",     "\n",     "'",      "'s",         "'re",    "a",      "Z",
      "5", "-",      "\t",     "\u00e9", "\u00a0",     "\u4e16", "\u0663", "\u2003",
      "z", "\u0085", "\u180e", "\u200b", "\U0001F600", "\u0301", "\u00bd"};
  std::mt19937 random(5);
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (int n = random() % 16; n > 0; --n) text += parts[random() % parts.size()];
    ASSERT_EQ(pieces(by_hand(), text), pieces(by_pcre2(), text)) << text;
  }
}

TEST(PreTokenizer, KnowsUnicodesWhiteSpace) {
  // U+180E is no white space since Unicode 6.3; PCRE2's own \s has it.
  EXPECT_EQ(pieces(by_hand(), "a\u180e b"), (std::vector<std::string>{"a", "\u180e", " b"}));
  EXPECT_EQ(pieces(by_hand(), "a\u0085b"), (std::vector<std::string>{"a", "\u0085", "b"}));
  EXPECT_EQ(pieces(by_hand(), "a\u3000\u3000b"),
            (std::vector<std::string>{"a", "\u3000", "\u3000", "b"}));
}

TEST(PreTokenizer, TakesAPieceOfMegabytes) {
  std::string text;
  for (int i = 0; i < 3'000'000; ++i) text += "\u00e9";
  EXPECT_TRUE(pieces(by_hand(), text) == std::vector{text});
  const std::string spaces(3'000'000, ' ');
  EXPECT_TRUE(pieces(by_pcre2(), spaces) == std::vector{spaces});
}

TEST(PreTokenizer, WithoutStepsGivesTheTextWhole) {
  EXPECT_EQ(pieces(PreTokenizer::read(nullptr), "a b"), std::vector<std::string>{"a b"});
  EXPECT_EQ(pieces(PreTokenizer::read(nullptr), ""), std::vector<std::string>{});
}

}  // namespace
}  // namespace hearth::llm
