#include "hearth/lab/judge/explain.h"
#include "hearth/lab/judge/busy.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/explain_text.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Result post() { return read_result(source_path("tests/lab/data/post_2023.json")); }
EngineResult& torch(Result& r) { return r.engines[0]; }
EngineResult& mlx(Result& r) { return r.engines[1]; }

Explanation of(const Result& result) { return explain(result, "torch:mps", "mlx:metal"); }

void set(EngineResult& engine, const char* channel, double value) {
  for (Channel& one : engine.telemetry.channels)
    if (one.name == channel) one.values.assign(one.values.size(), value);
}
void forget(EngineResult& engine, const char* channel) {
  for (Channel& one : engine.telemetry.channels)
    if (one.name == channel) {
      one.values.assign(one.values.size(), std::nullopt);
      one.reason = "the sensor is broken";
    }
}

void expect_exact(const Attribution& t) {
  EXPECT_NEAR(*t.cycles.value + *t.clock.value + *t.utilisation.value, t.log_ratio, 1e-12);
}

TEST(Explain, ThePostsNumbers) {
  const Result result = post();
  EXPECT_EQ(first_two(result), (std::pair<std::string, std::string>("torch:mps", "mlx:metal")));
  const Explanation e = of(result);
  EXPECT_NEAR(e.total.value, 2.64, 0.005);
  EXPECT_NEAR(e.total.low, 2.61, 0.01);
  EXPECT_NEAR(e.total.high, 2.66, 0.01);
  EXPECT_NEAR(e.per_unit.value, 2.75, 0.005);
  EXPECT_NEAR(*e.attribution.clock.value, 1.124, 0.002);
  EXPECT_NEAR(*e.attribution.cycles.value, -0.102, 0.002);
  EXPECT_NEAR(*e.attribution.utilisation.value, -0.011, 0.002);
  expect_exact(e.attribution);
  EXPECT_FALSE(e.gate.comparable());
  EXPECT_EQ(e.certainty, "not established");
  // research: 5.297 GB of weights a token and the keys and values of 104 to 108 tokens.
  EXPECT_NEAR(*e.a.phases.at(0).gb_s.value, 59, 0.5);
  EXPECT_NEAR(*e.b.phases.at(0).gb_s.value, 163, 0.5);
  EXPECT_FALSE(e.a.phases[0].bandwidth_share.value);
  const std::string text = to_text(e, result);
  for (const char* said :
       {"2.64 times the time", "2.75 times per new token", "clock        +1.124  111 %",
        "cycles       -0.102  -10 %", "utilisation  -0.011   -1 %", "Comparable: NO",
        "new tokens: 192 against 200", "sampling: greedy against sampled", "M1 Max", "M1 Pro",
        "Cause: not established"})
    EXPECT_THAT(text, HasSubstr(said));
  EXPECT_THAT(text, Not(HasSubstr("is faster")));
  EXPECT_LT(std::ranges::count(text, '\n'), 40) << "one screen";
}

TEST(Explain, TheNotebooksOwnRunTellsAnotherStory) {
  const Explanation e = explain(post(), "torch:mps:run=notebook", "mlx:metal");
  EXPECT_NEAR(e.total.value, 3.29, 0.005);
  EXPECT_NEAR(e.per_unit.value, 3.43, 0.005);
  EXPECT_GT(*e.attribution.cycles.value, 0);  // by the text's number they were fewer
}

// Each input in turn: the term that it is of follows, and the sum stays exact.

TEST(Explain, TheClocksTermFollowsTheClock) {
  Result r = post();
  set(torch(r), "gpu_clock_mhz", 600);
  const Explanation e = of(r);
  EXPECT_NEAR(*e.attribution.clock.value, std::log(2.0), 1e-9);
  EXPECT_NEAR(*e.attribution.utilisation.value, -0.0112, 1e-3);
  expect_exact(e.attribution);
  set(mlx(r), "gpu_clock_mhz", 300);
  EXPECT_NEAR(*of(r).attribution.clock.value, -std::log(2.0), 1e-9);
}

TEST(Explain, TheUtilisationsTermFollowsTheUtilisation) {
  Result r = post();
  set(torch(r), "gpu_active_fraction", 0.445);
  const Explanation e = of(r);
  EXPECT_NEAR(*e.attribution.utilisation.value, std::log(2.0), 1e-9);
  EXPECT_NEAR(*e.attribution.clock.value, 1.124, 0.002);
  expect_exact(e.attribution);
  set(mlx(r), "gpu_active_fraction", 0.2225);
  EXPECT_NEAR(*of(r).attribution.utilisation.value, -std::log(2.0), 1e-9);
}

TEST(Explain, TheCyclesTermFollowsTimeAndTokens) {
  Result r = post();
  const double before = *of(r).attribution.cycles.value;
  torch(r).published[0].mean_s *= 2;
  Explanation e = of(r);
  EXPECT_NEAR(*e.attribution.cycles.value, before + std::log(2.0), 1e-9);
  EXPECT_NEAR(e.total.value, 2 * 2.637195, 1e-5);
  EXPECT_NEAR(*e.attribution.clock.value, 1.124, 0.002);
  torch(r).published[0].new_tokens = 96;
  EXPECT_NEAR(*of(r).attribution.cycles.value, before + std::log(4.0), 1e-9);
  EXPECT_NEAR(of(r).total.value, 2 * 2.637195, 1e-5);
  mlx(r).published[0].mean_s *= 4;
  EXPECT_NEAR(*of(r).attribution.cycles.value, before, 1e-9);
}

TEST(Explain, TheIntervalFollowsTheSpread) {
  Result r = post();
  const TimeRatio narrow = of(r).total;
  torch(r).published[0].stddev_s *= 10;
  const TimeRatio wide = of(r).total;
  EXPECT_NEAR((wide.high - wide.low) / (narrow.high - narrow.low), 10, 1.5);
  torch(r).published[0].n = 1;
  EXPECT_THAT(to_text(of(r), r), HasSubstr("no interval"));
}

TEST(Explain, AnUnknownTermStaysUnknown) {
  Result r = post();
  forget(mlx(r), "gpu_clock_mhz");
  const Explanation e = of(r);
  EXPECT_FALSE(e.attribution.clock.value);
  EXPECT_FALSE(e.attribution.cycles.value);  // nothing is split by guesswork
  EXPECT_TRUE(e.attribution.utilisation.value);
  EXPECT_THAT(e.attribution.clock.reason, HasSubstr("the sensor is broken"));
  EXPECT_THAT(to_text(e, r), HasSubstr("clock        unknown"));
  forget(torch(r), "gpu_active_fraction");
  EXPECT_FALSE(of(r).attribution.utilisation.value);
  torch(r).telemetry = {};
  EXPECT_THAT(of(r).attribution.utilisation.reason, HasSubstr("no telemetry"));
}

TEST(Explain, CyclesOfDifferentKindsOfDevicesAreNotSplit) {
  Result r = post();
  mlx(r).device = "cpu";
  EXPECT_THAT(of(r).attribution.clock.reason, HasSubstr("different kinds of devices"));
}

TEST(Explain, WhatMakesThePostNotComparableFollowsTheInputs) {
  Result r = post();
  torch(r).published[0].new_tokens = 200;
  mlx(r).sampling = Sampling::greedy;
  EXPECT_TRUE(of(r).gate.comparable());
  EXPECT_EQ(of(r).certainty, "attributed");  // and not more: no intervention, no pairs
  mlx(r).dtype = "f32";
  EXPECT_THAT(of(r).gate.differences, ElementsAre(HasSubstr("dtype")));
  const size_t unknown = of(r).gate.unknown.size();
  r.environment[0].value = std::string("Apple M1 Max");
  r.plan.order = "ABBA";
  EXPECT_EQ(of(r).gate.unknown.size(), unknown - 2);
}

TEST(Explain, SaysWhatIsAskedWrongly) {
  EXPECT_THAT(error_of<std::invalid_argument>([] { explain(post(), "torch", "mlx:metal"); }),
              HasSubstr("torch:mps"));
  EXPECT_THAT(error_of<std::invalid_argument>([] { explain(post(), "torch:mps", "mlx:metal", 3); }),
              HasSubstr("no job 4: the result has 1 job"));
  Result r = post();
  mlx(r).published.clear();
  EXPECT_THAT(error_of<std::invalid_argument>([&] { of(r); }), HasSubstr("no times"));
}

// Where the faster engine stands first all is turned round, and nothing else.
TEST(Explain, TheFasterEngineMayStandFirst) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 990});
  for (size_t k = 0; k < 8; ++k)
    r.engines[0].repetitions[k].total_s *= std::exp(0.01 * (double(k % 4) - 1.5));
  for (const bool faster_first : {false, true}) {
    if (faster_first) std::swap(r.engines[0], r.engines[1]);
    EXPECT_EQ(first_two(r), std::pair(std::string("torch:cuda"), std::string("hearth:cuda")));
  }
  const Explanation slow = explain(r, "torch:cuda", "hearth:cuda"),
                    fast = explain(r, "hearth:cuda", "torch:cuda");
  EXPECT_NEAR(slow.per_unit.value, 2, 1e-9);
  EXPECT_NEAR(slow.per_unit.low, 2 * 0.990058, 1e-5);
  EXPECT_NEAR(slow.per_unit.high, 2 * 1.010042, 1e-5);
  EXPECT_NEAR(fast.per_unit.value, 0.5, 1e-9);
  EXPECT_NEAR(fast.per_unit.low, 0.5 * 0.990058, 1e-5);
  EXPECT_NEAR(fast.per_unit.high, 0.5 * 1.010042, 1e-5);
  EXPECT_NEAR(*fast.attribution.clock.value, -std::log(2), 1e-9);
  EXPECT_NEAR(*slow.attribution.clock.value, std::log(2), 1e-9);
  EXPECT_THAT(slow.cause, HasSubstr("most of it is a lower clock"));
  EXPECT_THAT(fast.cause, HasSubstr("most of it is a lower clock"));
  const std::string said = "and 2.00 times per new token (95 % interval 1.98 to 2.02).\n";
  EXPECT_THAT(to_text(slow, r), HasSubstr(said));
  EXPECT_THAT(to_text(fast, r), HasSubstr(said));
  for (const Explanation* e : {&slow, &fast})
    EXPECT_THAT(to_text(*e, r), HasSubstr("torch:cuda took 2.00 times the time of hearth:cuda in "
                                          "total (95 % interval 1."));
  EXPECT_THAT(to_text(slow, r), HasSubstr("Verdict: torch:cuda is 2.000 times slower than"));
  EXPECT_THAT(to_text(fast, r), HasSubstr("Verdict: hearth:cuda is 2.000 times faster than"));
  const auto json = to_json(fast);
  EXPECT_LT(json["ratio"]["per_unit"]["low"], json["ratio"]["per_unit"]["high"]);
  EXPECT_NEAR(json["attribution"]["clock"]["share"], 1, 0.02);
}

// Welch's interval, by SciPy's formulas from the means, deviations and counts.
TEST(Explain, TheTotalsIntervalIsWelchs) {
  Result r = gpu_result({});
  for (EngineResult& e : r.engines) e.repetitions.clear();
  r.engines[0].published = {{0, 2.0, 0.2, 5, 8, 50}};
  r.engines[1].published = {{0, 1.0, 0.05, 12, 8, 25}};
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  // Relative variances of the means 0.002 and 0.00020833: 4.86 degrees, of which 4 are used.
  const double half = 2.7764451 * std::sqrt(0.01 / 5 + 0.0025 / 12);
  EXPECT_NEAR(e.total.value, 2, 1e-12);
  EXPECT_NEAR(std::log(e.total.high / 2), half, 1e-6);
  EXPECT_NEAR(std::log(2 / e.total.low), half, 1e-6);
  EXPECT_EQ(e.total.n, 5);
  EXPECT_FALSE(e.total.paired);
  EXPECT_NEAR(e.per_unit.value, 1, 1e-12);  // twice the tokens
  EXPECT_NEAR(e.per_unit.high, std::exp(half), 1e-6);
}

TEST(Explain, APartThatIsLessThanHalfIsNoMainPart) {
  const auto cause = [](double clock) {
    Result r = gpu_result({.active = 0.95, .clock_mhz = clock});
    return explain(r, "torch:cuda", "hearth:cuda").cause;
  };
  EXPECT_THAT(cause(1980 / std::sqrt(2) * 0.999), HasSubstr("most of it is a lower clock"));
  EXPECT_THAT(cause(1980 / std::sqrt(2) * 1.001), HasSubstr("most of it is more cycles"));
}

TEST(Explain, EnergyIsPowerTimesTimeAndWhatIdlingTakesStandsBeside) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 1980});
  Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  EXPECT_FALSE(e.a.joules_per_unit.value);
  EXPECT_THAT(e.a.joules_per_unit.reason, HasSubstr("gpu_counted_power_w"));
  EXPECT_THAT(to_text(e, r), Not(HasSubstr("Energy")));

  Timeline& telemetry = r.engines[0].telemetry;
  Channel power = telemetry.channels.at(0);
  power.name = "gpu_counted_power_w", power.unit = "W";
  power.values.assign(telemetry.time_s.size(), 400.0);
  telemetry.channels.push_back(power);
  r.ceilings.push_back({"idle_power", "cuda", "W", "measured before the run", 70.0});
  e = explain(r, "torch:cuda", "hearth:cuda");
  EXPECT_NEAR(*e.a.joules_per_unit.value, 400 * e.a.per_unit_s, 1e-9);
  EXPECT_EQ(e.a.idle_power_w.value, 70.0);
  EXPECT_THAT(to_text(e, r), HasSubstr("(400 W; 70 W with nothing to do)"));
  r.jobs[0].batch = 8;
  EXPECT_NEAR(*explain(r, "torch:cuda", "hearth:cuda").a.joules_per_unit.value,
              400 * e.a.per_unit_s / 8, 1e-9);
}

}  // namespace
}  // namespace hearth::lab
