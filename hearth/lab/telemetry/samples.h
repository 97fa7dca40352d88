// What a timeline of samples says: as JSON, and where two of its sources contradict each other.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// The parts of the time that a device spent in each of its states are fields of one list, in its
/// order (a state's name can occur twice): "gpu_requested_state_fraction.0.P1", ... of
/// "gpu_requested_states".
std::string state_field(std::string_view list, size_t index, std::string_view state);
struct StateField {
  std::string list, state;
};
/// The inverse; nothing for other names.
std::optional<StateField> parse_state_field(std::string_view field);

/// Each sample as an object, as `hearth lab telemetry --json` prints it (docs/lab.md).
nlohmann::json samples_json(const Timeline& timeline);

/// Quantities of which two sources have means that are more than 10 % apart, over the samples that
/// both have: "gpu_power_w: ioreport says 10.2, powermetrics says 12.1 W".
std::vector<std::string> discrepancies(const Timeline& timeline);

}  // namespace hearth::lab
