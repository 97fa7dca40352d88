// Moving elements between layouts, for kernels in several files.
#pragma once
#include "hearth/backend/cuda/cuda.h"

namespace hearth::cuda {

/// Where a block begins, kept on the device: an offset of sum(start[i] * step[i]). Starts beyond
/// [0, most] are moved to its ends.
struct DeviceStart {
  static constexpr int kMost = 8;
  const void* start = nullptr;  // null: 0
  Dtype dtype = int32;
  int count = 0;
  int64_t stride = 0;  // of start
  int64_t most[kMost], step[kMost];
};

/// Copies elements of `item` bytes (1, 2, 4 or 8) from one layout to another; strides in elements.
/// Both blocks may begin elsewhere: at `from_start`, `to_start`.
void copy_strided(CudaQueue& queue, const void* from, const Strides& from_strides, void* to,
                  const Strides& to_strides, const Shape& shape, size_t item,
                  const DeviceStart& from_start = {}, const DeviceStart& to_start = {});
/// The values of `from`, row-major, at the start of `to`; nothing when they are there already.
void copy_to(CudaQueue& queue, const array& from, const array& to);

/// Calls f<T>() with an unsigned T of that size.
template <class F>
void with_item(size_t item, F&& f) {
  if (item == 1) return f.template operator()<uint8_t>();
  if (item == 2) return f.template operator()<uint16_t>();
  if (item == 4) return f.template operator()<uint32_t>();
  return f.template operator()<uint64_t>();
}

/// One element of an array of integers.
__device__ inline int64_t load_integer(const void* p, Dtype dtype, int64_t i) {
  switch (dtype) {
    case Dtype::bool_:
    case Dtype::uint8: return static_cast<const uint8_t*>(p)[i];
    case Dtype::uint16: return static_cast<const uint16_t*>(p)[i];
    case Dtype::uint32: return static_cast<const uint32_t*>(p)[i];
    case Dtype::int8: return static_cast<const int8_t*>(p)[i];
    case Dtype::int16: return static_cast<const int16_t*>(p)[i];
    case Dtype::int32: return static_cast<const int32_t*>(p)[i];
    default: return static_cast<const int64_t*>(p)[i];
  }
}

}  // namespace hearth::cuda
