// Text of others, fit for a terminal.
#include "hearth/lab/show/text.h"

#include <gmock/gmock.h>

#include <chrono>
#include <sstream>

#include "tests/process.h"

namespace hearth::lab {
namespace {

size_t widest(const std::string& text) {
  size_t most = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) most = std::max(most, columns_of(line));
  return most;
}

std::string without(std::string text, const std::string& letters) {
  std::erase_if(text, [&](char c) { return letters.find(c) != letters.npos; });
  return text;
}

TEST(Folded, KeepsEveryWordAndNoLineIsWider) {
  EXPECT_EQ(folded("  a b c d\nx", 6), "  a b\n   c d\nx");
  EXPECT_EQ(folded("0123456789", 4), "0123\n  45\n  67\n  89");
  EXPECT_EQ(folded("", 4), "");
  EXPECT_EQ(folded("a\n\nb\n", 4), "a\n\nb\n");
  std::string wide(90, ' ');
  wide += "x";
  EXPECT_LE(widest(folded(wide, 20)), 20);
}

TEST(Folded, CountsColumnsAndCutsNoCharacter) {
  const std::string wide = "\u5927\u5927\u5927\u5927\u5927";  // two columns each
  EXPECT_EQ(folded(wide, 4), "\u5927\u5927\n  \u5927\n  \u5927\n  \u5927");
  const std::string combining = "e\u0301\u0302 f";
  EXPECT_EQ(folded(combining, 3), combining);
  const std::string text = "words of " + wide + " and caf\u00e9 " + combining + " \U0001F525";
  for (size_t width = 4; width < 40; ++width) {
    const std::string all = folded(text, width);
    EXPECT_LE(widest(all), width) << all;
    EXPECT_EQ(without(all, " \n"), without(text, " \n"));
    EXPECT_EQ(printable(all), all);  // no character is cut
  }
}

TEST(Folded, ALongLineTakesNoLongerThanItsLength) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "word ";
  const auto begin = std::chrono::steady_clock::now();
  const std::string all = folded(text, 80);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));  // not hours
  EXPECT_LE(widest(all), 80u);
  EXPECT_EQ(without(all, " \n"), without(text, " "));
}

// A shell puts it together again, whatever the width.
TEST(Folded, ACommandCanBePasted) {
  const std::string long_word(70, 'w');
  std::string quoted = "'";
  for (int i = 0; i < 40; ++i) quoted += i % 7 ? "a b" : "'\\''";
  quoted += "'";
  const std::string command =
      "printf <%s> --engines 'a b' " + long_word + " " + quoted + " '' 'it'\\''s' --pairs 12";
  const std::string plain = testing::run({"sh", "-c", "printf '<%s>'" + command.substr(11)}).out;
  EXPECT_THAT(plain, ::testing::HasSubstr("<it's><--pairs><12>"));
  for (size_t width = 20; width < 140; width += 3) {
    const std::string all = folded_command("printf '<%s>'" + command.substr(11), width);
    EXPECT_LE(widest(all), width) << all;
    EXPECT_EQ(testing::run({"sh", "-c", all}).out, plain) << all;
  }
  EXPECT_EQ(folded_command("a b", 80), "  a b");
}

TEST(Markdown, ShowsTheLettersAndObeysNone) {
  EXPECT_EQ(markdown_text("a|b\n*c* [d](e) <f> `g` h_i"),
            "a\\|b \\*c\\* \\[d\\](e) \\<f\\> \\`g\\` h\\_i");
  EXPECT_EQ(markdown_code("a | b\nc"), "`a \\| b c`");
  EXPECT_EQ(markdown_code("`a`"), "<code>&#96;a&#96;</code>");
  EXPECT_EQ(markdown_code("grep 'a\\|b'"), "<code>grep &#39;a&#92;&#124;b&#39;</code>");
}

TEST(Shortened, LeavesOutTheMiddle) {
  EXPECT_EQ(shortened("0123456789", 10), "0123456789");
  EXPECT_EQ(shortened("0123456789a", 10), "0123...89a");
  EXPECT_EQ(shortened("0123456789", 4), "0123");
  for (const std::string& label :
       {std::string("\u5927\u5927\u5927\u5927\u5927\u5927\u5927\u5927"),
        std::string("caf\u00e9 caf\u00e9 caf\u00e9 caf\u00e9"), std::string(50, 'x')})
    for (size_t columns = 0; columns < 20; ++columns) {
      EXPECT_LE(columns_of(shortened(label, columns)), columns);
      EXPECT_EQ(printable(shortened(label, columns)), shortened(label, columns));
    }
}

TEST(Printable, HasNothingThatATerminalObeys) {
  EXPECT_EQ(printable("a\x1b[2Jb\r\t\x7f\n"), "a [2Jb   \n");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            " 31m");  // C1's control sequence
  EXPECT_EQ(printable("a\u202eb\u2028c\u200fd\ufeff"), "a b c d ");
  EXPECT_EQ(printable("\xff\xc3(\xed\xa0\x80"), std::string(2, '?') + "(" + std::string(3, '?'));
  EXPECT_EQ(printable("\u00e9\u5927\U0001F525\u200d"), "\u00e9\u5927\U0001F525\u200d");
  EXPECT_EQ(one_line("a\nb"), "a b");
  EXPECT_EQ(padded("\u5927", 4), "\u5927  ");
  EXPECT_EQ(padded("abcde", 4), "abcde");
}

}  // namespace
}  // namespace hearth::lab
