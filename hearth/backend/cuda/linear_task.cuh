// What the kernel of tasks does for a linear task beside streaming its weights: its barriers, the
// norm before it, its outputs.
#pragma once
#include "hearth/backend/cuda/packed_layout.cuh"
#include "hearth/backend/cuda/weight_stream.cuh"

namespace hearth::cuda {

__device__ inline float activated(float x, fast::Activation a) {
  switch (a) {
    case fast::Activation::none: return x;
    case fast::Activation::relu: return fmaxf(x, 0.0f);
    case fast::Activation::silu: return x / (1.0f + __expf(-x));
    case fast::Activation::gelu_approx:
      return 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
    case fast::Activation::gelu: return 0.5f * x * erfcf(x * -0.70710678f);
  }
  return x;
}

__device__ inline float warp_sum(float v) {
  for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
  return v;
}

// Named barriers of a block. workers: among them. begun, early, late: workers and attention warps,
// when a task begins, its early rows are summed, x of its late term is staged. attends: among the
// attention warps. done, go: workers and barrier warp, before and after the grid barrier. attended:
// attention and barrier warps, when it has attended; before a late term, when it has read the rows.
// Barriers 1 to 6 are those of attention's teams.
enum Barrier { workers = 7, begun, early, late, attends, done, attended, go };
template <Barrier B>
constexpr int kAt = B == workers           ? kThreads
                    : B == attends         ? kTeamThreads
                    : B == attended        ? kTeamThreads + 32
                    : B == done || B == go ? kThreads + 32
                                           : kThreads + kTeamThreads;
template <Barrier B>
__device__ inline void sync_block() {
  asm volatile("bar.sync %0, %1;" ::"n"(int(B)), "n"(kAt<B>) : "memory");
}
template <Barrier B>
__device__ inline void pass_barrier() {  // without waiting
  asm volatile("bar.arrive %0, %1;" ::"n"(int(B)), "n"(kAt<B>) : "memory");
}

// What a kernel is made for: dense weights; the same with gates, experts, or norms before tasks,
// which cost the others registers; packed weights, with all of these.
enum class Kind { dense, more, packed };

// A linear task in shared memory: x staged as (inputs, rows of x, k), or as columns where weights
// are packed, then its chunks' sums as (units, M).
template <class T, int M, Kind K>
struct Inputs {
  std::byte* xs;
  float* partial;
  __device__ Inputs(const LinearTask& l, std::byte* shared) : xs(shared) {
    if constexpr (K == Kind::packed)
      partial = reinterpret_cast<float*>(shared + ColumnsLayout<T>(l).bytes());
    else
      partial = reinterpret_cast<float*>(
          shared + size_t(l.x_rows) * (l.k[0] + (l.inputs() > 1 ? l.k[1] : 0)) * sizeof(T));
  }
  /// Where element `at` of a row of the first input is staged.
  __device__ std::byte* element(const LinearTask& l, int row, int at) const {
    if constexpr (K == Kind::packed)
      return xs + ColumnsLayout<T>(l).plain(0, row) + size_t(at) * sizeof(T);
    return xs + (size_t(row) * l.k[0] + at) * sizeof(T);
  }
};

// Output i of a block, of rows.count * M: where it is, what is added to its sum. Rows that are none
// have no part.
template <class T, int M, Kind K>
struct Output {
  static constexpr int kRows = K == Kind::packed ? kTile : 1;
  static constexpr bool kMore = K != Kind::dense;
  int part = 0;
  int64_t at = 0;
  float bias = 0, residual = 0;  // of a gate's second term: its bias

  Output() = default;
  __device__ Output(const LinearTask& l, const BlockRows<kRows>& rows, int i) {
    int row = rows[i / M];
    if (kRows > 1 && row >= l.rows) {
      part = -1;
      return;
    }
    while (part + 1 < l.parts && row >= l.part[part].rows) row -= l.part[part++].rows;
    at = int64_t(i % M) * l.part[part].rows + row;
    for (int t = 0; t < l.terms; ++t)
      if (const void* b = l.weight(part, t).bias)
        (kMore && l.gated && t == 1 ? residual : bias) +=
            widen(static_cast<const T*>(b)[kMore ? l.row_of_weight(row) : row]);
  }
  __device__ void read_residual(const LinearTask& l) {
    if (l.residual && (kRows == 1 || part >= 0)) residual = widen(__ldcg(static_cast<const T*>(l.residual) + at));
  }
  __device__ T write(const LinearTask& l, const float* partial, int i) const {
    if (kRows > 1 && part < 0) return {};
    float y = bias, more = residual;
    const bool gated = kMore && l.gated;
    const int first = gated ? l.per_row / 2 : l.per_row;
    const float* const sums = partial + i / M * l.per_row * M + i % M;
    for (int c = 0; c < first; ++c) y += sums[c * M];
    for (int c = first; c < l.per_row; ++c) more += sums[c * M];
    y = activated(y, l.part[part].activation);
    y = gated ? y * more : y + more;
    return static_cast<T*>(l.part[part].y)[at] = narrow<T>(y);
  }
};

// Over all workers.
__device__ inline float workers_sum(float v, float (&to)[kWarps]) {
  v = warp_sum(v);
  if (threadIdx.x % 32 == 0) to[threadIdx.x / 32] = v;
  sync_block<workers>();
  float all = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) all += to[w];
  return all;
}

// The norm before a task: what it gives becomes x, each thread staging the elements that it
// normalises in the task's own norm, and one block writes it. Not inline: its registers
// are not those of the stream.
template <class T, int M, Kind K>
__device__ __noinline__ void stage_before(const LinearTask& l, std::byte* xs,
                                          float (&sums)[kWarps]) {
  const Inputs<T, M, K> inputs(l, xs);
  constexpr int kSize = Vector<T>::kSize;
  const NormTask& norm = l.before;
  const auto vector = [](const void* p, int at) {
    return __ldcg(reinterpret_cast<const uint4*>(static_cast<const T*>(p) + at));
  };
  const auto each = [&](auto&& f) {
#pragma unroll
    for (int i = 0; i < kNormVectors; ++i)
      if (const int at = (i * kThreads + int(threadIdx.x)) * kSize; at < l.k[0]) f(i, at);
  };
  Vector<T> weight[kNormVectors] = {};
  if (norm.weight) each([&](int i, int at) { weight[i].raw = vector(norm.weight, at); });
  for (int m = 0; m < M; ++m) {
    float f[kNormVectors][kSize] = {}, square = 0;
    each([&](int i, int at) {
      Vector<T>{vector(norm.x, m * l.k[0] + at)}.to_float(f[i]);
      for (int j = 0; j < kSize; ++j) square += f[i][j] * f[i][j];
    });
    if (m > 0) sync_block<workers>();  // the sums were read
    const float scale = rsqrtf(workers_sum(square, sums) / float(l.k[0]) + norm.eps);
    each([&](int i, int column) {
      const int at = m * l.k[0] + column;
      float w[kSize], r[kSize];
      weight[i].to_float(w);
      const auto kept = [&](void* to) {  // rounded, as it is kept in memory
        Vector<T> y = {};
        for (int j = 0; j < kSize; ++j) y.set(j, f[i][j]);
        if (blockIdx.x == 0) *reinterpret_cast<uint4*>(static_cast<T*>(to) + at) = y.raw;
        y.to_float(f[i]);
        return y.raw;
      };
      for (int j = 0; j < kSize; ++j) f[i][j] *= norm.weight ? scale * w[j] : scale;
      uint4 given = kept(norm.y);
      if (norm.sum) {
        Vector<T>{vector(norm.residual, at)}.to_float(r);
        for (int j = 0; j < kSize; ++j) f[i][j] += r[j];
        given = kept(norm.sum);
      }
      *reinterpret_cast<uint4*>(inputs.element(l, m, column)) = given;
    });
  }
}

}  // namespace hearth::cuda
