// One estimator of all ratios: over starts, of the pairs that nothing disturbed.
#include "hearth/lab/judge/pairs.h"

#include <gmock/gmock.h>

#include <cmath>

#include "hearth/lab/judge/compare.h"
#include "hearth/lab/judge/explain.h"
#include "hearth/lab/judge/interventions.h"
#include "hearth/lab/show/report.h"
#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// `starts` processes with `each` rounds; times[start][round] is ln of the time.
EngineResult engine(const std::vector<std::vector<double>>& logs, double units = 1) {
  EngineResult e;
  e.starts.resize(logs.size());
  int round = 0;
  for (size_t start = 0; start < logs.size(); ++start)
    for (const double log : logs[start]) {
      Repetition r;
      r.start = int(start);
      r.round = round++;
      r.total_s = std::exp(log);
      r.new_tokens = int(units);
      e.repetitions.push_back(r);
    }
  return e;
}

// By hand: the means of the starts are 0.2, 0.1, 0.3, 0.2, 0.2, 0.2: mean 0.2, standard deviation
// 0.0632456, t of 5 degrees 2.570582: half 0.0663722.
TEST(Pairs, TheIntervalIsOfStartsWhateverTheirPairsDo) {
  const std::vector<std::vector<double>> nothing(6, {0, 0});
  const EngineResult a = engine(nothing),
                     b = engine(
                         {{0.1, 0.3}, {0, 0.2}, {0.3, 0.3}, {-1, 1.4}, {0.2, 0.2}, {0.1, 0.3}});
  const Estimate e = estimate(a, b, 0).value();
  EXPECT_EQ(e.time.starts, 6);
  EXPECT_EQ(e.pairs, 12);
  EXPECT_NEAR(std::log(e.time.ratio), 0.2, 1e-12);
  EXPECT_NEAR(std::log(e.time.high), 0.2 + 0.0663722, 1e-6);
  EXPECT_NEAR(std::log(e.time.low), 0.2 - 0.0663722, 1e-6);
  EXPECT_EQ(e.time.verdict, Verdict::faster);
  EXPECT_EQ(log_ratios(a, b, 0).size(), 12);
}

TEST(Pairs, OneStartOfEachDecidesNothing) {
  const EngineResult a = engine({std::vector<double>(12, 0)});
  EngineResult b = engine({{1, 1.1, 1, 1.1, 1, 1.1, 1, 1.1, 1, 1.1, 1, 1.1}});
  const Estimate e = estimate(a, b, 0).value();
  EXPECT_EQ(e.time.starts, 1);
  EXPECT_EQ(e.time.verdict, Verdict::undecided);
  EXPECT_GT(e.time.low, std::exp(1));  // what the pairs of one start say is shown
  Result r = testing::gpu_result({});
  for (EngineResult& one : r.engines)
    for (Repetition& rep : one.repetitions) rep.start = 0;
  EXPECT_THAT(to_text(compare(r, "torch:cuda", "hearth:cuda", 0), r.jobs[0]),
              HasSubstr("undecided; 1 start of each, at least 6 are needed (95 % interval"));
}

TEST(Pairs, ExecutionsThatSettleDoNotCount) {
  EngineResult a = engine(std::vector<std::vector<double>>(6, {0})), b = a;
  for (EngineResult* e : {&a, &b})
    for (int round = 0; round < 6; ++round) {
      Repetition first = e->repetitions[size_t(round)];
      first.settling = true;
      first.total_s = e == &a ? 50 : 0.01;
      e->repetitions.push_back(first);
    }
  EXPECT_EQ(estimate(a, b, 0)->time.ratio, 1);
}

Disturbance taken(std::optional<double> others, double total_s,
                  std::optional<double> throttled = {}) {
  Disturbance d;
  d.processors = 2;
  if (others) d.others_s = *others * 2 * total_s;
  d.throttled_s = throttled;
  return d;
}

/// Twelve starts whose times scatter by 1 %; B takes 1.1 times as long, and `n` of its turns, which
/// others disturbed, three times that.
std::pair<EngineResult, EngineResult> disturbed(int n, double share, double length_s = 1) {
  std::pair<EngineResult, EngineResult> both;
  for (EngineResult* e : {&both.first, &both.second}) {
    const bool second = e == &both.second;
    std::vector<std::vector<double>> logs;
    for (int i = 0; i < 12; ++i)
      logs.push_back({std::log(length_s) + 0.01 * ((i * 7 + second * 3) % 5 - 2) +
                      second * std::log(1.1) + (second && i < n ? std::log(3) : 0)});
    *e = engine(logs);
    for (int i = 0; i < 12; ++i) {
      Repetition& r = e->repetitions[size_t(i)];
      r.disturbance = taken(second && i < n ? share : 0.01 * (i % 3 - 1), r.total_s);
    }
  }
  return both;
}

TEST(Pairs, DisturbedOnesAreLeftOutWhereEnoughAreNot) {
  const auto [a, b] = disturbed(6, 0.5);
  const Estimate e = estimate(a, b, 0).value();
  EXPECT_EQ(e.busy, "");
  EXPECT_EQ(e.disturbed, 6);
  EXPECT_EQ(e.pairs, 6);
  EXPECT_NEAR(e.time.ratio, 1.1, 0.02);
  EXPECT_EQ(e.time.verdict, Verdict::faster);
}

// What a hypervisor took is as lost as what others ran, alone and beside it.
TEST(Pairs, WhatIsStolenDisturbsAsOthersDo) {
  for (const bool both_kinds : {false, true}) {
    auto [a, b] = disturbed(7, 0.5);
    for (EngineResult* e : {&a, &b})
      for (Repetition& r : e->repetitions) {
        Disturbance& d = *r.disturbance;
        d.stolen_s = both_kinds ? *d.others_s / 2 : *d.others_s;
        if (both_kinds)
          d.others_s = *d.others_s / 2;
        else
          d.others_s.reset();
      }
    EXPECT_EQ(estimate(a, b, 0)->busy, "others took 50 % of the processors in 7 of 12 pairs");
  }
}

TEST(Pairs, AMachineThatIsBusyGivesNoVerdict) {
  const auto [a, b] = disturbed(7, 0.5);
  const Estimate e = estimate(a, b, 0).value();
  EXPECT_EQ(e.busy, "others took 50 % of the processors in 7 of 12 pairs");
  EXPECT_EQ(e.time.verdict, Verdict::undecided);
  EXPECT_EQ(e.pairs, 12);
}

// 12 % of one second are more than a tenth and a tick; of 50 ms they are not, but of all together.
TEST(Pairs, TheGrainOfTicksIsNoDisturbance) {
  EXPECT_EQ(estimate(disturbed(3, 0.12).first, disturbed(3, 0.12).second, 0)->disturbed, 3);
  const auto [a, b] = disturbed(3, 0.12, 0.05);
  EXPECT_EQ(estimate(a, b, 0)->disturbed, 0);
  const auto [c, d] = disturbed(12, 0.25, 0.05);
  EXPECT_EQ(estimate(c, d, 0)->disturbed, 12);
}

TEST(Pairs, AQuotaThatStopsItDisturbs) {
  auto [a, b] = disturbed(0, 0);
  for (int i = 0; i < 8; ++i)
    b.repetitions[size_t(i)].disturbance = taken({}, 1, 0.2 * b.repetitions[size_t(i)].total_s);
  EXPECT_EQ(estimate(a, b, 0)->disturbed, 8);
  EXPECT_NE(estimate(a, b, 0)->busy, "");
}

TEST(Pairs, WithoutAccountsNothingIsDisturbed) {
  auto [a, b] = disturbed(0, 0);
  for (EngineResult* e : {&a, &b})
    for (Repetition& r : e->repetitions) r.disturbance.reset();
  EXPECT_EQ(estimate(a, b, 0)->disturbed, 0);
  EXPECT_FALSE(pairs_of(a, b, 0)[0].disturbed.has_value());
}

// With equal tokens all ratios are one number; with others each is of what it says.
TEST(Pairs, OneQuantityIsOneNumber) {
  Result r = testing::gpu_result({.active = 0.5, .clock_mhz = 1000});
  double wild = 1;
  for (EngineResult& e : r.engines)
    for (Repetition& rep : e.repetitions) rep.total_s *= wild = wild > 4 ? 0.3 : wild * 1.7;
  const auto ratios = [&] {
    const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
    const Comparison c = compare(r, "torch:cuda", "hearth:cuda", 0);
    return std::vector<double>{e.total.value, e.per_unit.value, 1 / c.time->time.ratio,
                               std::exp(e.attribution.log_ratio)};
  };
  for (const double ratio : ratios()) EXPECT_DOUBLE_EQ(ratio, ratios()[0]);
  for (Repetition& rep : r.engines[0].repetitions) rep.new_tokens = 25;
  EXPECT_NEAR(ratios()[1], 2 * ratios()[0], 1e-9);
  EXPECT_DOUBLE_EQ(ratios()[1], ratios()[2]);
}

TEST(Pairs, ABusyMachineIsSaidEverywhere) {
  Result r = testing::gpu_result({.active = 0.5, .clock_mhz = 1000});
  for (Repetition& rep : r.engines[0].repetitions) rep.disturbance = taken(0.8, rep.total_s);
  const Comparison c = compare(r, "torch:cuda", "hearth:cuda", 0);
  EXPECT_EQ(c.verdict(), "undecided: the machine was busy");
  EXPECT_THAT(to_text(c, r.jobs[0]),
              HasSubstr("undecided: the machine was busy: others took 80 % of the processors in "
                        "8 of 8 pairs (torch:cuda took 2.0"));
  EXPECT_THAT(report_html(r),
              HasSubstr(">Undecided</span> <span id=\"reason\" class=\"reason\">The machine was "
                        "busy: others took 80 % of the processors in 8 of 8 pairs."));
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  EXPECT_EQ(e.certainty, "not established");
  EXPECT_THAT(e.cause, HasSubstr("the machine was busy"));
  Intervention i;
  i.predicted = 1, i.least = 0.9, i.most = 1.1;
  i.measured_at = "now";
  i.executions = r.engines;
  EXPECT_EQ(judge(i).verdict, "undecided: the machine was busy");  // it would have failed
  for (Repetition& rep : i.executions[0].repetitions) rep.disturbance.reset();
  EXPECT_EQ(judge(i).verdict, "failed");
}

// A limit that was measured while others ran is no reason.
TEST(Pairs, LimitsUnderLoadBindNothing) {
  Result r = testing::gpu_result({.active = 0.95, .clock_mhz = 1980, .gb_s = 300});
  const auto regime = [&] { return explain(r, "torch:cuda", "hearth:cuda").a.phases.at(0).regime; };
  EXPECT_EQ(regime(), Regime::bandwidth);
  r.ceilings[0].others = 0.05;
  EXPECT_EQ(regime(), Regime::bandwidth);
  r.ceilings[0].others = 0.5;
  EXPECT_EQ(regime(), Regime::unknown);
  EXPECT_THAT(explain(r, "torch:cuda", "hearth:cuda").a.phases.at(0).bandwidth_share.reason,
              HasSubstr("was measured while others took 50 %"));
}

TEST(Pairs, ARegimeIsSaidOfBothOrOfNone) {
  Result r = testing::gpu_result({.active = 0.95, .clock_mhz = 1980, .gb_s = 300});
  EXPECT_NE(explain(r, "torch:cuda", "hearth:cuda").b.phases.at(0).regime, Regime::unknown);
  r.engines[1].telemetry = {};
  r.ceilings[0].value = 2000;
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  EXPECT_EQ(e.a.phases.at(0).regime, Regime::unknown);
  EXPECT_EQ(e.b.phases.at(0).regime, Regime::unknown);
  EXPECT_THAT(e.a.phases[0].because, HasSubstr("of hearth:cuda it is not known, so of neither"));
}

}  // namespace
}  // namespace hearth::lab
