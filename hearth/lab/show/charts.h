// The charts of a report.
#pragma once
#include <string>
#include <vector>

#include "hearth/lab/judge/explain.h"
#include "hearth/lab/show/svg.h"

namespace hearth::lab {

/// A chart, with the name of its file and what stands above it.
struct Chart {
  std::string name, heading, caption;
  Svg svg;
};

/// Time for the job by engine as bars, the rate within them, and the standard deviation.
Chart time_bars(const Result& result, int job);
/// The times of all repetitions, each a dot, with their medians.
Chart time_strips(const Result& result, int job);
/// Utilisation above and clock below, for each engine that has telemetry, all on one axis of time
/// and one of clocks; the maxima are marked. Time between repetitions is left out.
std::vector<Chart> timelines(const Result& result);
/// Rates of the phases of every engine under the limits of its device.
Chart roofline(const Result& result, int job);
/// How cycles, clock and utilisation add up to the logarithm of the ratio.
Chart waterfall(const Explanation& explanation);

}  // namespace hearth::lab
