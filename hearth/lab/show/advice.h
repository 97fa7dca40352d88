// What to run for a verdict where there is none.
#pragma once
#include <string>

#include "hearth/lab/show/standing.h"

namespace hearth::lab {

Advice advice_of(const Result& result, const Explanation& explanation, Finding finding);

/// The command that measures two engines of the result again on one of its jobs: in turns, with
/// enough starts, one dtype and one number of tokens. "" if it cannot be known.
std::string run_command(const Result& result, int job, const std::string& a, const std::string& b);

}  // namespace hearth::lab
