// Arrays by name, as a checkpoint holds them.
#pragma once
#include <string>
#include <unordered_map>

#include "hearth/core/array.h"

namespace hearth {

using Tensors = std::unordered_map<std::string, array>;

}  // namespace hearth
