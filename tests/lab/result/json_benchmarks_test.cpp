// What hyperfine, Google Benchmark and pytest-benchmark wrote, as results; files by the real ones.
#include "hearth/lab/result/json_benchmarks.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/result/imports.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/report.h"
#include "hearth/lab/show/standing.h"
#include "hearth/lab/show/tables.h"
#include "tests/lab/schema.h"

namespace hearth::lab {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

const char* const kFiles[] = {"hyperfine.json", "google_benchmark.json", "google_aggregates.json",
                              "pytest_benchmark.json"};

std::string data(const std::string& name) {
  return testing::content_of(testing::source_path("tests/lab/data") / name);
}

TEST(JsonBenchmarks, HyperfineKeepsEveryRun) {
  const auto file = json::parse(data("hyperfine.json"));
  const Result r = import_result(data("hyperfine.json"), "h.json");
  EXPECT_EQ(r.made_by, "import of hyperfine");
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
  ASSERT_EQ(r.engines.size(), file["results"].size());
  for (size_t i = 0; i < r.engines.size(); ++i) {
    const EngineResult& e = r.engines[i];
    const json& one = file["results"][i];
    EXPECT_EQ(e.label, one["command"]);
    EXPECT_EQ(e.options.at("{n}"), one["parameters"]["n"]);
    const auto totals = times_of(r, e, 0).totals;
    EXPECT_EQ(totals, one["times"].get<std::vector<double>>());
    EXPECT_NEAR(mean(totals), one["mean"], 1e-12);
    EXPECT_NEAR(stddev(totals), one["stddev"], 1e-12);
    EXPECT_EQ(e.repetitions[0].own.at("exit_code"), 0);
    EXPECT_EQ(e.repetitions[0].own.at("user_s"), one["user"]);
  }
  EXPECT_EQ(r.plan.order, "sequential");
}

// A run of hyperfine is a process; what is repeated within one has no verdict for a further reason,
// and is nothing that a shell could run. Neither took turns.
TEST(JsonBenchmarks, WhatHasNoVerdictSaysWhyAndWhatToDo) {
  const Result runs = import_result(data("hyperfine.json"), "h.json");
  for (const EngineResult& e : runs.engines) {
    EXPECT_EQ(e.starts.size(), e.repetitions.size());
    for (size_t i = 0; i < e.repetitions.size(); ++i) EXPECT_EQ(e.repetitions[i].start, int(i));
  }
  const auto of = [](const Result& r) {
    return explain(r, r.engines[0].label, r.engines[1].label, 0);
  };
  const Headline head = headline(runs, of(runs));
  EXPECT_EQ(of(runs).pairs->time.starts, 5);
  EXPECT_EQ(head.reason(), "They took no turns, so drift is in it.");
  EXPECT_EQ(head.advice.words, "Measure both in turns:");
  EXPECT_EQ(head.advice.command, "hearth lab run --command 'sleep 0.01' --command 'sleep 0.02'");
  for (const char* file : {"google_benchmark.json", "pytest_benchmark.json"}) {
    const Result r = import_result(data(file), file);
    const Headline none = headline(r, of(r));
    EXPECT_EQ(none.finding, Finding::no_turns) << file;
    EXPECT_EQ(none.reason(),
              "They took no turns, so drift is in it; and all runs of one are of one process.");
    EXPECT_EQ(none.advice.command, "") << file;
    EXPECT_THAT(none.advice.words, HasSubstr("each as a program of its own: `hearth lab run "
                                             "--command 'A' --command 'B'`"));
  }
}

TEST(JsonBenchmarks, GoogleKeepsEveryRepetitionOrTheMean) {
  const auto file = json::parse(data("google_benchmark.json"));
  const Result r = import_result(data("google_benchmark.json"), "g.json");
  EXPECT_EQ(r.made_by, "import of Google Benchmark");
  ASSERT_EQ(r.engines.size(), 3);
  EXPECT_EQ(r.engines[0].label, "BM_Sort/64");
  ASSERT_EQ(r.engines[0].repetitions.size(), 3);
  for (size_t i = 0; i < 3; ++i) {
    const Repetition& rep = r.engines[0].repetitions[i];
    const json& one = file["benchmarks"][i];
    EXPECT_EQ(rep.calls, one["iterations"]);
    EXPECT_NEAR(rep.total_s / rep.calls * 1e9, one["real_time"], 1e-6);
    EXPECT_NEAR(rep.own.at("cpu_s") * 1e9, one["cpu_time"], 1e-6);
    EXPECT_EQ(rep.own.at("items_per_second"), one["items_per_second"]);
    EXPECT_EQ(rep.round, int(i));
  }
  EXPECT_EQ(r.engines[2].status, EngineStatus::failed);
  EXPECT_EQ(r.engines[2].faults[0], "no such device");
  EXPECT_THAT(r.notes, ::testing::Contains(HasSubstr("built for debugging")));

  const Result means = import_result(data("google_aggregates.json"), "g.json");
  ASSERT_EQ(means.engines[0].published.size(), 1);
  EXPECT_EQ(means.engines[0].published[0].n, 3);
  EXPECT_GT(means.engines[0].published[0].mean_s, 1e-8);
  EXPECT_LT(means.engines[0].published[0].mean_s, 1e-5);
  EXPECT_GT(means.engines[0].published[0].stddev_s, 0);
}

TEST(JsonBenchmarks, PytestsGroupsAreJobs) {
  const auto file = json::parse(data("pytest_benchmark.json"));
  const Result r = import_result(data("pytest_benchmark.json"), "p.json");
  EXPECT_EQ(r.made_by, "import of pytest-benchmark");
  EXPECT_EQ(r.jobs.size(), 2);
  ASSERT_EQ(r.engines.size(), 3);
  for (size_t i = 0; i < 3; ++i) {
    const EngineResult& e = r.engines[i];
    const json& one = file["benchmarks"][i];
    EXPECT_EQ(e.label, one["fullname"]);
    const auto totals = times_of(r, e, e.repetitions[0].job).totals;
    ASSERT_EQ(totals.size(), 8);
    EXPECT_NEAR(mean(totals) / one["stats"]["mean"].get<double>(), 1, 1e-12);
    EXPECT_EQ(e.repetitions[0].calls, one["stats"]["iterations"]);
  }
  EXPECT_EQ(r.jobs[size_t(r.engines[0].repetitions[0].job)].op, "sorting");
  EXPECT_EQ(r.engines[1].options.at("{n}"), "100");
  // Without the data of each round it has the mean.
  auto summary = file;
  for (json& one : summary["benchmarks"]) one["stats"].erase("data");
  const Result means = import_result(summary.dump(), "p.json");
  EXPECT_NEAR(means.engines[0].published[0].mean_s, file["benchmarks"][0]["stats"]["mean"], 1e-12);
  EXPECT_EQ(means.engines[0].published[0].n, 8);
}

TEST(JsonBenchmarks, AreRecognisedByWhatTheyHave) {
  EXPECT_FALSE(import_json_benchmark(data("vllm_bench.json"), "x"));
  EXPECT_FALSE(import_json_benchmark(data("llama_bench.json"), "x"));
  EXPECT_FALSE(import_json_benchmark("{\"results\": [{}]}", "x"));
  EXPECT_FALSE(import_json_benchmark("{\"results\": 3, \"benchmarks\": {}}", "x"));
  EXPECT_FALSE(import_json_benchmark("", "x"));
  // A command that speaks of another benchmark is a command.
  auto file = json::parse(data("hyperfine.json"));
  file["results"][0]["command"] = "echo '\"n_prompt\" \"completed\"'";
  const Result r = import_result("\xEF\xBB\xBF\n" + file.dump(), "x");
  EXPECT_EQ(r.engines[0].label, "echo '\"n_prompt\" \"completed\"'");
  file["results"][1]["command"] = file["results"][0]["command"];
  EXPECT_EQ(import_result(file.dump(), "x").engines[1].label,
            "echo '\"n_prompt\" \"completed\"'#2");
}

TEST(JsonBenchmarks, ATimeOfNothingIsKeptAndSaid) {
  const Result r = import_result(R"({"results": [{"command": "true", "times": [0, 0.001]}]})", "x");
  EXPECT_EQ(r.engines[0].repetitions.size(), 2);
  EXPECT_THAT(r.engines[0].notes, ::testing::Contains(HasSubstr("a time of 0")));
}

TEST(JsonBenchmarks, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"results": []})", "b.json: results is empty"},
      {R"({"results": [{"command": 3}]})", "b.json: results[0]: command: wanted"},
      {R"({"results": [{"command": "a"}, 5]})", "b.json: results[1]"},
      {R"({"results": [{"command": "a"}]})", "b.json: results[0]: mean is missing"},
      {R"({"results": [{"command": "a", "times": 3}]})", "times: wanted a list"},
      {R"({"results": [{"command": "a", "times": [-1]}]})", "wanted numbers that are not below 0"},
      {R"({"results": [{"command": "a", "times": ["x"]}]})", "wanted numbers that are not below 0"},
      {R"({"results": [{"command": "a", "times": [null]}]})", "wanted a number, got null"},
      {R"({"results": [{"command": "a", "times": [1e200]}]})", "at most 1e100"},
      {R"({"results": [{"command": "", "times": [1]}]})", "label is empty"},
      {R"({"results": [{"command": "a", "times": [1], "user": "x"}]})", "user: wanted"},
      {R"({"results": [{"command": "a", "times": [1)", "b.json"},
      {R"({"benchmarks": [{}]})", "name is missing"},
      {R"({"benchmarks": [{"name": "a", "iterations": 0, "real_time": 1}]})", "iterations: wanted"},
      {R"({"benchmarks": [{"name": "a", "iterations": 1, "real_time": -1}]})", "not below 0"},
      {R"({"benchmarks": [{"name": "a", "iterations": 1, "real_time": 1, "time_unit": "h"}]})",
       "time_unit: wanted ns, us, ms or s, got \"h\""},
      {R"({"benchmarks": [{"name": "a", "iterations": 1e300, "real_time": 1e200}]})", "1e100"},
      {R"({"benchmarks": [], "context": 3})", "b.json"},
      {R"({"machine_info": 5, "benchmarks": [{}]})", "machine_info"},
      {R"({"machine_info": {}, "benchmarks": [{"name": "a"}]})", "mean is missing"},
      {R"({"machine_info": {}, "benchmarks": [{"name": "a", "stats": {"data": [{}]}}]})",
       "data: wanted numbers"},
      {R"({"machine_info": {}, "benchmarks": [{"name": "a", "stats": {"mean": 0}}]})",
       "mean: wanted"}};
  for (const auto& [text, says] : cases)
    EXPECT_THAT(testing::error_of([t = text] { import_result(t, "b.json"); }), HasSubstr(says))
        << text;
}

// Files with a value of another type, with one gone, and cut: an error or a result, never a crash.
TEST(JsonBenchmarks, WhateverIsWrongIsAnErrorOrAResult) {
  const json others[] = {nullptr,
                         true,
                         -1,
                         1e99,
                         "text",
                         json::array(),
                         json::object(),
                         json::array({1, nullptr, "x"})};
  int results = 0, errors = 0;
  const auto attempt = [&](const std::string& text) {
    try {
      const Result r = import_result(text, "x");
      EXPECT_EQ(to_text(parse_result(to_text(r), "again")), to_text(r));
      if (results++ % 16 == 0) report_html(r), markdown(r);
    } catch (const std::runtime_error&) {
      ++errors;
    }
  };
  for (const char* name : kFiles) {
    const std::string text = data(name);
    const json file = json::parse(text);
    for (size_t cut = 0; cut < text.size(); cut += 97) attempt(text.substr(0, cut));
    const json flat = file.flatten();
    std::set<std::string> seen;  // of lists the first entry alone
    for (const auto& [place, value] : flat.items()) {
      std::string kind = place;
      for (char& c : kind)
        if (c >= '0' && c <= '9') c = '0';
      if (!seen.insert(kind).second) continue;
      for (json::json_pointer at(place); !at.empty(); at = at.parent_pointer())
        for (const json& other : others) {
          json changed = file;
          changed[at] = other;
          attempt(changed.dump());
        }
    }
  }
  EXPECT_GT(results, 100);
  EXPECT_GT(errors, 100);
}

}  // namespace
}  // namespace hearth::lab
