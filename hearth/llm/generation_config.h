// What a model's generation_config.json recommends.
#pragma once
#include <filesystem>
#include <optional>

#include "hearth/llm/sampling_options.h"

namespace hearth::llm {

/// `options` with what the folder's generation_config.json says of sampling: temperature, top_k,
/// top_p, min_p, typical_p, repetition_penalty; with do_sample false the most likely token. Nothing
/// if it says none of these. Throws std::runtime_error, with the file's name, for a value without a
/// meaning.
std::optional<SamplingOptions> recommended(const std::filesystem::path& folder,
                                           SamplingOptions options);

}  // namespace hearth::llm
