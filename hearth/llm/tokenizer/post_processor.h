// The post-processor of a tokenizer.json, as far as it adds ids to those of a text.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "hearth/llm/tokenizer/vocab.h"

namespace hearth::llm {

/// The ids that the post-processor puts before and behind those of a text.
struct Surround {
  std::vector<int> prefix, suffix;
};

/// Reads a "post_processor", which may be null. Throws std::runtime_error naming what is wrong or
/// not known.
Surround read_post_processor(const nlohmann::json& processor, const Vocab& vocab);

}  // namespace hearth::llm
