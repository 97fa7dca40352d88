// Interventions, tried: the engine as it is and as it was changed, in turns.
#pragma once
#include "hearth/lab/run/runner.h"

namespace hearth::lab {

/// Seconds that try_out() will take, by the engine's own times in the result and by what is
/// predicted of the changed one.
double expected_seconds(const Intervention& intervention, const Result& result,
                        const RunOptions& options);

/// Tries it: the engine as it is and as it is changed, side by side, in turns. `options` are how
/// (its engines, jobs and limits are not used). What cannot be tried says so in its `fault`.
/// When `interrupted` is set, what was measured is kept, and measured_at stays empty; one that has
/// executions goes on. With options.keep it must be one of the result's.
void try_out(Intervention& intervention, const Result& result, RunOptions options,
             const std::atomic<bool>& interrupted, const OnProgress& progress = {});

}  // namespace hearth::lab
