// What a run ends with in a terminal: each engine against the first, a line each, sorted; and why,
// in a clause.
#pragma once
#include <string>

#include "hearth/lab/result/result.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {

/// The lines for a terminal, none wider than `width` (40 at least); with `colour` the verdicts have
/// one each.
std::string verdict_text(const Result& result, int job, bool colour, int width = 80);

/// A command as hyperfine shows it: mean, deviation, user and system time, range, runs; and its
/// memory, faults and switches.
std::string command_text(const Result& result, const EngineResult& engine, int job);

}  // namespace hearth::lab
