// What other benchmarks wrote, as results of the lab. Their samples are in sequence, so drift was
// not controlled, and the results say so.
#pragma once
#include <string_view>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// Of llama-bench, ollama or vLLM; the text shows which. Throws std::runtime_error, naming file and
/// field (or line).
Result import_result(std::string_view text, std::string_view name);

// What the readers of the three share.

/// A result without engines: measured elsewhere, in sequence.
Result imported(std::string_view what, std::string_view name);
/// The place of a job of the same kind, model and tokens; added if there is none.
int add_job(Result& result, const Job& job);
/// The engine of the same label; added if there is none.
EngineResult& add_engine(Result& result, EngineResult engine);

}  // namespace hearth::lab
