// Which weights a run loaded: the SHA-256 of its safetensors, or of its GGUF files.
#pragma once
#include <filesystem>
#include <functional>

#include "hearth/lab/measure/reading.h"

namespace hearth::lab {

/// The folder's *.safetensors, or all files of a GGUF model: of one file its SHA-256 as sha256sum
/// prints it; of several "NAME HASH" of each, by name, with commas between. Reads all of them;
/// `progress` gets the part that is done, between 0 and 1, some hundred times, and may throw. What
/// cannot be read is the reason.
Reading<std::string> weights_sha256(const std::filesystem::path& folder,
                                    const std::function<void(double)>& progress = {});

}  // namespace hearth::lab
