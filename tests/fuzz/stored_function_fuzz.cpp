// Any bytes as an exported function: an error, or a function that can be called; nothing is
// computed. Start from a file that export_function wrote: stored_function_fuzz -max_total_time=60
// CORPUS
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <stdexcept>

#include "hearth/io/stored_function.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string file = "/tmp/stored_function_fuzz_" + std::to_string(::getpid());
  std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(data), long(size));
  try {
    hearth::import_function(file);
  } catch (const std::runtime_error&) {
  }
  return 0;
}
