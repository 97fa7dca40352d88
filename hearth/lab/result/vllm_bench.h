// What vLLM's serving benchmark saved: a summary and, in older versions or with --save-detailed,
// each request's lengths, time to first token and times between what arrived.
#pragma once
#include <string_view>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// The JSON of vLLM's benchmark_serving.py or `vllm bench serve`: one repetition a request where it
/// has details, else the published mean.
Result import_vllm(std::string_view text, std::string_view name);

}  // namespace hearth::lab
