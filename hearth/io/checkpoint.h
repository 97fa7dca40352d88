// The weights in a model's folder, in one file or in many.
#pragma once
#include <filesystem>

#include "hearth/io/safetensors.h"
#include "hearth/io/safetensors_header.h"

namespace hearth {

/// All tensors of model.safetensors, or else of the shards that model.safetensors.index.json lists,
/// mapped as load_safetensors does. Throws one std::runtime_error that says what is there instead,
/// which shards are missing, or the file and its fault.
Tensors load_checkpoint(const std::filesystem::path& folder);

/// The same from the headers alone: what each tensor is, by name.
using TensorInfos = std::unordered_map<std::string, TensorInfo>;
TensorInfos list_checkpoint(const std::filesystem::path& folder);

}  // namespace hearth
