// The tables of a report's page.
#pragma once
#include <string>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// What each engine took, from its start to its last token; "" where none has times of the job.
std::string times_table(const Result& result, int job);
/// As the post's table: before, after, difference, in MB (1e6 bytes).
std::string memory_table(const Result& result);
std::string engines_table(const Result& result);
std::string environment_table(const Result& result);
/// How the run went about it, in words.
std::string plan_words(const Result& result);

}  // namespace hearth::lab
