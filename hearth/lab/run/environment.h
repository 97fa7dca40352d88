// The machine as facts of a result, and its limits.
#pragma once
#include <atomic>
#include <vector>

#include "hearth/lab/run/runner.h"

namespace hearth::lab {

/// The machine and, if the options want them, its limits and those of its GPUs.
void describe_machine(Result& result, const RunOptions& options,
                      const std::atomic<bool>& interrupted);
/// The processors' limits anew, at the moment "between" or "after": of each the one stays that
/// others disturbed least, or of two quiet ones that which goes further.
void measure_limits_again(Result& result, std::string_view moment,
                          const std::atomic<bool>& interrupted);
/// Of each kind of GPU that an engine is to run on: measured by hearth, in a process that then
/// ends.
std::vector<Ceiling> limits_of_gpus(const RunOptions& options,
                                    const std::atomic<bool>& interrupted);

}  // namespace hearth::lab
