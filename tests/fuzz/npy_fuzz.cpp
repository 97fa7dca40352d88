// Any bytes as a .npy file: an error, or values that lie within the file.
// Start from tests/data/io: npy_fuzz -max_total_time=60 CORPUS tests/data/io
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "hearth/io/npy_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::span file(reinterpret_cast<const std::byte*>(data), size);
    const auto header = hearth::parse_npy_header(file, "input");
    if (header.offset > size || header.bytes > size - header.offset) __builtin_trap();
  } catch (const std::runtime_error&) {
  }
  return 0;
}
