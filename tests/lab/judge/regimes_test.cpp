// What holds an engine back, from the samples of a made-up GPU, and what changes to it support.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "hearth/lab/judge/busy.h"
#include "hearth/lab/judge/explain.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/explain_text.h"
#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Regimes, AGpuThatWaitsAtFullClockIsLaunchBoundAndNotSlow) {
  const Result r = gpu_result({.active = 0.32, .clock_mhz = 1980});
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  EXPECT_EQ(e.a.phases.at(0).regime, Regime::launch);
  const std::string text = to_text(e, r);
  EXPECT_THAT(text, HasSubstr("launch-bound"));
  EXPECT_THAT(text, HasSubstr("active 32 % of the time, at 100 % of its highest clock"));
  EXPECT_THAT(text, HasSubstr("no slow GPU"));
  EXPECT_THAT(e.cause, HasSubstr("a device that waits more"));
  EXPECT_THAT(e.cause, HasSubstr("launch-bound"));
}

// As an H100 was seen: 32 % busy under eager steps, 72 % under compiled ones, at its full clock.
TEST(Regimes, OfTransformersOnAnH100AreLaunches) {
  const Result r = read_result(source_path("tests/lab/data/h100_launch_bound.json"));
  const Explanation e = explain(r, "torch:cuda", "torch:cuda:compile=1");
  EXPECT_NEAR(*e.a.phases.at(0).bandwidth_share.value, 0.05, 0.005);
  EXPECT_NEAR(*e.b.phases.at(0).bandwidth_share.value, 0.42, 0.01);
  for (const Side* side : {&e.a, &e.b}) {
    EXPECT_EQ(side->phases[0].regime, Regime::launch) << side->label;
    EXPECT_THAT(side->phases[0].because, HasSubstr("100 % of its highest clock: no slow GPU"));
  }
  EXPECT_NEAR(*e.attribution.clock.value, 0, 1e-12);
  // The compiled engine of the same result is the intervention that decides.
  ASSERT_EQ(e.hypotheses.at(0).intervention, "compile from none to 1");
  EXPECT_NEAR(*e.hypotheses[0].predicted.value, 0.32, 0.01);
  EXPECT_LT(*e.hypotheses[0].observed.value, 0.2);
  EXPECT_EQ(e.hypotheses[0].verdict, "held");
  EXPECT_TRUE(e.hypotheses[0].decisive);
  EXPECT_EQ(e.certainty, "supported by an intervention");
  const std::string text = to_text(e, r);
  EXPECT_THAT(text, HasSubstr("32 against 72 % active"));
  EXPECT_THAT(text, Not(HasSubstr("clock-limited")));
  EXPECT_THAT(text, Not(HasSubstr("lower clock")));
}

TEST(Regimes, FollowTheSamples) {
  const auto regime = [](const Gpu& gpu) {
    const Result r = gpu_result(gpu);
    return explain(r, "torch:cuda", "hearth:cuda").a.phases.at(0).regime;
  };
  EXPECT_EQ(regime({.active = 0.95, .clock_mhz = 600}), Regime::clock);
  EXPECT_EQ(regime({.active = 0.95, .clock_mhz = 1980}), Regime::kernels);
  EXPECT_EQ(regime({.active = 0.5, .clock_mhz = 1980, .host_cores = 0.1}), Regime::host);
  EXPECT_EQ(regime({.active = 0.5, .clock_mhz = 1980, .host_cores = 1}), Regime::launch);
  EXPECT_EQ(regime({.active = 0.95, .clock_mhz = 1980, .gb_s = 300}), Regime::bandwidth);
  EXPECT_EQ(regime({.active = 0.95, .clock_mhz = 1980, .gflop_s = 300}), Regime::compute);
  EXPECT_EQ(regime({.active = {}, .clock_mhz = 1980}), Regime::unknown);
  // More than memory gives comes from the caches.
  EXPECT_EQ(regime({.active = 0.95, .clock_mhz = 1980, .gb_s = 100}), Regime::kernels);
}

TEST(Regimes, WithoutADriversMaximumTheClockIsHeldAgainstTheMeasuredOne) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 600});
  std::erase_if(r.engines[0].telemetry.channels,
                [](const Channel& c) { return c.name == "gpu_clock_max_mhz"; });
  const auto regime = [&] { return explain(r, "torch:cuda", "hearth:cuda").a.phases.at(0).regime; };
  EXPECT_NE(regime(), Regime::clock);
  r.ceilings.push_back({"clock", "cpu", "MHz", "measured", 4000.0});  // of another device
  EXPECT_NE(regime(), Regime::clock);
  r.ceilings.push_back({"clock", "cuda", "MHz", "measured", 1980.0});
  EXPECT_EQ(regime(), Regime::clock);
}

// 8 rounds of 50 tokens in about 1 s: 20 ms a token.
TEST(Regimes, AFloorIsTheSlowestOfReadingComputingAndLaunching) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 1980, .gb_s = 1000, .gflop_s = 1e6});
  const auto phase = [&] { return explain(r, "torch:cuda", "hearth:cuda").a.phases.at(0); };
  Phase decode = phase();
  const double floor = decode.work.value->bytes * 1e-12;
  EXPECT_NEAR(*decode.floor_s.value, floor, 1e-12);
  EXPECT_EQ(decode.floor_from, "bandwidth; launch unknown");
  EXPECT_FALSE(decode.launch_share.value);

  r.engines[0].launches = 1000;
  r.engines[0].replayed = 500;
  EXPECT_THAT(phase().launch_share.reason, HasSubstr("no launch of cuda"));
  EXPECT_EQ(phase().launches.value, 1500);
  r.ceilings.push_back({"launch", "cuda", "us", "measured", 5.0});
  EXPECT_THAT(phase().launch_share.reason, HasSubstr("no launch_replayed of cuda"));
  r.ceilings.push_back({"launch_replayed", "cuda", "us", "measured", 1.0});
  decode = phase();
  EXPECT_NEAR(*decode.launch_share.value * decode.time_s, 5.5e-3, 1e-9);
  EXPECT_NEAR(*decode.floor_s.value, 5.5e-3, 1e-9);
  EXPECT_EQ(decode.floor_from, "launch");
  EXPECT_EQ(decode.regime, Regime::kernels);
  EXPECT_THAT(to_text(explain(r, "torch:cuda", "hearth:cuda"), r),
              HasSubstr("at least 5.5 ms of 20"));
  EXPECT_THAT(to_text(explain(r, "torch:cuda", "hearth:cuda"), r), HasSubstr(" ms = 27 % (launch"));

  r.engines[0].launches = 3000;  // 15.5 ms of 20 ms, however busy the GPU says it is
  EXPECT_EQ(phase().regime, Regime::launch);
  EXPECT_THAT(phase().because, HasSubstr("3500 launches a step, 77 % of the time"));
  EXPECT_EQ(to_json(explain(r, "torch:cuda", "hearth:cuda"))["a"]["phases"][0]["floor_from"],
            "launch");
  r.ceilings[0].value = 300;  // memory is nearer
  EXPECT_EQ(phase().regime, Regime::bandwidth);
  r.ceilings[0].value = 100;  // more than memory gives: from the caches
  EXPECT_EQ(phase().regime, Regime::launch);
  EXPECT_EQ(phase().floor_from, "launch");
}

TEST(Regimes, WorkThatWaitsToBeSentNamesTheLaunches) {
  Result r = gpu_result({.active = 0.32, .clock_mhz = 1980});
  r.engines[0].launches = 900;
  r.engines[0].replayed = 0;
  r.ceilings.push_back({"launch", "cuda", "us", "measured", 4.0});
  EXPECT_THAT(explain(r, "torch:cuda", "hearth:cuda").a.phases.at(0).because,
              HasSubstr("no slow GPU, it waits for work to be sent; 900 launches a step, 18 % of"));
}

TEST(Regimes, OnlySamplesWithinTheRepetitionsCount) {
  Result r = gpu_result({.active = 0.32, .clock_mhz = 1980});
  EngineResult& engine = r.engines[0];
  const double end = engine.telemetry.time_s.back();
  for (double t : {0.1, 0.2, 0.3}) {  // idle after the end
    engine.telemetry.time_s.push_back(end + 100 + t);
    for (Channel& c : engine.telemetry.channels) c.values.push_back(0);
  }
  EXPECT_NEAR(*busy_of(r, engine, 0).active_fraction.value, 0.32, 1e-9);
}

TEST(Regimes, NvmlsFirstSecondOfATurnIsOfWhatRanBefore) {
  Result r = gpu_result({.active = 0.9, .clock_mhz = 1980});
  EngineResult& engine = r.engines[0];
  engine.repetitions.resize(3);
  for (size_t i = 0; i < 3; ++i) {  // one turn of 3 s
    engine.repetitions[i].round = 0;
    engine.repetitions[i].start_s = 10 + double(i);
    engine.repetitions[i].total_s = 0.99;
  }
  engine.telemetry.time_s.clear();
  for (Channel& c : engine.telemetry.channels) c.values.clear();
  for (int i = 1; i < 30; ++i) {
    engine.telemetry.time_s.push_back(10 + 0.1 * i);
    for (Channel& c : engine.telemetry.channels)
      c.values.push_back(c.name == "gpu_active_fraction" ? (i < 10 ? 0.1 : 0.9) : 1980);
  }
  EXPECT_NEAR(*busy_of(r, engine, 0).active_fraction.value, 0.9, 0.01);
  for (Channel& c : engine.telemetry.channels) c.source = "powermetrics";  // its own time alone
  EXPECT_LT(*busy_of(r, engine, 0).active_fraction.value, 0.7);
}

TEST(Regimes, ShortTelemetryAndALowClocksReasonAreSaid) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 600, .power_capped = 0.5});
  const std::string text = to_text(explain(r, "torch:cuda", "hearth:cuda"), r);
  EXPECT_THAT(text, HasSubstr("held back by power_cap for 50 % of the time"));
  EXPECT_THAT(text, HasSubstr("5 s are wanted"));
}

// What the post lacked: a low clock that software asked for, or one that it did not.
TEST(Regimes, ALowClockThatSoftwareAskedForIsSaid) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 600});
  add_states(r, "gpu_states", {{"idle", 0.05}, {"600", 0.9}, {"1182", 0.03}, {"1182", 0.02}});
  add_states(r, "gpu_requested_states", {{"P1", 0.91}, {"P2", 0.06}, {"P3", 0.03}});
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  ASSERT_EQ(e.a.busy.states.size(), 2u);
  for (const StateShares& list : e.a.busy.states) {
    double sum = 0;
    for (const auto& [state, share] : list.states) sum += share;
    EXPECT_NEAR(sum, 1, 1e-3) << list.list;
  }
  EXPECT_TRUE(e.b.busy.states.empty());
  const char* said = "software asked for P1, the lowest clock, for 91 % of the time";
  EXPECT_THAT(e.a.phases.at(0).because, HasSubstr(said));
  const std::string text = to_text(e, r);
  EXPECT_THAT(text, HasSubstr("gpu_states: idle 5 %, 600 90 %, 1182 3 %, 1182 2 %"));
  EXPECT_THAT(text, HasSubstr(said));
  const auto json = to_json(e);
  EXPECT_EQ(json["a"]["states"]["gpu_states"][3]["state"], "1182");
  EXPECT_NEAR(json["a"]["states"]["gpu_states"][3]["fraction"], 0.02, 1e-12);
  EXPECT_TRUE(json["b"]["states"].empty());

  Result high = gpu_result({.active = 0.95, .clock_mhz = 600});
  add_states(high, "gpu_requested_states", {{"P1", 0.2}, {"P2", 0.1}, {"P3", 0.7}});
  EXPECT_THAT(to_text(explain(high, "torch:cuda", "hearth:cuda"), high),
              HasSubstr("software asked for P3, the highest clock, for 70 % of the time"));
  Result both = gpu_result({.active = 0.95, .clock_mhz = 600});
  add_states(both, "gpu_requested_states", {{"P1", 0.4}, {"P2", 0.3}, {"P3", 0.3}});
  EXPECT_THAT(to_text(explain(both, "torch:cuda", "hearth:cuda"), both),
              Not(HasSubstr("software asked")));
}

TEST(Regimes, EveryReasonOfTheDriverHasItsShareOfTheTime) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 600, .power_capped = 0.5});
  Timeline& telemetry = r.engines[0].telemetry;
  Channel idle = telemetry.channels.back();
  idle.name = "gpu_limit_idle";
  idle.values.assign(telemetry.time_s.size(), 0.0);
  idle.values[0] = 1;
  telemetry.channels.push_back(idle);
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  EXPECT_NEAR(e.a.busy.limits.at("power_cap"), 0.5, 0.05);
  EXPECT_GT(e.a.busy.limits.at("idle"), 0);
  EXPECT_FALSE(e.b.busy.limits.contains("idle"));  // it was not sampled there
  EXPECT_EQ(e.a.busy.held_back.size(), 1u);        // to be idle is not to be held back
  EXPECT_EQ(to_json(e)["a"]["limits"].size(), 2u);
}

TEST(Regimes, WhatOthersTookIsNotTheEnginesOwn) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 600});
  EngineResult& e = r.engines[0];
  e.device = "cpu";
  const auto channel = [&](const char* name, const char* unit, double value) {
    Channel c = e.telemetry.channels.back();
    c.name = name, c.unit = unit;
    c.values.assign(e.telemetry.time_s.size(), value);
    e.telemetry.channels.push_back(c);
  };
  channel("cpu_active_fraction", "fraction", 1);
  channel("cpu_active_fraction.0", "fraction", 1);
  channel("cpu_active_fraction.1", "fraction", 1);
  channel("process_active_cores", "cores", 1.1);
  const Explanation crowded = explain(r, "torch:cuda", "hearth:cuda");
  EXPECT_NEAR(*crowded.a.busy.others.value, 0.45, 1e-9);
  EXPECT_EQ(crowded.a.phases[0].regime, Regime::unknown);
  EXPECT_THAT(crowded.a.phases[0].because, HasSubstr("other processes"));
  EXPECT_THAT(to_text(crowded, r), HasSubstr("other processes took 45 % of the processors while "
                                             "torch:cuda ran: its times are not its own"));
  e.telemetry.channels.back().values.assign(e.telemetry.time_s.size(), 1.9);
  const Explanation alone = explain(r, "torch:cuda", "hearth:cuda");
  EXPECT_NEAR(*alone.a.busy.others.value, 0.05, 1e-9);
  EXPECT_THAT(to_text(alone, r), Not(HasSubstr("other processes")));
  EXPECT_FALSE(alone.b.busy.others.value);
}

TEST(Regimes, SourcesThatDisagreeAreSaid) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 600});
  Timeline& telemetry = r.engines[0].telemetry;
  Channel other = telemetry.channels.at(1);
  other.source = "another";
  other.values.assign(telemetry.time_s.size(), 700.0);
  telemetry.channels.push_back(other);
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  EXPECT_THAT(
      to_text(e, r),
      HasSubstr("its sources disagree: gpu_clock_mhz: nvml says 600, another says 700 MHz"));
  EXPECT_EQ(to_json(e)["a"]["discrepancies"].size(), 1u);
  EXPECT_TRUE(to_json(e)["b"]["discrepancies"].empty());
}

// Interventions: engines and jobs of the same result that differ in one thing.

TEST(Interventions, ABatchThatCostsNothingSupportsLaunches) {
  Result r = gpu_result({.active = 0.32, .clock_mhz = 1980});
  add_batch(r, 2, 1.02);
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  ASSERT_FALSE(e.hypotheses.empty());
  EXPECT_EQ(e.hypotheses[0].intervention, "batch from 1 to 2");
  EXPECT_DOUBLE_EQ(*e.hypotheses[0].predicted.value, 1);
  EXPECT_NEAR(*e.hypotheses[0].observed.value, 1.02, 1e-9);
  EXPECT_EQ(e.hypotheses[0].verdict, "held");
  EXPECT_EQ(e.certainty, "supported by an intervention");
}

TEST(Interventions, APredictionThatFailsRefutes) {
  Result r = gpu_result({.active = 0.32, .clock_mhz = 1980});
  add_batch(r, 2, 1.9);
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  EXPECT_EQ(e.hypotheses[0].verdict, "failed");
  EXPECT_EQ(e.certainty, "refuted");
}

TEST(Interventions, FewerBytesSupportBandwidth) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 1980, .gb_s = 300});
  EngineResult half = r.engines[0];
  half.label = "torch:cuda:dtype=i8";
  half.options["dtype"] = half.dtype = "i8";
  half.bytes_per_weight = 1.0;
  for (Repetition& rep : half.repetitions) rep.total_s *= 0.52;
  r.engines.push_back(half);
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  EXPECT_DOUBLE_EQ(*e.hypotheses.at(0).predicted.value, 0.5);
  EXPECT_EQ(e.hypotheses[0].verdict, "held");
}

TEST(Interventions, AreProposedBeforeTheyAreTried) {
  const Result r = gpu_result({.active = 0.95, .clock_mhz = 600});
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  ASSERT_FALSE(e.hypotheses.empty());
  for (const Hypothesis& h : e.hypotheses) {
    EXPECT_EQ(h.verdict, "not tested");
    EXPECT_FALSE(h.prediction.empty());
    EXPECT_FALSE(h.observed.value);
  }
  EXPECT_THAT(to_text(e, r), HasSubstr("keepalive"));
  const auto json = to_json(e);
  EXPECT_TRUE(json["hypotheses"][0]["observed"]["value"].is_null());
  EXPECT_EQ(json["a"]["phases"][0]["regime"], "clock-limited");
}

}  // namespace
}  // namespace hearth::lab
