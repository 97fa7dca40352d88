// A folder's tokenizer as a GGUF file says it.
#pragma once
#include <filesystem>

#include "hearth/io/gguf_writer.h"
#include "hearth/io/json.h"

namespace hearth::llm {

/// Tokens, merges or scores, what begins and ends texts, and the chat template. A folder without a
/// tokenizer gives a file without one. Throws std::runtime_error for a tokenizer that such a file
/// cannot say: some text would become other ids.
void set_vocabulary(GgufMetadata& to, const std::filesystem::path& folder,
                    const JsonObject& config);

}  // namespace hearth::llm
