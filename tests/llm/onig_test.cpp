// Regular expressions as Hugging Face's tokenizers understand them, that is Oniguruma
// (tools/goldens_regex.py): the same matches, or an error, never others.
#include "hearth/llm/tokenizer/onig.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>

#include "hearth/llm/tokenizer/pre_tokenizer.h"
#include "hearth/llm/tokenizer/unicode_set.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using nlohmann::json;
using testing::error_of;
using ::testing::HasSubstr;

json golden(const char* name) {
  return json::parse(testing::content_of(testing::source_path(name)));
}

using Texts = std::vector<std::string>;

PreTokenizer splitter(const std::string& pattern, const char* behavior, bool invert) {
  return PreTokenizer::read({{"type", "Split"},
                             {"behavior", behavior},
                             {"invert", invert},
                             {"pattern", {{"Regex", pattern}}}});
}
Texts pieces(const PreTokenizer& pre_tokenizer, const std::string& text) {
  PreTokenizer::Memory memory;
  Texts out;
  pre_tokenizer.run(text, true, memory, [&](std::string_view piece) { out.emplace_back(piece); });
  return out;
}

TEST(Onig, MatchesWhatOnigurumaMatches) {
  const json file = golden("tests/data/regex_onig.json");
  const auto texts = file["texts"].get<Texts>();
  ASSERT_GT(file["cases"].size(), 180u);
  ASSERT_EQ(texts.size(), 5u);
  for (const json& one : file["cases"]) {
    const auto pattern = one["pattern"].get<std::string>();
    SCOPED_TRACE(pattern);
    std::optional<PreTokenizer> all, matches;
    ASSERT_NO_THROW(all = splitter(pattern, "Isolated", false)) << pattern;
    matches = splitter(pattern, "Removed", true);
    ASSERT_EQ(one["pieces"].size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(pieces(*all, texts[i]), one["pieces"][i].get<Texts>()) << i;
      EXPECT_EQ(pieces(*matches, texts[i]), one["matches"][i].get<Texts>()) << i;
    }
  }
}

TEST(Onig, RefusesByNameWhatPcre2CannotMean) {
  const json file = golden("tests/data/regex_onig.json");
  ASSERT_GT(file["unsupported"].size(), 20u);
  for (const auto& pattern : file["unsupported"].get<Texts>())
    EXPECT_THAT(error_of([&] { Regex{pattern}; }), HasSubstr("regular expression '" + pattern))
        << pattern;
  EXPECT_THAT(error_of([] { translate_onig("a(?~b)"); }),
              HasSubstr("'a(?~b)': an absent group (?~...) is not supported"));
}

TEST(Onig, RefusesWhatOnigurumaRefuses) {
  const json file = golden("tests/data/regex_onig.json");
  ASSERT_GT(file["refused"].size(), 25u);
  for (const auto& pattern : file["refused"].get<Texts>())
    EXPECT_THAT(error_of([&] { Regex{pattern}; }), HasSubstr("regular expression '" + pattern))
        << pattern;
}

TEST(Onig, TakesPatternsOfAnyDepthAndAnyBytes) {
  for (const char* nest : {"(", "[", "(?i)", "(?:", "[^", "a{2}", "(?=", "\\", "[a&&"}) {
    std::string pattern;
    for (int i = 0; i < 20'000; ++i) pattern += nest;
    try {
      translate_onig(pattern);
    } catch (const std::runtime_error&) {
    }
  }
  EXPECT_THAT(error_of([] { translate_onig("a\xff"); }), HasSubstr("not UTF-8"));
}

CodeSet set_of(const std::string& ranges) {
  CodeSet set;
  std::istringstream in(ranges);
  for (std::string word; in >> word;) {
    const size_t dash = word.find('-');
    const auto first = char32_t(std::stoul(word, nullptr, 16));
    set.push_back({first, dash == word.npos
                              ? first
                              : char32_t(std::stoul(word.substr(dash + 1), nullptr, 16))});
  }
  return set;
}
size_t size_of(const CodeSet& set) {
  size_t n = 0;
  for (const auto& [first, last] : set) n += last - first + 1;
  return n;
}

/// How many characters, younger than PCRE2's tables, hearth misses in a set: utf8proc has their
/// category, but neither script nor properties. One character has become a spacing mark since.
size_t unknown(const std::string& name) {
  static const std::map<std::string, size_t> counts = {
      {"[:alnum:]", 54},      {"[:alpha:]", 54},    {"\\p{Alphabetic}", 54}, {"[:lower:]", 67},
      {"\\p{Lowercase}", 67}, {"\\p{Arabic}", 3},   {"\\p{Common}", 80},     {"\\p{Cyrillic}", 63},
      {"\\p{Emoji}", 20},     {"\\p{Hiragana}", 1}, {"\\p{Katakana}", 1},    {"\\p{Latin}", 6},
      {"\\p{Mc}", 1}};
  const auto found = counts.find(name);
  return found == counts.end() ? 0 : found->second;
}

// Oniguruma's tables are those of Unicode 16. Those of Debian 12's PCRE2 are of 14, which is why
// utf8proc's, of 15, are added: what neither knows is unassigned for hearth.
TEST(Onig, ClassesHaveTheCharactersThatOnigurumasHave) {
  const json file = golden("tests/data/regex_sets.json");
  ASSERT_GT(file.size(), 50u);
  const CodeSet known = property_set("Assigned")->all();
  EXPECT_GT(size_of(known), 286'000u);  // Unicode 15: 149,186 and those of private use
  const CodeSet surrogates = {{0xD800, 0xDFFF}};
  for (const auto& [name, ranges] : file.items()) {
    std::optional<NamedSet> named;
    if (name[0] == '[')
      named = posix_set(name.substr(2, name.size() - 4));
    else if (name.size() == 2)
      named = property_set(name == "\\w"   ? "word"
                           : name == "\\d" ? "digit"
                           : name == "\\s" ? "space"
                                           : "xdigit");
    else
      named = property_set(name.substr(3, name.size() - 4));
    ASSERT_TRUE(named.has_value()) << name;
    const CodeSet wanted = intersection(set_of(ranges.get<std::string>()), known);
    const CodeSet got = intersection(intersection(united(named->all(), named->alone), known),
                                     complement(surrogates));
    const CodeSet missing = intersection(wanted, complement(got));
    EXPECT_LE(size_of(missing), unknown(name)) << name << " lacks " << class_of(missing);
    EXPECT_EQ(class_of(intersection(got, complement(wanted))),
              name == "\\p{Mn}" ? "\\x{1171E}" : "")  // has become a spacing mark
        << name;
  }
}

TEST(UnicodeSet, Algebra) {
  const CodeSet a = {{1, 5}, {10, 20}}, b = {{4, 11}, {30, 30}};
  EXPECT_EQ(class_of(united(a, b)), "\\x{1}-\\x{14}\\x{1E}");
  EXPECT_EQ(class_of(intersection(a, b)), "\\x{4}-\\x{5}\\x{A}-\\x{B}");
  EXPECT_EQ(class_of(complement(a)), "\\x{0}\\x{6}-\\x{9}\\x{15}-\\x{10FFFF}");
  EXPECT_EQ(class_of(united({{1, 2}}, {{3, 4}})), "\\x{1}-\\x{4}");
  EXPECT_TRUE(complement({{0, 0x10FFFF}}).empty());
  EXPECT_EQ(class_of(complement({})), "\\x{0}-\\x{10FFFF}");
}

}  // namespace
}  // namespace hearth::llm
