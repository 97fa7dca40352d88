// What a device takes to do next to nothing: the least time of an operation, however small.
#pragma once
#include "hearth/core/device.h"
#include "hearth/lab/measure/limits.h"

namespace hearth::lab {

/// Microseconds an operation, of long chains in which each copies one number of the one before.
struct Launch {
  Reading<Samples> evaluated_us;  // scheduled and started one by one; building the graph is apart
  Reading<Samples> replayed_us;   // of a Recording that runs again
};

/// Half of `seconds` for each, at least 5 samples. By hearth's arrays alone, so of any device that
/// hearth has a backend for; what it refuses is the reason.
Launch measure_launch(Device device, double seconds = 0.1);

}  // namespace hearth::lab
