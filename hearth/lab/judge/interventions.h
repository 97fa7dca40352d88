// Interventions as predictions: one thing is changed of an engine's execution, and what the
// supposed cause predicts for it is written down before it is tried; then what was observed is held
// against it.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/judge/stats.h"
#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// The changes there are: threads, dtype, batch, compile, keepalive, pause. None changes a setting
/// of the machine.
std::span<const std::string_view> interventions();

/// What binds the engine on the job, as explain() supposes, and what that predicts for each of the
/// changes (all that can be made, if none are named), now. Throws std::invalid_argument where
/// nothing is supposed, or nothing follows from it for any of them.
std::vector<Intervention> predict(const Result& result, std::string_view engine, int job,
                                  std::span<const std::string> changes = {});

/// What was observed: of several changed executions the one that is farthest from the prediction.
struct Observed {
  std::optional<PairedRatio> ratio;  // changed over unchanged; nothing if no pairs were measured
  /// "held" if the whole interval lies in the predicted range, "failed" if it lies outside,
  /// "undecided" (": the machine was busy" where that is why), or "not tested".
  std::string verdict;
};
Observed judge(const Intervention& intervention);

}  // namespace hearth::lab
