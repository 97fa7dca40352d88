// The machine's facts and limits, as JSON and as text.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "hearth/lab/measure/probe.h"

namespace hearth::lab {

/// docs/cli.md has the keys; what is missing is null, with its reason under "reasons".
nlohmann::json to_json(const Machine& machine);
std::string to_text(const Machine& machine);

}  // namespace hearth::lab
