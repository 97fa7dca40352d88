// The statistics on the noise of real machines: an engine against itself, recorded by
// tools/lab_noise.py, each pair of processes of its own. No clock runs here.
#include <gtest/gtest.h>

#include <cmath>
#include <span>

#include "hearth/io/npy.h"
#include "hearth/lab/judge/pairs.h"
#include "hearth/ops/ops.h"
#include "tests/shared.h"

namespace hearth::lab {
namespace {

constexpr int kStarts = 12;

struct Noise {
  std::vector<double> a, b;                // seconds of an execution, of each pair
  std::vector<double> others_a, others_b;  // the share of the processors that others took
  std::vector<size_t> begins;              // of each run its first pair, and the end
  std::vector<int> verdicts;               // what the lab said of each run then; empty: not kept
  double turn_s = 0;                       // executions go on for so long; 0: there is one
  size_t runs() const { return begins.size() - 1; }
};

const Tensors& data() {
  static const Tensors arrays = load_npz(testing::source_path("tests/lab/data/noise.npz"));
  return arrays;
}

/// "quiet", "loops", ...: what ran beside.
std::vector<std::string> kinds() {
  std::vector<std::string> all;
  for (const auto& [name, array] : data())
    if (name.starts_with("total_")) all.push_back(name.substr(6));
  return all;
}

Noise recorded(const std::string& kind) {
  Noise noise;
  const auto columns = [&](const std::string& name, std::vector<double>& first,
                           std::vector<double>& second) {
    const std::vector<float> all = astype(data().at(name + "_" + kind), float32).to_vector<float>();
    for (size_t i = 0; i < all.size(); i += 2)
      first.push_back(all[i]), second.push_back(all[i + 1]);
  };
  columns("total", noise.a, noise.b);
  columns("others", noise.others_a, noise.others_b);
  const size_t pairs = noise.a.size();
  if (const auto run = data().find("run_" + kind); run != data().end()) {
    const auto of = astype(run->second, int32).to_vector<int>();
    for (size_t i = 0; i < pairs; ++i)
      if (i == 0 || of[i] != of[i - 1]) noise.begins.push_back(i);
    noise.begins.push_back(pairs);
    noise.turn_s = 0.1;
    noise.verdicts = astype(data().at("verdict_" + kind), int32).to_vector<int>();
  } else {  // one long run, cut in pieces
    for (size_t at = 0; at <= pairs; at += kStarts) noise.begins.push_back(at);
  }
  return noise;
}

/// The pairs of a run as the lab has them; B takes `slower` times as long.
std::pair<EngineResult, EngineResult> engines(const Noise& noise, size_t run, double slower = 1,
                                              bool with_others = false) {
  std::pair<EngineResult, EngineResult> both;
  const size_t from = noise.begins[run];
  for (size_t i = from; i < noise.begins[run + 1]; ++i)
    for (const bool second : {false, true}) {
      Repetition r;
      r.round = r.start = int(i - from);
      const double mean = second ? noise.b[i] : noise.a[i];
      r.new_tokens = int(std::max(1.0, std::ceil(noise.turn_s / mean)));  // executions as one
      r.total_s = mean * slower * r.new_tokens;
      if (with_others) {
        r.disturbance = Disturbance{};
        r.disturbance->others_s = r.total_s * (second ? noise.others_b : noise.others_a)[i];
      }
      (second ? both.second : both.first).repetitions.push_back(r);
    }
  return both;
}

bool called(const Estimate& e) {
  return e.time.verdict == Verdict::faster || e.time.verdict == Verdict::slower;
}

// Disturbed or not, whatever the machine did: by the intervals alone, and with what was disturbed
// left out.
TEST(RealNoise, IsRarelyCalledADifference) {
  for (const std::string& kind : kinds()) {
    SCOPED_TRACE(kind);
    const Noise noise = recorded(kind);
    for (const bool with_others : {false, true}) {
      int verdicts = 0;
      for (size_t run = 0; run < noise.runs(); ++run) {
        const auto [a, b] = engines(noise, run, 1, with_others);
        verdicts += called(estimate(a, b, 0).value());
      }
      ASSERT_GE(noise.runs(), 10u);
      EXPECT_LE(verdicts, most_by_chance(int(noise.runs()), 0.05, 0.01)) << "of " << noise.runs();
    }
  }
}

// What the lab said while it measured, it says of what it recorded.
TEST(RealNoise, GivesTheVerdictsOfThen) {
  constexpr Verdict kVerdicts[] = {Verdict::undecided, Verdict::undecided, Verdict::equivalent,
                                   Verdict::faster, Verdict::slower};  // VERDICTS of lab_noise.py
  for (const std::string& kind : kinds()) {
    SCOPED_TRACE(kind);
    const Noise noise = recorded(kind);
    size_t same = 0;
    for (size_t run = 0; run < noise.verdicts.size(); ++run) {
      const auto [a, b] = engines(noise, run, 1, true);
      same += estimate(a, b, 0).value().time.verdict == kVerdicts[noise.verdicts[run]];
    }
    // Not in all: the lab knew how many executions each turn had, here it is from their mean, and
    // so other pairs are at the edge of what counts as disturbed.
    EXPECT_GE(same, noise.verdicts.size() * 9 / 10) << "of " << noise.verdicts.size();
  }
}

// Why imports have no verdict: ten runs of an engine after ten of its own are called different far
// more often than the 5 % of the intervals, and in turns they are not.
TEST(RealNoise, BlocksOneAfterTheOtherAreCalledDifferent) {
  constexpr size_t kRuns = 10;
  const Noise noise = recorded("builds");
  int blocks = 0, called_in_blocks = 0, turns = 0, called_in_turns = 0;
  const auto different = [](std::span<const double> x, std::span<const double> y) {
    std::vector<double> logs;
    for (size_t i = 0; i < kRuns; ++i) logs.push_back(std::log(y[i] / x[i]));
    const Verdict verdict = paired_ratio(logs, 0).verdict;
    return verdict == Verdict::faster || verdict == Verdict::slower;
  };
  for (const auto* one : {&noise.a, &noise.b})
    for (size_t at = 0; at + 2 * kRuns < one->size(); at += kRuns, ++blocks)
      called_in_blocks +=
          different(std::span(*one).subspan(at), std::span(*one).subspan(at + kRuns));
  for (size_t at = 0; at + kRuns <= noise.a.size(); at += kRuns, ++turns)
    called_in_turns += different(std::span(noise.a).subspan(at), std::span(noise.b).subspan(at));
  EXPECT_EQ(blocks, 86);
  EXPECT_EQ(called_in_blocks, 21);
  EXPECT_GT(called_in_blocks, most_by_chance(blocks, 0.05, 0.01));
  EXPECT_EQ(turns, 44);
  EXPECT_EQ(called_in_turns, 1);
}

// All pairs as one: neither engine is preferred, nor the one that goes first.
TEST(RealNoise, PrefersNoEngine) {
  for (const std::string& kind : kinds()) {
    SCOPED_TRACE(kind);
    const Noise noise = recorded(kind);
    double sum = 0, squares = 0;
    int ahead = 0;
    const int runs = int(noise.runs());
    for (size_t run = 0; run < noise.runs(); ++run) {
      const auto [a, b] = engines(noise, run);
      const double log = std::log(estimate(a, b, 0)->time.ratio);
      sum += log, squares += log * log, ahead += log > 0;
    }
    const double mean = sum / runs, sd = std::sqrt(squares / runs - mean * mean);
    EXPECT_LE(std::abs(mean), t_quantile(0.995, runs - 1) * sd / std::sqrt(double(runs)));
    // 99 % of fair coins are ahead within 2.576 standard deviations.
    EXPECT_LE(std::abs(ahead - runs / 2.0), 2.576 * std::sqrt(runs / 4.0) + 0.5) << "of " << runs;
  }
}

TEST(RealNoise, ThreePercentAreFoundWherePairsScatterByNoMore) {
  int all_runs = 0, all_found = 0;
  for (const std::string& kind : kinds()) {
    SCOPED_TRACE(kind);
    const Noise noise = recorded(kind);
    int runs = 0, found = 0;
    for (size_t run = 0; run < noise.runs(); ++run) {
      const auto [a, b] = engines(noise, run, 1.03);
      const Estimate e = estimate(a, b, 0).value();
      if (e.time.spread > 0.03) continue;
      ++runs;
      found += e.time.verdict == Verdict::faster;
    }
    all_runs += runs, all_found += found;
  }
  if (all_runs < 20) GTEST_SKIP() << "pairs scatter by more in all but " << all_runs << " runs";
  EXPECT_GE(all_found, 0.85 * all_runs) << "of " << all_runs;
}

}  // namespace
}  // namespace hearth::lab
