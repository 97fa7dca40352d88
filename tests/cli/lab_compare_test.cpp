// hearth lab compare on results whose times are made up: its verdicts, and what withholds them.
#include <cmath>
#include "hearth/lab/judge/compare.h"

#include "hearth/lab/result/result_json.h"
#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// A result of two engines, B's time `ratio` times A's, give or take 0.5 or 1.5 %: the interval of
/// 12 pairs reaches from 0.9926 to 1.0074 of the ratio (by SciPy: t of 11 degrees is 2.20098516).
lab::Result two(double ratio, int rounds = 12) {
  lab::Result r;
  lab::Job job;
  job.new_tokens = 4;
  r.jobs = {job};
  r.plan.order = "ABBA";
  for (int i = 0; i < 2; ++i) {
    lab::EngineResult e;
    e.label = i ? "b" : "a";
    e.dtype = "f32";
    e.bytes_per_weight = 4;
    e.sampling = lab::Sampling::greedy;
    e.same_prompt_ids = true;
    e.starts.resize(size_t(rounds));
    for (int k = 0; k < rounds; ++k) {
      lab::Repetition x;
      x.round = x.start = k;
      x.total_s = (1 + 0.001 * (k % 3)) * (i ? ratio * std::exp(0.01 * (k % 4 - 1.5)) : 1);
      x.new_tokens = 4;
      x.ids = {{1, 2, 3, 4}};
      e.repetitions.push_back(x);
    }
    r.engines.push_back(e);
  }
  return r;
}

struct Compared : Finished {
  TempFolder folder;
  Compared(const lab::Result& result, Words more) : Finished{} {
    lab::write_result(result, folder / "r.json");
    Words args = {"lab", "compare", folder / "r.json"};
    args.insert(args.end(), more.begin(), more.end());
    Finished::operator=(run_hearth(args, "", {"COLUMNS=200"}));
  }
};

TEST(Lab, CompareGivesAVerdictAndAnExitCode) {
  EXPECT_THAT(
      Compared(two(1.1), {}).out,
      ::testing::StartsWith("a is 1.100 times faster than b per new token (95 % interval 1.092 to "
                            "1.108, 12 starts of each)\n"));
  EXPECT_THAT(Compared(two(1.1), {"b", "a"}).out,
              HasSubstr("b is 1.100 times slower than a per new token (95 % interval 1.092 to "
                        "1.108, 12 starts of each)"));
  EXPECT_THAT(Compared(two(1 / 1.1), {}).out,
              HasSubstr("a is 1.100 times slower than b per new token (95 % interval 1.092 to "
                        "1.108, 12 starts of each)"));
  EXPECT_THAT(Compared(two(1.01), {}).out, HasSubstr("a and b are equivalent"));
  EXPECT_THAT(Compared(two(2, 5), {}).out, HasSubstr("undecided; 5 starts of each, at least 6"));
  EXPECT_EQ(Compared(two(1.1), {"--fail-if-slower", "3%"}).exit_code, 0);
  EXPECT_EQ(Compared(two(0.98), {"--fail-if-slower", "3%"}).exit_code, 0);
  const Compared slower(two(0.9), {"--fail-if-slower", "3%"});
  EXPECT_EQ(slower.exit_code, 1);
  EXPECT_THAT(slower.err, HasSubstr("a is 11.1 % slower than b, more than 3.0 %"));
  EXPECT_EQ(Compared(two(1.1, 3), {"--fail-if-slower", "3%"}).exit_code, 1);
}

TEST(Lab, FailIfSlowerAsksForTheRatioAndForTheInterval) {
  const auto code = [](double ratio, const char* share) {
    return Compared(two(ratio), {"--fail-if-slower", share}).exit_code;
  };
  EXPECT_EQ(code(1 / 1.031, "3%"), 1);
  EXPECT_EQ(code(1 / 1.029, "3%"), 0);
  EXPECT_EQ(code(1 / 1.008, "0.5%"), 1);  // the interval ends below 1
  EXPECT_EQ(code(1 / 1.007, "0.5%"), 0);  // it holds 1
  EXPECT_EQ(code(1.05, "3%"), 0);
  EXPECT_EQ(code(1 / 1.32, "30%"), 1);  // of A's time to B's: 1.32, not 1 less 0.24
  EXPECT_EQ(code(1 / 1.28, "30%"), 0);
  EXPECT_EQ(Compared(two(1.1, 6), {"--fail-if-slower", "3%"}).exit_code, 0);
  EXPECT_THAT(Compared(two(1.1, 5), {"--fail-if-slower", "3%"}).err,
              HasSubstr("a and b: too few starts"));
}

// The first engine is not always the faster one.
TEST(Lab, JsonHasTheRatioOfAAgainstB) {
  const auto json = [](double ratio) {
    return nlohmann::json::parse(Compared(two(ratio), {"--json"}).out)[0];
  };
  for (const auto& [ratio, verdict] : {std::pair(1.1, "faster"), std::pair(1 / 1.1, "slower")}) {
    const auto c = json(ratio);
    EXPECT_EQ(c["a"], "a");
    EXPECT_EQ(c["b"], "b");
    EXPECT_EQ(c["verdict"], verdict);
    EXPECT_EQ(c["pairs"], 12);
    EXPECT_EQ(c["starts"], 12);
    EXPECT_EQ(c["disturbed"], 0);
    EXPECT_NEAR(c["ratio"], ratio, 1e-12);
    EXPECT_NEAR(c["interval"][0], ratio * 0.992608, 1e-6);
    EXPECT_NEAR(c["interval"][1], ratio * 1.007447, 1e-6);
    EXPECT_NEAR(c["detectable"], 0.010425, 1e-6);
    EXPECT_EQ(c["comparable"], true);
  }
  EXPECT_EQ(json(1.01)["verdict"], "equivalent");
  EXPECT_EQ(json(1)["verdict"], "equivalent");
  EXPECT_EQ(json(1.0135)["verdict"], "faster");  // it reaches out of the margin
  EXPECT_EQ(json(1.012)["verdict"], "equivalent");
}

TEST(Lab, TheExitCodeOfStrictWins) {
  auto r = two(0.8);
  r.plan.order = "sequential";
  EXPECT_EQ(Compared(r, {"--fail-if-slower", "3%"}).exit_code, 1);
  EXPECT_EQ(Compared(r, {"--strict"}).exit_code, 3);
  EXPECT_EQ(Compared(r, {"--strict", "--fail-if-slower", "3%"}).exit_code, 3);
  EXPECT_EQ(Compared(r, {"--strict", "--fail-if-slower", "3%", "--json"}).exit_code, 3);
  EXPECT_EQ(Compared(two(0.8), {"--strict", "--fail-if-slower", "3%"}).exit_code, 1);
}

/// The same beside others, who had `share` of two processors in the turns of A in `rounds` rounds.
lab::Result beside_others(lab::Result r, double share, int rounds = 12) {
  for (lab::Repetition& x : r.engines[0].repetitions) {
    x.disturbance = lab::Disturbance{};
    x.disturbance->processors = 2;
    x.disturbance->others_s = (x.round < rounds ? share : 0) * 2 * x.total_s;
  }
  return r;
}

TEST(Lab, ABusyMachineHasNoVerdictAndAnExitCode) {
  const auto busy = beside_others(two(1.5), 0.81);
  const Compared said(busy, {});
  EXPECT_EQ(said.exit_code, 0);
  EXPECT_THAT(said.out,
              AllOf(HasSubstr("a and b: undecided: the machine was busy: others took 81 % "
                              "of the processors in 12 of 12 pairs"),
                    Not(HasSubstr("faster"))));
  const Compared strict(busy, {"--strict"});
  EXPECT_EQ(strict.exit_code, 4);
  EXPECT_THAT(strict.err, HasSubstr("undecided: the machine was busy"));
  EXPECT_EQ(Compared(busy, {"--fail-if-slower", "3%"}).exit_code, 1);
  EXPECT_EQ(Compared(busy, {"--fail-if-slower", "3%", "--strict"}).exit_code, 4);
  const auto json = nlohmann::json::parse(Compared(busy, {"--json"}).out)[0];
  EXPECT_EQ(json["verdict"], "undecided: the machine was busy");
  EXPECT_EQ(json["disturbed"], 12);
  EXPECT_THAT(json["busy"].get<std::string>(), HasSubstr("81 %"));
  EXPECT_EQ(Compared(two(1.5), {"--strict"}).exit_code, 0);
  // Six quiet starts are enough, and are what is told.
  const Compared some(beside_others(two(1.5), 0.81, 6), {"--strict"});
  EXPECT_EQ(some.exit_code, 0);
  EXPECT_THAT(some.out,
              AllOf(HasSubstr("a is 1.5"), HasSubstr("6 starts of each; 6 disturbed left out")));
  EXPECT_EQ(Compared(beside_others(two(1.5), 0.81, 7), {"--strict"}).exit_code, 4);
}

TEST(Lab, WhatTheEnvironmentLacksIsListed) {
  auto r = two(1.1);
  r.environment = {{"processor", std::string("a processor")},
                   {"governor", lab::Reading<std::string>::missing("no cpufreq")},
                   {"weights_sha256", std::string("00")}};
  r.engines[1].version = "1";
  const auto unknown = nlohmann::json::parse(Compared(r, {"--json"}).out)[0]["unknown"];
  const auto listed = unknown.get<Words>();
  EXPECT_THAT(listed, ::testing::IsSupersetOf(
                          {"governor: no cpufreq", "power_source: not in the result",
                           "os: not in the result", "version of a: the engine gives none"}));
  for (const auto& fact : listed)
    for (const char* known : {"processor", "weights", "version of b"})
      EXPECT_THAT(fact, ::testing::Not(::testing::StartsWith(known)));
  EXPECT_THAT(Compared(r, {}).out,
              HasSubstr("not known of the machine: cores, os, governor, power_source"));
}

TEST(Lab, TimesThatRiseAllAlongAreUnstable) {
  auto r = two(1.1);
  for (auto& e : r.engines)
    for (auto& rep : e.repetitions) rep.start_s = 2.0 * rep.round;
  EXPECT_THAT(Compared(r, {}).out, ::testing::Not(HasSubstr("unstable")));
  for (auto& rep : r.engines[1].repetitions) rep.total_s *= 1 + 0.01 * rep.round;
  EXPECT_THAT(Compared(r, {}).out, HasSubstr("unstable: the times of b rose by 1"));
  r = two(1.1);
  r.ceilings = {{"clock", "cpu", "MHz", "measured", 3400.0},
                {"clock_after", "cpu", "MHz", "measured after the run", 3000.0}};
  EXPECT_THAT(Compared(r, {}).out, HasSubstr("clock was 3400 MHz before and 3000 MHz after"));
}

TEST(Lab, SaysHowSmallADifferenceItCanTell) {
  EXPECT_THAT(
      Compared(two(1.1), {}).out,
      HasSubstr("  12 starts with this spread (1.2 %) detect a difference of 1.0 % or more\n"));
  auto noisy = two(1.1);
  for (auto& x : noisy.engines[1].repetitions) x.total_s *= x.round % 2 ? 1.5 : 0.5;
  EXPECT_THAT(
      Compared(noisy, {}).out,
      HasSubstr("detect a difference of 67 % or more. Run more starts, or quiet the machine"));
  EXPECT_TRUE(
      nlohmann::json::parse(Compared(two(2, 1), {"--json"}).out)[0]["detectable"].is_null());
}

TEST(Lab, NothingIsFasterInSequenceOrByFewPairs) {
  auto r = two(1.5);
  r.plan.order = "sequential";
  const Compared c(r, {});
  EXPECT_EQ(c.exit_code, 0);
  EXPECT_THAT(c.out, AllOf(HasSubstr("b took 1.500 times the time of a"),
                           HasSubstr("sequential: drift not controlled")));
  EXPECT_THAT(c.out, ::testing::Not(HasSubstr("faster")));
  const Compared strict(r, {"--strict"});
  EXPECT_EQ(strict.exit_code, 3);
  EXPECT_THAT(strict.out, HasSubstr("sequential: drift not controlled"));
  EXPECT_THAT(strict.err, HasSubstr("drift not controlled"));
  const auto json = nlohmann::json::parse(Compared(r, {"--json"}).out);
  EXPECT_EQ(json[0]["drift_controlled"], false);
  EXPECT_TRUE(json[0]["verdict"].is_null());
  EXPECT_EQ(Compared(r, {"--fail-if-slower", "3%"}).exit_code, 1);
  // Both fail: that the comparison says nothing wins over what it would have said.
  const Compared both(r, {"--strict", "--fail-if-slower", "3%", "--json"});
  EXPECT_EQ(both.exit_code, 3);
  EXPECT_TRUE(nlohmann::json::parse(both.out).is_array());
  r.plan.order = "";
  EXPECT_THAT(Compared(r, {}).out, HasSubstr("unknown order: drift not controlled"));
  EXPECT_EQ(Compared(two(1.5), {"--strict"}).exit_code, 0);
  for (int rounds = 1; rounds < lab::kFewestStarts; ++rounds)
    EXPECT_THAT(Compared(two(1.5, rounds), {}).out,
                AllOf(HasSubstr("undecided"), ::testing::Not(HasSubstr("faster"))));
  EXPECT_THAT(Compared(two(1.5, lab::kFewestStarts), {}).out, HasSubstr("faster"));
}

TEST(Lab, CompareWithholdsTheVerdictWhereTheWorkDiffers) {
  auto r = two(1.5);
  r.engines[1].dtype = "f16";
  r.engines[1].repetitions[0].ids = {{1, 2, 9, 4}};
  const Compared c(r, {"--fail-if-slower", "3%"});
  EXPECT_EQ(c.exit_code, 1);
  EXPECT_THAT(c.out, AllOf(HasSubstr("not comparable"), HasSubstr("dtype: f32 against f16"),
                           HasSubstr("ids differ from new token 3 on")));
  EXPECT_THAT(c.out, ::testing::Not(HasSubstr("faster")));
  const auto json = nlohmann::json::parse(Compared(r, {"--json"}).out);
  EXPECT_TRUE(json[0]["verdict"].is_null());
  EXPECT_EQ(json[0]["comparable"], false);
  EXPECT_THAT(Compared(two(1), {"a", "c"}).err, HasSubstr("there is no engine 'c'"));
}

TEST(Lab, AnEngineIsNotComparedWithItself) {
  const Compared same(two(1), {"a", "a"});
  EXPECT_EQ(same.exit_code, 2);
  EXPECT_EQ(same.out, "");
  EXPECT_THAT(same.err, HasSubstr("a and itself; name two engines"));
}

TEST(Lab, JobsCountFromOne) {
  auto r = two(1.1);
  r.jobs.push_back(r.jobs[0]);
  for (auto& e : r.engines) {
    auto reps = e.repetitions;
    for (auto& rep : reps) rep.job = 1, rep.total_s *= e.label == "b" ? 2 : 1;
    e.repetitions.insert(e.repetitions.end(), reps.begin(), reps.end());
  }
  const auto json = nlohmann::json::parse(Compared(r, {"--json"}).out);
  EXPECT_EQ(json[0]["job"], 1);
  EXPECT_EQ(json[1]["job"], 2);
  TempFolder folder;
  const std::string file = folder / "r.json";
  lab::write_result(r, file);
  const auto explained = [&](const char* job) {
    return json_of({"lab", "explain", file, "--job", job});
  };
  EXPECT_EQ(explained("2")["job"], 2);
  EXPECT_NEAR(explained("1")["ratio"]["per_unit"]["value"], 1.1, 1e-9);
  EXPECT_NEAR(explained("2")["ratio"]["per_unit"]["value"], 2.2, 1e-9);
  EXPECT_EQ(json_of({"lab", "explain", file})["job"], 1);
  for (const char* command : {"explain", "intervene"}) {
    const Finished f = run_hearth({"lab", command, file, "--job", "3"});
    EXPECT_EQ(f.exit_code, 2);
    EXPECT_THAT(f.err, HasSubstr("no job 3: the result has 2 jobs"));
    EXPECT_EQ(run_hearth({"lab", command, file, "--job", "0"}).exit_code, 2);
  }
  const Finished csv = run_hearth({"lab", "export", file, "--table", "jobs"});
  EXPECT_THAT(csv.out, AllOf(HasSubstr("\n1,generate"), HasSubstr("\n2,generate")));
}

}  // namespace
}  // namespace hearth::testing
