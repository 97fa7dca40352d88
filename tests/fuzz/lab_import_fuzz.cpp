// Any bytes as what another benchmark wrote: an error, or a result that is written and read as the
// same. Start from tests/lab/data: lab_import_fuzz -max_total_time=60 CORPUS tests/lab/data
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "hearth/lab/result/imports.h"
#include "hearth/lab/result/result_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hearth::lab;
  Result result;
  try {
    result = import_result({reinterpret_cast<const char*>(data), size}, "input");
  } catch (const std::runtime_error&) {
    return 0;
  }
  const auto text = to_text(result);
  if (to_text(parse_result(text, "again")) != text) __builtin_trap();
  return 0;
}
