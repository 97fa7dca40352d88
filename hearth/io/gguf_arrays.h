// GGUF files as arrays and metadata, with MLX's functions.
#pragma once
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "hearth/core/tensors.h"

namespace hearth {

/// Numbers are arrays: of no axis, or of one for a list.
using GGUFMetaData = std::variant<std::monostate, array, std::string, std::vector<std::string>>;
using GGUFMetadata = std::unordered_map<std::string, GGUFMetaData>;
using GGUFLoad = std::pair<Tensors, GGUFMetadata>;

/// The tensors and the metadata of a file; numbers stand where it is mapped. As in MLX, Q4_0, Q4_1
/// and Q8_0 become what quantize() gives in groups of 32 ("x.weight" with "x.scales" and
/// "x.biases"), other blocks their values in float16. Throws std::runtime_error naming the file and
/// the tensor.
GGUFLoad load_gguf(const std::string& file, StreamOrDevice s = {});

/// Evaluates the arrays and writes them, with ".gguf" added to a name that lacks it. Of float32,
/// float16, bfloat16, float64 and signed integers. The file appears whole or not at all.
void save_gguf(std::string file, const Tensors& tensors, const GGUFMetadata& metadata = {});

}  // namespace hearth
