// Where packed weights and what they meet lie in a block's shared memory: for the kernel, and for
// the host, who counts the bytes.
#pragma once
#include "hearth/backend/cuda/task_kernel.cuh"

namespace hearth::cuda {

constexpr int kTile = 16;   // rows whose chunks a warp takes at once
constexpr int kSpan = 256;  // weights; a chunk has one or two for each row of its tile

/// How many bytes of a plane 2^shift weights lie in.
struct PlaneShape {
  int shift, bytes;
  __host__ __device__ int of(int weights) const { return (weights >> shift) * bytes; }
};
struct BlockShape {
  int16_t bytes;  // of a block
  int8_t shift, planes;
  bool floats;  // as scales

  __host__ __device__ PlaneShape plane(int p, Dtype scales) const {
    return {shift, p == 0 ? bytes : !floats ? 1 : scales == float32 ? 4 : 2};
  }
};
constexpr BlockShape block_shape(const PackingInfo& info) {
  int8_t shift = 0;
  while (int64_t{1} << shift < info.weights) ++shift;
  return {int16_t(info.bytes), shift, int8_t(info.planes), info.planes == 3 || info.wide_scales};
}

/// From row to row of a tile in shared memory, where `bytes` of each arrive in whole vectors of 16
/// bytes, which begin up to 15 bytes before: odd vectors, so that eight rows lie in all banks.
/// `unit`: what their addresses are multiples of.
__host__ __device__ constexpr int pitch_of(int bytes, int unit) {
  const int odd = unit & -unit, before = odd < 16 ? 16 - odd : 0;
  return ((bytes + before + 15) / 16 | 1) * 16;
}
/// Bytes of a chunk in a warp's ring.
__host__ __device__ constexpr int slot_bytes(const BlockShape& shape, Dtype scales, int spans) {
  int all = 0;
  for (int p = 0; p < shape.planes; ++p) {
    const PlaneShape plane = shape.plane(p, scales);
    all += pitch_of(plane.of(spans * kSpan), plane.bytes);
  }
  return all * kTile;
}

/// x as columns of halves whose sum it is, times a power of two for each row: one column where its
/// elements are halves themselves, else three. Sums of 16 elements of a column meet the offsets of
/// weights. Bytes from the start.
template <class T>
struct ColumnsLayout {
  static constexpr int kEach = sizeof(T) == 4 ? 3 : 1;  // columns of a row
  int rows;                                             // of x
  int padded[2];                                        // elements of a row of each input

  __host__ __device__ explicit ColumnsLayout(const LinearTask& l)
      : rows(l.x_rows), padded{pad(l.k[0]), l.inputs() > 1 ? pad(l.k[1]) : 0} {}
  __host__ __device__ static int pad(int k) { return (k + 2 * kSpan - 1) / (2 * kSpan) * (2 * kSpan); }

  __host__ __device__ int before(int input) const { return input ? rows * kEach * padded[0] : 0; }
  __host__ __device__ int elements() const { return rows * kEach * (padded[0] + padded[1]); }
  /// Of an input's row, the column c of all.
  __host__ __device__ int column(int input, int c) const {
    return 2 * (before(input) + c * padded[input]);
  }
  __host__ __device__ int sums(int input, int c) const {
    return 2 * elements() + (before(input) + c * padded[input]) / 4;
  }
  __host__ __device__ int zeros() const { return 2 * elements() + elements() / 4; }
  /// What the sums of a row are multiplied with.
  __host__ __device__ int factor(int input, int row) const {
    return zeros() + 16 + 4 * (input * rows + row);
  }
  /// x itself until it is columns; halves lie where these will.
  __host__ __device__ int plain(int input, int row) const {
    if constexpr (kEach == 1) return column(input, row);
    return (factor(2, 0) + 15) / 16 * 16 + 4 * (input ? rows * padded[0] : 0) +
           4 * row * padded[input];
  }
  __host__ __device__ int bytes() const {
    return kEach == 1 ? (factor(2, 0) + 15) / 16 * 16 : plain(1, rows);
  }
};

}  // namespace hearth::cuda
