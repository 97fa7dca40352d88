// Interventions: one thing is changed of an engine's execution, and what the supposed cause
// predicts for it is written down before it is tried.
#pragma once
#include <span>

#include "hearth/lab/runner.h"
#include "hearth/lab/stats.h"

namespace hearth::lab {

/// The changes there are: threads, dtype, batch, compile, keepalive, pause. None changes a setting
/// of the machine.
std::span<const std::string_view> interventions();

/// What binds the engine on the job, as explain() supposes, and what that predicts for each of the
/// changes (all that can be made, if none are named), now. Throws std::invalid_argument where
/// nothing is supposed, or nothing follows from it for any of them.
std::vector<Intervention> predict(const Result& result, std::string_view engine, int job,
                                  std::span<const std::string> changes = {});

/// Seconds that try_out() will take, by the engine's own times in the result and by what is
/// predicted of the changed one.
double expected_seconds(const Intervention& intervention, const Result& result,
                        const RunOptions& options);

/// Tries it: the engine as it is and as it is changed, side by side, in turns. `options` tell how
/// (its engines, jobs and limits are not used). What cannot be tried says so in its `fault`.
/// When `interrupted` is set, what was measured is kept, and measured_at stays empty.
void try_out(Intervention& intervention, const Result& result, RunOptions options,
             const std::atomic<bool>& interrupted, const OnProgress& progress = {});

/// What was observed: of several changed executions the one that is farthest from the prediction.
struct Observed {
  std::optional<PairedRatio> ratio;  // changed over unchanged; nothing if no pairs were measured
  /// "held" if the whole interval lies in the predicted range, "failed" if it lies outside,
  /// "undecided", or "not tested".
  std::string verdict;
};
Observed judge(const Intervention& intervention);

}  // namespace hearth::lab
