// Parameters and their values, and how a command line is split into words.
#include "hearth/lab/run/command_line.h"

#include <gmock/gmock.h>

#include "hearth/lab/run/execution.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

TEST(CommandLine, ListsHaveCommasAndBackslashes) {
  EXPECT_THAT(parameter_list("x", "a,b c,").values, ElementsAre("a", "b c", ""));
  EXPECT_THAT(parameter_list("x", R"(a\,b,c\\,\d)").values, ElementsAre("a,b", "c\\", "\\d"));
  EXPECT_THAT(parameter_list("x", "").values, ElementsAre(""));
  for (const char* name : {"", "a b", "{x}", "x\n"})
    EXPECT_THAT(error_of<std::invalid_argument>([&] { parameter_list(name, "1"); }),
                HasSubstr("wanted a name without blanks and braces"));
}

// Sums of 0.1 in binary would end at 0.7999999.
TEST(CommandLine, ScansAreExactDecimals) {
  EXPECT_THAT(parameter_scan("x", "1", "4").values, ElementsAre("1", "2", "3", "4"));
  EXPECT_THAT(parameter_scan("x", "0.3", "0.9", "0.2").values,
              ElementsAre("0.3", "0.5", "0.7", "0.9"));
  EXPECT_THAT(parameter_scan("x", "0", "1", "0.25").values,
              ElementsAre("0.00", "0.25", "0.50", "0.75", "1.00"));
  EXPECT_THAT(parameter_scan("x", "-1.5", "1", "1.0").values, ElementsAre("-1.5", "-0.5", "0.5"));
  EXPECT_THAT(parameter_scan("x", "1", "2.5").values, ElementsAre("1", "2"));
  EXPECT_THAT(parameter_scan("x", "5", "5").values, ElementsAre("5"));
  EXPECT_THAT(
      parameter_scan("x", "-1000000000000000000", "1000000000000000000", "1000000000000000000")
          .values,
      ElementsAre("-1000000000000000000", "0", "1000000000000000000"));
}

TEST(CommandLine, WhatIsNoRangeIsSaid) {
  const std::tuple<const char*, const char*, const char*, const char*> cases[] = {
      {"2", "1", "1", "the range from 2 to 1 is empty"},
      {"1", "2", "0", "the step is 0, wanted more than 0"},
      {"1", "2", "-1", "the step is -1"},
      {"a", "2", "1", "'a', wanted a decimal number"},
      {"1", "", "1", "'', wanted a decimal number"},
      {"1", "1e3", "1", "'1e3', wanted a decimal number"},
      {"1", "2", "0.0000000001", "at most 9 digits after the point"},
      {"0", "1000000000000000000", "0.001", "a number is too large"},
      {"0", "9223372036854775807", "1", "wanted a decimal number"},
      {"-1000000000000000000", "1000000000000000000", "1", "more than 10000 values"},
      {"0", "10000", "1", "more than 10000 values"}};
  for (const auto& [first, last, step, says] : cases)
    EXPECT_THAT(error_of<std::invalid_argument>(
                    [&, f = first, l = last, s = step] { parameter_scan("x", f, l, s); }),
                HasSubstr(says));
}

TEST(CommandLine, EveryCombinationTakesItsPlaceInEveryText) {
  Command one;
  one.text = "cc -O{level} {file} -o {nothing} {";
  one.prepare = "rm {file}";
  one.name = "O{level}";
  Command two;
  two.text = "true";
  const auto all = expand({one, two}, {{"level", {"0", "3"}}, {"file", {"a.c", "{level}"}}});
  ASSERT_EQ(all.size(), 8);
  EXPECT_EQ(all[0].text, "cc -O0 a.c -o {nothing} {");
  EXPECT_EQ(all[1].text, "true");
  EXPECT_EQ(all[2].name, "O3");  // the first parameter first
  EXPECT_EQ(all[2].prepare, "rm a.c");
  EXPECT_EQ(all[4].text, "cc -O0 {level} -o {nothing} {");  // a value is no text to put values in
  EXPECT_EQ(all[6].parameters.at("level"), "3");
  EXPECT_EQ(expand({one}, {})[0].text, one.text);
  EXPECT_THAT(error_of<std::invalid_argument>([&] {
                expand({one}, {{"x", {"1"}}, {"x", {"2"}}});
              }),
              HasSubstr("the parameter x stands twice"));
  const std::vector<std::string> many(100, "1");
  EXPECT_THAT(error_of<std::invalid_argument>([&] {
                expand({one}, {{"x", many}, {"y", many}, {"z", many}, {"u", many}});
              }),
              HasSubstr("more than 1000 commands"));
}

TEST(CommandLine, WordsAreSplitAsAShellDoes) {
  EXPECT_THAT(split_words(R"( grep -R "a \"b\" \n" 'c "d" \' e\ f""g )"),
              ElementsAre("grep", "-R", "a \"b\" \\n", "c \"d\" \\", "e fg"));
  EXPECT_THAT(split_words("'' x"), ElementsAre("", "x"));
  EXPECT_THAT(split_words(" \t\n"), ElementsAre());
  for (const char* open : {"a 'b", "a \"b", "\"a\\", "a\\"})
    EXPECT_THROW(split_words(open), std::invalid_argument) << open;
}

}  // namespace
}  // namespace hearth::lab
