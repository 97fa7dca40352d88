// hearth lab as a user runs it: hearth itself, engines of tests, and the peers that are here.
#include "hearth/lab/judge/compare.h"

#include <chrono>
#include <fstream>
#include <regex>

#include "hearth/lab/result/result_json.h"
#include "hearth/lab/result/weights_hash.h"
#include "tests/cli/cli.h"
#include "tests/lab/fakes.h"
#include "tests/lab/schema.h"

namespace hearth::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// `hearth lab run` made short, and the result it wrote.
struct Ran : Finished {
  TempFolder folder;
  std::string file = folder / "r.json";
  explicit Ran(const Words& options) : Finished{} {
    Words args = {"lab", "run", "--no-limits", "--ignore-others", "-o", file};
    args.insert(args.end(), options.begin(), options.end());
    const std::pair<const char*, const char*> shorter[] = {{"--pairs", "6"},
                                                           {"--seconds", "0"},
                                                           {"--warmup", "0"},
                                                           {"--telemetry", "off"},
                                                           {"--tokens", "6"}};
    for (const auto& [option, value] : shorter)
      if (std::find(options.begin(), options.end(), option) == options.end())
        args.insert(args.end(), {option, value});
    Finished::operator=(run_hearth(args));
  }
  lab::Result result() const { return lab::read_result(file); }
};

std::optional<std::string> fact(const lab::Result& result, std::string_view name) {
  for (const lab::Fact& one : result.environment)
    if (one.name == name) return one.value.value;
  return std::nullopt;
}

TEST(Lab, HearthAgainstItself) {
  const Ran ran({"--engines", "hearth:cpu,hearth:cpu:threads=1,dtype=f32"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out,
              AllOf(HasSubstr("not comparable"), HasSubstr("not the same: dtype: f16 against f32"),
                    HasSubstr(ran.file)));
  EXPECT_THAT(content_of(ran.folder / "r.html"), HasSubstr("hearth:cpu:threads=1"));
  const auto result = ran.result();
  ASSERT_EQ(result.engines.size(), 2);
  EXPECT_EQ(result.engines[0].dtype, "f16");
  EXPECT_EQ(result.engines[0].bytes_per_weight.value, 2);
  EXPECT_EQ(result.engines[1].threads.value, 1);
  EXPECT_EQ(result.engines[0].repetitions[0].ids[0].size(), 6);
  EXPECT_EQ(fact(result, "weights_sha256"),
            lab::weights_sha256(source_path("models/tiny-phi")).value);
  EXPECT_EQ(result_violation(to_json(result)), "");
  // What hearth generates without the lab.
  const auto alone = json_of({"generate", "--max-tokens", "6", "--ignore-eos"});
  EXPECT_EQ(alone["ids"], nlohmann::json(result.engines[0].repetitions[0].ids[0]));
}

TEST(Lab, HearthMeasuresTheLimitsOfItsDevice) {
  const auto spec = lab::parse_engine("hearth@" + hearth_binary() + ":cpu");
  lab::Engine engine(spec, {});
  engine.hello();
  const auto limits = engine.limits();
  ASSERT_EQ(limits.size(), 7);
  EXPECT_EQ(limits[0].name, "read_bandwidth");  // of the CPU it is the lab that measures it
  EXPECT_THAT(limits[0].value.reason, HasSubstr("measures none"));
  EXPECT_EQ(limits[1].name, "flops_f32");
  EXPECT_GT(limits[1].value.value.value_or(0), 1);
  EXPECT_EQ(limits[2].name, "flops_f16");
  EXPECT_EQ(limits[4].name, "clock");
  EXPECT_GT(limits[4].value.value.value_or(0), 200);
  EXPECT_EQ(limits[5].name, "launch");
  EXPECT_EQ(limits[5].unit, "us");
  EXPECT_GT(limits[5].value.value.value_or(0), 0);
  EXPECT_EQ(limits[6].name, "launch_replayed");
  engine.bye();
}

TEST(Lab, WhatAResultSaysDoesNotSteerTheTerminal) {
  TempFolder folder;
  const std::string file = folder / "r.json";
  auto result = lab::read_result(source_path("tests/lab/data/post_2023.json"));
  for (lab::EngineResult& e : result.engines) {
    e.label += "\x1b]0;title\x07";
    e.faults = {"a\x1b[2Jb"};
  }
  lab::write_result(result, file);
  for (const Words& command :
       {Words{"compare", file}, Words{"explain", file},
        Words{"report", file, "-o", folder / "r.html"}, Words{"compare", file, "--json"},
        Words{"export", file, "-f", "md"}}) {
    Words args = {"lab"};
    args.insert(args.end(), command.begin(), command.end());
    const Finished f = run_hearth(args);
    EXPECT_EQ(f.exit_code, 0) << f.err;
    EXPECT_THAT(f.out, AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\x07")))) << command[0];
  }
  result.engines[1].label = result.engines[0].label;
  std::ofstream(file) << lab::to_text(result);
  EXPECT_THAT(run_hearth({"lab", "compare", file}).err,
              AllOf(HasSubstr("stands twice"), Not(HasSubstr("\x1b"))));
}

TEST(Lab, EnginesTellTheLogitsOfTokens) {
  const auto generated = json_of({"generate", "--ids", "5,6,7", "--max-tokens", "1", "--ignore-eos",
                                  "--model", source_path("models/tiny-phi").string()});
  const int best = generated["ids"][0];
  std::vector<double> margins;
  for (const char* name : {"hearth@", "torch:cpu", "mlx:cpu", "llama.cpp:cpu"}) {
    std::string text = name;
    if (text == "hearth@") text += hearth_binary() + ":cpu";
    lab::EnginePlaces places;
    places.adapters = source_path("hearth/lab/engines");
    const char* python = std::getenv("HEARTH_PYTHON");
    places.python = python ? python : "python3";
    lab::Engine engine(lab::parse_engine(text), places);
    try {
      const auto hello = engine.hello();
      if (hello.lacks.contains("generate")) continue;
      EXPECT_TRUE(hello.tells_logits) << name;
    } catch (const lab::EngineRefusal&) {  // not installed
      continue;
    }
    engine.load(source_path("models/tiny-phi"));
    const auto logits = engine.logits({5, 6, 7}, {best, 11});
    ASSERT_EQ(logits.size(), 2);
    EXPECT_GT(logits[0], logits[1]) << name;
    margins.push_back(logits[0] - logits[1]);
    engine.bye();
  }
  ASSERT_FALSE(margins.empty());
  for (const double margin : margins) EXPECT_NEAR(margin, margins[0], 0.05);
}

TEST(Lab, EnginesCountTheLaunchesOfAStep) {
  const Ran ran({"--engines", "hearth:cpu,torch:cpu,torch:cpu:compile=1", "--pairs", "1"});
  const auto result = ran.result();
  // tiny-phi has 6 layers, in each at least attention, two products and what adds them up.
  EXPECT_GE(result.engines[0].replayed.value.value_or(0), 6 * 3) << ran.out;
  EXPECT_LT(result.engines[0].replayed.value.value_or(0), 6 * 30);
  EXPECT_LT(result.engines[0].launches.value.value_or(99), 10);
  if (result.engines[1].status == lab::EngineStatus::unavailable)
    GTEST_SKIP() << result.engines[1].faults[0];
  EXPECT_GT(result.engines[1].launches.value.value_or(0), 6 * 10)
      << result.engines[1].launches.reason;
  EXPECT_EQ(result.engines[1].replayed.value, 0);
  EXPECT_THAT(result.engines[2].launches.reason, HasSubstr("torch.compile"));
}

TEST(Lab, PrefillBatchAndOperations) {
  const Ran prefill({"--engines", "hearth:cpu", "--job", "prefill", "--prompt-tokens", "100"});
  ASSERT_EQ(prefill.exit_code, 0) << prefill.err;
  EXPECT_EQ(prefill.result().engines[0].repetitions[0].new_tokens, 1);
  EXPECT_EQ(prefill.result().jobs[0].prompt_ids.size(), 100);

  const Ran batch({"--engines", "hearth:cpu", "--job", "batch", "--batch", "3"});
  ASSERT_EQ(batch.exit_code, 0) << batch.err;
  const auto rows = batch.result().engines[0].repetitions[0].ids;
  ASSERT_EQ(rows.size(), 3);
  EXPECT_NE(rows[0], rows[1]);
  const Ran one({"--engines", "hearth:cpu"});
  EXPECT_EQ(one.result().engines[0].repetitions[0].ids[0], rows[0]);

  // More rows than one product takes: groups of them end a step in any order.
  const Ran many({"--engines", "hearth:cpu", "--job", "batch", "--batch", "35"});
  ASSERT_EQ(many.exit_code, 0) << many.err;
  const auto all = many.result().engines[0].repetitions[0].ids;
  ASSERT_EQ(all.size(), 35);
  for (size_t row = 0; row < 3; ++row) EXPECT_EQ(all[row], rows[row]);

  const Ran op({"--engines", "hearth:cpu", "--job", "op", "--op", "softmax", "--shape", "8x64,4x16",
                "--op-dtype", "f32,float16"});
  ASSERT_EQ(op.exit_code, 0) << op.err;
  const auto measured = op.result();
  ASSERT_EQ(measured.jobs.size(), 4);
  EXPECT_EQ(measured.jobs[0].dtype, "f32");
  EXPECT_EQ(measured.jobs[1].dtype, "f16");  // by one name, however it was asked for
  for (const auto& rep : measured.engines[0].repetitions)
    if (rep.own.contains("checksum")) {
      EXPECT_NEAR(rep.own.at("checksum"), rep.job < 2 ? 1 / 64. : 1 / 16., 1e-4);
    }
}

TEST(Lab, RandomWeightsAreTheSameForAll) {
  const Ran ran({"--engines", "hearth:cpu,hearth:cpu:threads=1", "--random-weights"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  const auto result = ran.result();
  EXPECT_TRUE(result.jobs[0].random_weights);
  EXPECT_THAT(fact(result, "weights_sha256").value_or(""), HasSubstr("random weights"));
  EXPECT_EQ(result.engines[0].repetitions[0].ids, result.engines[1].repetitions[0].ids);
  EXPECT_NE(result.engines[0].repetitions[0].ids,
            Ran({"--engines", "hearth:cpu"}).result().engines[0].repetitions[0].ids);
}

TEST(Lab, AConfigAloneIsEnough) {
  TempFolder folder;
  folder.write("config.json", content_of(source_path("models/tiny-phi/config.json")));
  const Ran ran({"--engines", "hearth:cpu:dtype=f32,torch:cpu:dtype=f32,llama.cpp:cpu:dtype=f32",
                 "--random-weights", "--model", folder.path(), "--pairs", "1"});
  const auto result = ran.result();
  EXPECT_EQ(result.jobs[0].prompt_ids.size(), 8);
  EXPECT_EQ(result.engines[0].status, lab::EngineStatus::ok) << ran.out;
  for (const auto& e : result.engines)
    EXPECT_THAT(e.status, ::testing::AnyOf(lab::EngineStatus::ok, lab::EngineStatus::unavailable))
        << ran.out;
}

TEST(Lab, BadInputIsNamed) {
  const std::pair<Words, const char*> cases[] = {
      {{"--engines", "trch"}, "engine 'trch' is not known"},
      {{"--engines", "hearth:"}, "no device after ':'"},
      {{"--engines", "hearth:cpu:=1"}, "is not key=value"},
      {{"--engines", "hearth", "--model", "/no/such"}, "/no/such"},
      {{"--engines", "hearth", "--job", "op", "--shape", "axb"}, "--shape: 'a'"},
      {{"--engines", "hearth", "--telemetry", "often"}, "--telemetry: 'often'"},
      {{"--engines", "hearth", "--target-ci", "lots"}, "--target-ci: 'lots'"},
      {{"--engines", "hearth", "--prompt", ""}, "--prompt"},
      {{"--engines", "hearth", "--prompt", "a", "--prompt-tokens", "3"}, "give one prompt"}};
  for (const auto& [options, says] : cases) {
    const Ran ran(options);
    EXPECT_NE(ran.exit_code, 0);
    EXPECT_THAT(ran.err, HasSubstr(says));
    EXPECT_FALSE(std::filesystem::exists(ran.file));
  }
}

TEST(Lab, ResumeTakesNothingThatTheRunBeganWith) {
  const auto error = [](Words options) {
    Words words = {"lab", "run", "--resume", "/no/such.json"};
    words.insert(words.end(), options.begin(), options.end());
    const Finished f = run_hearth(words);
    EXPECT_NE(f.exit_code, 0);
    return f.err;
  };
  EXPECT_THAT(error({}), HasSubstr("/no/such.json"));
  EXPECT_THAT(error({"--pairs", "3"}),
              HasSubstr("--pairs: --resume goes on with what the run began with; leave it out"));
  EXPECT_THAT(error({"-n", "3"}), HasSubstr("--tokens: --resume goes on"));
  EXPECT_THAT(error({"--aa"}), HasSubstr("--aa: --resume goes on"));
}

TEST(Lab, NothingMeasuredIsAFailure) {
  const Ran ran({"--engines", "hearth:cpu:speed=9"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.out, HasSubstr("no option speed; there are activations, dtype,"));
  EXPECT_EQ(ran.result().engines[0].status, lab::EngineStatus::unavailable);
}

TEST(Lab, ANamedEngineThatIsMissingFailsTheRunWhichIsKept) {
  const Ran ran({"--engines", "hearth:cpu,hearth@/no/such/hearth:cpu"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("hearth@/no/such/hearth:cpu: start: cannot start"),
                             HasSubstr("the others are in " + ran.file)));
  const auto result = ran.result();
  EXPECT_TRUE(result.plan.finished);
  EXPECT_EQ(result.engines[0].status, lab::EngineStatus::ok);
  EXPECT_EQ(result.engines[0].totals(0).size(), 6);
  EXPECT_EQ(result.engines[1].status, lab::EngineStatus::unavailable);
}

// The run goes on with the others, and fails: numbers of other work must not pass unseen.
TEST(Lab, TooFewTokensFailTheRun) {
  HEARTH_PYTHON_OR_SKIP();
  const Ran ran({"--engines", fake("fault=early,after=4").text + "," + fake().text});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, HasSubstr("E_TOKENS: stopped early: 5 of 6 tokens"));
  EXPECT_EQ(ran.result().engines[1].status, lab::EngineStatus::ok);
}

TEST(Lab, ShapesAreListsAndRanges) {
  const Ran ran({"--engines", "hearth:cpu", "-p", "8-16*2,20", "--tokens", "4-5", "-b", "1,2",
                 "--pairs", "1"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  const auto result = ran.result();
  ASSERT_EQ(result.jobs.size(), 3 * 2 * 2);
  EXPECT_EQ(result.jobs[0].prompt_tokens, 8);
  EXPECT_EQ(result.jobs[11].prompt_tokens, 20);
  EXPECT_EQ(result.jobs[11].new_tokens, 5);
  EXPECT_EQ(result.jobs[11].batch, 2);
  for (int job = 0; job < 12; ++job) EXPECT_EQ(result.engines[0].totals(job).size(), 1) << job;
  const std::pair<const char*, const char*> wrong[] = {
      {"8-4", "a range that grows"},   {"4-8*1", "a range that grows"},
      {"0", "a whole number above 0"}, {"4-", "a whole number above 0"},
      {"1-1000", "1 to 100 numbers"},  {"99999999", "no more than"}};
  for (const auto& [text, says] : wrong)
    EXPECT_THAT(Ran({"--engines", "hearth:cpu", "-p", text}).err, HasSubstr(says)) << text;
}

TEST(Lab, AgainstItselfTheNoiseFloorComesFirst) {
  const Ran ran({"--engines", "hearth:cpu", "--aa"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  const size_t floor = ran.out.find("noise floor: hearth:cpu"), line = ran.out.find(" (std. dev.");
  EXPECT_LT(floor, line) << ran.out;
}

TEST(Lab, SelftestOfTheStatisticsPasses) {
  const auto ran = run_hearth({"lab", "selftest", "--real", "0"});
  EXPECT_EQ(ran.exit_code, 0) << ran.out;
  EXPECT_THAT(ran.out, ::testing::Not(HasSubstr("BAD")));
  EXPECT_THAT(ran.out, HasSubstr("wanted 2 to 7 %\n"));
  EXPECT_THAT(ran.out, HasSubstr("wanted 93 to 97 %\n"));
  EXPECT_THAT(ran.out, HasSubstr("wanted at least 85 %\n"));
}

TEST(Lab, AnExecutionMayTakeNoLongerThanItsTimeout) {
  HEARTH_PYTHON_OR_SKIP();
  const auto run = [](const char* timeout) {
    return Ran({"--engines", fake("fault=hang").text, "--pairs", "1", "--timeout", timeout});
  };
  const auto start = std::chrono::steady_clock::now();
  const Ran ran = run("0.5");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  EXPECT_EQ(ran.exit_code, 1);
  // Where the lines break depends on the path of the engine.
  EXPECT_THAT(std::regex_replace(ran.out, std::regex("\\s+"), " "),
              HasSubstr("gave no answer in time: 0.5 s"));
}

// Seconds to warm up are not those of samples: without any it is the least that there is.
TEST(Lab, WarmUpAndSamplesHaveSecondsOfTheirOwn) {
  HEARTH_PYTHON_OR_SKIP();
  const auto repetitions = [](const char* warmup, const char* seconds) {
    const Ran ran({"--engines", fake("sleep=0.02").text, "--pairs", "2", "--starts", "1",
                   "--warmup", warmup, "--seconds", seconds});
    EXPECT_EQ(ran.exit_code, 0) << ran.err;
    const std::vector<lab::Repetition> all = ran.result().engines.at(0).repetitions;
    return std::pair(std::ranges::count(all, true, &lab::Repetition::warmup), std::ssize(all));
  };
  const auto [warm, warm_all] = repetitions("2", "0");
  const auto [cold, cold_all] = repetitions("0", "2");
  EXPECT_GT(warm, cold);
  EXPECT_GT(cold_all - cold, warm_all - warm);
}

TEST(Lab, ExportsAndImports) {
  TempFolder folder;
  const std::string result = folder / "r.json",
                    bench = source_path("tests/lab/data/llama_bench.json");
  ASSERT_EQ(run_hearth({"lab", "import", bench, "-o", result}).exit_code, 0);
  const auto csv = run_hearth({"lab", "export", result});
  EXPECT_EQ(std::count(csv.out.begin(), csv.out.end(), '\n'), 6);
  EXPECT_THAT(run_hearth({"lab", "export", result, "-f", "md"}).out, HasSubstr("| llama.cpp:CPU"));
  EXPECT_EQ(run_hearth({"lab", "export", result, "-f", "sqlite", "-o", folder / "r.db"}).exit_code,
            0);
  EXPECT_TRUE(std::filesystem::exists(folder / "r.db"));
  EXPECT_THAT(run_hearth({"lab", "export", result, "-f", "sql"}).out,
              HasSubstr("create view sample as select"));
  ASSERT_EQ(
      run_hearth({"lab", "export", result, "-f", "json", "-o", folder / "again.json"}).exit_code,
      0);
  EXPECT_EQ(lab::to_json(lab::read_result(folder / "again.json")),
            lab::to_json(lab::read_result(result)));
  EXPECT_THAT(run_hearth({"lab", "export", result, "--table", "x"}).err,
              HasSubstr("there is no 'x'"));
  for (const auto& [format, says] : {std::pair("md", "--table: md is a summary; one table can be"),
                                     {"sqlite", "--table: sqlite has all tables; one table"}}) {
    const auto f = run_hearth(
        {"lab", "export", result, "-f", format, "--table", "tokens", "-o", folder / "one"});
    EXPECT_EQ(f.exit_code, 2);
    EXPECT_THAT(f.err, HasSubstr(says));
    EXPECT_FALSE(std::filesystem::exists(folder / "one"));
  }
  EXPECT_THAT(run_hearth({"lab", "compare", result}).err, HasSubstr("only one engine"));
  const auto again = run_hearth({"lab", "import", result, "-o", folder / "x.json"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr(result + ": it is a result of the lab already; `hearth lab"));
  EXPECT_FALSE(std::filesystem::exists(folder / "x.json"));
}

TEST(Lab, AServerIsNamedByItsAddressInOneSentence) {
  if (!have_python()) GTEST_SKIP() << "needs python3";
  EXPECT_THAT(run_hearth({"lab", "engines"}).out,
              HasSubstr("openai       unavailable: start a server and name its address, as in "
                        "--engines openai:http://127.0.0.1:8080/v1\n"));
}

TEST(Lab, EveryEngineIsListed) {
  const auto listed = nlohmann::json::parse(run_hearth({"lab", "engines", "--json"}).out);
  lab::EnginePlaces places;
  places.adapters = source_path("hearth/lab/engines");
  ASSERT_EQ(listed.size(), lab::known_engines(places).size());
  for (const auto& engine : listed) {
    EXPECT_EQ(engine["available"].get<bool>(), engine["reason"].is_null()) << engine;
    if (engine["name"] != "openai" && engine["name"] != "server") {  // there is nothing to install
      EXPECT_EQ(engine["available"].get<bool>(), engine["install"].is_null()) << engine;
    }
  }
  EXPECT_EQ(listed[0]["name"], "hearth");
  EXPECT_TRUE(listed[0]["lacks"].empty());
  EXPECT_TRUE(listed[0]["available"].get<bool>());
}

TEST(Lab, CtrlCKeepsWhatWasMeasured) {
  HEARTH_PYTHON_OR_SKIP();
  TempFolder folder;
  const std::string file = folder / "r.json", note = folder / "note";
  const Finished stopped = run_hearth(
      {"lab",         "run",
       "--engines",   fake("fault=interrupt,after=8,note=" + note).text + "," + fake().text,
       "--starts",    "1",
       "--pairs",     "20",
       "--seconds",   "0",
       "--warmup",    "0",
       "--no-limits", "--ignore-others",
       "--tokens",    "6",
       "--telemetry", "off",
       "-o",          file});
  EXPECT_EQ(stopped.exit_code, 130);
  EXPECT_THAT(stopped.err, HasSubstr("interrupted; `hearth lab run --resume " + file));
  const size_t before = lab::read_result(file).engines[0].repetitions.size();
  EXPECT_GT(before, 4);
  EXPECT_FALSE(lab::read_result(file).plan.finished);
  const Finished elsewhere = run_hearth({"lab", "run", "--resume", file, "-o", note});
  EXPECT_EQ(elsewhere.exit_code, 1);
  EXPECT_THAT(elsewhere.err, HasSubstr(note + ": is there already"));
  const Finished resumed =
      run_hearth({"lab", "run", "--no-limits", "--warmup", "0", "--resume", file});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  const auto result = lab::read_result(file);
  EXPECT_TRUE(result.plan.finished);
  EXPECT_EQ(lab::log_ratios(result.engines[0], result.engines[1], 0).size(), 20);
  EXPECT_THAT(run_hearth({"lab", "run", "--resume", file}).err, HasSubstr("this run is finished"));
}

TEST(Lab, AServerIsAnEngine) {
  HEARTH_PYTHON_OR_SKIP();
  TempFolder folder;
  const std::string script = source_path("tests/lab/fake_server.py");
  // The server ends with the shell; the run is between.
  const Finished ran =
      run({"sh", "-c",
           "python3 \"$1\" \"$2\" & server=$!; trap 'kill $server' EXIT; "
           "for i in $(seq 200); do [ -s \"$2\" ] && break; sleep 0.05; done; "
           "\"$3\" lab run --engines \"openai:http://127.0.0.1:$(cat \"$2\")/v1\" --pairs 6 "
           "--seconds 0 --warmup 0 --no-limits --tokens 6 --telemetry off -o \"$4\"",
           "sh", script, folder / "port", hearth_binary(), folder / "r.json"});
  ASSERT_EQ(ran.exit_code, 0) << ran.out << ran.err;
  const auto result = lab::read_result(folder / "r.json");
  const auto& e = result.engines[0];
  EXPECT_EQ(e.status, lab::EngineStatus::ok);
  EXPECT_THAT(e.version, HasSubstr("a-model"));
  EXPECT_EQ(e.same_prompt_ids.value, false);
  EXPECT_EQ(e.repetitions[1].token_s.size(), 6);
  EXPECT_EQ(e.repetitions[0].prompt_tokens, 4);
}

class Peers : public ::testing::TestWithParam<const char*> {};

TEST_P(Peers, MakeHearthsTokens) {
  const std::string peer = GetParam();
  const Ran ran({"--engines", "hearth:cpu:dtype=f32," + peer + ":cpu:dtype=f32", "--tokens", "16",
                 "--pairs", "1"});
  const auto result = ran.result();
  if (result.engines[1].status == lab::EngineStatus::unavailable)
    GTEST_SKIP() << peer << ": " << result.engines[1].faults[0];
  ASSERT_EQ(result.engines[1].status, lab::EngineStatus::ok) << ran.out;
  EXPECT_TRUE(lab::comparability(result, result.engines[0], result.engines[1], 0).comparable())
      << ran.out;
  for (const auto& rep : result.engines[1].repetitions)
    EXPECT_EQ(rep.ids, result.engines[0].repetitions[0].ids);
}

// A GGUF goes to every engine as it is. The prompt is ids, and codes of eight bits meet activations
// in eight bits in both.
TEST(Lab, PeersTakeTheSameGgufFile) {
  const TempFolder folder;
  const std::string file = folder / "model.gguf";
  ASSERT_EQ(run_hearth({"quantize", "--to", "q8_0", "-o", file}).exit_code, 0);
  const std::string same = "hearth:cpu:dtype=f32,activations=int8";
  const Ran ran({"--model", file, "--engines", same, "--engines", "hearth:cpu", "--engines",
                 "llama.cpp:cpu", "--prompt-tokens", "8", "--pairs", "1"});
  const auto result = ran.result();
  EXPECT_EQ(result.engines[0].activations, "int8");
  EXPECT_NEAR(result.engines[0].bytes_per_weight.value.value_or(0), 34. / 32, 0.01);
  const auto gate = [&](int a, int b) {
    return lab::comparability(result, result.engines[size_t(a)], result.engines[size_t(b)], 0);
  };
  EXPECT_THAT(gate(0, 1).differences, ::testing::Contains(HasSubstr("activations: int8 against")));
  if (result.engines[2].status == lab::EngineStatus::unavailable)
    GTEST_SKIP() << "llama.cpp: " << result.engines[2].faults[0];
  ASSERT_EQ(result.engines[2].status, lab::EngineStatus::ok) << ran.out;
  EXPECT_TRUE(gate(0, 2).comparable()) << ran.out;
  EXPECT_THAT(gate(1, 2).differences, ::testing::Contains(HasSubstr("activations: bf16 against")));
}

INSTANTIATE_TEST_SUITE_P(All, Peers, ::testing::Values("torch", "mlx", "llama.cpp", "onnxruntime"));

}  // namespace
}  // namespace hearth::testing
