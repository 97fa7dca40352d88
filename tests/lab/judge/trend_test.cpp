// Changes over time, what changed with them, and a result against what was before.
#include "hearth/lab/judge/trend.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "hearth/lab/show/trend_text.h"
#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

double normal(std::mt19937& random) {
  double sum = 0;
  for (int i = 0; i < 12; ++i) sum += double(random()) / 4294967296.0;
  return sum - 6;
}

std::vector<double> series(std::mt19937& random, const std::vector<std::pair<int, double>>& parts,
                           double noise) {
  std::vector<double> all;
  for (const auto& [n, level] : parts)
    for (int i = 0; i < n; ++i) all.push_back(level + noise * normal(random));
  return all;
}

TEST(Changes, AreFoundWhereTheyAre) {
  std::mt19937 random(3);
  EXPECT_THAT(changes(series(random, {{10, 0}, {10, 0.2}}, 0.02)), ElementsAre(10));
  EXPECT_THAT(changes(series(random, {{15, 0}, {9, 0.3}, {12, 0.1}}, 0.02)), ElementsAre(15, 24));
  EXPECT_THAT(changes(series(random, {{4, 0}, {4, 1}}, 0.01)), ElementsAre(4));
  // A lone outlier is no change.
  auto one = series(random, {{20, 0}}, 0.02);
  one[7] = 1;
  EXPECT_THAT(changes(one), ElementsAre());
  EXPECT_THAT(changes(std::vector<double>{1, 2, 3}), ElementsAre());
  EXPECT_THAT(changes(std::vector<double>{}), ElementsAre());
  EXPECT_THAT(changes(std::vector<double>(30, 1.0)), ElementsAre());
  EXPECT_THROW(changes(std::vector<double>{1, NAN}), std::invalid_argument);
  // Of more than are looked at the latest.
  const auto many = series(random, {{600, 0}, {50, 0.3}}, 0.02);
  EXPECT_THAT(changes(many), ElementsAre(600));
}

// Where nothing changed, about one series in twenty is said to have: at most the binomial limit.
TEST(Changes, AreRarelySeenWhereThereIsNone) {
  std::mt19937 random(5);
  int seen = 0, found = 0;
  for (int i = 0; i < 200; ++i) {
    seen += !changes(series(random, {{20, 0}}, 0.03)).empty();
    const auto at = changes(series(random, {{12, 0}, {12, 0.06}}, 0.03));
    for (const size_t x : at) found += x >= 10 && x <= 14;
  }
  EXPECT_LE(seen, 18);
  EXPECT_GE(found, 150);
}

HistoryRun run_at(int day, double seconds, const std::string& kernel) {
  HistoryRun run;
  run.id = day;
  run.created = fmt::format("2026-01-{:02}T10:00:00Z", day);
  run.facts = {
      {"kernel", kernel}, {"processor", "a processor"}, {"version of b", std::to_string(day)}};
  for (const char* engine : {"a", "b"})
    run.points.push_back({engine,
                          "generate m 4+8",
                          "new token",
                          {seconds * 0.99, seconds, seconds * 1.01 + 1e-5 * day}});
  return run;
}

TEST(Trend, SaysWhenItChangedAndWhatElseDid) {
  std::vector<HistoryRun> runs;
  for (int day = 1; day <= 12; ++day)
    runs.push_back(run_at(day, day < 7 ? 0.01 : 0.012, day < 7 ? "6.1" : "6.2"));
  const Trend t = trend_of(runs, "a", "generate m 4+8");
  ASSERT_EQ(t.points.size(), 12);
  EXPECT_EQ(t.points[0].rounds, 3);
  EXPECT_LT(t.points[0].low, t.points[0].value);
  EXPECT_GT(t.points[0].high, t.points[0].value);
  ASSERT_EQ(t.changes.size(), 1);
  EXPECT_EQ(t.changes[0].at, 6);
  EXPECT_NEAR(t.changes[0].ratio, 1.2, 0.01);
  EXPECT_THAT(t.changes[0].with, ElementsAre("kernel: 6.1 -> 6.2"));  // not another's version
  EXPECT_THAT(trend_of(runs, "b", "generate m 4+8").changes[0].with,
              ElementsAre("kernel: 6.1 -> 6.2", "version of b: 6 -> 7"));
  const std::string text = to_text(t);
  EXPECT_THAT(text, AllOf(HasSubstr("a, generate m 4+8: time per new token, 12 runs"),
                          HasSubstr("  changed: 1.20 times the time ("),
                          HasSubstr("with it kernel: 6.1 -> 6.2"),
                          HasSubstr("  2026-01-01 10:00      10 ms  |")));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80) << line;
  EXPECT_LT(text.find("2026-01-06"), text.find("changed"));
  EXPECT_LT(text.find("changed"), text.find("2026-01-07"));
  EXPECT_EQ(to_json(t)["changes"][0]["at"], 6);
  EXPECT_EQ(to_json(t)["points"].size(), 12);
  EXPECT_TRUE(trend_of(runs, "c", "generate m 4+8").points.empty());
}

TEST(Trend, KeepsTheRoundsOfAResult) {
  const Result r = testing::gpu_result({});
  const HistoryRun run = run_of(r);
  ASSERT_EQ(run.points.size(), 2);
  EXPECT_EQ(run.points[0].engine, "torch:cuda");
  EXPECT_EQ(run.points[0].job, "generate phi-2 8+50");
  ASSERT_EQ(run.points[0].seconds.size(), 8);
  EXPECT_NEAR(run.points[0].seconds[0], 1.0 / 50, 1e-12);
  EXPECT_FALSE(run.facts.contains("model_config"));
  EXPECT_EQ(run.facts.at("processor"), "a processor");
  Result none = r;
  for (EngineResult& e : none.engines) e.repetitions.clear();
  EXPECT_THAT(error_of([&] { run_of(none); }), HasSubstr("the result has no times"));
}

TEST(Trend, JobsHaveNames) {
  Job job;
  job.model = "/models/tiny-phi";
  job.prompt_tokens = 4;
  job.new_tokens = 200;
  job.batch = 3;
  job.random_weights = true;
  EXPECT_EQ(job_name(job), "generate tiny-phi 4+200 x3, random weights");
  job.kind = JobKind::op;
  job.op = "matmul", job.dtype = "f32", job.shape = {1, 2, 3};
  EXPECT_EQ(job_name(job), "matmul 1x2x3 f32");
  job.kind = JobKind::command;
  job.op = "";
  EXPECT_EQ(job_name(job), "command");
}

class Against : public ::testing::Test {
 protected:
  Result now(double factor) {
    Result r = testing::gpu_result({});
    r.created = "2026-02-01T00:00:00Z";
    for (EngineResult& e : r.engines)
      for (Repetition& rep : e.repetitions) rep.total_s *= factor;
    return r;
  }
  /// Earlier runs, whose times scatter by about a percent.
  std::vector<HistoryRun> before(int n, double first_half = 1) {
    std::vector<HistoryRun> runs;
    for (int i = 0; i < n; ++i) {
      Result r = now((1 + 0.003 * ((i * 5) % 7)) * (i < n / 2 ? first_half : 1));
      r.created = fmt::format("2026-01-{:02}T00:00:00Z", i + 1);
      runs.push_back(run_of(r));
    }
    return runs;
  }
};

TEST_F(Against, SaysWhetherItIsSlowerThanBefore) {
  const auto runs = before(10);
  const auto slower = against(now(1.2), runs);
  ASSERT_EQ(slower.size(), 2);
  EXPECT_EQ(slower[0].verdict, Verdict::slower);
  EXPECT_EQ(slower[0].runs, 10);
  EXPECT_NEAR(slower[0].ratio, 1.19, 0.01);
  EXPECT_LT(slower[0].low, slower[0].ratio);
  EXPECT_EQ(against(now(0.8), runs)[0].verdict, Verdict::faster);
  const auto same = against(now(1.009), runs)[0];
  EXPECT_EQ(same.verdict, Verdict::equivalent);
  EXPECT_THAT(to_text(slower), AllOf(HasSubstr("1.19 times the 20.2 ms"), HasSubstr("slower")));
  EXPECT_THAT(to_markdown(slower), AllOf(HasSubstr("| torch:cuda | generate phi-2 8+50 | 24.1 ms"),
                                         HasSubstr("**slower** |\n")));
  EXPECT_EQ(to_json(slower)[0]["verdict"], "slower");
}

// By hand: one more run scatters by the spread of those before, and their mean by a part of it.
TEST_F(Against, TheIntervalIsThatOfOneMoreRun) {
  const auto runs = before(10);
  std::vector<double> logs;
  for (const HistoryRun& run : runs) {
    double sum = 0;
    for (const double s : run.points[0].seconds) sum += std::log(s);
    logs.push_back(sum / double(run.points[0].seconds.size()));
  }
  const auto one = against(now(1.2), runs)[0];
  const double half = 2.262157 * stddev(logs) * std::sqrt(1.1);  // t of 9 degrees
  EXPECT_NEAR(std::log(one.high / one.ratio), half, 1e-6);
  EXPECT_NEAR(std::log(one.ratio / one.low), half, 1e-6);
}

TEST_F(Against, AResultIsNoEarlierRunOfItself) {
  auto runs = before(5);
  const Result mine = now(1.3);
  runs.push_back(run_of(mine));
  EXPECT_EQ(against(mine, runs)[0].runs, 5);
  Result other = now(1.31);  // of the same second
  EXPECT_EQ(against(other, runs)[0].runs, 6);
}

TEST_F(Against, OnlyWhatCameSinceTheLastChangeCounts) {
  const auto one = against(now(1.01), before(16, 2))[0];  // it was twice as slow
  EXPECT_EQ(one.runs, 8);
  EXPECT_EQ(one.verdict, Verdict::equivalent);
}

TEST_F(Against, WithTooFewRunsNothingIsSaid) {
  const auto none = against(now(5), {});
  EXPECT_EQ(none[0].verdict, Verdict::undecided);
  EXPECT_EQ(none[0].why, "no earlier run of it on this machine");
  EXPECT_TRUE(to_json(none)[0]["ratio"].is_null());
  const auto two = against(now(5), before(2))[0];
  EXPECT_EQ(two.verdict, Verdict::undecided);
  EXPECT_EQ(two.why, "2 earlier runs, at least 3 are needed");
  // Those of another machine, or later ones, are none.
  auto other = before(10);
  for (HistoryRun& run : other) run.facts["processor"] = "another";
  EXPECT_EQ(against(now(5), other)[0].runs, 0);
  auto later = before(10);
  for (HistoryRun& run : later) run.created = "2027";
  EXPECT_EQ(against(now(5), later)[0].runs, 0);
}

}  // namespace
}  // namespace hearth::lab
