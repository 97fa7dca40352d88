// Commands in turns: how often each runs, what runs around it, what becomes of one that fails.
#include "hearth/lab/run/commands.h"

#include <gmock/gmock.h>

#include <cmath>

#include "hearth/lab/judge/command_use.h"
#include "hearth/lab/judge/compare.h"
#include "hearth/lab/result/result_json.h"
#include "tests/lab/schema.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using testing::content_of;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

Command command(const std::string& text, const std::string& name = "") {
  Command c;
  c.text = text;
  c.name = name;
  return c;
}

CommandOptions quick(const std::vector<Command>& commands, int runs = 6) {
  CommandOptions o;
  o.commands = commands;
  o.least_runs = runs;
  o.most_runs = runs;
  o.warmups = 0;
  o.telemetry_period_s = 0;
  return o;
}

Result run(const CommandOptions& o) {
  const std::atomic<bool> interrupted = false;
  Result r = run_commands(o, interrupted);
  check_result(r, "run");
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
  return r;
}

std::string joined(std::string text) {
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

TEST(Commands, TakeTurns) {
  const testing::TempFolder folder;
  const std::string log = folder / "log";
  const Result r = run(quick({command("echo a >>" + log), command("echo b >>" + log)}, 4));
  EXPECT_EQ(joined(content_of(log)), "a b b a a b b a ");
  EXPECT_EQ(r.plan.order, "ABBA");
  EXPECT_TRUE(r.plan.finished);
  EXPECT_EQ(r.plan.pairs, 4);
  EXPECT_EQ(log_ratios(r.engines[0], r.engines[1], 0).size(), 4);
  EXPECT_EQ(r.engines[0].label, "echo a >>" + log);
  EXPECT_EQ(r.engines[0].status, EngineStatus::ok);
}

TEST(Commands, HooksRunWhereTheyBelong) {
  const testing::TempFolder folder;
  const std::string log = folder / "log";
  Command a = command("echo run-a >>" + log), b = command("echo run-b >>" + log);
  for (Command* c : {&a, &b}) {
    c->setup = "echo setup >>" + log;
    c->prepare = "echo prepare-$HEARTH_ITERATION >>" + log;
    c->conclude = "echo conclude >>" + log;
    c->cleanup = "echo cleanup >>" + log;
  }
  CommandOptions o = quick({a, b}, 1);
  o.warmups = 1;
  run(o);
  EXPECT_EQ(joined(content_of(log)),
            "setup setup prepare-warmup-0 run-a conclude prepare-warmup-0 run-b conclude "
            "prepare-0 run-a conclude prepare-0 run-b conclude cleanup cleanup ");
  // In blocks each has its set-up to itself.
  std::filesystem::remove(log);
  o.warmups = 0;
  o.least_runs = 2, o.most_runs = 2;
  o.take_turns = true;
  for (Command& c : o.commands) c.prepare = c.conclude = "";
  const Result r = run(o);
  EXPECT_EQ(joined(content_of(log)),
            "setup run-a cleanup setup run-b cleanup setup run-b cleanup setup run-a cleanup ");
  EXPECT_EQ(r.plan.order, "ABBA, in two blocks");
  EXPECT_EQ(log_ratios(r.engines[0], r.engines[1], 0).size(), 2);
}

TEST(Commands, WhatIsAroundIsNotTimed) {
  Command c = command("true");
  c.prepare = c.conclude = "sleep 0.4";
  const Result r = run(quick({c}, 2));
  for (const Repetition& rep : r.engines[0].repetitions) EXPECT_LT(rep.total_s, 0.35);
}

TEST(Commands, AsManyRunsAsFillTheSecondsWithinTheLimits) {
  CommandOptions o = quick({command("true", "quick"), command("sleep 0.15", "slow")});
  o.shell.clear();
  o.least_runs = 3;
  o.most_runs = 40;
  o.least_seconds = 0.6;
  o.watch = false;  // rounds that others disturb are measured again
  const Result r = run(o);
  const auto n = [&](int i) { return r.engines[size_t(i)].totals(0).size(); };
  EXPECT_GE(n(1), 3);
  EXPECT_LE(n(1), 4);
  EXPECT_GT(n(0), n(1));
  EXPECT_LE(n(0), 45);
  // Rounds are those of the slow one; in each the quick one runs several times.
  EXPECT_EQ(log_ratios(r.engines[0], r.engines[1], 0).size(), n(1));
  o.most_runs = 3;
  o.least_runs = 3;
  EXPECT_EQ(run(o).engines[0].totals(0).size(), 3);
}

TEST(Commands, TheShellsStartIsTakenOff) {
  const Result with = run(quick({command("sleep 0.2")}, 3));
  const Repetition& r = with.engines[0].repetitions[0];
  EXPECT_GT(r.own.at("shell_s"), 1e-5);
  EXPECT_LT(r.own.at("shell_s"), 0.19);
  EXPECT_GE(r.total_s, 0.2 - r.own.at("shell_s"));
  EXPECT_THAT(with.notes, ElementsAre(HasSubstr("the start of the shell alone, ")));
  CommandOptions o = quick({command("sleep 0.2")}, 3);
  o.shell.clear();
  const Result without = run(o);
  EXPECT_FALSE(without.engines[0].repetitions[0].own.contains("shell_s"));
  EXPECT_TRUE(without.notes.empty());
}

// ":" is done by the shell itself: nothing is left of it.
TEST(Commands, WhatIsLostInItsShellIsNotCompared) {
  const Result r = run(quick({command(":", "a"), command(": :", "b"), command("sleep 0.05")}, 8));
  const auto c = compare(r, "a", "b", 0);
  ASSERT_FALSE(c.gate.comparable());
  EXPECT_THAT(c.gate.differences[0], HasSubstr("is lost in the"));
  EXPECT_THAT(c.gate.differences[0], HasSubstr("-N starts it without one"));
  EXPECT_EQ(lost_in_shell(r.engines[2], 0), "");
}

TEST(Commands, WithoutAShellTheWordsAreTheProgram) {
  const testing::TempFolder folder;
  CommandOptions o = quick({command("touch '" + (folder / "a b; c").string() + "'")}, 1);
  o.shell.clear();
  run(o);
  EXPECT_TRUE(std::filesystem::exists(folder / "a b; c"));
  o.commands = {command("echo 'open")};
  EXPECT_THROW(run(o), std::invalid_argument);
  o.commands = {command("no-such-program-here")};
  const Result r = run(o);
  EXPECT_THAT(r.engines[0].faults, ElementsAre(HasSubstr("cannot start no-such-program-here")));
  EXPECT_EQ(r.engines[0].status, EngineStatus::failed);
}

TEST(Commands, AFailureEndsTheRunUnlessItIsIgnored) {
  const testing::TempFolder folder;
  const std::string counter = folder / "n";
  // Fails at its third run.
  const std::string third = "echo x >>" + counter + "; [ $(wc -l <" + counter + ") -ne 3 ]";
  const Result r = run(quick({command("true", "good"), command(third, "bad")}));
  EXPECT_FALSE(r.plan.finished);
  EXPECT_EQ(r.engines[1].repetitions.size(), 2);  // what came before is kept
  EXPECT_EQ(r.engines[1].status, EngineStatus::partial);
  EXPECT_THAT(r.engines[1].faults,
              ElementsAre(HasSubstr("ended with exit code 1; --ignore-failure goes on")));
  EXPECT_TRUE(r.engines[0].faults.empty());

  CommandOptions o = quick({command("exit 7"), command("kill -9 $$")}, 2);
  o.ignore_failure = true;
  const Result ignored = run(o);
  EXPECT_TRUE(ignored.plan.finished);
  EXPECT_EQ(ignored.engines[0].repetitions[0].own.at("exit_code"), 7);
  EXPECT_EQ(ignored.engines[1].repetitions[0].own.at("exit_code"), 137);
  o.ignored = {7};
  EXPECT_THAT(run(o).engines[1].faults, ElementsAre(HasSubstr("was ended by signal 9 (Killed)")));
}

TEST(Commands, AHookThatFailsIsNamed) {
  for (const auto& [field, name] : {std::pair(&Command::setup, "set-up"),
                                    {&Command::prepare, "preparation"},
                                    {&Command::conclude, "conclusion"},
                                    {&Command::cleanup, "clean-up"}}) {
    Command c = command("true");
    c.*field = "exit 4";
    const Result r = run(quick({c}, 1));
    EXPECT_THAT(r.engines[0].faults,
                ElementsAre(::testing::AllOf(
                    HasSubstr(std::string("its ") + name + " \"exit 4\" ended with exit code 4"),
                    HasSubstr("append || true"))));
  }
}

TEST(Commands, MetricsAreReadFromTheOutput) {
  CommandOptions o = quick({command("echo \"rate: 4$HEARTH_ITERATION tokens/s\" >&2", "a"),
                            command("echo rate: 80 tokens/s", "b")},
                           3);
  o.metrics = {"rate: ([0-9.]+) tokens/s"};
  const Result r = run(o);
  EXPECT_THAT(accounted(r.engines[0], 0, o.metrics[0]), ElementsAre(40, 41, 42));
  EXPECT_THAT(accounted(r.engines[1], 0, o.metrics[0]), ElementsAre(80, 80, 80));
  EXPECT_THAT(metrics_of(r.engines[0], 0), ElementsAre(o.metrics[0]));
  const auto ratio = metric_ratio(r.engines[0], r.engines[1], 0, o.metrics[0]);
  ASSERT_TRUE(ratio);
  EXPECT_NEAR(ratio->ratio, 80 / std::cbrt(40.0 * 41 * 42), 1e-9);
  EXPECT_LT(ratio->low, ratio->ratio);
  EXPECT_FALSE(metric_ratio(r.engines[0], r.engines[1], 0, "(other)"));
  o.commands.push_back(command("echo nothing", "c"));
  EXPECT_THAT(run(o).engines[2].faults, ElementsAre(HasSubstr("its output has no \"rate")));
  o.metrics = {"rate"};
  EXPECT_THROW(run(o), std::invalid_argument);
}

TEST(Commands, TheEnvironmentsSizeChangesFromRunToRun) {
  const testing::TempFolder folder;
  const std::string log = folder / "log";
  run(quick({command("echo ${#HEARTH_PADDING} >>" + log)}, 6));
  std::istringstream in(content_of(log));
  const std::set<std::string> sizes{std::istream_iterator<std::string>(in), {}};
  EXPECT_GE(sizes.size(), 4);
}

TEST(Commands, NothingOutlivesTheRun) {
  const testing::TempFolder folder;
  const std::string pids = folder / "pids";
  Command c = command("sleep 100 & echo $! >>" + pids);
  c.setup = "setsid sleep 100 & echo $! >>" + pids;
  run(quick({c}, 3));
  std::istringstream in(content_of(pids));
  int seen = 0;
  for (pid_t pid; in >> pid; ++seen) EXPECT_NE(::kill(pid, 0), 0) << pid;
  EXPECT_EQ(seen, 4);
}

TEST(Commands, AnInterruptionKeepsWhatWasMeasured) {
  const testing::TempFolder folder;
  std::atomic<bool> interrupted = false;
  CommandOptions o = quick({command("true"), command("sleep 0.01")}, 100);
  const Result r = run_commands(o, interrupted, [&](const Progress& at) {
    if (at.doing.starts_with("round 3, ")) interrupted = true;
  });
  EXPECT_FALSE(r.plan.finished);
  EXPECT_GE(r.engines[0].repetitions.size(), 2);
  EXPECT_TRUE(r.engines[0].faults.empty());
  check_result(r, "run");
}

// A run that is killed has its journal: all runs but the one that ran.
TEST(Commands, EachRunIsWrittenDownAtOnce) {
  std::optional<Result> written;
  CommandOptions o = quick({command("true", "a"), command("sleep 0.01", "b")}, 4);
  o.warmups = 1;
  size_t most = 0;
  o.keep = [&](const Addition& more) {
    if (!more.state.empty()) {
      EXPECT_FALSE(written);
      written = more.state[0];
    } else {
      add(*written, more);
    }
    check_result(*written, "journal");
    most = std::max(most, more.repetitions.size());
  };
  const Result r = run(o);
  EXPECT_EQ(most, 1);
  for (size_t i = 0; i < 2; ++i) {
    const auto kept = written->engines[i].totals(0), all = r.engines[i].totals(0);
    ASSERT_EQ(kept.size(), all.size());
    for (size_t k = 0; k < all.size(); ++k)  // with the start of the shell
      EXPECT_GE(kept[k]->total_s, all[k]->total_s);
  }
  EXPECT_THAT(written->notes, ElementsAre(HasSubstr("the start of the shell is still in")));
  o.keep = [](const Addition&) { throw std::runtime_error("the disk is full"); };
  const std::atomic<bool> interrupted = false;
  EXPECT_THAT(error_of([&] { run_commands(o, interrupted); }), HasSubstr("the disk is full"));
}

TEST(Commands, WhatDisturbsIsLookedAt) {
  CommandOptions o = quick({command("sleep 0.05", "a"), command("sleep 0.05", "b")}, 3);
  const Result r = run(o);
  ASSERT_TRUE(r.engines[0].repetitions[0].disturbance);
  EXPECT_GE(r.engines[0].repetitions[0].disturbance->processors, 1);
  EXPECT_EQ(r.engines[0].starts.size(), 3);
  EXPECT_EQ(r.engines[0].repetitions[2].start, 2);
  o.watch = false;
  EXPECT_FALSE(run(o).engines[0].repetitions[0].disturbance);
}

TEST(Commands, TheSameTwiceIsTheNoise) {
  const Result r = run(quick({command("true"), command("true")}, 1));
  EXPECT_EQ(r.engines[1].label, "true#2");
}

TEST(Commands, OptionsWithoutAMeaningAreErrors) {
  EXPECT_THROW(run(quick({})), std::invalid_argument);
  EXPECT_THROW(run(quick({command(" ")})), std::invalid_argument);
  EXPECT_THROW(run(quick({command(std::string("a\0b", 3))})), std::invalid_argument);
  CommandOptions o = quick({command("true")});
  o.most_runs = 2;
  EXPECT_THROW(run(o), std::invalid_argument);
}

TEST(Commands, WhyTheSlowerOneIs) {
  const auto engine = [](double total, double user, double system, double faults) {
    EngineResult e;
    Repetition r;
    r.total_s = total;
    r.own = {{"user_s", user}, {"system_s", system}, {"minor_faults", faults}};
    e.repetitions = {r};
    return e;
  };
  EXPECT_EQ(why_slower(engine(2, 1.9, 0.05, 9), engine(1, 0.9, 0.05, 9), 0),
            "2.11 times the user time (1.9 s, not 900 ms)");
  EXPECT_EQ(why_slower(engine(2, 0.9, 1.05, 900), engine(1, 0.9, 0.05, 9), 0),
            "21 times the system time (1.05 s, not 50 ms), 100 times the page faults");
  EXPECT_EQ(why_slower(engine(2, 0.9, 0.05, 9), engine(1, 0.95, 0.05, 9), 0),
            "1.05 s more of waiting");
  EXPECT_EQ(why_slower(engine(1.9, 1.2, 0.35, 9), engine(1, 0.8, 0.05, 9), 0),
            "1.5 times the user time (1.2 s, not 800 ms), 7 times the system time (350 ms, not 50 "
            "ms)");
  EXPECT_EQ(why_slower(engine(1, 0.9, 0.05, 9), engine(2, 0.9, 0.05, 9), 0), "");
}

}  // namespace
}  // namespace hearth::lab
