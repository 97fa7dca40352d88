// How long each engine took, and how it stands to the first.
#pragma once
#include "hearth/lab/result/result.h"
#include "hearth/lab/show/chart.h"

namespace hearth::lab {

/// Each engine's time as a multiple of the first one's, on a logarithmic axis: a point with its
/// interval; filled where there is a verdict, open and dashed where there is none; and the band in
/// which two are equivalent. Of several jobs a row for each engine in each.
Chart forest(const Result& result, std::span<const int> jobs);
inline Chart forest(const Result& result, int job) { return forest(result, {&job, 1}); }
/// Time for the job by engine as bars, the rate within them, and the standard deviation.
Chart time_bars(const Result& result, int job);
/// The times of all repetitions, each a dot, with their medians; on a logarithmic axis where a few
/// would press the others together.
Chart time_strips(const Result& result, int job);

}  // namespace hearth::lab
