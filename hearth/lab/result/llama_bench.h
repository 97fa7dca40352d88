// What llama-bench wrote, as a result: its samples are in sequence, so drift was not controlled.
#pragma once
#include <string_view>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// llama-bench -o json or jsonl.
Result import_llama_bench(std::string_view text, std::string_view name);

}  // namespace hearth::lab
