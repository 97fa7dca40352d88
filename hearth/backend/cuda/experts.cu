// Products of chosen experts for many rows: the choices are sorted by expert on the device, and
// tiles by tensor cores go over the rows of each, so that every expert's weights are read once.
#include <mma.h>

#include "hearth/backend/cuda/device.cuh"
#include "hearth/backend/cuda/experts.h"
#include "hearth/backend/cuda/values.cuh"

namespace hearth::cuda {
namespace {

constexpr int kThreads = 256, kRows = 64, kColumns = 128, kDepth = 32, kPitch = kDepth + 8;
constexpr int kStages = 3;
constexpr int kStage = (kRows + kColumns) * kPitch;  // elements of a stage: x, then weights

/// The choices by expert.
struct Sorted {
  int* choice;      // (choices)
  int* first;       // (experts + 1): where each expert's begin
  int* first_tile;  // (experts + 1): the same in tiles of kRows
};

/// By one block. The order within an expert is any: it changes no sum.
__global__ void sort_choices(const int* ids, int choices, int experts, Sorted to) {
  extern __shared__ int next[];  // (experts): how many, then where the next one goes
  const auto expert = [&](int choice) { return min(max(ids[choice], 0), experts - 1); };
  for (int e = int(threadIdx.x); e < experts; e += int(blockDim.x)) next[e] = 0;
  __syncthreads();
  for (int c = int(threadIdx.x); c < choices; c += int(blockDim.x)) atomicAdd(&next[expert(c)], 1);
  __syncthreads();
  if (threadIdx.x == 0) {
    int place = 0, tile = 0;
    for (int e = 0; e < experts; ++e) {
      const int count = next[e];
      to.first[e] = next[e] = place, to.first_tile[e] = tile;
      place += count, tile += (count + kRows - 1) / kRows;
    }
    to.first[experts] = place, to.first_tile[experts] = tile;
  }
  __syncthreads();
  for (int c = int(threadIdx.x); c < choices; c += int(blockDim.x))
    to.choice[atomicAdd(&next[expert(c)], 1)] = c;
}

template <class T>
struct Job {
  const T *x, *weight, *bias;
  T* y;
  int64_t x_stride;
  int per_x, experts, n, k;
  fast::Activation activation;
  Sorted sorted;
};

/// 16 bytes, or zeros.
__device__ inline void fetch(void* to, const void* from, bool there) {
  const unsigned at = unsigned(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}

__device__ inline float activate(float x, fast::Activation activation) {
  switch (activation) {
    case fast::Activation::none: break;
#define X(name) \
  case fast::Activation::name: return math::name##_op::of(x);
      HEARTH_ACTIVATIONS(X)
#undef X
  }
  return x;
}

/// A tile of kRows choices of one expert by kColumns outputs, 32 x 32 to a warp; f32 sums.
template <class T>
__global__ void __launch_bounds__(kThreads) experts_kernel(Job<T> job) {
  namespace wmma = nvcuda::wmma;
  extern __shared__ __align__(128) std::byte shared[];
  T* const ring = reinterpret_cast<T*>(shared);
  const int tile = int(blockIdx.y), n0 = int(blockIdx.x) * kColumns;
  const Sorted& sorted = job.sorted;
  if (tile >= sorted.first_tile[job.experts]) return;
  int expert = 0;  // the last whose tiles begin at this one or before
  for (int end = job.experts; end - expert > 1;) {
    const int middle = (expert + end) / 2;
    (sorted.first_tile[middle] <= tile ? expert : end) = middle;
  }
  const int first = sorted.first[expert] + (tile - sorted.first_tile[expert]) * kRows;
  const int rows = min(kRows, sorted.first[expert + 1] - first);
  const T* const weight = job.weight + int64_t(expert) * job.n * job.k;

  // A thread fetches a piece of one row of x and of two of the weights.
  const int t = int(threadIdx.x), line = t / 4, piece = t % 4 * 8;
  const bool has_row = line < rows;
  const T* const x =
      job.x + (has_row ? sorted.choice[first + line] / job.per_x * job.x_stride : 0) + piece;
  const auto load = [&](int step) {
    const int k0 = step * kDepth;
    if (k0 < job.k) {
      T* const to = ring + step % kStages * kStage + line * kPitch + piece;
      const bool inside = k0 + piece < job.k;
      fetch(to, has_row && inside ? x + k0 : job.x, has_row && inside);
      for (int half = 0; half < 2; ++half) {
        const int column = n0 + line + half * kRows;
        const bool there = inside && column < job.n;
        fetch(to + (half + 1) * kRows * kPitch,
              there ? weight + int64_t(column) * job.k + k0 + piece : job.weight, there);
      }
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  const int warp = t / 32, lane = t % 32, row = warp / 4 * 32, col = warp % 4 * 32;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum[2][2];
#pragma unroll
  for (auto& some : sum)
#pragma unroll
    for (auto& s : some) wmma::fill_fragment(s, 0.0f);
  for (int s = 0; s + 1 < kStages; ++s) load(s);
  for (int step = 0; step * kDepth < job.k; ++step) {
    asm volatile("cp.async.wait_group %0;" ::"n"(kStages - 2) : "memory");
    __syncthreads();  // all of it is there, and all have read the stage that is fetched next
    load(step + kStages - 1);
    const T* const left = ring + step % kStages * kStage + row * kPitch;
    const T* const right = ring + step % kStages * kStage + (kRows + col) * kPitch;
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) {
      wmma::fragment<wmma::matrix_a, 16, 16, 16, T, wmma::row_major> a[2];
      wmma::fragment<wmma::matrix_b, 16, 16, 16, T, wmma::col_major> b[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        wmma::load_matrix_sync(a[i], left + 16 * i * kPitch + k, kPitch);
        wmma::load_matrix_sync(b[i], right + 16 * i * kPitch + k, kPitch);
      }
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 2; ++j) wmma::mma_sync(sum[i][j], a[i], b[j], sum[i][j]);
    }
  }
  asm volatile("cp.async.wait_group 0;" ::: "memory");
  __syncthreads();
  float* const staged = reinterpret_cast<float*>(shared) + warp * 256;
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      wmma::store_matrix_sync(staged, sum[i][j], 16, wmma::mem_row_major);
      __syncwarp();
      for (int e = lane; e < 256; e += 32) {
        const int r = row + 16 * i + e / 16, c = n0 + col + 16 * j + e % 16;
        if (r >= rows || c >= job.n) continue;
        float v = staged[e];
        if (job.bias) v += widen(job.bias[int64_t(expert) * job.n + c]);
        job.y[int64_t(sorted.choice[first + r]) * job.n + c] =
            narrow<T>(activate(v, job.activation));
      }
      __syncwarp();
    }
}

}  // namespace

void expert_products(CudaQueue& queue, const ExpertChoices& choices,
                     std::span<const ExpertProduct> products) {
  const int count = choices.count, experts = choices.experts;
  int* const memory = queue.scratch<int>(size_t(count) + 2 * size_t(experts + 1));
  const Sorted sorted{memory, memory + count, memory + count + experts + 1};
  launch(queue, sort_choices, 1, 1024, size_t(experts) * sizeof(int), choices.ids, count, experts,
         sorted);
  const unsigned tiles = unsigned(count / kRows + std::min(count, experts));  // at most
  for (const ExpertProduct& p : products)
    visit(Types<float16_t, bfloat16_t>{}, choices.dtype, "expert_linears", [&]<class H>() {
      using T = OnDevice<H>;
      const auto at = [](const void* address) { return static_cast<const T*>(address); };
      const Job<T> job{at(choices.x),    at(p.weight),  at(p.bias), static_cast<T*>(p.y),
                       choices.x_stride, choices.per_x, experts,    p.n,
                       choices.k,        p.activation,  sorted};
      launch(queue, experts_kernel<T>, dim3(unsigned((p.n + kColumns - 1) / kColumns), tiles),
             kThreads, kStages * kStage * sizeof(T), job);
    });
}

}  // namespace hearth::cuda
