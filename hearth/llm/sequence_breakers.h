// Texts that end a sequence for DRY, as the tokens that hold them.
#pragma once
#include <string>
#include <vector>

#include "hearth/llm/sampling_options.h"
#include "hearth/llm/tokenizer.h"

namespace hearth::llm {

/// Every way in which tokens can hold one of the texts, as llama.cpp has it: a token with all of
/// the text in it; or one that ends with its beginning, and then the tokens of the rest.
std::vector<SequenceBreaker> sequence_breakers(const Tokenizer& tokenizer,
                                               const std::vector<std::string>& texts);

}  // namespace hearth::llm
