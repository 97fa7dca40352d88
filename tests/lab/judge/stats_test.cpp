// The statistics of the lab: quantiles, verdicts, drift, and how often the verdicts are right.
#include "hearth/lab/judge/stats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>

#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

TEST(LabStats, QuantilesOfStudentsT) {  // of printed tables, checked with SciPy 1.17
  EXPECT_NEAR(t_quantile(0.975, 1), 12.706204736, 1e-7);
  EXPECT_NEAR(t_quantile(0.975, 5), 2.570581836, 1e-8);
  EXPECT_NEAR(t_quantile(0.975, 11), 2.200985160, 1e-8);
  EXPECT_NEAR(t_quantile(0.025, 11), -2.200985160, 1e-8);
  EXPECT_NEAR(t_quantile(0.975, 1000), 1.962339081, 1e-8);
  EXPECT_NEAR(t_quantile(0.9999, 3), 22.203742299, 1e-6);
  EXPECT_NEAR(t_quantile(0.5, 7), 0, 1e-9);
  EXPECT_THROW(t_quantile(1, 3), std::invalid_argument);
}

std::vector<double> logs(double centre, double spread, int n) {
  std::vector<double> all;
  for (int i = 0; i < n; ++i) all.push_back(std::log(centre) + (i % 2 ? spread : -spread));
  return all;
}

TEST(LabStats, VerdictsInOrder) {
  // Within the margin comes first: a difference of 1 %, however sure, is none.
  EXPECT_EQ(paired_ratio(logs(1.01, 1e-4, 12)).verdict, Verdict::equivalent);
  EXPECT_EQ(paired_ratio(logs(1.05, 1e-3, 12)).verdict, Verdict::faster);
  EXPECT_EQ(paired_ratio(logs(1 / 1.05, 1e-3, 12)).verdict, Verdict::slower);
  EXPECT_EQ(paired_ratio(logs(1.0, 0.1, 12)).verdict, Verdict::undecided);
  EXPECT_EQ(paired_ratio(logs(1.03, 0.1, 12)).verdict, Verdict::undecided);
  // The interval excludes 1, but reaches out of the margin.
  EXPECT_EQ(paired_ratio(logs(1.015, 0.01, 12)).verdict, Verdict::faster);
  // Five pairs decide nothing.
  EXPECT_EQ(paired_ratio(logs(2, 1e-3, 5)).verdict, Verdict::undecided);
  EXPECT_EQ(paired_ratio(logs(2, 1e-3, 6)).verdict, Verdict::faster);
}

TEST(LabStats, TheIntervalIsStudents) {
  const auto r = paired_ratio(logs(1.1, 0.01, 12));
  const double half = 2.200985160 * 0.01 * std::sqrt(12.0 / 11) / std::sqrt(12.0);
  EXPECT_NEAR(r.ratio, 1.1, 1e-12);
  EXPECT_NEAR(std::log(r.high / r.ratio), half, 1e-10);
  EXPECT_NEAR(std::log(r.ratio / r.low), half, 1e-10);
  EXPECT_EQ(r.starts, 12);
  EXPECT_THROW(paired_ratio({}), std::invalid_argument);
  EXPECT_THROW(paired_ratio(std::vector<double>{0, INFINITY}), std::invalid_argument);
}

TEST(LabStats, DriftIsATrendOfTheLastSix) {
  EXPECT_TRUE(drifting(std::vector<double>{1, 1, 1}));  // too few to tell
  EXPECT_TRUE(drifting(std::vector<double>{9, 8, 7, 6, 5, 4}));
  EXPECT_TRUE(drifting(std::vector<double>{1, 2, 3, 5, 4, 6}));
  EXPECT_FALSE(drifting(std::vector<double>{9, 8, 7, 4, 4.1, 3.9, 4.05, 4, 3.95}));
  EXPECT_FALSE(drifting(std::vector<double>{1, 1, 1, 1, 1, 1}));
}

TEST(LabStats, PercentilesAreLinear) {
  const std::vector<double> v{4, 1, 3, 2};
  EXPECT_EQ(median(v), 2.5);
  EXPECT_EQ(percentile(v, 0), 1);
  EXPECT_EQ(percentile(v, 1), 4);
  EXPECT_DOUBLE_EQ(percentile(v, 0.9), 3.7);
  EXPECT_DOUBLE_EQ(stddev(v), std::sqrt(5.0 / 3));
  EXPECT_EQ(stddev(std::vector<double>{3}), 0);
}

TEST(LabStats, SameAgainstSameIsRarelyCalledDifferent) {
  const auto r = simulate({});
  EXPECT_GE(r.verdicts, 0.02);
  EXPECT_LE(r.verdicts, 0.07);
  EXPECT_GE(r.covered, 0.93);
  EXPECT_LE(r.covered, 0.97);
}

TEST(LabStats, ThreePercentAreFound) {
  Simulation s;
  s.true_ratio = 1.03;
  const auto r = simulate(s);
  EXPECT_GE(r.right, 0.85);
  EXPECT_GE(r.covered, 0.93);
  EXPECT_LE(r.covered, 0.97);
  EXPECT_EQ(simulate(s).right, r.right);  // seeded
  s.drift = 0;
  EXPECT_GE(simulate(s).right, 0.85);
}

// What differs between processes is in the interval of starts; pairs within them do not show it.
TEST(LabStats, ProcessesThatDifferAreNotCalledDifferent) {
  Simulation s;
  s.layout = 0.03;
  s.pairs = 4;
  const auto r = simulate(s);
  EXPECT_LE(r.verdicts, 0.07);
  EXPECT_GE(r.covered, 0.93);
  EXPECT_LE(r.covered, 0.97);
  // One start of each, and its pairs as if they were all: what the interval must not be.
  s.starts = 48, s.pairs = 1, s.layout = 0;
  EXPECT_LT(simulate(s).verdicts, 0.07);
}

/// What a machine does to 24 executions in a row, as logarithms of their times.
std::vector<double> machine(const std::string& kind, std::mt19937_64& bits) {
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  std::vector<double> logs(24);
  double slow = 0.05 / std::sqrt(1 - 0.81) * normal(bits);
  const int phase = int(18 * uniform(bits)), step = int(24 * uniform(bits));
  for (int i = 0; i < 24; ++i) {
    double& log = logs[size_t(i)] = 0.01 * normal(bits);
    if (kind == "bursts" && (i + phase) % 18 < 5) log += 0.4 + 0.2 * normal(bits);
    if (kind == "slow waves") log += slow = 0.9 * slow + 0.05 * normal(bits);
    if (kind == "a step" && i >= step) log += 0.3;
    if (kind == "rare and long" && uniform(bits) < 0.04) log += -std::log(uniform(bits));
    if (kind == "warming" || kind == "warming and bursts") log += 0.3 * i / 24;
    if (kind == "warming and bursts" && (i + phase) % 18 < 5) log += 0.4;
  }
  return logs;
}

// Noise with heavy tails, and noise that lasts over several rounds: who begins is chance and turned
// round in every second round, so what the machine does falls on either engine alike.
TEST(LabStats, NoiseThatLastsOverRoundsIsRarelyCalledADifference) {
  std::mt19937_64 bits(1);
  for (const char* kind : {"quiet", "bursts", "slow waves", "a step", "rare and long", "warming",
                           "warming and bursts"}) {
    int verdicts = 0;
    constexpr int kRuns = 2000;
    for (int run = 0; run < kRuns; ++run) {
      const auto times = machine(kind, bits);
      std::vector<double> logs;
      bool a_first = false;
      for (size_t pair = 0; pair < 12; ++pair) {
        a_first = pair % 2 ? !a_first : bits() % 2 == 0;
        const double d = times[2 * pair + 1] - times[2 * pair];
        logs.push_back(a_first ? d : -d);
      }
      const Verdict v = paired_ratio(logs).verdict;
      verdicts += v == Verdict::faster || v == Verdict::slower;
    }
    EXPECT_LE(verdicts, most_by_chance(kRuns, 0.055, 0.001)) << kind;
  }
}

// Checked with SciPy's binom.sf: P(X > 6) of 40 at 5 % is 0.0034, P(X > 5) 0.0139.
TEST(LabStats, HowManyVerdictsChanceMakes) {
  EXPECT_EQ(most_by_chance(40, 0.05, 0.01), 6);
  EXPECT_EQ(most_by_chance(200, 0.05, 0.01), 18);
  EXPECT_EQ(most_by_chance(20, 0.05, 0.01), 4);
  EXPECT_EQ(most_by_chance(1, 0.05, 0.1), 0);
  EXPECT_EQ(most_by_chance(1, 0.05, 0.01), 1);
  EXPECT_THROW(most_by_chance(0, 0.05, 0.01), std::invalid_argument);
}

TEST(LabStats, AsManyStartsAsAnIntervalAsksFor) {
  EXPECT_EQ(starts_for(0, 0.01, 100), kFewestStarts);
  EXPECT_EQ(starts_for(1, 0.01, 100), 100);
  for (const double spread : {0.02, 0.05, 0.1}) {
    const int n = starts_for(spread, 0.02, 1000);
    const auto half = [&](int starts) {
      return t_quantile(0.975, starts - 1) * spread / std::sqrt(double(starts));
    };
    EXPECT_LE(half(n), 0.02);
    if (n > kFewestStarts) {
      EXPECT_GT(half(n - 1), 0.02);
    }
  }
}

TEST(LabStats, ThreePercentAreFoundWherePairsScatterByThree) {
  Simulation s;
  s.true_ratio = 1.03;
  s.noise = 0.03 / std::sqrt(2);
  s.drift = 0;
  EXPECT_GE(simulate(s).right, 0.85);
}

TEST(LabStats, OutliersCostPowerNotTruth) {
  Simulation s;
  s.outliers = 0.05;
  EXPECT_LE(simulate(s).verdicts, 0.07);
  s.true_ratio = 1.03;
  const auto r = simulate(s);
  EXPECT_GE(r.right, 0.2);
  EXPECT_LE(r.right, 0.85);
}

// By hand: distances from the median 3 are 2, 1, 0, 1, 97.
TEST(LabStats, MadAndWhatLiesFar) {
  const double values[] = {1, 2, 3, 4, 100};
  EXPECT_DOUBLE_EQ(mad(values), 1);
  EXPECT_EQ(outliers(values), 1);
  EXPECT_EQ(outliers(std::vector<double>{1, 1, 1, 2}), 0);  // most are the same: no scale
  EXPECT_EQ(outliers(std::vector<double>{}), 0);
}

// Slopes of the points (0, 0), (1, 1), (2, 4), (3, 3): 1, 2, 1, 3, 1, -1.
TEST(LabStats, TheilSenIsTheMedianSlope) {
  const double x[] = {0, 1, 2, 3}, y[] = {0, 1, 4, 3};
  EXPECT_DOUBLE_EQ(theil_sen(x, y).value, 1);
  EXPECT_EQ(theil_sen(x, y).low, -HUGE_VAL);
  EXPECT_THROW(theil_sen(x, std::vector<double>{1}), std::invalid_argument);
  EXPECT_THROW(theil_sen(std::vector<double>{1, 1}, std::vector<double>{1, 2}),
               std::invalid_argument);
  // Of noise the interval holds 0 in about 95 % of cases, of a slope it does not.
  int held = 0;
  uint32_t state = 1;
  for (int run = 0; run < 400; ++run) {
    std::vector<double> at, noise, steep;
    for (int i = 0; i < 12; ++i) {
      state = state * 1664525u + 1013904223u;
      at.push_back(i);
      noise.push_back(state / 4294967296.0);
      steep.push_back(noise.back() + i);
    }
    const Slope none = theil_sen(at, noise), one = theil_sen(at, steep);
    held += none.low <= 0 && none.high >= 0;
    EXPECT_GT(one.low, 0);
    EXPECT_NEAR(one.value - none.value, 1, 1e-9);
  }
  EXPECT_GE(held, 0.92 * 400);
  EXPECT_LE(held, 0.99 * 400);
}

// Simulated: what 12 pairs are said to tell in 8 of 10 comparisons, they do.
TEST(LabStats, WhatCanBeDetectedIsDetected) {
  Simulation s;
  s.drift = 0;
  s.true_ratio = 1 + detectable(s.noise * std::sqrt(2), s.starts);
  EXPECT_NEAR(simulate(s).right, 0.8, 0.06);
  EXPECT_LT(detectable(0.02, 48), detectable(0.02, 12));
  EXPECT_THROW(detectable(0.02, 1), std::invalid_argument);
}

}  // namespace
}  // namespace hearth::lab
