// What a run ends with: a line for each engine, and hyperfine's forms of the times.
#include "hearth/lab/show/verdicts.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "hearth/lab/judge/explain.h"
#include "hearth/lab/result/imports.h"
#include "hearth/lab/show/explain_text.h"
#include "hearth/lab/show/hyperfine.h"
#include "hearth/lab/show/report.h"
#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using testing::commands;

size_t widest(const std::string& text) {
  size_t most = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) most = std::max(most, columns_of(line));
  return most;
}

TEST(Verdicts, AreALineEachAgainstTheFirstSorted) {
  const std::string text = verdict_text(
      commands({{"the first", 1}, {"slow", 2.5}, {"quick", 0.4}, {"same", 1.0001}}), 0, false);
  const std::string expected =
      "Time per run, against the first:\n"
      "  quick      0.40 times (0.40 to 0.40)  faster\n"
      "      the first has 2.5 times the user time (903 ms, not 361 ms)\n"
      "  the first  1\n"
      "  same       1.00 times (1.00 to 1.00)  equivalent\n"
      "  slow       2.50 times (2.50 to 2.50)  slower\n"
      "      slow has 2.5 times the user time (2.26 s, not 903 ms)\n";
  EXPECT_EQ(text, expected);
}

TEST(Verdicts, HaveAColourWhereThereIsOne) {
  const Result r = commands({{"a", 1}, {"b", 2}});
  EXPECT_THAT(verdict_text(r, 0, true), HasSubstr("\033[31mslower\033[0m"));
  EXPECT_THAT(verdict_text(r, 0, false), Not(HasSubstr("\033")));
  EXPECT_EQ(verdict_text(commands({{"a", 1}}), 0, true), "");
}

/// Names that a user can give a command, or a file that is imported has.
std::vector<std::string> hostile_names() {
  std::string wide, combining = "e", flags;
  for (int i = 0; i < 40; ++i) {
    wide += "\u5927\u304d";       // two columns each
    combining += "\u0301";        // none each
    flags += "\U0001F525\u00e9";  // two and one
  }
  return {std::string(300, 'x'),
          "many words " + std::string(300, 'x') + " and\nlines\r\n\t",
          wide,
          combining,
          flags,
          "\x1b[2J\x1b]0;title\x07 \xc2\x9b"
          "31m red",                                              // of C0 and of C1
          "turned \u202eround\u202c \u2066and\u2069 \u200fback",  // as it would be shown
          "cut \xe5\xa4 \xff\xfe \xed\xa0\x80 bytes",
          "\u2028 lines \u2029",
          "",
          "   "};
}

// What a terminal would obey or be turned round by.
void expect_printable(const std::string& text) {
  for (const char* bad : {"\r", "\t", "\x07", "\xc2\x9b", "\u202e", "\u2066", "\u200f", "\u2028"})
    EXPECT_EQ(text.find(bad), text.npos) << text;
  EXPECT_EQ(text, printable(text));
}

TEST(Verdicts, NothingIsWiderThanTheTerminalWhateverTheNames) {
  const auto names = hostile_names();
  std::vector<std::pair<std::string, double>> all = {{"first", 1}};
  for (size_t i = 0; i < names.size(); ++i) all.emplace_back(names[i], 0.3 + 7000 * double(i));
  const Result r = commands(all);
  for (int width = 40; width <= 200; ++width) {
    const std::string text = verdict_text(r, 0, false, width);
    ASSERT_LE(widest(text), size_t(width)) << text;
    // A line for each, whatever its name has in it.
    size_t verdicts = 0;
    for (size_t at = 0; (at = text.find(" times (", at)) != text.npos; ++at) ++verdicts;
    EXPECT_EQ(verdicts, names.size()) << text;
  }
  const std::string text = verdict_text(r, 0, false);
  expect_printable(text);
  EXPECT_THAT(text, AllOf(HasSubstr("xxx..."), HasSubstr("...xxx")));
  for (size_t first = 0; first < names.size(); ++first) {
    const std::string other = verdict_text(commands({{names[first], 1}, {"b", 2}}), 0, true, 40);
    std::string plain = other;
    for (const char* code : {"\033[31m", "\033[32m", "\033[33m", "\033[0m"})
      for (size_t at; (at = plain.find(code)) != plain.npos;)
        plain.erase(at, std::string_view(code).size());
    EXPECT_LE(widest(plain), 40u) << plain;
    expect_printable(plain);
    EXPECT_THAT(other, HasSubstr("\033[31mslower\033[0m"));
  }
  expect_printable(report_text(r));
  EXPECT_LE(widest(report_text(r, 60)), 60u);
}

TEST(Verdicts, WithoutGroundsThereIsNone) {
  Result r = commands({{"a", 1}, {"b", 2}});
  r.plan.order = "sequential";
  EXPECT_THAT(verdict_text(r, 0, false),
              AllOf(HasSubstr("no verdict"), HasSubstr("they took no turns, so drift is in it")));
  r = commands({{"a", 1}, {"b", 2}});
  for (EngineResult& e : r.engines) e.repetitions.resize(3);
  EXPECT_THAT(verdict_text(r, 0, false), AllOf(HasSubstr("undecided"), Not(HasSubstr("slower"))));
  r = testing::gpu_result({});
  r.engines[1].dtype = "f32";
  EXPECT_THAT(verdict_text(r, 0, false),
              AllOf(HasSubstr("not comparable"), HasSubstr("dtype: f16 against f32")));
}

TEST(Verdicts, AModelsEnginesSayWhatBindsThem) {
  const std::string text =
      verdict_text(testing::gpu_result({.active = 0.95, .clock_mhz = 1980, .gb_s = 280}), 0, false);
  EXPECT_THAT(text, AllOf(HasSubstr("Time per new token, against torch:cuda:"),
                          HasSubstr("hearth:cuda reads from the caches, faster than memory gives;"),
                          HasSubstr("reads at 94 % of it")));
  EXPECT_LE(widest(text), 80);
}

TEST(Verdicts, OfCommandsTheSystemsAccountIsTheExplanation) {
  const Result r = commands({{"slow", 2}, {"quick", 1}});
  const Explanation e = explain(r, "slow", "quick");
  EXPECT_EQ(e.certainty, "measured");
  EXPECT_THAT(e.cause, HasSubstr("slow has 2 times the user time (1.81 s, not 903 ms)"));
  const std::string text = to_text(e, r);
  EXPECT_THAT(text, AllOf(HasSubstr("Where the time went, per run of slow, and of quick:\n"),
                          HasSubstr("  user time       1.81 s    903 ms   90 %\n"),
                          HasSubstr("  waiting         100 ms   50.2 ms    5 %\n"),
                          Not(HasSubstr("limits")), Not(HasSubstr("cycles"))));
  EXPECT_EQ(to_json(e)["parts"][1]["name"], "system time");
  EXPECT_THAT(explain(r, "quick", "slow").cause, HasSubstr("slow has 2 times"));
}

TEST(CommandText, HasMeanRangeAndUse) {
  const Result r = commands({{"a", 0.1234}, {"b", 2}});
  const std::string text = command_text(r, r.engines[0], 0);
  EXPECT_THAT(
      text,
      AllOf(HasSubstr("Time (mean +- sd)  123.83 ms +- 0.30 ms   [user 111 ms, system 6.19 ms]"),
            HasSubstr("Range              123 ms to 124 ms, 8 runs"), HasSubstr("5.0 MB at most")));
}

TEST(Hyperfine, JsonIsAsItsReadersExpect) {
  Result r = commands({{"a \"b\"", 0.1}, {"c|d", 0.2}});
  r.engines[0].options["{n}"] = "4";
  const auto json = nlohmann::json::parse(hyperfine_json(r));
  ASSERT_EQ(json["results"].size(), 2);
  const auto& one = json["results"][0];
  EXPECT_EQ(one["command"], "a \"b\"");
  EXPECT_EQ(one["times"].size(), 8);
  EXPECT_EQ(one["exit_codes"], nlohmann::json(std::vector<int>(8, 0)));
  EXPECT_EQ(one["memory_usage_byte"][0], 5000000);
  EXPECT_EQ(one["parameters"]["n"], "4");
  EXPECT_NEAR(one["mean"], 0.10035, 1e-9);
  EXPECT_NEAR(one["user"], 0.9 * 0.10035, 1e-9);
  EXPECT_FALSE(json["results"][1].contains("parameters"));
  // And the lab reads it again.
  const Result again = import_result(hyperfine_json(r), "x.json");
  ASSERT_EQ(again.engines.size(), 2);
  EXPECT_EQ(again.engines[0].options.at("{n}"), "4");
  for (size_t i = 0; i < 8; ++i)
    EXPECT_EQ(again.engines[1].repetitions[i].total_s, r.engines[1].repetitions[i].total_s);
  EXPECT_EQ(again.plan.order, "sequential");
}

TEST(Hyperfine, MarkdownAndCsv) {
  Result r = commands({{"a|b", 0.2}, {"c", 0.11}});
  r.engines[1].options["{n}"] = "4,5";
  EXPECT_EQ(hyperfine_markdown(r),
            "| Command | Mean [ms] | Min [ms] | Max [ms] | Relative |\n"
            "|:---|---:|---:|---:|---:|\n"
            "| `a\\|b` | 200.7 \xC2\xB1 0.5 | 200.0 | 201.4 | 1.82 \xC2\xB1 0.01 |\n"
            "| `c` | 110.4 \xC2\xB1 0.3 | 110.0 | 110.8 | 1.00 |\n");
  // By hand: both deviations are 10 % of their means, 1.82 * sqrt(2) * 0.1.
  Result wide = commands({{"a", 0.2}, {"b", 0.11}});
  for (EngineResult& e : wide.engines) {
    e.repetitions.resize(2);
    const double mean_s = e.repetitions[0].total_s;
    e.repetitions[0].total_s = mean_s * (1 - 0.1 / std::sqrt(2));
    e.repetitions[1].total_s = mean_s * (1 + 0.1 / std::sqrt(2));
  }
  EXPECT_THAT(hyperfine_markdown(wide), HasSubstr("| 1.82 \xC2\xB1 0.26 |"));
  const std::string csv = hyperfine_csv(r);
  EXPECT_TRUE(csv.starts_with("command,mean,stddev,median,user,system,min,max,parameter_n\r\n"));
  EXPECT_THAT(csv, HasSubstr(",\"4,5\"\r\n"));
  // Engines have no user time; a result without times has no rows.
  const auto json = nlohmann::json::parse(hyperfine_json(testing::gpu_result({})));
  EXPECT_TRUE(json["results"][0]["user"].is_null());
  EXPECT_TRUE(json["results"][0]["exit_codes"][0].is_null());
  EXPECT_EQ(hyperfine_markdown(Result()), "");
  EXPECT_EQ(nlohmann::json::parse(hyperfine_json(Result()))["results"].size(), 0);
}

}  // namespace
}  // namespace hearth::lab
