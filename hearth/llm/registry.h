// model_type -> constructor.
#pragma once
#include <memory>

#include "hearth/llm/model.h"

namespace hearth::llm {

/// An untrained model of config.json's model_type, facts of its shape filled in. Throws naming the
/// type and those that are known.
std::unique_ptr<LanguageModel> make_model(const JsonObject& config);

std::unique_ptr<LanguageModel> make_phi(const JsonObject& config);

}  // namespace hearth::llm
