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
  if (size > 0 && size < 9e18) e.weights_bytes = int64_t(size);
  if (size > 0 && parameters > 0) e.bytes_per_weight = size / parameters;
  return e;
}

void add(Import& import, const JsonObject& test, double& clock) {
  const Job job = job_of(test);
  const int index = import.job(job);
  EngineResult& e = import.engine(engine_of(test));
  const std::vector<double> samples = numbers(test, "samples_ns");
  for (const double ns : samples) {
    Repetition r;
    r.job = index;
    r.start_s = clock;
    r.total_s = ns / 1e9;
    r.prompt_tokens = job.prompt_tokens;
    r.new_tokens = job.new_tokens;
    clock += r.total_s;
    import.add(e, std::move(r));
  }
  if (!samples.empty()) return;
  // Markdown's and csv's cousins keep the mean only.
  e.published.push_back({index, test.positive_number("avg_ns") / 1e9,
                         test.number("stddev_ns", 0) / 1e9, 1, job.prompt_tokens, job.new_tokens});
}

bool begins_json(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == text.npos || (text[first] != '[' && text[first] != '{')) return false;
  const size_t next = text.find_first_not_of(" \t\r\n", first + 1);
  return next != text.npos && text[next] == (text[first] == '[' ? '{' : '"');
}

/// The list that `text` begins with, to its closing bracket; all of it if there is none.
std::string_view list_of(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && quoted)
      ++i;
    else if (text[i] == '"')
      quoted = !quoted;
    else if (!quoted && text[i] == '[')
      ++depth;
    else if (!quoted && text[i] == ']' && --depth == 0)
      return text.substr(0, i + 1);
  }
  return text;
}

/// The tests of a list, or of lines; lines of a log may stand before, between and after.
std::vector<JsonObject> tests_of(std::string_view text, std::string_view name) {
  std::vector<JsonObject> tests;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  int line = 1;
  for (size_t at = 0; at < text.size(); ++line) {
    const std::string_view rest = text.substr(at), row = rest.substr(0, rest.find('\n'));
    at += row.size() + 1;
    if (!begins_json(rest)) continue;
    if (row[row.find_first_not_of(" \t")] == '{') {
      tests.push_back(JsonObject::parse(row, concat(name, ":", line)));
      continue;
    }
    const json list = parse_json(list_of(rest), name);
    for (size_t i = 0; i < list.size(); ++i)
      tests.push_back(test_of(list[i], concat(name, "[", i, "]")));
    break;
  }
  ensure(!tests.empty(), name, ": no tests of llama-bench");
  return tests;
}

}  // namespace

Result import_llama_bench(std::string_view text, std::string_view name) {
  Import import("llama-bench", name);
  const std::vector<JsonObject> tests = tests_of(text, name);
  double clock = 0;
  for (const JsonObject& test : tests) {
    add(import, test, clock);
    import.result.created = test.text("test_time", import.result.created);
  }
  const JsonObject& test = tests.front();
  auto& facts = import.result.environment;
  facts.push_back({"processor", test.text("cpu_info", "unknown")});
  if (test.has("gpu_info")) facts.push_back({"gpu_0", test.text("gpu_info")});
  return import.finish();
}

}  // namespace hearth::lab
