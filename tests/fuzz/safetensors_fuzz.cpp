// Any bytes as a safetensors file: an error, or tensors that fill the file without overlap.
// Start from tests/data/io: safetensors_fuzz -max_total_time=60 CORPUS tests/data/io
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "hearth/io/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::span file(reinterpret_cast<const std::byte*>(data), size);
    size_t end = 0;
    for (const auto& tensor : hearth::parse_safetensors_header(file, "input").tensors) {
      if (end && tensor.offset != end) __builtin_trap();
      end = tensor.offset + tensor.bytes;
    }
    if (end > size) __builtin_trap();
  } catch (const std::runtime_error&) {
  }
  return 0;
}
