// What a model has read, in a file.
#pragma once
#include <filesystem>

#include "hearth/llm/beginning.h"

namespace hearth::llm {

/// Writes it, with what tells the model apart: whole or not at all.
void save_state(const std::filesystem::path& file, LanguageModel& model, const Beginning& state);

/// What save_state wrote; the file is mapped, not read. Throws std::runtime_error with a sentence
/// that says what to do, for what is no such file, is damaged, or was made with another model or
/// another dtype.
Beginning load_state(const std::filesystem::path& file, LanguageModel& model);

}  // namespace hearth::llm
