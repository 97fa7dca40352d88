// The runner on real child processes: order, pairs, faults of one engine, interruption, going on.
#include "hearth/lab/run/runner.h"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "hearth/lab/judge/compare.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/run/environment.h"
#include "tests/lab/fakes.h"
#include "tests/lab/schema.h"

namespace hearth::lab {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::fake;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

RunOptions options(std::vector<EngineSpec> engines) {
  RunOptions o;
  o.engines = std::move(engines);
  Job job;
  job.prompt_ids = {7, 8, 9};
  job.prompt_tokens = 3;
  job.new_tokens = 5;
  o.jobs = {job};
  o.model = "model";
  o.made_by = "a test";
  o.timeouts = {10, 10, 1, 1};
  o.pairs = 6;
  o.starts = 1;
  o.order_seed = 1;
  o.least_seconds = 0;
  o.warmup_s = 0;  // the shortest: four executions
  o.telemetry_period_s = 0;
  o.limits = o.watch = false;  // tests run beside each other
  return o;
}

const std::atomic<bool> kGoOn{false};

struct LabRun : ::testing::Test {
  void SetUp() override { HEARTH_PYTHON_OR_SKIP(); }
};

/// Engine, by its place in the result, of each measured repetition in the order they ran.
std::vector<std::pair<int, size_t>> order_of(const Result& r) {
  std::map<double, std::pair<int, size_t>> by_time;
  for (size_t e = 0; e < r.engines.size(); ++e)
    for (const Repetition& rep : r.engines[e].repetitions)
      if (rep.counts() && !rep.streamed) by_time[rep.start_s] = {rep.round, e};
  std::vector<std::pair<int, size_t>> order;
  for (const auto& [time, what] : by_time) order.push_back(what);
  return order;
}

/// Two engines have a turn in each round, and every second round goes the other way.
void expect_abba(const std::vector<std::pair<int, size_t>>& order, int rounds) {
  ASSERT_EQ(order.size(), size_t(2 * rounds));
  for (int round = 0; round < rounds; ++round) {
    const auto &one = order[size_t(2 * round)], &two = order[size_t(2 * round + 1)];
    EXPECT_EQ(one.first, round);
    EXPECT_EQ(two.first, round);
    EXPECT_NE(one.second, two.second);
    if (round % 2) {
      EXPECT_EQ(one.second, order[size_t(2 * round - 1)].second);
    }
  }
}

TEST_F(LabRun, TakesTurnsAsABBA) {
  const Result r = run(options({fake(), fake("shift=0")}), kGoOn);
  EXPECT_TRUE(r.plan.finished);
  expect_abba(order_of(r), 6);
  for (const EngineResult& e : r.engines) {
    EXPECT_EQ(e.status, EngineStatus::ok) << e.faults.size();
    int streamed = 0, cold = 0, settling = 0;
    for (const Repetition& rep : e.repetitions) {
      streamed += rep.streamed && rep.counts();
      cold += rep.warmup;
      settling += rep.settling;
      EXPECT_EQ(rep.token_s.size(), rep.streamed ? 5 : 0);
    }
    EXPECT_EQ(streamed, 2);  // every third round
    EXPECT_GE(cold, 3);
    EXPECT_GE(settling, 6);  // the first of each turn
    EXPECT_EQ(e.starts.size(), 1);
    EXPECT_TRUE(e.first_s.value && e.load_s.value && e.start_s.value);
    std::vector<std::string> moments;
    for (const Memory& m : e.memory) moments.push_back(m.moment);
    EXPECT_THAT(moments, ElementsAre("started", "loaded", "before", "after", "cleared"));
    EXPECT_THAT(e.notes, Contains("a fake"));
  }
  EXPECT_EQ(log_ratios(r.engines[0], r.engines[1], 0).size(), 6);
  EXPECT_TRUE(comparability(r, r.engines[0], r.engines[1], 0).comparable());
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
  check_result(r, "it");
}

TEST_F(LabRun, AReporterThatFailsDoesNotStopIt) {
  int told = 0;
  const Result r = run(options({fake()}), kGoOn, [&](const Progress&) {
    ++told;
    throw std::runtime_error("standard error is closed");
  });
  EXPECT_TRUE(r.plan.finished);
  EXPECT_EQ(r.engines[0].totals(0).size(), 6);
  EXPECT_GT(told, 6);
}

TEST_F(LabRun, MeasuringTheMachineCanBeInterrupted) {
  auto o = options({fake()});
  o.limits = true;
  Result r;
  std::atomic<bool> stop{true};
  for (const double period : {0.1, 0.0}) {  // while it looks at the power, and at the memory
    o.telemetry_period_s = period;
    EXPECT_THROW(describe_machine(r, o, stop), Interrupted);
    for (const Ceiling& c : r.ceilings) EXPECT_EQ(c.name, "nominal_bandwidth");
  }
}

TEST_F(LabRun, OneFaultDoesNotStopTheOthers) {
  const Result r = run(options({fake(), fake("fault=crash,after=8"), fake("fault=hang,after=8"),
                                fake("fault=hello"), fake("fault=load"), fake("fault=garbage"),
                                fake("fault=early"), parse_engine("gone@/no/such/engine")}),
                       kGoOn);
  const auto says = [&](size_t i) { return r.engines[i].faults.at(0); };
  EXPECT_EQ(r.engines[0].status, EngineStatus::ok);
  EXPECT_THAT(r.engines[0].faults, IsEmpty());
  EXPECT_EQ(order_of(r).size() > 6, true);
  EXPECT_EQ(r.engines[1].status, EngineStatus::partial);
  EXPECT_THAT(says(1), HasSubstr("out of luck"));
  EXPECT_EQ(r.engines[2].status, EngineStatus::partial);
  EXPECT_THAT(says(2), HasSubstr("gave no answer in time"));
  EXPECT_EQ(r.engines[3].status, EngineStatus::unavailable);
  EXPECT_EQ(says(3), "start: not installed");
  EXPECT_EQ(r.engines[4].status, EngineStatus::failed);
  EXPECT_EQ(says(4), "load: no such model");
  EXPECT_EQ(r.engines[5].status, EngineStatus::failed);
  EXPECT_THAT(says(5), HasSubstr("warm-up: wrote something else"));
  EXPECT_EQ(r.engines[6].status, EngineStatus::failed);
  EXPECT_EQ(says(6), "warm-up: E_TOKENS: stopped early: 4 of 5 tokens");
  EXPECT_EQ(r.engines[7].status, EngineStatus::unavailable);
  EXPECT_THAT(says(7), HasSubstr("cannot start /no/such/engine"));
  EXPECT_TRUE(r.plan.finished);
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
}

TEST_F(LabRun, OtherIdsAreNotComparable) {
  const Result r =
      run(options({fake(), fake("shift=1"), fake("dtype=f16"), fake("fault=other_ids")}), kGoOn);
  const auto gate = [&](size_t i) { return comparability(r, r.engines[0], r.engines[i], 0); };
  EXPECT_THAT(gate(1).differences,
              ElementsAre("ids differ from new token 1 on, too early for rounding"));
  EXPECT_THAT(gate(2).differences, ElementsAre("dtype: f32 against f16"));
  EXPECT_THAT(r.engines[3].notes, Contains(HasSubstr("its ids changed")));
  const auto c = compare(r, r.engines[0].label, r.engines[1].label, 0);
  EXPECT_THAT(to_text(c, r.jobs[0]), HasSubstr("not comparable"));
  EXPECT_THAT(to_text(c, r.jobs[0]), ::testing::Not(HasSubstr("faster")));
}

TEST_F(LabRun, GrowthOfMemoryIsNoted) {
  const Result r = run(options({fake("fault=leak"), fake()}), kGoOn);
  EXPECT_THAT(r.engines[0].notes, Contains(HasSubstr("its memory grew from")));
  EXPECT_THAT(r.engines[1].notes, ElementsAre("a fake"));
}

TEST_F(LabRun, ShortJobsFillTheTime) {
  auto o = options({fake("sleep=0.005"), fake("sleep=0.03")});
  o.least_seconds = 0.6;
  const Result r = run(o, kGoOn);
  for (const EngineResult& e : r.engines) {
    double sum = 0;
    int n = 0;
    for (const Repetition& rep : e.repetitions)
      if (rep.counts() && !rep.streamed) sum += rep.total_s, ++n;
    EXPECT_GE(sum, 0.6);
    EXPECT_GT(n, 6);
  }
  EXPECT_EQ(log_ratios(r.engines[0], r.engines[1], 0).size(), 6);
}

TEST_F(LabRun, AnInterruptedRunGoesOn) {
  testing::TempFolder folder;
  auto o = options({fake(), fake("shift=0")});
  std::atomic<bool> stop{false};
  Result r = run(o, stop, [&](const Progress& p) {
    if (p.doing.starts_with("round 4") && p.doing.ends_with("shift=0")) stop = true;
  });
  EXPECT_FALSE(r.plan.finished);
  write_result(r, folder / "r.json");
  const Result before = r;
  r = run(o, kGoOn, {}, read_result(folder / "r.json"));
  EXPECT_TRUE(r.plan.finished);
  for (size_t e = 0; e < 2; ++e)  // nothing that was measured is lost, or measured again
    for (size_t i = 0; i < before.engines[e].repetitions.size(); ++i)
      EXPECT_EQ(r.engines[e].repetitions[i].start_s, before.engines[e].repetitions[i].start_s);
  EXPECT_EQ(order_of(r).size(), 12);
  EXPECT_EQ(log_ratios(r.engines[0], r.engines[1], 0).size(), 6);
  EXPECT_EQ(r.engines[0].status, EngineStatus::ok);
  EXPECT_EQ(r.engines[0].starts.size(), 2);
  check_result(r, "it");
}

TEST_F(LabRun, EnginesThatDoNotFitTakeTurns) {
  auto o = options({fake(), fake("shift=0")});
  o.take_turns = true;
  const Result r = run(o, kGoOn);
  EXPECT_FALSE(r.plan.side_by_side);
  std::vector<size_t> blocks;
  for (const auto& [round, engine] : order_of(r))
    if (blocks.empty() || blocks.back() != engine) blocks.push_back(engine);
  EXPECT_EQ(blocks.size(), 3);  // A B, B A: two starts of each
  EXPECT_EQ(r.plan.starts, 2);
  EXPECT_THAT(r.plan.order, ::testing::StartsWith("ABBA"));
  EXPECT_EQ(log_ratios(r.engines[0], r.engines[1], 0).size(), 6);
}

TEST_F(LabRun, WhatAnEngineLacksMakesItUnavailable) {
  auto o = options({fake("lacks=generate"), fake("lacks=conv2d"), fake()});
  const Result r = run(o, kGoOn);
  EXPECT_EQ(r.engines[0].status, EngineStatus::unavailable);
  EXPECT_THAT(r.engines[0].faults, ElementsAre("start: it has none: pip install more"));
  EXPECT_EQ(r.engines[1].status, EngineStatus::ok);
  o.jobs[0].kind = JobKind::op;
  o.jobs[0].op = "conv2d";
  o.model.clear();
  EXPECT_EQ(run(o, kGoOn).engines[1].status, EngineStatus::unavailable);
}

TEST_F(LabRun, ModelsThatFillAGpuTakeTurns) {
  testing::TempFolder folder;
  std::ofstream(folder / "model.safetensors") << std::string(20'000, 'x');
  auto o = options({fake(), fake("shift=0")});
  o.model = folder / ".";
  o.nvml = testing::fake_library("nvml");  // 50,000 bytes are free on each of two
  EXPECT_TRUE(run(o, kGoOn).plan.side_by_side);
  for (EngineSpec& spec : o.engines) spec.device = "cuda";
  EXPECT_FALSE(run(o, kGoOn).plan.side_by_side);
  o.engines[1].device = "cuda:1";
  EXPECT_TRUE(run(o, kGoOn).plan.side_by_side);
}

TEST_F(LabRun, AgainstItselfEveryEngineHasATwin) {
  auto o = options({fake()});
  o.against_itself = true;
  const Result r = run(o, kGoOn);
  ASSERT_EQ(r.engines.size(), 2);
  EXPECT_EQ(r.engines[1].label, r.engines[0].label + "#2");
  EXPECT_EQ(log_ratios(r.engines[0], r.engines[1], 0).size(), 6);
}

TEST_F(LabRun, EachStartIsAProcessOfItsOwn) {
  auto o = options({fake(), fake("shift=0")});
  o.starts = 3;
  const Result r = run(o, kGoOn);
  EXPECT_EQ(r.plan.starts, 3);
  expect_abba(order_of(r), 6);
  for (const EngineResult& e : r.engines) {
    ASSERT_EQ(e.starts.size(), 3);
    for (const Start& s : e.starts)
      EXPECT_TRUE(s.start_s.value && s.load_s.value && s.first_s.value);
    for (const Repetition& rep : e.repetitions)
      if (rep.counts()) {
        EXPECT_EQ(rep.start, rep.round / 2);
      }
    for (const Start& s : e.starts) EXPECT_GE(s.began_s, 0);
    EXPECT_EQ(e.first_s.value, e.starts[0].first_s.value);
  }
  EXPECT_EQ(estimate(r.engines[0], r.engines[1], 0)->time.starts, 3);
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
  check_result(r, "it");
}

TEST_F(LabRun, WhoBeginsIsChanceAndTheSameForASeed) {
  auto o = options({fake(), fake("shift=0")});
  o.pairs = 16;
  const auto first = [&](int64_t seed) {
    o.order_seed = seed;
    const auto order = order_of(run(o, kGoOn));
    std::vector<size_t> who;
    for (size_t i = 0; i < order.size(); i += 4) who.push_back(order[i].second);
    return who;
  };
  const auto one = first(5);
  EXPECT_EQ(one, first(5));
  EXPECT_NE(one, first(6));
  EXPECT_THAT(one, Contains(0));
  EXPECT_THAT(one, Contains(1));
}

TEST(LabStarts, AreAsManyAsTheirCostAllows) {
  EXPECT_EQ(starts_by_cost(12, 0.01, 1), 12);
  EXPECT_EQ(starts_by_cost(12, 1, 1), 12);
  EXPECT_EQ(starts_by_cost(12, 3.9, 1), 12);
  EXPECT_EQ(starts_by_cost(12, 4, 1), 6);     // two rounds of each
  EXPECT_EQ(starts_by_cost(12, 1000, 1), 6);  // a verdict needs six
  EXPECT_EQ(starts_by_cost(48, 1000, 1), 6);  // with eight rounds of each
  EXPECT_EQ(starts_by_cost(48, 9, 1), 16);
  EXPECT_EQ(starts_by_cost(5, 1000, 1), 5);
  EXPECT_EQ(starts_by_cost(12, 1, 0), 12);
  EXPECT_EQ(starts_by_cost(12, 1e300, 1e-300), 6);
  EXPECT_THROW(starts_by_cost(0, 1, 1), std::invalid_argument);
}

// An engine that falls asleep when others run: what waking costs is kept apart.
TEST_F(LabRun, ATurnBeginsInItsSteadyState) {
  auto o = options({fake("sleep=0.01,nap=0.1"), fake("sleep=0.15,shift=0")});
  const Result r = run(o, kGoOn);
  std::map<int, double> first;
  for (const Repetition& rep : r.engines[0].repetitions) {
    if (rep.settling) first.emplace(rep.round, rep.total_s);
    if (rep.counts()) {
      EXPECT_LT(rep.total_s, 0.1);
    }
  }
  EXPECT_EQ(first.size(), 6);
  // After each turn of the other: where it goes first again, it has not waited.
  EXPECT_GE(std::ranges::count_if(first, [](const auto& one) { return one.second > 0.1; }), 3);
  const Times times = times_of(r, r.engines[0], 0);
  EXPECT_NEAR(times.wake_s.value.value_or(0), 0.1, 0.03);
  EXPECT_LT(times_of(r, r.engines[1], 0).wake_s.value.value_or(1), 0.05);
}

TEST_F(LabRun, WhatDisturbsStandsBesideEachRepetition) {
  auto o = options({fake("sleep=0.02")});
  o.pairs = 2;
  o.watch = true;
  const Result r = run(o, kGoOn);
  for (const Repetition& rep : r.engines[0].repetitions) {
    ASSERT_TRUE(rep.disturbance.has_value());
    EXPECT_GE(rep.disturbance->processors, 1);
    rep.disturbance->fields([&](const char* name, const auto& field) {
      if constexpr (std::is_same_v<std::decay_t<decltype(field)>, std::optional<double>>) {
        EXPECT_NE(field.has_value(), r.engines[0].unseen.contains(name)) << name;
      }
    });
  }
}

TEST_F(LabRun, GoesOnUntilTheIntervalIsNarrow) {
  for (const bool take_turns : {false, true}) {
    auto o = options({fake("sleep=0.002"), fake("sleep=0.002,shift=0")});
    o.take_turns = take_turns;
    o.target_ci = 1e-9;  // never: it ends at ten times the starts
    o.pairs = o.starts = 2;
    std::vector<std::string> told;
    Result r = run(o, kGoOn, [&](const Progress& p) { told.push_back(p.doing); });
    EXPECT_EQ(log_ratios(r.engines[0], r.engines[1], 0).size(), 20);
    EXPECT_THAT(r.notes, Contains(HasSubstr("job 1: after 20 starts the interval of ")));
    // Said before they are measured.
    const std::string needed =
        "job 1: 20 starts of each engine are needed, by the spread of the first 2";
    EXPECT_THAT(r.notes, Contains(needed));
    const auto said = std::ranges::find(told, needed),
               third = std::ranges::find_if(
                   told, [](const std::string&what) { return what.starts_with("round 3"); });
    EXPECT_LT(said - told.begin(), third - told.begin());
    o.target_ci = 10;  // at once, when there are enough starts
    r = run(o, kGoOn);
    EXPECT_EQ(estimate(r.engines[0], r.engines[1], 0)->time.starts, kFewestStarts);
  }
}

TEST_F(LabRun, OperationsAreCalledOftenAndChecked) {
  auto o = options({fake("sleep=0.001"), fake("checksum=1.5"), fake("fault=infinite")});
  Job job;
  job.kind = JobKind::op;
  job.op = "sum";
  job.dtype = "f32";
  job.shape = {100};
  o.jobs = {job, job};
  o.model.clear();
  const Result r = run(o, kGoOn);
  EXPECT_EQ(r.engines[0].status, EngineStatus::ok);
  std::set<int> jobs;
  for (const Repetition& rep : r.engines[0].repetitions) jobs.insert(rep.job);
  EXPECT_THAT(jobs, ElementsAre(0, 1));
  EXPECT_GT(r.engines[0].repetitions.back().calls, 1);
  EXPECT_THAT(comparability(r, r.engines[0], r.engines[1], 1).differences,
              ElementsAre("the operation's result: mean absolute value 1 against 1.5"));
  EXPECT_THAT(r.engines[2].notes, Contains("job 1: its result was not checked: the result is inf"));
  EXPECT_THAT(comparability(r, r.engines[0], r.engines[2], 1).unknown,
              ElementsAre("the operation's result"));
}

TEST_F(LabRun, TelemetryStandsBesideTheRepetitions) {
  auto o = options({fake("sleep=0.05")});
  o.telemetry_period_s = 0.01;
  const Result r = run(o, kGoOn);
  const Timeline& t = r.engines[0].telemetry;
  ASSERT_GT(t.time_s.size(), 6u);
  EXPECT_FALSE(t.channels.empty());
  EXPECT_TRUE(t.sampler_cpu_s.value.has_value());
  const Repetition& last = r.engines[0].repetitions.back();
  EXPECT_NEAR(t.time_s.back(), last.start_s + last.total_s, 1);
  check_result(r, "it");
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
}

TEST_F(LabRun, TurnsTooShortForTheirTelemetryAreNoted) {
  auto o = options({fake("sleep=0.05")});
  o.telemetry_period_s = 30;
  const Result r = run(o, kGoOn);
  EXPECT_THAT(r.engines[0].notes, Contains(HasSubstr("job 1: its telemetry is under-sampled")));
}

TEST_F(LabRun, HearthMeasuresTheLimitsOfTheGpus) {
  auto o = options({fake(), parse_engine("torch:cuda:1"), parse_engine("openai:http://x/v1")});
  o.places.hearth = std::filesystem::absolute(testing::source_path("tests/lab/fake_engine.py"));
  const auto limits = limits_of_gpus(o, kGoOn);
  ASSERT_EQ(limits.size(), 3);
  EXPECT_EQ(limits[0].device, "cuda");
  EXPECT_EQ(limits[0].name, "read_bandwidth");
  EXPECT_EQ(limits[0].source, "measured by hearth");
  EXPECT_DOUBLE_EQ(*limits[0].value.value, 3000);
  EXPECT_EQ(limits[2].value.reason, "no halves");
  o.engines = {parse_engine("mlx:metal")};
  o.places.hearth = "/no/such/program";
  EXPECT_THAT(limits_of_gpus(o, kGoOn).at(0).value.reason,
              HasSubstr("hearth cannot measure metal"));
  o.engines = {fake()};
  EXPECT_THAT(limits_of_gpus(o, kGoOn), IsEmpty());
}

// After all repetitions, of those that say they can: what goes wrong with it costs nothing.
TEST_F(LabRun, LaunchesAreCountedOfEnginesThatCan) {
  auto o = options({fake(), fake("launches=40"), fake("launches=refuse"), fake("launches=crash")});
  Result r = run(o, kGoOn);
  for (const EngineResult& e : r.engines) {
    EXPECT_EQ(e.status, EngineStatus::ok) << e.label;
    EXPECT_EQ(e.launches.value.has_value(), e.label.ends_with("=40")) << e.label;
    EXPECT_EQ(e.memory.back().moment, "cleared");
  }
  EXPECT_THAT(r.engines[0].launches.reason, HasSubstr("does not count its launches"));
  EXPECT_EQ(r.engines[1].launches.value, 40);
  EXPECT_EQ(r.engines[1].replayed.value, 5);
  EXPECT_EQ(r.engines[2].replayed.reason, "no profiler");
  EXPECT_THAT(r.engines[3].launches.reason, HasSubstr("ended with exit code 5"));
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
  o.take_turns = true;
  EXPECT_EQ(run(o, kGoOn).engines[1].launches.value, 40);
  o.jobs[0].new_tokens = 3;
  EXPECT_THAT(run(o, kGoOn).engines[1].launches.reason, HasSubstr("no 4 new tokens"));
}

TEST_F(LabRun, WhereIdsPartTheLogitsTellByHowMuch) {
  auto o = options({fake("logits=0.5"), fake("shift=1,logits=0.125"), fake("logits=0.5,threads=1"),
                    fake("shift=2,logits=refuse"), fake("shift=3,logits=crash"),
                    fake("shift=4,logits=1,told=1"), fake("shift=5")});
  for (const bool take_turns : {false, true}) {
    o.take_turns = take_turns;
    const Result r = run(o, kGoOn);
    const auto& e = r.engines;
    ASSERT_EQ(e[0].margins.size(), 5);  // of six others one makes the same ids
    EXPECT_EQ(e[0].margins[0].other, e[1].label);
    EXPECT_EQ(e[0].margins[0].index, 0);
    EXPECT_EQ(e[0].margins[0].logits.value, 0.5);
    EXPECT_EQ(e[1].margins[0].logits.value, 0.125);
    EXPECT_EQ(e[3].margins[0].logits.reason, "no logits");
    ASSERT_EQ(e[4].margins.size(), 1);  // it was gone then
    EXPECT_THAT(e[4].margins[0].logits.reason, HasSubstr("ended with exit code 6"));
    EXPECT_THAT(e[5].margins[0].logits.reason, HasSubstr("answered with the logits"));
    EXPECT_THAT(e[6].margins, IsEmpty());
    for (const EngineResult& one : e) EXPECT_EQ(one.status, EngineStatus::ok) << one.label;
    const auto gate = comparability(r, e[0], e[1], 0);
    EXPECT_THAT(gate.differences,
                Contains("ids differ from new token 1 on; there " + e[0].label +
                         " prefers its own by 0.5, " + e[1].label +
                         " prefers its own by 0.12 in the logits, too early for rounding"));
    EXPECT_THAT(comparability(r, e[3], e[6], 0).differences,
                Contains("ids differ from new token 1 on, too early for rounding"));
    EXPECT_EQ(testing::result_violation(to_json(r)), "");
  }
}

TEST(LabRunOptions, AreChecked) {
  const auto error = [](auto change) {
    auto o = options({parse_engine("hearth")});
    change(o);
    return testing::error_of<std::invalid_argument>([&] { run(o, kGoOn); });
  };
  EXPECT_THAT(error([](auto& o) { o.engines.clear(); }), HasSubstr("no engines"));
  EXPECT_THAT(error([](auto& o) { o.jobs.clear(); }), HasSubstr("no jobs"));
  EXPECT_THAT(error([](auto& o) { o.pairs = 0; }), HasSubstr("0 pairs"));
  EXPECT_THAT(error([](auto& o) { o.target_ci = -1; }), HasSubstr("interval"));
  EXPECT_THAT(error([](auto& o) { o.jobs[0].prompt_ids.clear(); }), HasSubstr("without a prompt"));
}

}  // namespace
}  // namespace hearth::lab
