// What ollama's benchmark (cmd/bench) writes for Go's benchstat: a line for each step of each run.
//
//   # Model: gemma3 | Params: 4.3B | Quant: Q4_K_M | Family: gemma3 | Size: 4080218931
//   BenchmarkModel/name=gemma3/step=generate 1 19531.25 ns/token 51200.00 token/sec
//   BenchmarkModel/name=gemma3/step=ttft 1 45123000 ns/op
//
// The number after the name is 1, or in older ones the number of tokens. Go's format lets other
// lines stand between.
#pragma once
#include <string_view>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// The lines that ollama's benchmark writes for benchstat: times per token.
Result import_ollama(std::string_view text, std::string_view name);

}  // namespace hearth::lab
