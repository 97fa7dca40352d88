// Interventions on real child processes: what is predicted, when it is written down, and what
// becomes of it.
#include "hearth/lab/run/intervene.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "hearth/lab/judge/explain.h"
#include "hearth/lab/judge/hypotheses.h"
#include "hearth/lab/judge/interventions.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/run/keep_alive.h"
#include "hearth/lab/show/explain_text.h"
#include "tests/lab/fakes.h"
#include "tests/lab/results.h"
#include "tests/lab/schema.h"

namespace hearth::lab {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::fake;
using ::testing::HasSubstr;
using ::testing::Not;

const std::atomic<bool> kGoOn{false};

/// A fake engine against one that is faster, on a processor that it keeps `active`.
Result result_of(const EngineSpec& spec, double active) {
  Result r = testing::gpu_result({.active = active, .clock_mhz = 3000});
  r.jobs[0].prompt_ids = {7, 8, 9};
  r.jobs[0].prompt_tokens = 3;
  r.jobs[0].new_tokens = 5;
  for (EngineResult& e : r.engines) {
    e.device = "cpu";
    e.threads = 4;
    for (Repetition& rep : e.repetitions) rep.new_tokens = 5, rep.prompt_tokens = 3;
    for (Channel& c : e.telemetry.channels)
      if (c.name.starts_with("gpu_")) c.name.replace(0, 3, "cpu");
  }
  for (Ceiling& c : r.ceilings) c.device = "cpu";
  r.engines[0].label = spec.text;
  return r;
}

RunOptions quick() {
  RunOptions o;
  o.model = "model";
  o.made_by = "a test";
  o.timeouts = {10, 10, 5, 1};
  o.pairs = 6;
  o.least_seconds = 0;
  o.warmup_s = 0;
  o.telemetry_period_s = 0;
  o.watch = false;  // tests run beside each other
  return o;
}

std::vector<Intervention> predict(const Result& r, std::vector<std::string> changes = {}) {
  return lab::predict(r, r.engines[0].label, 0, changes);
}

/// Predicted, tried and put into the result.
void intervene(Result& r, const std::string& change, std::vector<std::string> to = {}) {
  Intervention i = predict(r, {change}).at(0);
  if (!to.empty()) i.to = to;
  try_out(i, r, quick(), kGoOn);
  r.interventions.push_back(std::move(i));
}

TEST(Intervene, PredictsFromTheSupposedCauseBeforeAnythingRuns) {
  Result r = result_of(fake(), 0.4);
  const auto all = predict(r);
  std::vector<std::string> changes;
  for (const Intervention& i : all) {
    changes.push_back(i.change);
    EXPECT_EQ(i.cause, "host-bound");
    EXPECT_DOUBLE_EQ(i.predicted, 1);
    EXPECT_NEAR(i.least, 1 / 1.15, 1e-12);
    EXPECT_FALSE(i.predicted_at.empty());
    EXPECT_FALSE(i.refuted_by.empty());
    EXPECT_TRUE(i.measured_at.empty() && i.executions.empty());
    EXPECT_EQ(judge(i).verdict, "not tested");
  }
  EXPECT_THAT(changes, ElementsAre("threads", "dtype", "batch", "keepalive", "pause"));
  EXPECT_THAT(all[0].to, ElementsAre("2"));
  EXPECT_THAT(all[0].unlike, ElementsAre("compute-bound", "kernel-bound"));
  EXPECT_THAT(all[2].unlike, ElementsAre("compute-bound"));
  EXPECT_THAT(all[3].unlike, Not(Contains("kernel-bound")));
  r.interventions = all;
  check_result(r, "it");
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
  EXPECT_EQ(to_json(parse_result(to_text(r), "it")), to_json(r));
}

TEST(Intervene, OtherCausesPredictOtherFactors) {
  Result r = result_of(fake(), 0.95);
  const auto all = predict(r);  // busy, far from the limits: the kernels
  EXPECT_EQ(all.at(0).cause, "kernel-bound");
  EXPECT_DOUBLE_EQ(all[0].predicted, 2);                           // half the threads
  for (const Intervention& i : all) EXPECT_NE(i.change, "dtype");  // nothing follows
  r.ceilings[0].value = 30;
  const auto memory = predict(r, {"dtype"});
  EXPECT_EQ(memory.at(0).cause, "bandwidth-bound");
  EXPECT_DOUBLE_EQ(memory[0].predicted, 2);  // from f16 to f32
}

// The table of docs/lab.md, line by line: who predicts what.
TEST(Intervene, EachCausePredictsItsFactorOrNothing) {
  Busy busy;
  busy.active_fraction = 0.5;
  busy.clock_mhz = 600, busy.clock_max_mhz = 1200;
  const auto factor = [&](Regime cause, const char* change, const char* from, const char* to) {
    const auto p = predicted(cause, change, from, to, 0.5, busy);
    if (!p.value) return -1.0;
    if (change != std::string("compile")) {
      EXPECT_NEAR(p.value->least, p.value->factor / 1.15, 1e-12);
      EXPECT_NEAR(p.value->most, p.value->factor * 1.15, 1e-12);
    }
    return p.value->factor;
  };
  const struct {
    const char *change, *from, *to;
    double bandwidth, compute, launch, host, clock, kernels;
  } table[] = {
      {"threads", "4", "2", 1, 2, 1, 1, -1, 2},    {"dtype", "f32", "f16", 0.5, -1, 1, 1, -1, -1},
      {"batch", "2", "6", 1, 3, 1, 1, -1, -1},     {"compile", "0", "1", 1, 1, 0.5, -1, -1, -1},
      {"compile", "", "1", 1, 1, 0.5, -1, -1, -1}, {"compile", "1", "0", -1, -1, -1, -1, -1, -1},
      {"keepalive", "", "", 1, 1, 1, 1, 0.5, 1},   {"pause", "0", "2", 1, 1, 1, 1, 1, 1}};
  for (const auto& line : table) {
    const std::pair<Regime, double> wanted[] = {
        {Regime::bandwidth, line.bandwidth}, {Regime::compute, line.compute},
        {Regime::launch, line.launch},       {Regime::host, line.host},
        {Regime::clock, line.clock},         {Regime::kernels, line.kernels}};
    for (const auto& [cause, value] : wanted)
      EXPECT_DOUBLE_EQ(factor(cause, line.change, line.from, line.to), value)
          << line.change << ", " << to_string(cause);
  }
  EXPECT_EQ(factor(Regime::compute, "threads", "4", "auto"), -1);
  busy.active_fraction = 0.95;  // less time by 13 % at least
  EXPECT_DOUBLE_EQ(factor(Regime::launch, "compile", "0", "1"), 1 / 1.15);
  busy.active_fraction = Reading<double>::missing("?");
  EXPECT_DOUBLE_EQ(factor(Regime::launch, "compile", "0", "1"), 1 / 1.15);
  busy.clock_max_mhz = Reading<double>::missing("?");
  EXPECT_EQ(factor(Regime::clock, "keepalive", "", ""), -1);
  EXPECT_FALSE(
      predicted(Regime::bandwidth, "dtype", "f32", "f16", Reading<double>::missing("?"), busy)
          .value);
  EXPECT_EQ(in_words(1 / 1.019), "the same time");
  EXPECT_EQ(in_words(1 / 1.021), "0.98 times the time");
  EXPECT_EQ(in_words(1.019), "the same time");
  EXPECT_EQ(in_words(1.021), "1.02 times the time");
}

TEST(Intervene, WhatCanBeChangedFollowsFromTheEngineAndTheJob) {
  Result r = result_of(fake(), 0.4);
  const auto change = [&](const char* what) {
    try {
      const Intervention i = predict(r, {what}).at(0);
      return concat(i.from, " -> ", i.to.at(0));
    } catch (const std::invalid_argument&) {
      return std::string();
    }
  };
  EXPECT_EQ(change("threads"), "4 -> 2");
  EXPECT_EQ(change("dtype"), "f16 -> f32");
  EXPECT_EQ(change("batch"), "1 -> 2");
  r.jobs[0].batch = 3;
  EXPECT_EQ(change("batch"), "3 -> 6");
  r.jobs[0].batch = 1;
  EXPECT_EQ(predict(r, {"pause"}).at(0).to, (std::vector<std::string>{"0.2", "1", "2"}));
  EXPECT_EQ(predict(r, {"pause"}).at(0).from, "0");
  r.engines[0].threads = 2;
  EXPECT_EQ(change("threads"), "2 -> 1");
  r.engines[0].threads = 1;
  EXPECT_EQ(change("threads"), "");
  r.engines[0].dtype = "f32";
  EXPECT_EQ(change("dtype"), "f32 -> f16");
  r.engines[0].dtype = "bf16";
  EXPECT_EQ(change("dtype"), "bf16 -> f32");
  r.engines[0].dtype = "q4";
  EXPECT_EQ(change("dtype"), "");
  r.jobs[0].kind = JobKind::op;
  EXPECT_EQ(change("batch"), "");
}

// Fewer launches help only what waits for them: any less time holds, but not the same.
TEST(Intervene, CompilingIsPredictedOfTorchThatIsNotCompiled) {
  Result r = testing::gpu_result({.active = 0.32, .clock_mhz = 1980});
  const auto compile = lab::predict(r, "torch:cuda", 0, std::vector<std::string>{"compile"}).at(0);
  EXPECT_EQ(compile.cause, "launch-bound");
  EXPECT_NEAR(compile.predicted, 0.32, 1e-9);
  EXPECT_LT(compile.least, 0.05);
  EXPECT_NEAR(compile.most, 1 / 1.15, 1e-9);
  EXPECT_THAT(compile.unlike, ElementsAre("bandwidth-bound", "compute-bound"));
  EXPECT_THAT(compile.prediction, HasSubstr("the decoding steps compiled: 0.32 times the time"));
  r.interventions = {compile};
  check_result(r, "it");

  r.engines[0].options["compile"] = "1";
  const auto error = [&](const char* engine) {
    return testing::error_of<std::invalid_argument>(
        [&] { lab::predict(r, engine, 0, std::vector<std::string>{"compile"}); });
  };
  EXPECT_THAT(error("torch:cuda"), HasSubstr("compile: what the steps cost that are not compiled"));
  r.engines[0].name = "mine";
  EXPECT_THAT(error("torch:cuda"), HasSubstr("compile: it has none to change"));

  Result memory = testing::gpu_result({.active = 0.95, .clock_mhz = 1980, .gb_s = 300});
  const auto same = lab::predict(memory, "torch:cuda", 0, std::vector<std::string>{"compile"});
  EXPECT_DOUBLE_EQ(same.at(0).predicted, 1);
  EXPECT_THAT(same[0].unlike, ElementsAre());
}

TEST(Intervene, CompiledStepsRunBesideThoseThatAreNot) {
  HEARTH_PYTHON_OR_SKIP();
  Result r = result_of(fake("sleep=0.1"), 0.4);
  Intervention i = predict(r, {"batch"}).at(0);  // of a CPU nothing follows of compiling
  i.change = "compile", i.from = "0", i.to = {"1"};
  i.predicted = 0.4, i.least = 0.01, i.most = 1 / 1.15;
  try_out(i, r, quick(), kGoOn);
  ASSERT_EQ(i.executions.size(), 2) << i.fault;
  EXPECT_FALSE(i.executions[0].options.contains("compile"));
  EXPECT_EQ(i.executions[1].options.at("compile"), "1");
  EXPECT_NEAR(judge(i).ratio.value().ratio, 0.5, 0.1);  // the fake takes half the time
  EXPECT_EQ(judge(i).verdict, "held");
}

TEST(Intervene, SaysHowLongItWillTake) {
  Result r = result_of(fake(), 0.4);
  EngineResult& e = r.engines[0];
  e.start_s = 1.0, e.load_s = 2.0;
  for (Repetition& rep : e.repetitions) rep.total_s = 0.5;
  RunOptions o = quick();  // 6 pairs
  Intervention i = predict(r, {"batch"}).at(0);
  i.predicted = 2;
  // Of each 6 start and load, and execute cold; 3 more warm up; 6 begin a turn, 6 count, 2 stream.
  EXPECT_DOUBLE_EQ(expected_seconds(i, r, o), 2 * 6 * 3 + (6 + 3 + 6 + 6 + 2) * (0.5 + 1));
  o.least_seconds = 10;  // 20 and 10 count
  EXPECT_DOUBLE_EQ(expected_seconds(i, r, o), 2 * 6 * 3 + (15 + 20 + 2) * 0.5 + (15 + 10 + 2) * 1);
  o.warmup_s = 100;  // 6 executions after the first 2, for all that it may last
  EXPECT_DOUBLE_EQ(expected_seconds(i, r, o), 2 * 6 * 3 + (19 + 20 + 2) * 0.5 + (19 + 10 + 2) * 1);
  i = predict(r, {"pause"}).at(0);
  i.to = {"2"};
  // 6 + 2 pauses.
  EXPECT_DOUBLE_EQ(expected_seconds(i, r, quick()), 2 * (6 * 3 + 23 * 0.5) + 8 * 2);
}

TEST(Intervene, TheLengthIsToldBeforeAnyEngineStarts) {
  const testing::TempFolder folder;
  Result r = result_of(lab::parse_engine("fake@/no/such/engine:cpu"), 0.4);
  write_result(r, folder / "r.json");
  const testing::Finished f = testing::run_hearth(
      {"lab", "intervene", folder / "r.json", "--try", "batch", "--pairs", "6"});
  EXPECT_THAT(f.out, HasSubstr("To try it takes about 53 s: batch 53 s. Ctrl-C keeps"));
  EXPECT_LT(f.out.find("To try it"), f.out.find("batch: not tested")) << f.out;
}

// Killed at any moment, it loses no more than the execution that ran, and goes on when it is called
// again; of any job.
TEST(Intervene, NothingIsLostWhenItIsKilled) {
  HEARTH_PYTHON_OR_SKIP();
  const testing::TempFolder folder;
  const std::string file = folder / "r.json";
  Result r = result_of(fake("sleep=0.03"), 0.4);
  testing::add_batch(r, 1, 1);
  for (EngineResult& e : r.engines)
    for (Repetition& rep : e.repetitions) rep.job = 1;
  write_result(r, file);
  const std::string call = "'" + testing::hearth_binary() + "' lab intervene '" + file +
                           "' --job 2 --try batch --pairs 8 --seconds 0 --warmup 0 "
                           "--ignore-others";
  size_t kept = 0;
  for (const int lines : {14, 30}) {
    const testing::Finished killed =
        testing::run({"sh", "-c",
                      call + " >/dev/null & at=$!; while kill -0 $at && [ $(cat '" + file +
                          ".journal' 2>/dev/null | wc -l) -lt " + std::to_string(lines) +
                          " ]; do sleep 0.01; done; kill -9 $at; wait $at"},
                     "", {});
    EXPECT_EQ(killed.exit_code, 137) << killed.err;
    const Result left = read_result(file);
    ASSERT_EQ(left.interventions.size(), 1u);
    ASSERT_EQ(left.interventions[0].executions.size(), 2u);
    EXPECT_EQ(left.interventions[0].measured_at, "");
    size_t now = 0;
    for (const EngineResult& e : left.interventions[0].executions) {
      now += e.repetitions.size();
      for (const Repetition& rep : e.repetitions) EXPECT_EQ(rep.job, 1);
    }
    EXPECT_GT(now, kept);
    kept = now;
  }
  const Result left = read_result(file);
  const testing::Finished on = testing::run({"sh", "-c", call});
  EXPECT_EQ(on.exit_code, 0) << on.err;
  EXPECT_THAT(on.out, HasSubstr("times the time"));
  EXPECT_FALSE(std::filesystem::exists(file + ".journal"));
  const Result all = read_result(file);
  ASSERT_EQ(all.interventions.size(), 1u);
  EXPECT_NE(all.interventions[0].measured_at, "");
  EXPECT_EQ(all.interventions[0].predicted_at, left.interventions[0].predicted_at);
  for (size_t e = 0; e < 2; ++e) {
    const auto &before = left.interventions[0].executions[e].repetitions,
               &after = all.interventions[0].executions[e].repetitions;
    ASSERT_GE(after.size(), before.size());
    for (size_t i = 0; i < before.size(); ++i) EXPECT_EQ(after[i].start_s, before[i].start_s);
    std::set<int> rounds;
    for (const Repetition& rep : after)
      if (rep.counts()) rounds.insert(rep.round);
    EXPECT_EQ(rounds.size(), 8u);
  }
}

TEST(Intervene, RefusesWhereNothingFollows) {
  Result r = result_of(fake(), 0.4);
  const auto error = [&](auto&&... args) {
    return testing::error_of<std::invalid_argument>([&] { lab::predict(r, args...); });
  };
  EXPECT_THAT(error("nobody", 0), HasSubstr("no engine nobody"));
  EXPECT_THAT(error(r.engines[0].label, 3), HasSubstr("no job 4: the result has 1 job"));
  r.engines[0].telemetry = {};
  EXPECT_THAT(error(r.engines[0].label, 0), HasSubstr("not even supposed"));
  r = result_of(fake(), 0.95);
  EXPECT_THAT(testing::error_of<std::invalid_argument>([&] {
                predict(r, {"batch", "dtype"});
              }),
              HasSubstr("batch: the cause predicts nothing"));
}

TEST(Intervene, APredictionThatHoldsSupportsTheCause) {
  HEARTH_PYTHON_OR_SKIP();
  Result r = result_of(fake("sleep=0.1"), 0.4);
  intervene(r, "batch");
  const Intervention& i = r.interventions[0];
  ASSERT_EQ(i.executions.size(), 2) << i.fault;
  EXPECT_LE(i.predicted_at, i.measured_at);
  EXPECT_EQ(i.executions[0].repetitions[0].ids.size(), 1);
  EXPECT_EQ(i.executions[1].repetitions[0].ids.size(), 2);
  EXPECT_NEAR(judge(i).ratio.value().ratio, 1, 0.1);
  EXPECT_EQ(judge(i).verdict, "held");
  const Explanation e = explain(r, r.engines[0].label, r.engines[1].label);
  EXPECT_EQ(e.certainty, "supported by an intervention");
  EXPECT_THAT(e.cause, HasSubstr("host-bound"));
  EXPECT_THAT(to_text(e, r), HasSubstr("2 rows at once instead of 1: the same time, 0.87 to 1.15"));
  check_result(r, "it");
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
}

TEST(Intervene, APredictionThatFailsRefutesIt) {
  HEARTH_PYTHON_OR_SKIP();
  Result r = result_of(fake("per_row=0.05"), 0.4);
  intervene(r, "batch");
  EXPECT_NEAR(judge(r.interventions[0]).ratio.value().ratio, 2, 0.2);
  EXPECT_EQ(judge(r.interventions[0]).verdict, "failed");
  const Explanation e = explain(r, r.engines[0].label, r.engines[1].label);
  EXPECT_EQ(e.certainty, "refuted");
  EXPECT_THAT(e.cause, HasSubstr("not that"));
  EXPECT_EQ(to_json(e)["hypotheses"][0]["verdict"], "failed");
}

TEST(Intervene, WhatAnyCauseWouldHaveSupportsNone) {
  HEARTH_PYTHON_OR_SKIP();
  Result r = result_of(fake("sleep=0.1"), 0.4);
  intervene(r, "pause", {"0.2"});
  EXPECT_TRUE(r.interventions[0].unlike.empty());
  EXPECT_EQ(judge(r.interventions[0]).verdict, "held");
  EXPECT_NE(explain(r, r.engines[0].label, r.engines[1].label).certainty,
            "supported by an intervention");
}

TEST(Intervene, OnlyPausesFindAnEngineThatFallsAsleep) {
  HEARTH_PYTHON_OR_SKIP();
  Result r = result_of(fake("sleep=0.05,nap=0.05"), 0.4);
  intervene(r, "pause", {"0.2"});
  EXPECT_NEAR(judge(r.interventions[0]).ratio.value().ratio, 2, 0.3);
  EXPECT_EQ(judge(r.interventions[0]).verdict, "failed");
}

TEST(Intervene, ALightLoadStandsBesideIt) {
  HEARTH_PYTHON_OR_SKIP();
  Result r = result_of(fake("sleep=0.05"), 0.4);
  intervene(r, "keepalive");
  EXPECT_EQ(r.interventions[0].fault, "");
  EXPECT_TRUE(judge(r.interventions[0]).ratio.has_value());
}

TEST(Intervene, WhatCannotBeTriedSaysWhy) {
  Result r = result_of(parse_engine("gone@/no/such/engine:cpu"), 0.4);
  intervene(r, "batch");
  EXPECT_THAT(r.interventions[0].fault, HasSubstr("cannot start /no/such/engine"));
  EXPECT_EQ(judge(r.interventions[0]).verdict, "not tested");
  const Explanation e = explain(r, r.engines[0].label, r.engines[1].label);
  EXPECT_THAT(to_text(e, r), HasSubstr("cannot start /no/such/engine"));
}

TEST(Intervene, WaitingForTheLoadOfAGpuCanBeInterrupted) {
  testing::TempFolder folder;
  EnginePlaces places;
  places.hearth = folder.write("silent", "#!/bin/sh\nexec sleep 600\n");
  std::filesystem::permissions(places.hearth, std::filesystem::perms::owner_all);
  const std::atomic<bool> stop{true};
  EXPECT_THROW(KeepAlive("gpu", places, {600, 600, 600, 1}, &stop), Interrupted);
}

TEST(Intervene, TheLoadOfAGpuIsHearthsAndItsDeathIsTold) {
  HEARTH_PYTHON_OR_SKIP();
  EnginePlaces places;
  places.hearth = std::filesystem::absolute(testing::source_path("tests/lab/fake_engine.py"));
  const Timeouts short_ones{10, 10, 5, 1};
  KeepAlive works("gpu", places, short_ones);
  for (int i = 0; i < 2; ++i) {
    works.start();
    EXPECT_EQ(works.stop(), "");
  }
  KeepAlive dies("gone", places, short_ones);
  dies.start();
  EXPECT_THAT(dies.stop(), HasSubstr("ended"));
}

}  // namespace
}  // namespace hearth::lab
