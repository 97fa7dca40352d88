// Thresholds of what is concluded, just below and just above.
#include <gmock/gmock.h>

#include <cmath>

#include "hearth/lab/judge/busy.h"
#include "hearth/lab/judge/explain.h"
#include "hearth/lab/judge/interventions.h"
#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using testing::gpu_result;
using ::testing::HasSubstr;

constexpr double kBelow = 1 - 1e-6, kAbove = 1 + 1e-6;

/// The main phase of the first engine, where a limit of the machine makes `share` of what it
/// reached.
Phase phase_at(std::string_view limit, double share,
               Result r = gpu_result({.active = 0.95, .clock_mhz = 1980})) {
  const auto phase = [&] { return explain(r, "torch:cuda", "hearth:cuda").a.phases.at(0); };
  const Phase before = phase();
  for (Ceiling& c : r.ceilings)
    if (c.name == limit)
      c.value = (limit == "read_bandwidth" ? *before.gb_s.value : *before.gflop_s.value) / share;
  return phase();
}

TEST(Edges, OfBeingNearALimit) {
  EXPECT_EQ(phase_at("read_bandwidth", 0.6 * kAbove).regime, Regime::bandwidth);
  EXPECT_EQ(phase_at("read_bandwidth", 0.6 * kBelow).regime, Regime::kernels);
  EXPECT_EQ(phase_at("flops_f16", 0.6 * kAbove).regime, Regime::compute);
  EXPECT_EQ(phase_at("flops_f16", 0.6 * kBelow).regime, Regime::kernels);
  EXPECT_EQ(phase_at("flops_f16", 0.9).because, "it computes 90 % of what the device can");
  EXPECT_EQ(phase_at("read_bandwidth", 0.9).because, "it reads 90 % of what memory gives");
  // More than memory gives by a tenth comes from the caches.
  EXPECT_EQ(phase_at("read_bandwidth", 1.1 * kBelow).regime, Regime::bandwidth);
  EXPECT_EQ(phase_at("read_bandwidth", 1.1 * kAbove).regime, Regime::kernels);
  EXPECT_THAT(phase_at("read_bandwidth", 1.1 * kAbove).because,
              HasSubstr("its weights stay in the caches"));
  EXPECT_THAT(phase_at("read_bandwidth", 0.5).because, HasSubstr("far from both limits"));
  EXPECT_EQ(phase_at("read_bandwidth", 1.1 * kBelow).floor_from, "bandwidth; launch unknown");
  EXPECT_EQ(phase_at("read_bandwidth", 1.1 * kAbove).floor_from, "compute; launch unknown");
}

TEST(Edges, OfTheNearerOfTwoLimits) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 1980});
  const Phase before = explain(r, "torch:cuda", "hearth:cuda").a.phases.at(0);
  r.ceilings[1].value = *before.gflop_s.value / 0.7;
  EXPECT_EQ(phase_at("read_bandwidth", 0.7 * kBelow, r).regime, Regime::compute);
  EXPECT_EQ(phase_at("read_bandwidth", 0.7 * kAbove, r).regime, Regime::bandwidth);
  EXPECT_NEAR(*phase_at("read_bandwidth", 0.8, r).floor_s.value, 0.8 * before.time_s, 1e-9);
  EXPECT_NEAR(*phase_at("read_bandwidth", 0.6, r).floor_s.value, 0.7 * before.time_s, 1e-9);
}

TEST(Edges, OfADeviceThatIsMostlyActive) {
  const auto regime = [](const testing::Gpu& gpu) {
    const Result r = gpu_result(gpu);
    return explain(r, "torch:cuda", "hearth:cuda").a.phases.at(0).regime;
  };
  EXPECT_EQ(regime({.active = 0.8 * kAbove, .clock_mhz = 1980}), Regime::kernels);
  EXPECT_EQ(regime({.active = 0.8 * kBelow, .clock_mhz = 1980}), Regime::launch);
  EXPECT_EQ(regime({.active = 0.9, .clock_mhz = 0.8 * 1980 * kAbove}), Regime::kernels);
  EXPECT_EQ(regime({.active = 0.9, .clock_mhz = 0.8 * 1980 * kBelow}), Regime::clock);
  EXPECT_EQ(regime({.active = 0.7, .clock_mhz = 1980, .host_cores = 0.5 * kAbove}), Regime::launch);
  EXPECT_EQ(regime({.active = 0.7, .clock_mhz = 1980, .host_cores = 0.5 * kBelow}), Regime::host);
}

TEST(Edges, OfAFullClock) {
  const auto because = [](double clock) {
    const Result r = gpu_result({.active = 0.5, .clock_mhz = clock});
    return explain(r, "torch:cuda", "hearth:cuda").a.phases.at(0).because;
  };
  EXPECT_THAT(because(0.9 * 1980 * kAbove), HasSubstr("no slow GPU"));
  EXPECT_THAT(because(0.9 * 1980 * kBelow), ::testing::Not(HasSubstr("no slow GPU")));
}

TEST(Edges, OfLaunchesThatFillTheTime) {
  const auto regime = [](double share) {
    Result r = gpu_result({.active = 0.95, .clock_mhz = 1980});
    const Phase before = explain(r, "torch:cuda", "hearth:cuda").a.phases.at(0);
    r.engines[0].launches = 1000, r.engines[0].replayed = 0;
    r.ceilings.push_back({"launch", "cuda", "us", "", share * before.time_s * 1e6 / 1000});
    return explain(r, "torch:cuda", "hearth:cuda").a.phases.at(0).regime;
  };
  EXPECT_EQ(regime(0.6 * kAbove), Regime::launch);
  EXPECT_EQ(regime(0.6 * kBelow), Regime::kernels);
}

TEST(Edges, OfACrowdedMachine) {
  Busy busy;
  EXPECT_EQ(crowded(busy), "");
  busy.others = 0.1 * kBelow;
  EXPECT_EQ(crowded(busy), "");
  busy.others = 0.1 * kAbove;
  EXPECT_EQ(crowded(busy), "other processes took 10 % of the processors");
}

TEST(Edges, OfWhatSoftwareAskedFor) {
  Busy busy;
  const auto asked = [&](std::vector<std::pair<std::string, double>> states) {
    busy.states = {{"gpu_states", {{"idle", 1}}}, {"gpu_requested_states", std::move(states)}};
    return asked_for(busy);
  };
  EXPECT_EQ(asked({{"P1", 0.5 * kBelow}, {"P2", 0.4}}), "");
  EXPECT_EQ(asked({{"P1", 0.5 * kAbove}, {"P2", 0.4}}),
            "software asked for P1, the lowest clock, for 50 % of the time");
  EXPECT_EQ(asked({{"P1", 0.1}, {"P2", 0.8}, {"P3", 0.1}}),
            "software asked for P2 for 80 % of the time");
  EXPECT_EQ(asked({{"P1", 0.1}, {"P2", 0.8}}),
            "software asked for P2, the highest clock, for 80 % of the time");
  EXPECT_EQ(asked({{"P1", 0.8}}), "software asked for P1 for 80 % of the time");
  EXPECT_EQ(asked({}), "");
}

// NVML looks back a second: that is left out of turns of more than two.
TEST(Edges, OfATurnThatNvmlKnows) {
  const auto seconds = [](double turn_s, const char* source = "nvml") {
    Result r = gpu_result({.active = 0.9, .clock_mhz = 1980});
    EngineResult& e = r.engines[0];
    e.repetitions.resize(1);
    e.repetitions[0].start_s = 10;
    e.repetitions[0].total_s = turn_s;
    e.telemetry.time_s.clear();
    for (int i = 1; i <= 30; ++i) e.telemetry.time_s.push_back(10 + 0.1 * i);
    for (Channel& c : e.telemetry.channels) {
      c.values.assign(30, 0.5);
      c.source = source;
    }
    return busy_of(r, e, 0).seconds;
  };
  EXPECT_NEAR(seconds(1), 1, 1e-9);
  EXPECT_NEAR(seconds(1.5), 1.5, 1e-9);
  EXPECT_NEAR(seconds(1.999), 1.999, 1e-9);
  EXPECT_NEAR(seconds(2.001), 1.001, 1e-9);
  EXPECT_NEAR(seconds(2.5), 1.5, 1e-9);
  EXPECT_NEAR(seconds(2.5, "powermetrics"), 2.5, 1e-9);
}

TEST(Edges, OfWhatHoldsAClockDown) {
  Result r = gpu_result({.active = 0.9, .clock_mhz = 1980});
  EngineResult& e = r.engines[0];
  Channel* capped = nullptr;
  for (Channel& c : e.telemetry.channels)
    if (c.name == "gpu_limit_power_cap") capped = &c;
  for (const bool above : {false, true}) {
    for (auto& v : capped->values) v = above ? 0.0101 : 0.0099;
    EXPECT_EQ(busy_of(r, e, 0).held_back.size(), size_t(above));
    EXPECT_NEAR(busy_of(r, e, 0).limits.at("power_cap"), above ? 0.0101 : 0.0099, 1e-12);
  }
  capped->name = "gpu_limit_power_cap.1";  // of another GPU
  EXPECT_TRUE(busy_of(r, e, 0).limits.empty());
  capped->name = "cpu_steal_fraction";
  EXPECT_EQ(busy_of(r, e, 0).held_back.at(0).first, "steal");
}

// What other processes took: all that is active, less the engine's own.
TEST(Edges, OthersAreNeverLessThanNothing) {
  Result r = gpu_result({.active = 0.9, .clock_mhz = 1980});
  EngineResult& e = r.engines[0];
  const auto channel = [&](const char* name, double value) {
    Channel c = e.telemetry.channels[0];
    c.name = name;
    c.values.assign(e.telemetry.time_s.size(), value);
    std::erase_if(e.telemetry.channels, [&](const Channel& other) { return other.name == name; });
    e.telemetry.channels.push_back(c);
  };
  channel("cpu_active_fraction", 0.5);
  channel("process_active_cores", 1);
  EXPECT_FALSE(busy_of(r, e, 0).others.value);  // of how many cores?
  for (const char* core :
       {"cpu_active_fraction.0", "cpu_active_fraction.1", "cpu_active_fraction.2",
        "cpu_active_fraction.3", "cpu_active_fraction.P-Cluster", "cpu_active_fraction."})
    channel(core, 0.5);
  EXPECT_NEAR(*busy_of(r, e, 0).others.value, 0.25, 1e-12);
  channel("process_active_cores", 3);
  EXPECT_EQ(busy_of(r, e, 0).others.value, 0);
}

TEST(Edges, OfAPredictionThatHolds) {
  Result r = gpu_result({.active = 0.32, .clock_mhz = 1980});
  const auto verdict = [&](double factor) {
    Result with = r;
    testing::add_batch(with, 2, factor);
    return explain(with, "torch:cuda", "hearth:cuda").hypotheses.at(0).verdict;
  };
  EXPECT_EQ(verdict(1.15 * kBelow), "held");
  EXPECT_EQ(verdict(1.15 * kAbove), "failed");
  EXPECT_EQ(verdict(1 / 1.15 * kAbove), "held");
  EXPECT_EQ(verdict(1 / 1.15 * kBelow), "failed");
}

/// An intervention whose executions took `factor` of the time, give or take 1.5 %.
Intervention tried(std::vector<double> factors, int pairs = 12) {
  Intervention i;
  i.predicted = 1, i.least = 0.9, i.most = 1.2;
  i.measured_at = "now";
  factors.insert(factors.begin(), 1);
  for (const double factor : factors) {
    EngineResult e;
    for (int k = 0; k < pairs; ++k) {
      Repetition rep;
      rep.round = rep.start = k;
      rep.new_tokens = 1;
      rep.total_s = factor * (factor == 1 ? 1 : std::exp(0.01 * (k % 4 - 1.5)));
      e.repetitions.push_back(rep);
    }
    i.executions.push_back(e);
  }
  return i;
}

// Of 12 pairs the interval reaches from 0.9926 to 1.0074 of the factor.
TEST(Edges, OfAnInterventionThatWasTried) {
  const auto verdict = [](std::vector<double> factors, int pairs = 12) {
    return judge(tried(std::move(factors), pairs)).verdict;
  };
  EXPECT_EQ(verdict({1.05}), "held");
  EXPECT_EQ(verdict({0.908}), "held");
  EXPECT_EQ(verdict({0.905}), "undecided");
  EXPECT_EQ(verdict({0.895}), "undecided");
  EXPECT_EQ(verdict({0.892}), "failed");
  EXPECT_EQ(verdict({1.19}), "held");
  EXPECT_EQ(verdict({1.195}), "undecided");
  EXPECT_EQ(verdict({1.205}), "undecided");
  EXPECT_EQ(verdict({1.21}), "failed");
  EXPECT_EQ(verdict({1.05}, 5), "undecided");
  EXPECT_EQ(verdict({1.05}, 6), "held");
  EXPECT_EQ(verdict({2}, 5), "undecided");
  EXPECT_EQ(verdict({1.05, 1.1}), "held");
  EXPECT_EQ(verdict({1.05, 1.195}), "undecided");
  EXPECT_EQ(verdict({1.05, 2}), "failed");
  EXPECT_EQ(verdict({}), "not tested");
  // Shown is the one that is farthest from what was predicted, also the other way.
  EXPECT_NEAR(judge(tried({1.05, 0.7, 1.3})).ratio->ratio, 0.7, 1e-9);
  EXPECT_NEAR(judge(tried({1.05, 0.8, 1.3})).ratio->ratio, 1.3, 1e-9);
  EXPECT_NEAR(judge(tried({1.05})).ratio->low, 1.05 * 0.992608, 1e-6);
  EXPECT_NEAR(judge(tried({1.05})).ratio->high, 1.05 * 1.007447, 1e-6);
  Intervention i = tried({1.05});
  i.measured_at = "";
  EXPECT_EQ(judge(i).verdict, "not tested");
}

}  // namespace
}  // namespace hearth::lab
