// What hyperfine, Google Benchmark and pytest-benchmark write as JSON.
#pragma once
#include <optional>
#include <string_view>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// Nothing unless the text is an object that one of the three wrote. Throws std::runtime_error,
/// naming the file and the field, where it is one and something in it is wrong. A command or
/// benchmark is an engine of a job of the kind `command`; a group of pytest's is a job.
std::optional<Result> import_json_benchmark(std::string_view text, std::string_view name);

}  // namespace hearth::lab
