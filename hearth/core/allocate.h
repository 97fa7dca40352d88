// Memory of a device, filled by the caller instead of by an operation.
#pragma once
#include <span>

#include "hearth/core/array.h"

namespace hearth {

/// Memory where the stream's work runs, for work of this stream, which writes it before it reads
/// it: no kernel, no bytes moved.
array uninitialized(const Shape& shape, Dtype dtype, Stream stream);

/// The parts, of one dtype and equal but for their first axis, one after the other in one piece of
/// the device's memory; the parts become views of it. A mapped file stays, other host memory of
/// theirs is given up.
array place_joined(std::span<array* const> parts, Device device);

}  // namespace hearth
