#include "hearth/lab/result/llama_bench.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/lab/result/imports.h"

namespace hearth::lab {

using nlohmann::json;

namespace {

/// One test of llama-bench, read field by field.
JsonObject test_of(const json& value, const std::string& where) {
  return JsonObject::parse(value.dump(), where);
}

std::vector<double> numbers(const JsonObject& test, const char* key) {
  std::vector<double> all;
  const auto it = test.raw().find(key);
  if (it == test.raw().end()) return all;
  ensure(it->is_array(), test.where(), ": ", key, ": wanted a list");
  for (const json& item : *it) {
    ensure(item.is_number() && item.get<double>() > 0, test.where(), ": ", key,
           ": wanted numbers above 0");
    all.push_back(item.get<double>());
  }
  return all;
}

Job job_of(const JsonObject& test) {
  Job job;
  job.model = test.text("model_type", "unknown");
  job.prompt_tokens = test.natural("n_prompt");
  job.new_tokens = test.natural("n_gen");
  job.kind = job.new_tokens == 0 ? JobKind::prefill : JobKind::generate;
  ensure(job.prompt_tokens + job.new_tokens > 0, test.where(), ": n_prompt and n_gen are both 0");
  return job;
}

EngineResult engine_of(const JsonObject& test) {
  EngineResult e;
  e.name = "llama.cpp";
  e.device = test.text("backends", test.text("backend", "unknown"));
  e.program = "llama-bench";
  e.version = concat("build ", test.natural("build_number", 0), " (",
                     test.text("build_commit", "unknown"), ")");
  for (const char* key : {"n_threads", "n_batch", "n_ubatch", "n_gpu_layers", "n_depth"})
    if (test.has(key)) e.options[key] = test.raw()[key].dump();
  for (const char* key : {"model_filename", "type_k", "type_v"})
    if (test.has(key)) e.options[key] = test.text(key);
  if (test.has("n_threads")) e.threads = test.natural("n_threads");
  e.label = concat("llama.cpp:", e.device);
  char between = ':';
  for (const auto& [key, value] : e.options) {
    e.label += concat(between, key, "=", value);
    between = ',';
  }
  e.notes = {"random ids, no sampling: as llama-bench does"};
  const double size = test.number("model_size", 0), parameters = test.number("model_n_params", 0);
  if (size > 0) e.weights_bytes = int64_t(size);
  if (size > 0 && parameters > 0) e.bytes_per_weight = size / parameters;
  return e;
}

void add(Result& result, const JsonObject& test, double& clock) {
  const Job job = job_of(test);
  const int index = add_job(result, job);
  EngineResult& e = add_engine(result, engine_of(test));
  int round = 0;
  for (const double ns : numbers(test, "samples_ns")) {
    Repetition r;
    r.job = index;
    r.round = round++;
    r.start_s = clock;
    r.total_s = ns / 1e9;
    r.prompt_tokens = job.prompt_tokens;
    r.new_tokens = job.new_tokens;
    clock += r.total_s;
    e.repetitions.push_back(std::move(r));
  }
  result.plan.pairs = std::max(result.plan.pairs, round);
  if (round > 0) return;
  // Markdown's and csv's cousins keep the mean only.
  e.published.push_back({index, test.positive_number("avg_ns") / 1e9,
                         test.number("stddev_ns", 0) / 1e9, 1, job.prompt_tokens, job.new_tokens});
}

}  // namespace

Result import_llama_bench(std::string_view text, std::string_view name) {
  Result result = imported("llama-bench", name);
  std::vector<JsonObject> tests;
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != text.npos && text[first] == '[') {
    const json list = parse_json(text, name);
    for (size_t i = 0; i < list.size(); ++i)
      tests.push_back(test_of(list[i], concat(name, "[", i, "]")));
  } else {
    int line = 0;
    for (size_t at = 0; at < text.size(); ++line) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view row = text.substr(at, end - at);
      at = end + 1;
      if (row.find_first_not_of(" \t\r") == row.npos) continue;
      tests.push_back(JsonObject::parse(row, concat(name, ":", line + 1)));
    }
  }
  ensure(!tests.empty(), name, ": no tests of llama-bench");
  double clock = 0;
  for (const JsonObject& test : tests) {
    add(result, test, clock);
    result.created = test.text("test_time", result.created);
  }
  const JsonObject& test = tests.front();
  result.environment.push_back({"processor", test.text("cpu_info", "unknown")});
  if (test.has("gpu_info")) result.environment.push_back({"gpu_0", test.text("gpu_info")});
  check_result(result, name);
  return result;
}

}  // namespace hearth::lab
