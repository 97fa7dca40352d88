// The states that GPUs were in, as bars.
#pragma once
#include <vector>

#include "hearth/lab/show/charts.h"

namespace hearth::lab {

/// Parts of the time of the job that each engine's GPU was in its states, that software asked for
/// each, and that something held its clock down; no chart where that is not known.
std::vector<Chart> state_bars(const Result& result, int job);

}  // namespace hearth::lab
