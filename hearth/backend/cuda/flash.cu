#include "hearth/backend/cuda/flash.h"

#include <cfloat>

#include "hearth/backend/cuda/block.cuh"
#include "hearth/backend/cuda/elements.cuh"

namespace hearth::cuda {
namespace {

using Heads = FlashJob::Heads;

template <class W>
constexpr W kMasked = W(-FLT_MAX);
template <>
constexpr double kMasked<double> = -DBL_MAX;

template <class T>
__device__ inline const T* start_of(const Heads& x, int64_t b, int64_t h) {
  return static_cast<const T*>(x.data) + b * x.batch + h * x.head;
}
__device__ inline int keys_of(const FlashJob& j, int b) {
  return j.keys + (j.more_keys ? j.more_keys[b] : 0);
}
__device__ inline int offset_of(const FlashJob& j, int b) {
  return j.offset + (j.more_offset ? j.more_offset[b] : 0);
}
/// Keys that queries [first, last) have to look at, of `keys`.
__device__ inline int keys_to_see(const FlashJob& j, int keys, int offset, int first, int last) {
  const bool all = !j.causal || offset + first + 1 <= 0;  // who sees none weighs all alike
  return all ? keys : min(keys, offset + last);
}

/// The first of them, the same for all queries from `first` on.
__device__ inline int first_key(const FlashJob& j, int offset, int first) {
  return j.window > 0 ? max(0, offset + first + 1 - j.window) : 0;
}
/// Is the key hidden from the query by the order of positions?
__device__ inline bool hidden(const FlashJob& j, int key, int position) {
  return j.causal && (key > position || (j.window > 0 && key <= position - j.window));
}

/// A score, in units of `unit`, under element `at` of a mask of bool or T.
template <class T, class W>
__device__ inline W masked(const FlashJob& j, int64_t at, W score, W unit) {
  if (j.mask_dtype == bool_)
    return static_cast<const uint8_t*>(j.mask.data)[at] ? score : kMasked<W>;
  const W m = widen(static_cast<const T*>(j.mask.data)[at]);
  return m == -W(INFINITY) ? m : max(score + m * unit, kMasked<W>);
}

// Tensor cores: a block has 64 queries of a head, each of its 4 warps 16 of them. Tiles of keys and
// values come to shared memory while the ones before are worked on.

__device__ inline unsigned shared_address(const void* p) {
  return unsigned(__cvta_generic_to_shared(p));
}
/// 16 bytes to shared memory, in the background; zeros if not `there`.
__device__ inline void fetch(void* to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(there ? 16 : 0));
}
__device__ inline void end_fetches() { asm volatile("cp.async.commit_group;"); }
template <int still_open>
__device__ inline void wait_fetches() {
  asm volatile("cp.async.wait_group %0;" ::"n"(still_open));
}
/// Four 8 x 8 matrices of halves; lane i gives the address of row i % 8 of matrix i / 8.
__device__ inline void load_matrices(uint32_t (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row)));
}
__device__ inline void load_transposed(uint32_t (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row)));
}
/// c (16, 8) += a (16, 16) b (16, 8)
template <class T>
__device__ inline void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1) {
  if constexpr (std::is_same_v<T, __half>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <class T>
__device__ inline uint32_t pack(float low, float high) {
  const T both[2] = {narrow<T>(low), narrow<T>(high)};
  uint32_t bits;
  memcpy(&bits, both, 4);
  return bits;
}
/// 2^x to 22 bits; 0 for -infinity.
__device__ inline float power_of_2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

constexpr int kQueries = 64, kFlashThreads = 128;
/// Elements between rows in shared memory: rows of 8 matrices start in different banks.
template <int Depth>
constexpr int kPitch = Depth + 8;
template <int Depth>
constexpr int kKeys = Depth > 128 ? 32 : 64;
template <int Depth>
constexpr size_t kFlashShared = size_t(kQueries + 4 * kKeys<Depth>) * kPitch<Depth> * 2;

/// Rows [first, first + rows) of x, of which those below `end` are there, (rows, Depth); zeros
/// elsewhere.
template <class T, int Depth>
__device__ inline void load_rows(T* to, const T* x, const Heads& heads, int first, int rows,
                                 int end, int size, bool pieces) {
  constexpr int kPieces = Depth / 8;
  if (pieces) {
    for (int i = int(threadIdx.x); i < rows * kPieces; i += kFlashThreads) {
      const int r = i / kPieces, c = i % kPieces * 8;
      const bool there = first + r < end && c < size;
      fetch(to + r * kPitch<Depth> + c, there ? x + (first + r) * heads.position + c : x, there);
    }
  } else {
    for (int i = int(threadIdx.x); i < rows * Depth; i += kFlashThreads) {
      const int r = i / Depth, c = i % Depth;
      const bool there = first + r < end && c < size;
      to[r * kPitch<Depth> + c] =
          there ? x[(first + r) * heads.position + c * heads.element] : narrow<T>(0.0f);
    }
  }
}

/// Depth: D and Dv, rounded up.
template <class T, int Depth>
__global__ void __launch_bounds__(kFlashThreads)
    flash_kernel(FlashJob j, bool q_pieces, bool k_pieces, bool v_pieces, bool y_pairs) {
  constexpr int N = kKeys<Depth>, pitch = kPitch<Depth>;
  constexpr bool kKeepQ = Depth <= 128;
  constexpr float kLog2e = 1.44269504f;
  extern __shared__ __align__(16) unsigned char memory[];
  T* const shared_q = reinterpret_cast<T*>(memory);  // (64, Depth)
  T* const shared_k = shared_q + kQueries * pitch;   // 2 of (N, Depth)
  T* const shared_v = shared_k + 2 * N * pitch;      // 2 of (N, Depth)
  const int tiles = (j.L + kQueries - 1) / kQueries, heads = j.B * j.H;
  const int q0 = (tiles - 1 - int(blockIdx.x) / heads) * kQueries;  // the long ones first
  const int b = int(blockIdx.x) % heads / j.H, h = int(blockIdx.x) % j.H;
  const int kv = h / (j.H / j.Hkv);
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  const int group = lane / 4, pair = lane % 4 * 2;  // row and column of a lane in a matrix
  const int keys = keys_of(j, b), offset = offset_of(j, b);
  const int end = keys_to_see(j, keys, offset, q0, min(q0 + kQueries, j.L));
  const int steps = (end + N - 1) / N, begin = min(first_key(j, offset, q0) / N, steps);
  const T* const q = start_of<T>(j.q, b, h);
  const T* const k = start_of<T>(j.k, b, kv);
  const T* const v = start_of<T>(j.v, b, kv);
  const int64_t mask = b * j.mask.batch + h * j.mask.head;  // where this head's starts

  const auto load_keys = [&](int step) {
    const int at = step % 2 * N * pitch;
    load_rows<T, Depth>(shared_k + at, k, j.k, step * N, N, keys, j.D, k_pieces);
    load_rows<T, Depth>(shared_v + at, v, j.v, step * N, N, keys, j.Dv, v_pieces);
    end_fetches();
  };
  load_rows<T, Depth>(shared_q, q, j.q, q0, kQueries, j.L, j.D, q_pieces);
  if (steps > begin) load_keys(begin);

  const int rows[2] = {q0 + warp * 16 + group, q0 + warp * 16 + group + 8};
  float high[2], sum[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    high[r] =
        j.sinks ? load_as<float>(j.sinks, j.sinks_dtype, h * j.sinks_stride) * kLog2e : -INFINITY;
    sum[r] = j.sinks && pair == 0;  // lanes' sums are added at the end
  }
  float out[Depth / 8][4] = {};
  uint32_t query[kKeepQ ? Depth / 16 : 1][4];
  const auto load_query = [&](int c, uint32_t(&to)[4]) {
    load_matrices(to, shared_q + (warp * 16 + lane % 16) * pitch + c * 16 + lane / 16 * 8);
  };
  for (int step = begin; step < steps; ++step) {
    if (step + 1 < steps) {
      load_keys(step + 1);
      wait_fetches<1>();
    } else {
      wait_fetches<0>();
    }
    __syncthreads();
    if constexpr (kKeepQ)
      if (step == begin)
#pragma unroll
        for (int c = 0; c < Depth / 16; ++c) load_query(c, query[c]);
    const int first = step * N;
    const T* const tile_k = shared_k + step % 2 * N * pitch;
    const T* const tile_v = shared_v + step % 2 * N * pitch;

    float score[N / 8][4] = {};
#pragma unroll
    for (int c = 0; c < Depth / 16; ++c) {
      uint32_t a[4];
      if constexpr (!kKeepQ) load_query(c, a);
#pragma unroll
      for (int n = 0; n < N / 16; ++n) {
        uint32_t key[4];
        load_matrices(
            key, tile_k + (n * 16 + lane / 16 * 8 + lane % 8) * pitch + c * 16 + lane / 8 % 2 * 8);
        if constexpr (kKeepQ) {
          multiply_add<T>(score[2 * n], query[c], key[0], key[1]);
          multiply_add<T>(score[2 * n + 1], query[c], key[2], key[3]);
        } else {
          multiply_add<T>(score[2 * n], a, key[0], key[1]);
          multiply_add<T>(score[2 * n + 1], a, key[2], key[3]);
        }
      }
    }

    if (j.softcap > 0) {
      const float inner = j.scale / j.softcap, outer = j.softcap / j.scale;
#pragma unroll
      for (int n = 0; n < N / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) score[n][e] = outer * tanhf(inner * score[n][e]);
    }
    const float scale = j.scale * kLog2e;
#pragma unroll
    for (int n = 0; n < N / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) score[n][e] *= scale;
    const int position = offset + q0 + warp * 16;  // the position of the warp's first
    const bool partly = first + N > keys || (j.causal && first + N > position + 1) ||
                        (j.window > 0 && first <= position + 15 - j.window);
    if (partly || j.mask.data) {
#pragma unroll
      for (int n = 0; n < N / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int row = rows[e / 2], column = first + n * 8 + pair + e % 2;
          float& s = score[n][e];
          if (j.mask.data && row < j.L && column < keys)
            s = masked<T>(j, mask + row * j.mask.position + column * j.mask.element, s, kLog2e);
          if (hidden(j, column, offset + row)) s = kMasked<float>;
          if (column >= keys) s = -INFINITY;
        }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float most = high[r];
#pragma unroll
      for (int n = 0; n < N / 8; ++n)
        most = fmaxf(most, fmaxf(score[n][2 * r], score[n][2 * r + 1]));
      most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
      most = fmaxf(most, __shfl_xor_sync(~0u, most, 2));
      const float centre = most == -INFINITY ? 0 : most, shrink = power_of_2(high[r] - centre);
      high[r] = most;
      sum[r] *= shrink;
#pragma unroll
      for (int n = 0; n < N / 8; ++n)
#pragma unroll
        for (int e = 2 * r; e < 2 * r + 2; ++e) {
          score[n][e] = power_of_2(score[n][e] - centre);
          sum[r] += score[n][e];
        }
#pragma unroll
      for (int d = 0; d < Depth / 8; ++d) out[d][2 * r] *= shrink, out[d][2 * r + 1] *= shrink;
    }

#pragma unroll
    for (int c = 0; c < N / 16; ++c) {
      const float(&left)[4] = score[2 * c];
      const float(&right)[4] = score[2 * c + 1];
      const uint32_t weight[4] = {pack<T>(left[0], left[1]), pack<T>(left[2], left[3]),
                                  pack<T>(right[0], right[1]), pack<T>(right[2], right[3])};
#pragma unroll
      for (int d = 0; d < Depth / 16; ++d) {
        uint32_t value[4];
        load_transposed(value, tile_v + (c * 16 + lane / 8 % 2 * 8 + lane % 8) * pitch + d * 16 +
                                   lane / 16 * 8);
        multiply_add<T>(out[2 * d], weight, value[0], value[1]);
        multiply_add<T>(out[2 * d + 1], weight, value[2], value[3]);
      }
    }
    __syncthreads();
  }

#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float total = sum[r];
    total += __shfl_xor_sync(~0u, total, 1);
    total += __shfl_xor_sync(~0u, total, 2);
    const float factor = total == 0 ? 0 : 1 / total;  // 0: no keys, or all of -infinity
    if (rows[r] >= j.L) continue;
    T* const y = static_cast<T*>(const_cast<void*>(j.y.data)) + b * j.y.batch + h * j.y.head +
                 rows[r] * j.y.position;
#pragma unroll
    for (int d = 0; d < Depth / 8; ++d) {
      const int at = d * 8 + pair;
      const float a = out[d][2 * r] * factor, c = out[d][2 * r + 1] * factor;
      if (y_pairs) {
        if (at < j.Dv) *reinterpret_cast<uint32_t*>(y + at) = pack<T>(a, c);
      } else {
        if (at < j.Dv) y[at * j.y.element] = narrow<T>(a);
        if (at + 1 < j.Dv) y[(at + 1) * j.y.element] = narrow<T>(c);
      }
    }
  }
}

/// Can rows be loaded in pieces of `bytes`?
bool in_pieces(const Heads& x, int size, size_t item, size_t bytes) {
  const int64_t n = int64_t(bytes / item);
  return reinterpret_cast<uintptr_t>(x.data) % bytes == 0 && (x.element == 1 || size == 1) &&
         size % n == 0 && x.batch % n == 0 && x.head % n == 0 && x.position % n == 0;
}

template <class T, int Depth>
void start_flash(CudaQueue& queue, const FlashJob& j) {
  const auto kernel = flash_kernel<T, Depth>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  int(kFlashShared<Depth>)),
             "attention");
  const int64_t blocks = int64_t(j.L + kQueries - 1) / kQueries * j.B * j.H;
  ensure(blocks < INT32_MAX, "attention: ", blocks, " blocks of queries are too many");
  launch(queue, kernel, dim3(unsigned(blocks)), dim3(kFlashThreads), kFlashShared<Depth>, j,
         in_pieces(j.q, j.D, 2, 16), in_pieces(j.k, j.D, 2, 16), in_pieces(j.v, j.Dv, 2, 16),
         in_pieces(j.y, j.Dv, 2, 4));
}

// Plain arithmetic: a block has R queries of a head. A thread has a key for the scores, and
// elements of the output for the values.

constexpr int kFewThreads = 128, kMostPerThread = 4;

template <class T, int R>
__global__ void __launch_bounds__(kFewThreads) few_queries(FlashJob j) {
  using W = std::conditional_t<std::is_same_v<T, double>, double, float>;
  extern __shared__ __align__(16) unsigned char memory[];
  __shared__ W weights[R][kFewThreads];
  __shared__ W joined[32];
  W* const query = reinterpret_cast<W*>(memory);  // (R, D)
  const int tiles = (j.L + R - 1) / R, t = int(threadIdx.x);
  const int l0 = int(blockIdx.x) % tiles * R, head = int(blockIdx.x) / tiles;
  const int b = head / j.H, h = head % j.H, kv = h / (j.H / j.Hkv);
  const int keys = keys_of(j, b), offset = offset_of(j, b);
  const int end = keys_to_see(j, keys, offset, l0, min(l0 + R, j.L));
  const T* const q = start_of<T>(j.q, b, h);
  const T* const k = start_of<T>(j.k, b, kv);
  const T* const v = start_of<T>(j.v, b, kv);
  const int64_t mask = b * j.mask.batch + h * j.mask.head;  // where this head's starts
  for (int i = t; i < R * j.D; i += kFewThreads) {
    const int l = min(l0 + i / j.D, j.L - 1), d = i % j.D;
    query[i] = W(widen(q[l * j.q.position + d * j.q.element])) * W(j.scale);
  }
  W high[R], sum[R], out[R][kMostPerThread] = {};
#pragma unroll
  for (int r = 0; r < R; ++r) {
    high[r] = j.sinks ? load_as<W>(j.sinks, j.sinks_dtype, h * j.sinks_stride) : -W(INFINITY);
    sum[r] = j.sinks ? 1 : 0;
  }
  __syncthreads();
  const auto larger = [](W a, W b) { return max(a, b); };
  const auto add = [](W a, W b) { return a + b; };
  for (int first = first_key(j, offset, l0); first < end; first += kFewThreads) {
    const int key = first + t, count = min(kFewThreads, keys - first);
    W score[R] = {};
    if (key < keys) {
      const T* row = k + key * j.k.position;
#pragma unroll 4
      for (int d = 0; d < j.D; ++d) {
        const W x = widen(row[d * j.k.element]);
#pragma unroll
        for (int r = 0; r < R; ++r) score[r] += query[r * j.D + d] * x;
      }
    }
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const int l = min(l0 + r, j.L - 1);
      W s = score[r];
      if (j.softcap > 0) s = W(j.softcap) * tanh(s / W(j.softcap));
      if (j.mask.data && key < keys)
        s = masked<T>(j, mask + l * j.mask.position + key * j.mask.element, s, W(1));
      if (hidden(j, key, offset + l)) s = kMasked<W>;
      if (key >= keys) s = -W(INFINITY);
      const W most = max(high[r], join_threads(s, kFewThreads, larger, joined));
      const W centre = most == -W(INFINITY) ? W(0) : most, shrink = exp(high[r] - centre);
      const W weight = exp(s - centre);
      high[r] = most;
      sum[r] = sum[r] * shrink + join_threads(weight, kFewThreads, add, joined);
      weights[r][t] = weight;
#pragma unroll
      for (int i = 0; i < kMostPerThread; ++i) out[r][i] *= shrink;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kMostPerThread; ++i) {
      const int d = t + i * kFewThreads;
      if (d >= j.Dv) break;
      const T* column = v + first * j.v.position + d * j.v.element;
#pragma unroll 4
      for (int n = 0; n < count; ++n) {
        const W x = widen(column[n * j.v.position]);
#pragma unroll
        for (int r = 0; r < R; ++r) out[r][i] += weights[r][n] * x;
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
    if (l0 + r >= j.L) continue;
    const W factor = sum[r] == 0 ? W(0) : 1 / sum[r];  // 0: no keys, or all of -infinity
    T* const y = static_cast<T*>(const_cast<void*>(j.y.data)) + b * j.y.batch + h * j.y.head +
                 (l0 + r) * j.y.position;
#pragma unroll
    for (int i = 0; i < kMostPerThread; ++i) {
      const int d = t + i * kFewThreads;
      if (d < j.Dv) y[d * j.y.element] = narrow<T>(out[r][i] * factor);
    }
  }
}

template <class T, int R>
void start_few(CudaQueue& queue, const FlashJob& j) {
  ensure(j.Dv <= kFewThreads * kMostPerThread, "attention: values of ", j.Dv,
         " elements, wanted at most ", kFewThreads * kMostPerThread);
  const int64_t blocks = int64_t(j.L + R - 1) / R * j.B * j.H;
  ensure(blocks < INT32_MAX, "attention: ", blocks, " blocks of queries are too many");
  const size_t shared = size_t(R * j.D) * (std::is_same_v<T, double> ? 8 : 4);
  ensure(shared <= (size_t{40} << 10), "attention: queries of ", j.D, " elements are too long");
  launch(queue, few_queries<T, R>, dim3(unsigned(blocks)), dim3(kFewThreads), shared, j);
}

}  // namespace

void flash_attention(CudaQueue& queue, const FlashJob& job) {
  if (job.B == 0 || job.H == 0 || job.L == 0 || job.Dv == 0) return;
  visit(Floats{}, job.dtype, "attention", [&]<class H>() {
    using T = OnDevice<H>;
    if constexpr (sizeof(T) == 2) {
      const int depth = std::max(job.D, job.Dv);
      if (job.L > 8 && depth <= 256) {
        if (depth <= 64) return start_flash<T, 64>(queue, job);
        if (depth <= 80) return start_flash<T, 80>(queue, job);
        if (depth <= 128) return start_flash<T, 128>(queue, job);
        return start_flash<T, 256>(queue, job);
      }
    }
    job.L == 1 ? start_few<T, 1>(queue, job) : start_few<T, 4>(queue, job);
  });
}

}  // namespace hearth::cuda
