// What other benchmarks wrote, as results: nothing is lost on the way.
#include "hearth/lab/result/imports.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "hearth/lab/result/llama_bench.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/tables.h"
#include "tests/lab/schema.h"

namespace hearth::lab {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string data(const std::string& name) {
  return testing::content_of(testing::source_path("tests/lab/data") / name);
}
std::string bench() { return data("llama_bench.json"); }

TEST(LabImport, LlamaBenchKeepsItsRates) {
  const Result r = import_llama_bench(bench(), "bench.json");
  ASSERT_EQ(r.jobs.size(), 2);
  ASSERT_EQ(r.engines.size(), 1);
  const EngineResult& e = r.engines[0];
  const auto tests = nlohmann::json::parse(bench());
  std::vector<double> rates;
  for (const auto& test : tests)
    for (double rate : test["samples_ts"]) rates.push_back(rate);
  ASSERT_EQ(e.repetitions.size(), rates.size());
  for (size_t i = 0; i < rates.size(); ++i) {
    const Repetition& x = e.repetitions[i];
    EXPECT_NEAR((x.new_tokens ? x.new_tokens : x.prompt_tokens) / x.total_s, rates[i], 1e-6);
  }
  EXPECT_EQ(r.jobs[0].kind, JobKind::prefill);
  EXPECT_EQ(r.jobs[1].new_tokens, 128);
  EXPECT_EQ(r.plan.order, "sequential");
  EXPECT_EQ(e.threads.value, 8);
  EXPECT_NEAR(*e.bytes_per_weight.value, 2, 0.001);
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
}

TEST(LabImport, LinesAreReadToo) {
  std::string lines;
  for (const auto& test : nlohmann::json::parse(bench())) lines += test.dump() + "\n";
  EXPECT_EQ(import_llama_bench(lines, "x").engines[0].repetitions.size(), 5);
}

TEST(LabImport, SaysWhatIsWrong) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "b.json: no tests"},
      {"[]", "b.json: no tests"},
      {"{\"n_prompt\": 1}", "b.json:1: n_gen is missing"},
      {"[{\"n_prompt\": 0, \"n_gen\": 0}]", "b.json[0]: n_prompt and n_gen are both 0"},
      {"[{}, 1]", "b.json[1]: wanted an object"},
      {"[{\"n_prompt\": 1, \"n_gen\": 1, \"avg_ns\": 1}, 1]", "b.json[1]: wanted an object"},
      {"[{\"n_prompt\": 1, \"n_gen\": 1, \"avg_ns\": 9}", "not valid JSON"},
      {"[{\"n_prompt\": 1, \"n_gen\": 0, \"samples_ns\": [0]}]",
       "samples_ns: wanted numbers above 0"},
      {"[{\"n_prompt\": 1, \"n_gen\": 0}]", "avg_ns is missing"},
      {"| model | size |", "b.json: no tests"}};
  for (const auto& [text, says] : cases)
    EXPECT_THAT(testing::error_of([t = text] { import_llama_bench(t, "b.json"); }), HasSubstr(says))
        << text;
}

// llama-bench writes a log to standard error, which a shell joins to the rest.
TEST(LabImport, LogsAndAMarkOfUtf8AreNoTests) {
  const std::string log = "ggml_cuda_init: found 1 CUDA devices:\n[0] a card {\n\n",
                    bom = "\xEF\xBB\xBF";
  const Result plain = import_result(bench(), "x");
  for (const std::string& text :
       {bom + bench(), log + bench(), bom + log + bench() + log, "\r\n" + bench()})
    EXPECT_EQ(to_json(import_result(text, "x")), to_json(plain)) << text.substr(0, 99);
  std::string lines = bom;
  for (const auto& test : nlohmann::json::parse(bench()))
    lines += log + test.dump() + "\n" + "llama_perf_context_print: load time\n";
  EXPECT_EQ(to_json(import_result(lines, "x")), to_json(plain));
  EXPECT_EQ(to_json(import_result(bom + data("ollama_bench.txt"), "x")),
            to_json(import_result(data("ollama_bench.txt"), "x")));
  EXPECT_EQ(to_json(import_result(bom + data("vllm_bench.json"), "x")),
            to_json(import_result(data("vllm_bench.json"), "x")));
}

// What is imported is what `compare` reads.
TEST(LabImport, WhatNoResultCanHoldIsAnError) {
  auto llama = nlohmann::json::parse(bench());
  llama[0]["samples_ns"][0] = 1e200;
  auto vllm = nlohmann::json::parse(data("vllm_bench.json"));
  vllm["a_rate"] = 1e200;
  for (const std::string& text : {llama.dump(), vllm.dump()})
    EXPECT_THAT(testing::error_of([&] { import_result(text, "x.json"); }),
                AllOf(HasSubstr("x.json: engines[0].repetitions[0]."),
                      HasSubstr("wanted a number of at most 1e100")));
  llama = nlohmann::json::parse(bench());
  llama[0]["model_size"] = 1e30;
  EXPECT_FALSE(import_result(llama.dump(), "x").engines[0].weights_bytes.value);
}

TEST(LabImport, ATestThatStandsTwiceGoesOnWithItsRounds) {
  auto tests = nlohmann::json::parse(bench());
  const size_t samples = tests[0]["samples_ns"].size();
  tests.push_back(tests[0]);
  const Result r = import_llama_bench(tests.dump(), "x");
  std::vector<int> rounds;
  for (const Repetition& one : r.engines[0].repetitions)
    if (one.job == 0) rounds.push_back(one.round);
  ASSERT_EQ(rounds.size(), 2 * samples);
  for (size_t i = 0; i < rounds.size(); ++i) EXPECT_EQ(rounds[i], int(i));
  EXPECT_EQ(r.plan.pairs, int(2 * samples));
}

// Every line with a rate, against the numbers that stand in it.
TEST(LabImport, OllamaKeepsItsTimesPerToken) {
  const std::string text = data("ollama_bench.txt");
  const Result r = import_result(text, "ollama.txt");
  EXPECT_EQ(r.made_by, "import of ollama's benchmark");
  EXPECT_EQ(r.plan.order, "sequential");
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
  ASSERT_EQ(r.engines.size(), 2);
  std::vector<const Repetition*> all;
  for (const EngineResult& e : r.engines)
    for (const Repetition& rep : e.repetitions) all.push_back(&rep);
  std::istringstream lines(text);
  size_t next = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name, count, unit, rate_unit;
    double ns = 0, rate = 0;
    words >> name >> count >> ns >> unit >> rate >> rate_unit;
    if (unit != "ns/token") continue;
    ASSERT_LT(next, all.size());
    const Repetition& rep = *all[next++];
    EXPECT_NEAR((rep.new_tokens + rep.prompt_tokens) / rep.total_s, 1e9 / ns, 1e-6) << line;
    EXPECT_NEAR((rep.new_tokens + rep.prompt_tokens) / rep.total_s, rate, 0.01) << line;
  }
  EXPECT_EQ(next, all.size());
  const EngineResult &gemma = r.engines[0], &smol = r.engines[1];
  EXPECT_EQ(gemma.label, "ollama:gemma3:1b");
  EXPECT_EQ(gemma.dtype, "Q4_K_M");
  EXPECT_EQ(gemma.weights_bytes.value, 859187200);
  EXPECT_EQ(gemma.options.at("Family"), "gemma3");
  EXPECT_NEAR(*gemma.load_s.value, 0.061204113, 1e-12);
  EXPECT_NEAR(gemma.repetitions[1].own.at("ttft_s"), 0.152033041, 1e-12);
  EXPECT_EQ(gemma.repetitions[3].round, 1);
  EXPECT_EQ(smol.label, "ollama:hf.co/unsloth/SmolLM2-135M-GGUF:F16");
  EXPECT_EQ(smol.repetitions[0].prompt_tokens, 128);
  EXPECT_NEAR(*smol.load_s.value, 1.5, 1e-12);
}

TEST(LabImport, VllmKeepsEachRequest) {
  const auto file = nlohmann::json::parse(data("vllm_bench.json"));
  const Result r = import_result(file.dump(), "vllm.json");
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
  ASSERT_EQ(r.engines.size(), 1);
  const EngineResult& e = r.engines[0];
  ASSERT_EQ(e.repetitions.size(), 6);
  EXPECT_EQ(e.label, "vllm:facebook/opt-125m");
  EXPECT_EQ(r.jobs[0].prompt_tokens, 32);
  EXPECT_EQ(r.jobs[0].new_tokens, 16);
  double first = 0, each = 0, end_to_end = 0, last = 0;
  for (const Repetition& rep : e.repetitions) {
    ASSERT_EQ(rep.token_s.size(), 16);
    first += rep.token_s[0];
    each += (rep.token_s[15] - rep.token_s[0]) / 15;
    end_to_end += rep.total_s;
    last = rep.start_s + rep.total_s;
  }
  EXPECT_NEAR(first / 6 * 1e3, file["mean_ttft_ms"], 1e-6);
  EXPECT_NEAR(each / 6 * 1e3, file["mean_tpot_ms"], 1e-6);
  EXPECT_NEAR(end_to_end / 6 * 1e3, file["mean_e2el_ms"], 1e-6);
  EXPECT_NEAR(6 * 16 / (last + 0.002), file["output_throughput"], 1e-6);
  EXPECT_EQ(e.repetitions[0].own.at("output_throughput"), file["output_throughput"]);
  EXPECT_EQ(e.totals(0).size(), 6);  // there are none that do not stream
  EXPECT_THAT(markdown(r), HasSubstr("| vllm:facebook/opt-125m |  | - | - | 0.18"));
}

TEST(LabImport, VllmsSummaryAloneIsAPublishedMean) {
  auto file = nlohmann::json::parse(data("vllm_bench.json"));
  for (const char* detail : {"ttfts", "itls", "input_lens", "output_lens", "start_times"})
    file.erase(detail);
  Result r = import_result(file.dump(), "vllm.json");
  ASSERT_EQ(r.engines[0].published.size(), 1);
  EXPECT_NEAR(r.engines[0].published[0].mean_s * 1e3, file["mean_e2el_ms"], 1e-9);
  EXPECT_NEAR(r.engines[0].published[0].stddev_s * 1e3, 0.9, 1e-9);
  EXPECT_EQ(r.engines[0].published[0].n, 6);
  file.erase("mean_e2el_ms");  // the first token, and the 15 others
  r = import_result(file.dump(), "vllm.json");
  EXPECT_NEAR(r.engines[0].published[0].mean_s * 1e3,
              file["mean_ttft_ms"].get<double>() + 15 * file["mean_tpot_ms"].get<double>(), 1e-9);
  file["total_output_tokens"] = 97;
  EXPECT_THAT(testing::error_of([&] { import_result(file.dump(), "vllm.json"); }),
              HasSubstr("save them with --save-detailed"));
}

TEST(LabImport, SaysWhatIsWrongWithOthersToo) {
  const std::string generate = "BenchmarkModel/name=m/step=generate ";
  const std::pair<std::string, const char*> cases[] = {
      {"", "b.txt: it is empty"},
      {"goos: linux\n", "b.txt: no times of"},
      {"BenchmarkFoo 1 2 ns/op\n", "b.txt:1: wanted BenchmarkModel/name=MODEL/step=STEP"},
      {"BenchmarkModel/name=/step=load 1 2 ns/op\n", "b.txt:1: wanted BenchmarkModel"},
      {"x\n" + generate + "1\n", "b.txt:2: wanted a count, then values"},
      {generate + "1 5 ns/token 6\n", "wanted a count, then values"},
      {generate + "1 nan ns/token\n", "wanted a number that is not below 0, got \"nan\""},
      {generate + "1 -5 ns/token\n", "got \"-5\""},
      {generate + "99999999999 5 ns/token\n", "got \"99999999999\""},
      {generate + "1 5 ns/op\n", "the step \"generate\" has no ns/token"},
      {generate + "1 5 ns/token 7 token/sec\n", "are not 7 token/sec"},
      {generate + "1 0 ns/token 0 token/sec\n", "no times of"},
      {"{\"completed\": 0}", "b.txt: completed: wanted a positive integer"},
      {"{\"completed\": 1}", "total_input_tokens is missing"},
      {"{\"completed\": 1, \"ttfts\": [1]}", "itls is missing"},
      {"{\"completed\": 1, \"ttfts\": [1], \"itls\": []}", "itls: wanted a list of 1 entries"},
      {"{\"completed\": 1, \"ttfts\": [-1], \"itls\": [[]], \"input_lens\": [1], "
       "\"output_lens\": [1]}",
       "ttfts[0]: wanted seconds, not below 0"},
      {"{\"completed\": 1, \"ttfts\": [1], \"itls\": [3], \"input_lens\": [1], "
       "\"output_lens\": [1]}",
       "itls[0]: wanted a list"},
      {"{\"completed\": 1, \"ttfts\": [1], \"itls\": [[\"a\"]], \"input_lens\": [1], "
       "\"output_lens\": [1]}",
       "itls[0]: wanted seconds"},
      {"{\"completed\": 1, \"ttfts\": [1], \"itls\": [[]], \"input_lens\": [-1], "
       "\"output_lens\": [1]}",
       "input_lens[0]: wanted a number of tokens"},
      {"{\"completed\": 2, \"ttfts\": [1], \"itls\": [[]], \"input_lens\": [1], "
       "\"output_lens\": [1]}",
       "completed is 2, but 1 requests have tokens"},
      {"{\"completed\": 1, \"ttfts\": [0], \"itls\": [[]], \"input_lens\": [1], "
       "\"output_lens\": [1]}",
       "total_s is 0"},
      {"{\"completed\": NaN}", "b.txt"}};
  for (const auto& [text, says] : cases)
    EXPECT_THAT(testing::error_of([t = text] { import_result(t, "b.txt"); }), HasSubstr(says))
        << text;
}

}  // namespace
}  // namespace hearth::lab
