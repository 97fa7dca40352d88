// MLX's names in front of hearth: compile an MLX program with -I compat and link libhearth. What
// differs stands in docs/api.md.
#pragma once
#include "allocator.h"
#include "hearth/hearth.h"

namespace mlx {
namespace core = ::hearth;
}

namespace hearth {

using Args = Arrays;

namespace metal {
inline bool is_available() { return false; }
}  // namespace metal
namespace cu {
inline bool is_available() { return device_count(Device::cuda) > 0; }
}  // namespace cu
namespace gpu {
inline bool is_available() { return device_count(Device::gpu) > 0; }
inline int device_count() { return hearth::device_count(Device::gpu); }
inline DeviceInfo device_info(int index = 0) {
  return hearth::device_info(Device(Device::gpu, index));
}
}  // namespace gpu

}  // namespace hearth
