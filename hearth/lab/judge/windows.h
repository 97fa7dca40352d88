// When an engine worked on a job, or on a phase of it, and how the samples of telemetry lie over
// that time.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// Seconds of the run's clock.
struct Window {
  double from, to;
};

/// The measured repetitions of a job, those of a turn as one, ascending and disjoint. Of the phase
/// "prefill" or "decode": the part before or after the first token, of repetitions that streamed.
std::vector<Window> windows_of(const EngineResult& engine, int job, std::string_view phase = "");

/// Seconds of each sample that lie within the windows. A sample covers the time since the one
/// before, but not longer than one and a half periods: between repetitions nothing is sampled.
std::vector<double> overlap(const std::vector<double>& sample_s, std::span<const Window> windows,
                            double period_s);

/// The samples of a shorter time mostly cover what was before and after it.
constexpr double kFewestPeriods = 3;
/// "under-sampled: it lasts 0.05 s at a time, less than 3 periods of telemetry (0.1 s)"; "" if it
/// lasts longer (the median does), or telemetry was off.
std::string under_sampled(const Result& result, const EngineResult& engine, int job,
                          std::string_view phase = "");

}  // namespace hearth::lab
