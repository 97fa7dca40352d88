// Attention to a cache. One new row (decode): blocks share each head's keys, rotate, write the new
// row into the cache, and the last block to finish joins the parts. Many (prefill): the rows are
// rotated and written first, then flash attention reads the cache.
#include <cmath>

#include "hearth/backend/cuda/flash.h"
#include "hearth/backend/cuda/pipeline.cuh"

namespace hearth::cuda {

namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32;
constexpr int kMaxD = 256;
constexpr int kKeysPerSplit = 128;  // the least that another block is worth
constexpr int kMaxSplits = 16;

struct Job {
  const void *q, *k, *v;                          // (B, L, H, D), (B, L, Hkv, D)
  void *cache_k, *cache_v;                        // (B, Hkv, capacity, D)
  void* y;                                        // (B, L, H, D)
  void* rotated;                                  // (B, L, H, D): of prefill
  const int* offsets;                             // (B)
  const float* freqs;                             // (dims / 2), or null
  float* parts;                                   // (B, H, splits, D + 2): of decode
  unsigned* finished;                             // (B, H) counters, zero before and after
  int64_t q_stride[3], k_stride[3], v_stride[3];  // of B, L and heads; D is contiguous
  int L, H, Hkv, D, capacity, splits;
  int rope_dims;
  bool traditional;
  float rope_scale, scale;
  float rates[kMaxD / 2];  // of rotation, unless freqs
};

// Element d of a row, rotated for `position`.
template <class T>
__device__ float rotated(const Job& job, const T* row, int d, int position) {
  const float x = widen(row[d]);
  if (d >= job.rope_dims) return x;
  const int half = job.rope_dims / 2;
  const int pair = job.traditional ? d / 2 : d % half;
  const bool second = job.traditional ? d % 2 : d >= half;
  const float other = widen(row[job.traditional ? d ^ 1 : second ? d - half : d + half]);
  const float rate = job.freqs ? 1.0f / job.freqs[pair] : job.rates[pair];
  float s, c;
  sincosf(float(position) * job.rope_scale * rate, &s, &c);
  return second ? other * s + x * c : x * c - other * s;
}

template <class T>
struct alignas(16) Eight {  // elements of a row
  T t[8];
  __device__ static Eight load(const T* p) {
    Eight e;
    for (size_t i = 0; i < sizeof(t) / 16; ++i)
      reinterpret_cast<uint4*>(e.t)[i] = reinterpret_cast<const uint4*>(p)[i];
    return e;
  }
};

// What a group of lanes has seen: the largest score, the sum of weights, the weighted values.
struct Seen {
  float most = -INFINITY, sum = 0, acc[8] = {};
  template <class T>
  __device__ void add(float score, const Eight<T>& value) {
    const float m = fmaxf(most, score);
    if (m == -INFINITY) return;
    const float a = __expf(most - m), b = __expf(score - m);
#pragma unroll
    for (int i = 0; i < 8; ++i) acc[i] = acc[i] * a + widen(value.t[i]) * b;
    sum = sum * a + b;
    most = m;
  }
};

// Grid (splits, H, B). `Lanes` lanes hold a row of D <= 8 * Lanes elements.
template <class T, int Lanes>
__global__ void __launch_bounds__(kThreads, 2) decode_kernel(const __grid_constant__ Job job) {
  constexpr int kGroups = kThreads / Lanes;  // each takes its own keys
  constexpr int kAhead = 4;                  // keys of a group in flight
  __shared__ __align__(16) float q[kMaxD];
  __shared__ __align__(16) T new_k[kMaxD], new_v[kMaxD];
  __shared__ float most[kGroups], sums[kGroups], acc[kGroups][Lanes * 8];
  __shared__ bool last;
  const int split = blockIdx.x, h = blockIdx.y, b = blockIdx.z, D = job.D;
  const int group = h / (job.H / job.Hkv);  // the head of keys and values
  let_next_start();
  wait_for_previous();
  const int n = job.offsets[b];  // rows in the cache; the new one is row n
  if (n < 0 || n >= job.capacity) return;
  const int per = max((n + job.splits) / job.splits, kKeysPerSplit);
  const int splits = (n + per) / per;  // of n + 1 keys; the other blocks have nothing to do
  if (split >= splits) return;
  const int from = split * per, to = min(from + per, n + 1);
  const int mine = threadIdx.x / Lanes, lane = threadIdx.x % Lanes, d0 = lane * 8;
  const bool holds = d0 < D;
  T* const cache_k =
      static_cast<T*>(job.cache_k) + (int64_t(b) * job.Hkv + group) * job.capacity * D;
  T* const cache_v =
      static_cast<T*>(job.cache_v) + (int64_t(b) * job.Hkv + group) * job.capacity * D;
  Eight<T> k[kAhead], v[kAhead];
  const auto load = [&](int start) {  // all but the new row
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int key = start + a * kGroups + mine;
      if (key < to && key != n && holds) {
        k[a] = Eight<T>::load(cache_k + int64_t(key) * D + d0);
        v[a] = Eight<T>::load(cache_v + int64_t(key) * D + d0);
      }
    }
  };
  load(from);  // on their way while the rows are rotated
  const T* q_row = static_cast<const T*>(job.q) + b * job.q_stride[0] + h * job.q_stride[2];
  for (int d = threadIdx.x; d < Lanes * 8; d += kThreads)
    q[d] = d < D ? rotated(job, q_row, d, n) * job.scale : 0.0f;
  if (from <= n && n < to) {
    const T* k_row = static_cast<const T*>(job.k) + b * job.k_stride[0] + group * job.k_stride[2];
    const T* v_row = static_cast<const T*>(job.v) + b * job.v_stride[0] + group * job.v_stride[2];
    const bool writes = h % (job.H / job.Hkv) == 0;  // one of the heads that share it
    // The last threads: the first ones have q.
    for (int d = kThreads - 1 - int(threadIdx.x); d < D; d += kThreads) {
      new_k[d] = narrow<T>(rotated(job, k_row, d, n));
      new_v[d] = v_row[d];
      if (writes) cache_k[int64_t(n) * D + d] = new_k[d], cache_v[int64_t(n) * D + d] = new_v[d];
    }
  }
  __syncthreads();

  float mine_q[8];
  for (int i = 0; i < 8; ++i) mine_q[i] = q[d0 + i];
  Seen seen;
  for (int start = from; start < to; start += kGroups * kAhead) {
    if (start != from) load(start);
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int key = start + a * kGroups + mine;
      const bool there = key < to && holds;
      if (there && key == n) k[a] = Eight<T>::load(new_k + d0), v[a] = Eight<T>::load(new_v + d0);
      float score = 0;
      if (there)
        for (int i = 0; i < 8; ++i) score = fmaf(mine_q[i], widen(k[a].t[i]), score);
      for (int o = Lanes / 2; o > 0; o >>= 1) score += __shfl_xor_sync(~0u, score, o);
      if (there) seen.add(score, v[a]);
    }
  }
  if (lane == 0) most[mine] = seen.most, sums[mine] = seen.sum;
  for (int i = 0; i < 8; ++i) acc[mine][d0 + i] = seen.acc[i];
  __syncthreads();

  // The groups joined, then, by the last block of this head, the splits; always in the same order.
  float m = -INFINITY, sum = 0;
  for (int g = 0; g < kGroups; ++g) m = fmaxf(m, most[g]);
  for (int g = 0; g < kGroups; ++g) sum += m == -INFINITY ? 0.0f : sums[g] * __expf(most[g] - m);
  float* const part = job.parts + ((int64_t(b) * job.H + h) * job.splits) * (D + 2);
  T* const y = static_cast<T*>(job.y) + (int64_t(b) * job.H + h) * D;
  for (int d = threadIdx.x; d < D; d += kThreads) {
    float value = 0;
    for (int g = 0; g < kGroups; ++g)
      if (most[g] != -INFINITY) value += acc[g][d] * __expf(most[g] - m);
    if (splits == 1)
      y[d] = narrow<T>(value / sum);
    else
      part[split * (D + 2) + 2 + d] = value;
  }
  if (splits == 1) return;
  if (threadIdx.x == 0) part[split * (D + 2)] = m, part[split * (D + 2) + 1] = sum;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    unsigned* const count = job.finished + int64_t(b) * job.H + h;
    last = atomicAdd(count, 1u) == unsigned(splits) - 1;
    if (last) *count = 0;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  float all = -INFINITY, total = 0;
  for (int s = 0; s < splits; ++s) all = fmaxf(all, __ldcg(part + s * (D + 2)));
  for (int s = 0; s < splits; ++s)
    total += __ldcg(part + s * (D + 2) + 1) * __expf(__ldcg(part + s * (D + 2)) - all);
  for (int d = threadIdx.x; d < D; d += kThreads) {
    float value = 0;
    for (int s = 0; s < splits; ++s)
      value += __ldcg(part + s * (D + 2) + 2 + d) * __expf(__ldcg(part + s * (D + 2)) - all);
    y[d] = narrow<T>(value / total);
  }
}

// Grid (L, B): rotates q into `rotated`, k into the cache, and copies v there.
template <class T>
__global__ void __launch_bounds__(kThreads) write_rows(const __grid_constant__ Job job) {
  __shared__ float2 turns[kMaxD / 2];  // cosine and sine of each pair
  const int l = blockIdx.x, b = blockIdx.y, D = job.D, half = job.rope_dims / 2;
  const int position = job.offsets[b] + l;
  for (int i = threadIdx.x; i < half; i += kThreads) {
    const float rate = job.freqs ? 1.0f / job.freqs[i] : job.rates[i];
    sincosf(float(position) * job.rope_scale * rate, &turns[i].y, &turns[i].x);
  }
  __syncthreads();
  const bool fits = position >= 0 && position < job.capacity;
  for (int i = threadIdx.x; i < (job.H + 2 * job.Hkv) * D; i += kThreads) {
    const int head = i / D, d = i % D;
    const bool is_q = head < job.H, is_k = !is_q && head < job.H + job.Hkv;
    const int h = is_q ? head : head - job.H - (is_k ? 0 : job.Hkv);
    const int64_t* stride = is_q ? job.q_stride : is_k ? job.k_stride : job.v_stride;
    const T* row = static_cast<const T*>(is_q   ? job.q
                                         : is_k ? job.k
                                                : job.v) +
                   b * stride[0] + l * stride[1] + h * stride[2];
    T y = row[d];
    if ((is_q || is_k) && d < job.rope_dims) {
      const int pair = job.traditional ? d / 2 : d % half;
      const bool second = job.traditional ? d % 2 : d >= half;
      const float x = widen(y), other = widen(row[job.traditional ? d ^ 1
                                                  : second        ? d - half
                                                                  : d + half]);
      const float2 t = turns[pair];
      y = narrow<T>(second ? other * t.y + x * t.x : x * t.x - other * t.y);
    }
    if (is_q)
      static_cast<T*>(job.rotated)[((int64_t(b) * job.L + l) * job.H + h) * D + d] = y;
    else if (fits)
      static_cast<T*>(
          is_k ? job.cache_k
               : job.cache_v)[((int64_t(b) * job.Hkv + h) * job.capacity + position) * D + d] = y;
  }
}

template <class T>
void start(Job job, int batch, Dtype dtype, CudaQueue& queue) {
  if (job.L == 1) {
    job.splits = std::clamp(job.capacity / kKeysPerSplit, 1, kMaxSplits);
    // A large batch fills the card by itself.
    job.splits = std::min(
        job.splits, std::max(1, 8 * queue.card().multiprocessors / std::max(1, batch * job.H)));
    job.finished = queue.counters(batch * job.H);
    job.parts = queue.scratch<float>(size_t(batch) * job.H * job.splits * (job.D + 2));
    const dim3 grid(unsigned(job.splits), unsigned(job.H), unsigned(batch));
    if (job.D <= 64) return launch_early(queue, decode_kernel<T, 8>, grid, kThreads, 0, job);
    if (job.D <= 128) return launch_early(queue, decode_kernel<T, 16>, grid, kThreads, 0, job);
    return launch_early(queue, decode_kernel<T, 32>, grid, kThreads, 0, job);
  }
  job.rotated = queue.scratch<T>(size_t(batch) * job.L * job.H * job.D);
  launch(queue, write_rows<T>, dim3(unsigned(job.L), unsigned(batch)), kThreads, 0, job);
  const int64_t D = job.D, row = job.H * D, head = job.capacity * D;
  FlashJob flash;
  flash.dtype = dtype;
  flash.B = batch, flash.H = job.H, flash.Hkv = job.Hkv, flash.L = job.L;
  flash.D = flash.Dv = job.D;
  flash.q = {job.rotated, job.L * row, D, row};
  flash.k = {job.cache_k, job.Hkv * head, head, D};
  flash.v = {job.cache_v, job.Hkv * head, head, D};
  flash.y = {job.y, job.L * row, D, row};
  flash.scale = job.scale;
  flash.keys = job.L, flash.more_keys = job.offsets;
  flash.causal = true, flash.more_offset = job.offsets;
  flash_attention(queue, flash);
}

}  // namespace

void cached_attention(const fast::CachedAttention& op, const Args& args, CudaQueue& queue) {
  const array &q = args.in[0], &k = args.in[1], &v = args.in[2];
  Job job = {};
  const auto rows = [&](const array& x, int64_t(&stride)[3]) {
    for (int i = 0; i < 3; ++i) stride[i] = x.node().strides[i];
    return queue.ptr<void>(x);
  };
  job.q = rows(q, job.q_stride), job.k = rows(k, job.k_stride), job.v = rows(v, job.v_stride);
  job.cache_k = queue.ptr<void>(args.in[3]), job.cache_v = queue.ptr<void>(args.in[4]);
  job.y = queue.ptr<void>(args.out[0]);
  job.offsets = queue.ptr<int>(args.in[5]);
  job.freqs = op.rotation.has_freqs ? queue.ptr<float>(args.in[6]) : nullptr;
  job.L = q.shape(1), job.H = q.shape(2), job.D = q.shape(3), job.Hkv = k.shape(2);
  job.capacity = args.in[3].shape(2);
  job.rope_dims = op.rotation.dims, job.traditional = op.rotation.traditional;
  job.rope_scale = op.rotation.scale, job.scale = op.scale;
  const int half = op.rotation.dims / 2;
  for (int i = 0; i < half && !job.freqs; ++i)
    job.rates[i] = float(std::pow(double(op.rotation.base), -double(i) / half));
  const int batch = q.shape(0);
  switch (q.dtype()) {
    case float16: return start<__half>(job, batch, float16, queue);
    case bfloat16: return start<__nv_bfloat16>(job, batch, bfloat16, queue);
    default: return start<float>(job, batch, float32, queue);
  }
}

// Rows must be contiguous and in vectors of eight; caches row-major; float64 is decomposed.
bool cached_attention_fits(const Primitive&, std::span<const array> in) {
  const auto contiguous_rows = [](const array& x) { return x.node().strides[3] == 1; };
  const int D = in[0].shape(3);
  return in[0].dtype() != float64 && D % 8 == 0 && D <= kMaxD && in[0].size() > 0 &&
         contiguous_rows(in[0]) && contiguous_rows(in[1]) && contiguous_rows(in[2]) &&
         row_contiguous(in[3].shape(), in[3].node().strides) &&
         row_contiguous(in[4].shape(), in[4].node().strides);
}

}  // namespace hearth::cuda
