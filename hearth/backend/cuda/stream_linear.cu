// Each block owns some rows of the weights and streams them, in chunks of 2 KiB, through a ring in
// shared memory that each warp keeps for itself (no barrier while streaming). The ring is filled
// before the kernel waits for its input, so that the memory stays busy while one kernel ends and
// the next begins.
#include "hearth/backend/cuda/pipeline.cuh"
#include "hearth/backend/cuda/stream_linear.h"

namespace hearth::cuda {

namespace {

constexpr int kWarps = 16, kThreads = kWarps * 32;
constexpr int kChunk = 2048;               // bytes
constexpr int kVectors = kChunk / 512;     // 16-byte vectors of a lane
constexpr int kMaxRows = 4;                // of x
constexpr size_t kMaxPartials = 12 << 10;  // bytes of row sums

constexpr int kStages = 4;  // chunks in a warp's ring
constexpr int kAhead = 3;   // chunks after them, into L2, where the memory would wait with us

using Job = StreamLinear;

__device__ inline float activated(float x, fast::Activation a) {
  switch (a) {
    case fast::Activation::none: return x;
    case fast::Activation::relu: return fmaxf(x, 0.0f);
    case fast::Activation::silu: return x / (1.0f + __expf(-x));
    case fast::Activation::gelu_approx:
      return 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
    case fast::Activation::gelu: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
  }
  return x;
}

__device__ inline void copy_async(void* shared, const void* global) {
  const unsigned to = unsigned(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16;" ::"r"(to), "l"(global)
               : "memory");
}
__device__ inline void commit_async() { asm volatile("cp.async.commit_group;"); }
template <int Left>
__device__ inline void wait_async() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
}

__device__ inline float warp_sum(float v) {
  for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
  return v;
}

template <class T>
struct Vector {  // 16 bytes of T
  static constexpr int kSize = 16 / sizeof(T);
  uint4 raw;
  __device__ void to_float(float (&f)[kSize]) const {
    const T* t = reinterpret_cast<const T*>(&raw);
    for (int i = 0; i < kSize; ++i) f[i] = float(widen(t[i]));
  }
};
template <>
__device__ inline void Vector<__half>::to_float(float (&f)[8]) const {
  const __half2* t = reinterpret_cast<const __half2*>(&raw);
  for (int i = 0; i < 4; ++i) {
    const float2 p = __half22float2(t[i]);
    f[2 * i] = p.x, f[2 * i + 1] = p.y;
  }
}
template <>
__device__ inline void Vector<__nv_bfloat16>::to_float(float (&f)[8]) const {
  const uint32_t w[4] = {raw.x, raw.y, raw.z, raw.w};
  for (int i = 0; i < 4; ++i)
    f[2 * i] = __uint_as_float(w[i] << 16), f[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
}

// Where a warp is in its block's chunks, row after row: it takes every kWarps-th.
template <class T>
struct Cursor {
  const Job& job;
  int per_row, first_chunks;  // chunks of a row; of its first term
  int row, chunk, unit;
  __device__ Cursor(const Job& job, int per_row, int first_row, int warp)
      : job(job),
        per_row(per_row),
        first_chunks((job.k[0] * int(sizeof(T)) + kChunk - 1) / kChunk),
        row(first_row + warp / per_row),
        chunk(warp % per_row),
        unit(warp) {}
  __device__ void next() {
    row += kWarps / per_row, chunk += kWarps % per_row, unit += kWarps;
    if (chunk >= per_row) chunk -= per_row, ++row;
  }
  struct Place {
    const std::byte* weight;
    int term, start, bytes;  // start: of the chunk in its row
  };
  __device__ Place place() const {
    int r = row, p = 0;
    while (p + 1 < job.parts && r >= job.part[p].rows) r -= job.part[p++].rows;
    const int term = chunk >= first_chunks;
    const int row_bytes = job.k[term] * int(sizeof(T));
    const int start = (chunk - (term ? first_chunks : 0)) * kChunk;
    return {
        static_cast<const std::byte*>(job.part[p].weight[term]) + int64_t(r) * row_bytes + start,
        term, start, min(kChunk, row_bytes - start)};
  }
};

template <class T, int M>
__global__ void __launch_bounds__(kThreads, M == 1 ? 2 : 1)
    stream_kernel(const __grid_constant__ Job job, int rows, int per_row) {
  extern __shared__ __align__(16) std::byte shared[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int first = int(int64_t(rows) * blockIdx.x / gridDim.x);
  const int last = int(int64_t(rows) * (blockIdx.x + 1) / gridDim.x);
  const int units = (last - first) * per_row;
  std::byte* ring = shared + warp * kStages * kChunk;
  std::byte* xs = shared + kWarps * kStages * kChunk;  // (terms, M, k)
  const int total_k = job.k[0] + (job.terms > 1 ? job.k[1] : 0);
  float* partial = reinterpret_cast<float*>(xs + size_t(M) * total_k * sizeof(T));

  let_next_start();
  Cursor<T> ahead(job, per_row, first, warp);  // what is fetched next
  const auto fetch = [&](int slot) {
    if (ahead.unit < units) {
      const auto place = ahead.place();
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const int at = v * 512 + lane * 16;
        if (at < place.bytes) copy_async(ring + slot * kChunk + at, place.weight + at);
      }
      ahead.next();
    }
    commit_async();
  };
  const auto fill = [&] {
    for (int s = 0; s < kStages; ++s) fetch(s);
  };
  if (job.constant_weights) {
    fill();
    // After attention, which leaves the memory idle; other kernels end too close to our beginning.
    Cursor<T> beyond = ahead;
    for (int i = 0; job.terms > 1 && i < kAhead && beyond.unit < units; ++i, beyond.next()) {
      const auto place = beyond.place();
      if (lane * 128 < place.bytes)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(place.weight + lane * 128));
    }
  }
  // What the ends of the rows need: bias now, the residual as soon as it is there.
  const auto out_of = [&](int i, int& p, int64_t& at) {  // of output i of this block
    int row = first + i / M;
    p = 0;
    while (p + 1 < job.parts && row >= job.part[p].rows) row -= job.part[p++].rows;
    at = int64_t(i % M) * job.part[p].rows + row;
    return row;
  };
  const auto bias_of = [&](int p, int row) {
    float bias = 0;
    for (int t = 0; t < job.terms; ++t)
      if (job.part[p].bias[t]) bias += widen(static_cast<const T*>(job.part[p].bias[t])[row]);
    return bias;
  };
  const int outputs = (last - first) * M, mine = threadIdx.x;
  float bias = 0, residual = 0;
  int part = 0;
  int64_t at = 0;
  const int row = mine < outputs ? out_of(mine, part, at) : 0;
  if (mine < outputs && job.constant_weights) bias = bias_of(part, row);
  // The norm's weights, of the elements that this thread will have of x: constants too.
  constexpr int kSize = Vector<T>::kSize;
  const int norm_at = threadIdx.x * kSize;
  const bool norm_mine = job.norm && norm_at < job.k[0];
  Vector<T> norm_weight{}, norm_bias{};
  const auto load_norm = [&] {
    if (norm_mine && job.norm_weight)
      norm_weight.raw =
          *reinterpret_cast<const uint4*>(static_cast<const T*>(job.norm_weight) + norm_at);
    if (norm_mine && job.norm_bias)
      norm_bias.raw =
          *reinterpret_cast<const uint4*>(static_cast<const T*>(job.norm_bias) + norm_at);
  };
  if (job.constant_weights) load_norm();
  wait_for_previous();
  if (!job.constant_weights) {
    fill();
    load_norm();
    if (mine < outputs) bias = bias_of(part, row);
  }
  if (mine < outputs && job.residual) residual = widen(static_cast<const T*>(job.residual)[at]);

  // x, and its norm.
  if (job.norm) {
    __shared__ __align__(16) float sums[2][kWarps];
    const auto block_sum = [&](float v, float(&to)[kWarps]) {
      v = warp_sum(v);
      if (lane == 0) to[warp] = v;
      __syncthreads();
      float all = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) all += to[w];
      return all;
    };
    const float per_k = 1.0f / float(job.k[0]);
    for (int m = 0; m < M; ++m) {
      float f[kSize] = {}, mean = 0, square = 0;
      if (norm_mine)
        Vector<T>{*reinterpret_cast<const uint4*>(static_cast<const T*>(job.x[0]) + m * job.k[0] +
                                                  norm_at)}
            .to_float(f);
      if (!job.rms) {
        float sum = 0;
        for (int i = 0; i < kSize; ++i) sum += f[i];
        mean = block_sum(sum, sums[0]) * per_k;
      }
      if (norm_mine)
        for (int i = 0; i < kSize; ++i) square += (f[i] - mean) * (f[i] - mean);
      if (m > 0) __syncthreads();  // sums[1] was read
      square = block_sum(square, sums[1]);
      const float scale = rsqrtf(square * per_k + job.eps);
      if (norm_mine) {
        float w[kSize], b[kSize];
        norm_weight.to_float(w);
        norm_bias.to_float(b);
        alignas(16) T y[kSize];
        for (int i = 0; i < kSize; ++i) {
          float v = (f[i] - mean) * scale;
          if (job.norm_weight) v *= w[i];
          if (job.norm_bias) v += b[i];
          y[i] = narrow<T>(v);
        }
        *reinterpret_cast<uint4*>(xs + (size_t(m) * job.k[0] + norm_at) * sizeof(T)) =
            *reinterpret_cast<const uint4*>(y);
      }
    }
  } else {
    for (int t = 0, before = 0; t < job.terms; before += M * job.k[t++]) {
      const int vectors = M * job.k[t] * int(sizeof(T)) / 16;
      uint4* to = reinterpret_cast<uint4*>(xs + size_t(before) * sizeof(T));
      for (int i = threadIdx.x; i < vectors; i += kThreads)
        to[i] = static_cast<const uint4*>(job.x[t])[i];
    }
  }
  __syncthreads();

  int slot = 0;
  for (Cursor<T> here(job, per_row, first, warp); here.unit < units; here.next()) {
    wait_async<kStages - 1>();  // all but the newest groups are there; groups end in order
    const auto place = here.place();
    float sum[M] = {}, more[M] = {};  // two chains of additions
    const std::byte* x = xs + (place.term ? M * job.k[0] * sizeof(T) : 0) + place.start + lane * 16;
    const size_t x_row = job.k[place.term] * sizeof(T);
    const std::byte* w_at = ring + slot * kChunk + lane * 16;
    const auto add = [&](int v) {
      float w[kSize];
      Vector<T>{*reinterpret_cast<const uint4*>(w_at + v * 512)}.to_float(w);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        float f[kSize];
        Vector<T>{*reinterpret_cast<const uint4*>(x + m * x_row + v * 512)}.to_float(f);
#pragma unroll
        for (int i = 0; i < kSize; i += 2) {
          sum[m] = fmaf(w[i], f[i], sum[m]);
          more[m] = fmaf(w[i + 1], f[i + 1], more[m]);
        }
      }
    };
    if (place.bytes == kChunk) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) add(v);
    } else {
#pragma unroll
      for (int v = 0; v < kVectors; ++v)
        if (v * 512 + lane * 16 < place.bytes) add(v);
    }
    fetch(slot);
    slot = slot + 1 == kStages ? 0 : slot + 1;
#pragma unroll
    for (int m = 0; m < M; ++m) {
      const float s = warp_sum(sum[m] + more[m]);
      if (lane == 0) partial[here.unit * M + m] = s;
    }
  }
  __syncthreads();

  for (int i = mine; i < outputs; i += kThreads) {
    if (i != mine) {
      const int next = out_of(i, part, at);
      bias = bias_of(part, next);
      residual = job.residual ? float(widen(static_cast<const T*>(job.residual)[at])) : 0.0f;
    }
    float y = bias;
    for (int c = 0; c < per_row; ++c) y += partial[(i / M * per_row + c) * M + i % M];
    y = activated(y, job.part[part].activation) + residual;
    static_cast<T*>(job.part[part].y)[at] = narrow<T>(y);
  }
}

struct Plan {
  int rows = 0, per_row = 0;
  unsigned blocks = 0;
  size_t shared = 0;
};
Plan plan(const Job& job, const Card& card) {
  Plan p;
  const int item = int(size_of(job.dtype));
  size_t x = 0;
  for (int i = 0; i < job.parts; ++i) p.rows += job.part[i].rows;
  for (int t = 0; t < job.terms; ++t) {
    p.per_row += (job.k[t] * item + kChunk - 1) / kChunk;
    x += size_t(job.m) * job.k[t] * item;
  }
  // One block a multiprocessor; more when the row sums of one would be too many.
  const int64_t most = int64_t(kMaxPartials) / (4 * p.per_row * job.m);
  int64_t waves = 1;
  while ((p.rows + card.multiprocessors * waves - 1) / (card.multiprocessors * waves) > most)
    ++waves;
  p.blocks = unsigned(std::min<int64_t>(card.multiprocessors * waves, p.rows));
  const size_t per_block = (size_t(p.rows) + p.blocks - 1) / p.blocks;
  p.shared = size_t(kWarps) * kStages * kChunk + x + per_block * p.per_row * job.m * 4;
  return p;
}

template <class T, int M>
void start(const Job& job, CudaQueue& queue) {
  static size_t allowed = 48 << 10;
  const Plan p = plan(job, queue.card());
  allow_shared(stream_kernel<T, M>, p.shared, allowed);
  launch_early(queue, stream_kernel<T, M>, p.blocks, kThreads, p.shared, job, p.rows, p.per_row);
}

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace

bool stream_fits(const Job& job, const Card& card) {
  if (job.dtype != float16 && job.dtype != bfloat16 && job.dtype != float32) return false;
  if (job.m < 1 || job.m > kMaxRows) return false;
  for (int t = 0; t < job.terms; ++t) {
    if (job.k[t] == 0 || job.k[t] * size_of(job.dtype) % 16 != 0 || !aligned(job.x[t]))
      return false;
    for (int i = 0; i < job.parts; ++i)
      if (job.part[i].rows == 0 || !aligned(job.part[i].weight[t])) return false;
  }
  if (job.norm && size_t(job.k[0]) * size_of(job.dtype) > kThreads * 16) return false;
  for (const void* p : {job.norm_weight, job.norm_bias})
    if (!aligned(p)) return false;
  return plan(job, card).shared <= card.shared_memory_per_block;
}

void stream_linear(const Job& job, CudaQueue& queue) {
  const auto with_rows = [&]<class T>() {
    switch (job.m) {
      case 1: return start<T, 1>(job, queue);
      case 2: return start<T, 2>(job, queue);
      case 3: return start<T, 3>(job, queue);
      default: return start<T, 4>(job, queue);
    }
  };
  switch (job.dtype) {
    case float16: return with_rows.operator()<__half>();
    case bfloat16: return with_rows.operator()<__nv_bfloat16>();
    default: return with_rows.operator()<float>();
  }
}

}  // namespace hearth::cuda
