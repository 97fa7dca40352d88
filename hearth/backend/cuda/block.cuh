// Values that the threads of a warp or of a block join.
#pragma once
#include "hearth/backend/cuda/device.cuh"

namespace hearth::cuda {

template <class A>
__device__ inline A shuffle_xor(A x, int mask) {
  static_assert(sizeof(A) % 4 == 0);
  int words[sizeof(A) / 4];
  memcpy(words, &x, sizeof(A));
  for (int& w : words) w = __shfl_xor_sync(~0u, w, mask);
  memcpy(&x, words, sizeof(A));
  return x;
}

/// The joined value of `lanes` neighbouring threads: a power of 2 up to a warp, or the whole block.
/// All of them have it. `shared`: room for 32.
template <class A, class Join>
__device__ inline A join_threads(A x, int lanes, Join join, A* shared) {
  for (int o = min(lanes, 32) / 2; o > 0; o /= 2) x = join(x, shuffle_xor(x, o));
  if (lanes <= 32) return x;
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
  __syncthreads();
  x = shared[0];
  for (int w = 1; w < lanes / 32; ++w) x = join(x, shared[w]);
  __syncthreads();
  return x;
}

/// How the rows of an array are shared out: `lanes` threads to a row, a warp or a block.
struct RowsPlan {
  int lanes;
  dim3 grid, block;
};
/// `loads`: what one row takes; each thread keeps up to `kept` of them.
inline RowsPlan plan_rows(const Card& card, int64_t rows, int64_t loads, int64_t kept) {
  const bool many = rows >= int64_t(card.multiprocessors) * 8;
  if (loads <= 32 || (many && loads <= 32 * kept)) return {32, blocks_for(rows, 8), 256};
  const int64_t wanted = many ? (loads + kept - 1) / kept : loads;
  const int threads = int(std::min<int64_t>(1024, (wanted + 31) / 32 * 32));
  return {std::max(threads, 64), blocks_for(rows, 1), unsigned(std::max(threads, 64))};
}

/// V elements, loaded together.
template <class T, int V>
struct alignas(sizeof(T) * V) Piece {
  T x[V];
};

/// The leading axes of an array, for kernels that walk rows of the last.
inline Axes<1> leading_axes(const array& a) {
  const Shape& shape = a.shape();
  const Strides& strides = a.node().strides;
  return Axes<1>(Shape(shape.begin(), shape.end() - 1),
                 {Strides(strides.begin(), strides.end() - 1)});
}
/// Can the rows of the last axis be loaded in pieces of V elements?
inline bool rows_in_pieces(const array& a, const void* data, int64_t V) {
  const Node& n = a.node();
  if (reinterpret_cast<uintptr_t>(data) % (a.itemsize() * size_t(V)) != 0) return false;
  if (n.shape.back() % V != 0 || n.strides.back() != 1) return false;
  for (size_t i = 0; i + 1 < n.shape.size(); ++i)
    if (n.shape[i] > 1 && n.strides[i] % V != 0) return false;
  return true;
}

}  // namespace hearth::cuda
