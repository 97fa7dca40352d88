// Any bytes as what powermetrics writes: samples and notes, and never an exception.
// Start from tests/lab/data: powermetrics_fuzz -max_total_time=60 CORPUS tests/lab/data
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "hearth/lab/telemetry/powermetrics.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto capture = hearth::lab::read_powermetrics({reinterpret_cast<const char*>(data), size});
  for (const auto& sample : capture.samples)
    if (hearth::lab::to_json(sample).is_null()) __builtin_trap();
  return 0;
}
