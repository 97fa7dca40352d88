// A result in hyperfine's three forms, for what reads those. Times are in seconds, each engine's of
// a job an entry.
#pragma once
#include <string>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// {"results": [{command, mean, stddev, median, user, system, min, max, times, exit_codes,
/// memory_usage_byte, parameters}]}; null where the result has it not.
std::string hyperfine_json(const Result& result);
/// A table: mean with deviation, least, most, and relative to the fastest.
std::string hyperfine_markdown(const Result& result);
/// command, mean, stddev, median, user, system, min, max, and a column for each parameter.
std::string hyperfine_csv(const Result& result);

}  // namespace hearth::lab
