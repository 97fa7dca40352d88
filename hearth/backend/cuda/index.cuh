// Indices on the device: what gathers and scatters share.
#pragma once
#include "hearth/backend/cuda/copy.cuh"
#include "hearth/backend/cuda/device.cuh"

namespace hearth::cuda {

/// An array of indices into one axis, and where they lead.
struct Index {
  const void* data = nullptr;
  Dtype dtype = int32;
  bool is_signed = true;
  int64_t size = 0, most = 0, step = 0;  // of the axis; the largest index; the axis's stride
  Axes<1> axes{{}, {Strides()}};         // of the array

  /// How far from the axis's begin index `i` (row-major) leads; out of range: to the axis's end.
  __device__ int64_t offset(int64_t i) const {
    int64_t at[1];
    axes.offsets(i, at);
    return step_of(at[0]);
  }
  /// The same for the index that lies `at` elements from the first.
  __device__ int64_t step_of(int64_t at) const {
    int64_t v = load_integer(data, dtype, at);
    if (v < 0) v = is_signed ? v + size : most;  // a u64 above 2^63
    return max(int64_t{0}, min(v, most)) * step;
  }
};

inline Index index_of(CudaQueue& queue, const array& indices, int axis, const Shape& block,
                      const Shape& shape, const Strides& strides, std::string_view who) {
  const auto k = size_t(axis);
  ensure(shape[k] >= block[k] && shape[k] > 0, who, ": no index is in range for axis ", axis,
         " of size ", shape[k]);
  return {queue.ptr<std::byte>(indices),
          indices.dtype(),
          kind_of(indices.dtype()) == Kind::i,
          shape[k],
          shape[k] - block[k],
          strides[k],
          Axes<1>(indices.shape(), {indices.node().strides})};
}

/// What several indices add up to: the element where the block of each place begins.
void place_offsets(CudaQueue& queue, std::span<const array> indices, std::span<const int> axes,
                   const Shape& block, const Shape& shape, const Strides& strides,
                   std::string_view who, int64_t* offsets);

}  // namespace hearth::cuda
