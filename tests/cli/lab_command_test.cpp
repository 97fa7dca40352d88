// hearth lab run --command as a user runs it: hyperfine's options, its forms, and the history.
#include <fmt/format.h>

#include <chrono>
#include <set>

#include "hearth/lab/result/result_json.h"
#include "tests/cli/cli.h"
#include "tests/lab/results.h"
#include "tests/lab/schema.h"

namespace hearth::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Commands : Finished {
  TempFolder folder;
  std::string file = folder / "r.json";
  explicit Commands(const Words& options) : Finished{} {
    Words args = {"lab", "run", "-o", file, "--telemetry", "off"};
    args.insert(args.end(), options.begin(), options.end());
    Finished::operator=(run_hearth(args, "", {"XDG_DATA_HOME=" + folder.path().string()}));
  }
  lab::Result result() const { return lab::read_result(file); }
};

size_t widest(const std::string& text) {
  size_t most = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) most = std::max(most, line.size());
  return most;
}

TEST(LabCommand, EndsWithALineForEachAndThePages) {
  const Commands ran({"--command", "sleep 0.02", "--command", "sleep 0.06", "-n", "short", "-n",
                      "long", "-N", "--runs", "8", "--ignore-others"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("  short\n    Time (mean +- sd)"), HasSubstr("[user "),
                             HasSubstr("Range"), HasSubstr("8 runs"),
                             HasSubstr("Time per run, against short:\n"), HasSubstr("slower\n"),
                             HasSubstr("waiting ("), HasSubstr(ran.file)));
  const size_t verdicts = ran.out.find("Time per run");
  EXPECT_LE(widest(ran.out.substr(0, ran.out.find(ran.file))), 80) << ran.out;
  EXPECT_LT(ran.out.find("short", verdicts + 30), ran.out.find("long", verdicts));
  EXPECT_THAT(content_of(ran.folder / "r.html"), HasSubstr("long"));
  const auto result = ran.result();
  EXPECT_EQ(result.jobs[0].kind, lab::JobKind::command);
  EXPECT_EQ(result.engines[0].program, "sleep 0.02");
  EXPECT_EQ(result_violation(to_json(result)), "");
  for (const Words& command : {Words{"compare"},
                               {"explain"},
                               {"export", "-f", "md"},
                               {"export", "-f", "sql"},
                               {"report", "-o", ran.folder / "p.html"}}) {
    Words args = {"lab", command[0], ran.file};
    args.insert(args.end(), command.begin() + 1, command.end());
    EXPECT_EQ(run_hearth(args).exit_code, 0) << command[0];
  }
}

TEST(LabCommand, ParametersAreScannedAndListed) {
  const Commands ran({"-P", "t", "0.01", "0.03", "-D", "0.01", "--command", "sleep {t}", "-L", "x",
                      "a,b", "-n", "{x}{t}", "--runs", "1", "--warmup", "0"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  std::set<std::string> labels;
  for (const auto& e : ran.result().engines) labels.insert(e.label);
  EXPECT_EQ(labels, (std::set<std::string>{"a0.01", "a0.02", "a0.03", "b0.01", "b0.02", "b0.03"}));
  EXPECT_EQ(ran.result().engines[0].options.at("{x}"), "a");
  const Commands below({"-P", "n", "-1", "1", "--command", "true {n}", "--runs", "1"});
  ASSERT_EQ(below.exit_code, 0) << below.err;
  EXPECT_EQ(below.result().engines[0].label, "true -1");
}

TEST(LabCommand, WritesHyperfinesForms) {
  TempFolder folder;
  const std::string json = folder / "h.json", md = folder / "h.md", csv = folder / "h.csv";
  const Commands ran({"--command", "sleep 0.01", "--command", "sleep 0.02", "--runs", "3",
                      "--export-json", json, "--export-markdown", md, "--export-csv", csv});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(nlohmann::json::parse(content_of(json))["results"][1]["command"], "sleep 0.02");
  EXPECT_THAT(content_of(md), HasSubstr("| `sleep 0.02` |"));
  EXPECT_THAT(content_of(csv), HasSubstr("sleep 0.01,"));
  for (const auto& [form, file] :
       {std::pair("hyperfine", json), {"hyperfine-md", md}, {"hyperfine-csv", csv}})
    EXPECT_EQ(run_hearth({"lab", "export", ran.file, "-f", form}).out, content_of(file));
  EXPECT_EQ(run_hearth({"lab", "import", json, "-o", folder / "again.json"}).exit_code, 0);
}

TEST(LabCommand, AFailureIsOneUnlessItIsIgnored) {
  const Commands failed({"--command", "exit 3", "--runs", "2"});
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(failed.err,
              AllOf(HasSubstr("exit 3: ended with exit code 3"), HasSubstr("--ignore-failure")));
  EXPECT_FALSE(std::filesystem::exists(failed.file));  // nothing was measured
  for (const Words& ignore : {Words{"-i"}, {"--ignore-failure"}, {"--ignore-failure=3,4"}}) {
    Words args = {"--command", "exit 3", "--runs", "2"};
    args.insert(args.end(), ignore.begin(), ignore.end());
    EXPECT_EQ(Commands(args).exit_code, 0) << ignore[0];
  }
  EXPECT_EQ(Commands({"--command", "exit 3", "--runs", "2", "--ignore-failure=4"}).exit_code, 1);
  for (const char* code : {"1", "128", "255"})  // all that there are
    EXPECT_EQ(Commands({"--command", concat("exit ", code), "--runs", "1",
                        concat("--ignore-failure=", code)})
                  .exit_code,
              0)
        << code;
  EXPECT_EQ(Commands({"--command", "exit 1", "--runs", "1", "--ignore-failure=256"}).exit_code, 2);
  const Commands missing({"-N", "--command", "no-such-program-here"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("cannot start no-such-program-here"));
}

TEST(LabCommand, EachCommandHasItsOwnHooks) {
  TempFolder folder;
  const std::string file = "'" + std::string(folder / "state") + "'";
  const auto is = [&](const char* what) { return concat("test \"$(cat ", file, ")\" = ", what); };
  const auto becomes = [&](const char* what) { return concat("echo ", what, " >", file); };
  const Words both = {"--command", is("one"), "--command", is("two"), "--runs", "2"};
  const auto with = [&](const Words& more) {
    Words all = both;
    all.insert(all.end(), more.begin(), more.end());
    return Commands(all);
  };
  const Commands own = with({"--prepare", becomes("one"), "--prepare", becomes("two")});
  EXPECT_EQ(own.exit_code, 0) << own.err;
  EXPECT_EQ(with({"--prepare", becomes("one")}).exit_code, 1);  // one for both
}

TEST(LabCommand, OutputGoesWhereItIsSent) {
  TempFolder folder;
  const std::string in = folder.write("in", "words"), out = folder / "out";
  const Commands file({"--command", "cat", "--input", in, "--output", out, "--runs", "2"});
  EXPECT_EQ(file.exit_code, 0) << file.err;
  EXPECT_EQ(content_of(out), "words");
  const Commands shown(
      {"--command", "echo 'seen'", "--show-output", "--runs", "1", "--warmup", "0"});
  EXPECT_THAT(shown.out, HasSubstr("seen\n"));
  EXPECT_THAT(Commands({"--command", "echo 'seen'", "--runs", "1", "--output", "pipe"}).out,
              Not(HasSubstr("\nseen\n")));
}

TEST(LabCommand, AMetricIsShownAndKept) {
  const Commands ran({"--command", "echo eval rate: 12.5 tokens/s", "--metric",
                      "eval rate: ([0-9.]+) tokens/s", "--runs", "3"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("12.5 +- 0   eval rate: ([0-9.]+) tokens/s"));
}

TEST(LabCommand, AnExportThatCannotBeWrittenIsSaidBeforeTheRun) {
  TempFolder folder;
  const std::string ran = folder / "ran";
  const Commands run({"--command", "touch " + ran, "--export-csv", folder / "nowhere/x.csv"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("nowhere/x.csv"));
  EXPECT_FALSE(std::filesystem::exists(ran));
}

TEST(LabCommand, AskedWronglyNothingRuns) {
  TempFolder folder;
  const std::string ran = folder / "ran", touch = "touch " + ran;
  const std::pair<Words, const char*> cases[] = {
      {{"--job", "command"}, "--job: command wants at least one --command"},
      {{"--runs", "3"}, "--runs: belongs to --command"},
      {{"-N"}, "-N: belongs to --command"},
      {{"--command", touch, "--engines", "hearth"}, "--engines: belongs to engines"},
      {{"--command", touch, "--pairs", "3"},
       "--pairs: belongs to engines, not to --command; --runs"},
      {{"--command", touch, "--job", "op"}, "--job: with --command it is command"},
      {{"--command", touch, "--prepare", "a", "--prepare", "b"}, "--prepare: given 2 times"},
      {{"--command", touch, "-n", "a", "-n", "b"}, "2 names for 1 commands"},
      {{"--command", touch, "-D", "1"}, "--parameter-step-size: belongs to --parameter-scan"},
      {{"--command", touch, "-P", "x", "2", "1"}, "the range from 2 to 1 is empty"},
      {{"--command", touch, "-L", "x", "1", "-L", "x", "2"}, "the parameter x stands twice"},
      {{"--command", touch, "--runs", "3", "--min-runs", "2"}, "--runs: is exact"},
      {{"--command", touch, "--min-runs", "5", "--max-runs", "2"}, "--max-runs: 2 is below"},
      {{"--command", touch, "--runs", "0"}, "--runs: '0'"},
      {{"--command", touch, "--warmup", "1.5"}, "--warmup: 1.5 runs"},
      {{"--command", touch, "--input", "/no/such"}, "--input: /no/such"},
      {{"--command", touch, "--ignore-failure=0"}, "wanted exit codes from 1 to 255"},
      {{"--command", touch, "--metric", "rate"}, "wanted a group in brackets"},
      {{"--command", touch, "--metric", "(x)", "--show-output"},
       "--metric: reads the output itself"},
      {{"--command", touch, "--shell", "sh 'x"}, "is not closed"},
      {{"--command", touch, "-N", "--command", "a 'b"}, "is not closed"},
      {{"--command", ""}, "an empty command"},
      {{"--command", touch, "--reference-name", "x"}, "--reference-name: belongs to --reference"}};
  for (const auto& [options, says] : cases) {
    const Commands run(options);
    EXPECT_EQ(run.exit_code, 2) << says << run.err;
    EXPECT_THAT(run.err, HasSubstr(says));
    EXPECT_FALSE(std::filesystem::exists(run.file));
  }
  EXPECT_FALSE(std::filesystem::exists(ran));
}

TEST(LabCommand, CtrlCIsObeyedWithinASecondAndKeepsWhatWasMeasured) {
  TempFolder folder;
  const std::string file = folder / "r.json", go = folder / "go";
  // Its third run asks for the end of the hearth that started it, and would go on for long.
  const std::string third = "echo x >>" + go + "; [ $(wc -l <" + go + ") -lt 3 ] && exit 0; " +
                            "date +%s.%N >" + go + ".at; kill -INT $PPID; exec sleep 60";
  const Finished f = run_hearth({"lab", "run", "--telemetry", "off", "-o", file, "--warmup", "0",
                                 "--runs", "9", "--command", third, "-n", "slow"});
  const double end =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_EQ(f.exit_code, 130) << f.err;
  EXPECT_LT(end - std::stod(content_of(go + ".at")), 1.5);
  const auto result = lab::read_result(file);
  EXPECT_FALSE(result.plan.finished);
  EXPECT_EQ(result.engines[0].repetitions.size(), 2);
  EXPECT_THAT(run_hearth({"lab", "run", "--resume", file}).err,
              HasSubstr("commands are measured anew"));
}

// A terminal that is closed, and what ends a service.
TEST(LabCommand, OtherSignalsEndItToo) {
  for (const auto& [name, code] : {std::pair("HUP", 129), {"TERM", 143}}) {
    const Commands run({"--command", std::string("kill -") + name + " $PPID; exec sleep 60",
                        "--warmup", "0", "--runs", "2"});
    EXPECT_EQ(run.exit_code, code) << run.err;
    EXPECT_FALSE(std::filesystem::exists(run.file));  // nothing was measured
    EXPECT_FALSE(std::filesystem::exists(run.file + ".journal"));
  }
}

TEST(LabHistory, KeepsRunsAndHoldsNewOnesAgainstThem) {
  TempFolder folder;
  const Words data = {"XDG_DATA_HOME=" + folder.path().string()};
  const auto hearth = [&](Words args) {
    args.insert(args.begin(), "lab");
    return run_hearth(args, "", data);
  };
  EXPECT_THAT(hearth({"history"}).err, HasSubstr("there is no history yet"));
  auto result = gpu_result({});
  const auto slow_down = [&](double factor) {
    for (auto& e : result.engines)
      for (auto& r : e.repetitions) {
        r.total_s *= factor;
        for (double& s : r.token_s) s *= factor;
      }
  };
  for (int day = 1; day <= 12; ++day) {
    result.created = fmt::format("2026-01-{:02}T10:00:00Z", day);
    slow_down(day == 7 ? 1.5 : 1 + 0.001 * (day % 3 - 1));
    const std::string file = folder / fmt::format("{}.json", day);
    lab::write_result(result, file);
    if (day < 12) {
      const Finished f = hearth({"history", "--add", file});
      EXPECT_EQ(f.exit_code, 0) << f.err;
    }
  }
  EXPECT_THAT(hearth({"history", "--add", folder / "3.json"}).out,
              HasSubstr("has this run already"));
  const Finished list = hearth({"history"});
  EXPECT_THAT(list.out, AllOf(HasSubstr("2026-01-11T10:00:00Z"), HasSubstr("history.db")));
  EXPECT_EQ(nlohmann::json::parse(hearth({"history", "--json"}).out).size(), 11);
  const std::string label = result.engines[0].label;
  const Finished trend = hearth({"trend", label});
  EXPECT_EQ(trend.exit_code, 0) << trend.err;
  EXPECT_THAT(trend.out, HasSubstr("changed: 1.50 times the time"));
  EXPECT_LE(widest(trend.out), 80);
  EXPECT_EQ(nlohmann::json::parse(hearth({"trend", label, "--json"}).out)["changes"][0]["at"], 6);
  EXPECT_THAT(hearth({"trend", "nobody"}).err,
              AllOf(HasSubstr("has no run of it; there are"), HasSubstr(label)));

  const std::string last = folder / "12.json", page = folder / "summary.md";
  const Finished same = hearth(
      {"compare", last, "--against", "history", "--fail-if-slower", "3%", "--summary", page});
  EXPECT_EQ(same.exit_code, 0) << same.err;
  EXPECT_THAT(same.out, HasSubstr("equivalent"));
  EXPECT_THAT(content_of(page), HasSubstr("### hearth lab against its history"));
  slow_down(1.2);
  lab::write_result(result, last);
  const Finished slower =
      hearth({"compare", last, "--against", "history", "--fail-if-slower", "3%"});
  EXPECT_EQ(slower.exit_code, 1);
  EXPECT_THAT(slower.err, HasSubstr("slower than it was, more than 3.0 %"));
  EXPECT_EQ(hearth({"history", "--remove", "1"}).exit_code, 0);
  EXPECT_EQ(hearth({"history", "--remove", "1"}).exit_code, 1);
  folder.write("hearth/history.db", "no database");
  for (const Words& args : {Words{"history"},
                            {"trend", "x"},
                            {"history", "--add", last},
                            {"compare", last, "--against", "history"}}) {
    const Finished f = hearth(args);
    EXPECT_EQ(f.exit_code, 1);
    EXPECT_THAT(f.err, HasSubstr("no history of hearth lab"));
  }
}

}  // namespace
}  // namespace hearth::testing
