// The weights in a model's folder, in one file or in many.
#pragma once
#include <filesystem>

#include "hearth/io/safetensors.h"

namespace hearth {

/// All tensors of model.safetensors, or else of the shards that model.safetensors.index.json lists,
/// mapped as load_safetensors does. Throws one std::runtime_error that names every shard and every
/// tensor that is missing, or the file and its fault.
Tensors load_checkpoint(const std::filesystem::path& folder);

}  // namespace hearth
