// How far two models' predictions are from each other, to be shown.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "hearth/llm/divergence.h"

namespace hearth::cli {

std::string divergence_text(const llm::Divergence& d);
nlohmann::json divergence_json(const llm::Divergence& d);

}  // namespace hearth::cli
