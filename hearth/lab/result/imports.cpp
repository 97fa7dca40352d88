#include "hearth/lab/result/imports.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/lab/result/json_benchmarks.h"
#include "hearth/lab/result/llama_bench.h"
#include "hearth/lab/result/ollama_bench.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/result/vllm_bench.h"

namespace hearth::lab {

Import::Import(std::string_view what, std::string_view name) : name_(name) {
  result.made_by = concat("import of ", what);
  result.source = std::string(name);
  result.plan.order = "sequential";
  result.plan.finished = true;
  result.plan.telemetry_period_s = Reading<double>::missing(concat(what, " has no telemetry"));
}

int Import::job(const Job& job) {
  const auto [it, fresh] = jobs_.try_emplace(
      {job.kind, job.model, job.op, job.prompt_tokens, job.new_tokens}, int(result.jobs.size()));
  if (fresh) result.jobs.push_back(job);
  return it->second;
}

EngineResult& Import::engine(EngineResult engine) {
  const auto [it, fresh] = engines_.try_emplace(engine.label, result.engines.size());
  if (fresh) result.engines.push_back(std::move(engine));
  return result.engines[it->second];
}

void Import::add(EngineResult& engine, Repetition repetition) {
  repetition.round = rounds_[{engine.label, repetition.job}]++;
  result.plan.pairs = std::max(result.plan.pairs, repetition.round + 1);
  engine.repetitions.push_back(std::move(repetition));
}

Result Import::finish() const { return parse_result(to_text(result), name_); }

Result import_result(std::string_view text, std::string_view name) {
  const auto holds = [&](std::string_view what) { return text.find(what) != text.npos; };
  ensure(text.find_first_not_of(" \t\r\n") != text.npos, name, ": it is empty");
  ensure(!holds("\"schema_version\"") || !holds("\"made_by\""), name,
         ": it is a result of the lab already; `hearth lab compare`, `explain`, `report` and "
         "`export` read it as it is");
  if (auto result = import_json_benchmark(text, name)) return *std::move(result);
  // A test of llama-bench has n_prompt; vLLM's result is one object that has not.
  if (holds("\"n_prompt\"")) return import_llama_bench(text, name);
  if (holds("\"completed\"")) return import_vllm(text, name);
  if (text[text.find_first_not_of(" \t\r\n")] == '{') parse_json(text, name);  // why it is none
  return import_ollama(text, name);
}

}  // namespace hearth::lab
