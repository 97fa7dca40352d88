// model_type -> family.
#pragma once
#include <memory>

#include "hearth/llm/decoder_model.h"

namespace hearth::llm {

/// An untrained model of config.json's model_type, facts of its shape filled in. Throws naming the
/// type and those that are known.
std::unique_ptr<LanguageModel> make_model(const JsonObject& config);

/// A configuration whose language model is described in text_config, among other parts, as that
/// model's own: what stands inside counts before what stands outside. Others stay as they are.
JsonObject language_config(const JsonObject& config);

}  // namespace hearth::llm
