// The header of a safetensors file: what tensors it holds and where, checked before any is touched.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "hearth/core/dtype.h"

namespace hearth {

struct TensorInfo {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;  // each below 2^31
  size_t offset;               // from the start of the file, of any alignment
  size_t bytes;                // product of shape x size_of(dtype)
};

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // by offset
  std::unordered_map<std::string, std::string> metadata;
};

/// Reads and checks the header of a whole file. Every tensor lies within the file, they follow each
/// other without overlap or gap and fill it to the end. Throws std::runtime_error with `name` (the
/// file) and the tensor otherwise, and with what to do about a file that is `cut` short. Allocates
/// no more than a few times the header's length.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, std::string_view name,
                                           std::string_view cut = "fetch it again");

/// The bytes that stand before the data: length, header, and spaces so that the data begins at a
/// multiple of 8. Gives each tensor its place: `tensors` come back sorted as they must be written,
/// with offset and bytes set. Order: larger elements first, then by name, to the byte as the
/// reference does.
std::string make_safetensors_header(std::vector<TensorInfo>& tensors,
                                    const std::unordered_map<std::string, std::string>& metadata);

}  // namespace hearth
