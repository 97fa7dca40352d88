// What other benchmarks wrote, as results of the lab. Their samples are in sequence, so drift was
// not controlled, and the results say so.
#pragma once
#include <string_view>

#include "hearth/lab/result.h"

namespace hearth::lab {

/// Any of those below; which one, the text tells. All throw std::runtime_error, naming file and
/// field (or line).
Result import_result(std::string_view text, std::string_view name);

/// llama-bench -o json or jsonl.
Result import_llama_bench(std::string_view text, std::string_view name);
/// The lines that ollama's benchmark writes for benchstat: times per token.
Result import_ollama(std::string_view text, std::string_view name);
/// The JSON of vLLM's benchmark_serving.py or `vllm bench serve`: one repetition a request where it
/// has details, else the published mean.
Result import_vllm(std::string_view text, std::string_view name);

// What the three share.

/// A result without engines: measured elsewhere, in sequence.
Result imported(std::string_view what, std::string_view name);
/// The place of a job of the same kind, model and tokens; added if there is none.
int add_job(Result& result, const Job& job);
/// The engine of the same label; added if there is none.
EngineResult& add_engine(Result& result, EngineResult engine);

}  // namespace hearth::lab
