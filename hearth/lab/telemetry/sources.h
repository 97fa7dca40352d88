// The sources of telemetry, one file each; find_telemetry() has them all.
#pragma once
#include "hearth/lab/telemetry.h"

namespace hearth::lab {

using Path = std::filesystem::path;

/// /proc/stat and /proc/pressure: cpu_active_fraction (also of each core: .0, .1, ...),
/// cpu_steal_fraction, and pressure_{cpu,memory,io}_fraction, the part of the time in which some
/// task waited for it.
std::unique_ptr<Telemetry> proc_telemetry(const Path& root = "/");

}  // namespace hearth::lab
