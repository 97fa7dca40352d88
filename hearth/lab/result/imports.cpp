#include "hearth/lab/result/imports.h"

#include <algorithm>

#include "hearth/base/error.h"
#include "hearth/lab/result/llama_bench.h"
#include "hearth/lab/result/ollama_bench.h"
#include "hearth/lab/result/vllm_bench.h"

namespace hearth::lab {

Result imported(std::string_view what, std::string_view name) {
  Result result;
  result.made_by = concat("import of ", what);
  result.source = std::string(name);
  result.plan.order = "sequential";
  result.plan.finished = true;
  result.plan.telemetry_period_s = Reading<double>::missing(concat(what, " has no telemetry"));
  return result;
}

int add_job(Result& result, const Job& job) {
  const auto same = [&](const Job& other) {
    return other.kind == job.kind && other.model == job.model &&
           other.prompt_tokens == job.prompt_tokens && other.new_tokens == job.new_tokens;
  };
  const auto it = std::ranges::find_if(result.jobs, same);
  if (it != result.jobs.end()) return int(it - result.jobs.begin());
  result.jobs.push_back(job);
  return int(result.jobs.size()) - 1;
}

EngineResult& add_engine(Result& result, EngineResult engine) {
  for (EngineResult& e : result.engines)
    if (e.label == engine.label) return e;
  return result.engines.emplace_back(std::move(engine));
}

Result import_result(std::string_view text, std::string_view name) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  ensure(first != text.npos, name, ": it is empty");
  if (text[first] != '{' && text[first] != '[') return import_ollama(text, name);
  ensure(text.find("\"schema_version\"") == text.npos || text.find("\"made_by\"") == text.npos,
         name,
         ": it is a result of the lab already; `hearth lab compare`, `explain`, `report` and "
         "`export` read it as it is");
  // A test of llama-bench has n_prompt; vLLM's result is one object that has not.
  return text.find("\"n_prompt\"") == text.npos && text.find("\"completed\"") != text.npos
             ? import_vllm(text, name)
             : import_llama_bench(text, name);
}

}  // namespace hearth::lab
