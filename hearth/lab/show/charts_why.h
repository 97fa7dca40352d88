// Why one engine takes longer: the parts of the ratio, the parts of a command's time, and each
// engine's rates under the limits of its device.
#pragma once
#include "hearth/lab/judge/explain.h"
#include "hearth/lab/show/chart.h"

namespace hearth::lab {

/// How clock, cycles and utilisation multiply to the ratio; what is not known is hatched.
Chart waterfall(const Explanation& explanation);
/// User time, system time and waiting of two commands.
Chart part_bars(const Result& result, const Explanation& explanation);
/// Rates of the phases of every engine under the limits of its device.
Chart roofline(const Result& result, int job);

}  // namespace hearth::lab
