// Samples against the time that they are of, in traces made up for it.
#include "hearth/lab/judge/windows.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hearth/lab/judge/explain.h"
#include "hearth/lab/show/explain_text.h"
#include "hearth/lab/show/report.h"
#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using ::testing::Contains;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using testing::gpu_result;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<double> overlap_of(std::vector<double> samples, std::vector<Window> windows) {
  return overlap(samples, windows, 1);
}

TEST(Windows, ASampleCountsByThePartThatLiesInThem) {
  const auto near = [](double value) { return DoubleNear(value, 1e-12); };
  // The first is of the period and a half before it.
  EXPECT_THAT(overlap_of({1, 2, 3, 4}, {{1.25, 3.5}}),
              ElementsAre(near(0), near(0.75), near(1), near(0.5)));
  EXPECT_THAT(overlap_of({1, 2}, {{-10, 10}}), ElementsAre(near(1.5), near(1)));
  // After a gap, too: what was before it is not this sample's.
  EXPECT_THAT(overlap_of({1, 10}, {{0, 10}}), ElementsAre(near(1), near(1.5)));
  // Several windows in one sample, and one window in none.
  EXPECT_THAT(overlap_of({1, 2}, {{1.1, 1.2}, {1.5, 1.75}, {5, 6}}),
              ElementsAre(near(0), near(0.35)));
  EXPECT_THAT(overlap_of({}, {{0, 1}}), IsEmpty());
  EXPECT_THAT(overlap_of({1, 2}, {}), ElementsAre(0, 0));
}

// One streamed repetition from second 10: the first token after 1 s, the last after 3.
EngineResult streamed() {
  EngineResult e;
  Repetition r;
  r.streamed = true;
  r.start_s = 10;
  r.total_s = 3.5;
  r.token_s = {1, 2, 3};
  e.repetitions = {r};
  return e;
}

TEST(Windows, APhaseEndsWithItsTokens) {
  const auto is = [](const std::vector<Window>& windows, double from, double to) {
    ASSERT_EQ(windows.size(), 1u);
    EXPECT_DOUBLE_EQ(windows[0].from, from);
    EXPECT_DOUBLE_EQ(windows[0].to, to);
  };
  EngineResult e = streamed();
  is(windows_of(e, 0), 10, 13.5);
  is(windows_of(e, 0, "prefill"), 10, 11);
  is(windows_of(e, 0, "decode"), 11, 13);
  EXPECT_THAT(windows_of(e, 1), IsEmpty());
  // Adjacent repetitions of a round are one turn, whatever their order in the file; others are not.
  Repetition before = e.repetitions[0], after = before;
  before.start_s = 6.45;
  after.start_s = 13.7;
  e.repetitions = {after, e.repetitions[0], before};
  const auto windows = windows_of(e, 0);
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_DOUBLE_EQ(windows[0].from, 6.45);
  EXPECT_DOUBLE_EQ(windows[0].to, 13.5);
  EXPECT_EQ(windows_of(e, 0, "decode").size(), 3u);
  e.repetitions[2].round = 1;  // another engine had its turn in between
  EXPECT_EQ(windows_of(e, 0).size(), 3u);
  for (Repetition& r : e.repetitions) r.warmup = true;
  EXPECT_THAT(windows_of(e, 0), IsEmpty());
}

// A prefill at one clock, then decoding at another: a trace of 0.1 s.
Result two_clocks(double prefill_s, double decode_s) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 1980});
  EngineResult& e = r.engines[0];
  e.telemetry.time_s.clear();
  for (Channel& c : e.telemetry.channels) c.values.clear();
  for (Repetition& rep : e.repetitions) {
    rep.streamed = rep.round % 2 == 0;
    rep.start_s = 100.0 * rep.round + 0.03;  // between samples
    rep.total_s = prefill_s + decode_s;
    if (rep.streamed)
      for (int i = 0; i < 50; ++i) rep.token_s.push_back(prefill_s + decode_s * i / 49);
    const double end = rep.start_s + rep.total_s, turn = rep.start_s + prefill_s;
    for (int i = 1; i * 0.1 < rep.total_s + 0.3; ++i) {
      const double at = 100.0 * rep.round + 0.1 * i;
      // The truth: the mean clock of the 0.1 s before.
      const double slow = std::clamp((turn - (at - 0.1)) / 0.1, 0.0, 1.0);
      e.telemetry.time_s.push_back(at);
      for (Channel& c : e.telemetry.channels)
        c.values.push_back(c.name == "gpu_clock_mhz"         ? 600 * slow + 1980 * (1 - slow)
                           : c.name == "gpu_clock_max_mhz"   ? 1980
                           : c.name == "gpu_active_fraction" ? (at - 0.1 < end ? 0.95 : 0)
                                                             : 0.0);
    }
  }
  for (Channel& c : e.telemetry.channels) c.reason = "", c.source = "powermetrics";
  return r;
}

const Phase& phase_of(const Explanation& e, std::string_view name) {
  for (const Phase& phase : e.a.phases)
    if (phase.name == name) return phase;
  throw std::runtime_error("no such phase");
}

TEST(Windows, EachPhaseHasItsOwnClock) {
  const Result r = two_clocks(1, 2);
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  const Phase &prefill = phase_of(e, "prefill"), &decode = phase_of(e, "decode");
  EXPECT_NEAR(*prefill.clock_mhz.value, 600, 50);  // the sample of the border is of both
  EXPECT_NEAR(*decode.clock_mhz.value, 1980, 50);
  EXPECT_NEAR(*e.a.busy.clock_mhz.value, (600 + 2 * 1980) / 3.0, 30);
  EXPECT_NEAR(prefill.telemetry_s, 4 * 1, 0.01);
  EXPECT_NEAR(decode.telemetry_s, 4 * 2, 0.01);
  EXPECT_EQ(prefill.regime, Regime::clock);
  EXPECT_EQ(decode.regime, Regime::kernels);
  for (const Phase* phase : {&prefill, &decode}) EXPECT_EQ(phase->under_sampled, "");
  EXPECT_THAT(to_text(e, r), Not(HasSubstr("under-sampled")));
  const auto json = to_json(e);
  EXPECT_TRUE(json["a"]["under_sampled"].is_null());
  EXPECT_TRUE(json["a"]["phases"][0]["under_sampled"].is_null());
  EXPECT_GT(json["a"]["phases"][0]["telemetry_s"], 0);
}

TEST(Windows, APhaseShorterThanThreePeriodsIsMarkedAndHasTheJobsClock) {
  const Result r = two_clocks(0.25, 2);
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  const Phase &prefill = phase_of(e, "prefill"), &decode = phase_of(e, "decode");
  EXPECT_THAT(prefill.under_sampled, HasSubstr("it lasts 0.25 s at a time, less than 3 periods"));
  EXPECT_EQ(prefill.clock_mhz.value, e.a.busy.clock_mhz.value);
  EXPECT_EQ(decode.under_sampled, "");
  EXPECT_GT(*decode.clock_mhz.value, 1900);
  EXPECT_THAT(to_text(e, r), HasSubstr("under-sampled: it lasts 0.25 s"));
  EXPECT_THAT(report_html(r), HasSubstr("under-sampled: it lasts 0.25 s"));
  EXPECT_THAT(e.gate.notes, Not(Contains(HasSubstr("under-sampled"))));  // the job is not
  EXPECT_EQ(under_sampled(two_clocks(0.3, 2), two_clocks(0.3, 2).engines[0], 0, "prefill"), "");
}

TEST(Windows, AJobShorterThanThreePeriodsIsSaidWhereEnginesAreCompared) {
  Result r = two_clocks(0.05, 0.2);
  const Comparison c = compare(r, "torch:cuda", "hearth:cuda", 0);
  EXPECT_THAT(c.gate.notes,
              Contains(HasSubstr("telemetry of torch:cuda is under-sampled: it lasts 0.25 s")));
  EXPECT_TRUE(c.gate.comparable());  // the times are what they are
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  EXPECT_THAT(e.a.busy.under_sampled, HasSubstr("under-sampled"));
  EXPECT_TRUE(to_json(e)["a"]["under_sampled"].is_string());
  r.engines[0].telemetry = {};  // so short that no sample came
  EXPECT_THAT(under_sampled(r, r.engines[0], 0), HasSubstr("under-sampled"));
  r.plan.telemetry_period_s = Reading<double>::missing("telemetry was off");
  EXPECT_THAT(compare(r, "torch:cuda", "hearth:cuda", 0).gate.notes, IsEmpty());
}

}  // namespace
}  // namespace hearth::lab
