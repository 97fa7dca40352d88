// What the machine did while the engines worked.
#pragma once
#include <vector>

#include "hearth/lab/result/result.h"
#include "hearth/lab/show/chart.h"

namespace hearth::lab {

/// Utilisation above and clock below, for each engine that has telemetry, all on one axis of time
/// and one of clocks: the engine's own in its colour, what others took in grey; the maxima are
/// marked. Time between repetitions is left out.
std::vector<Chart> timelines(const Result& result);

/// Parts of the time of the job that each engine's GPU was in its states, that software asked for
/// each, and that something held its clock down; no chart where that is not known.
std::vector<Chart> state_bars(const Result& result, int job);

}  // namespace hearth::lab
