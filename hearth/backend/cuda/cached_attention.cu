// Attention to a cache. One new row (decode) is a task; for many (prefill) the rows are rotated and
// written first, then flash attention reads the cache.
#include <cmath>

#include "hearth/backend/cuda/block.cuh"
#include "hearth/backend/cuda/flash.h"
#include "hearth/backend/cuda/rotation.cuh"
#include "hearth/backend/cuda/tasks.h"

namespace hearth::cuda {

namespace {

constexpr int kThreads = 256;

struct Job {
  const void *q, *k, *v;                          // (B, L, H, D), (B, L, Hkv, D)
  void *cache_k, *cache_v;                        // (B, Hkv, capacity, D)
  void* rotated;                                  // (B, L, H, D)
  const int* offsets;                             // (B)
  int64_t q_stride[3], k_stride[3], v_stride[3];  // of B, L and heads; D is contiguous
  int L, H, Hkv, D, capacity;
  Rotation rotation;
  float rates[kMaxHeadDim / 2];
};

// Grid (L, B): rotates q into `rotated`, k into the cache, and copies v there; V elements at a
// time, of which all or none are rotated, with those of the other half if V > 1.
template <class T, int V>
__global__ void __launch_bounds__(kThreads) write_rows(const __grid_constant__ Job job) {
  using P = Piece<T, V>;
  __shared__ float2 turns[kMaxHeadDim / 2];
  Rotation rotation = job.rotation;
  rotation.rates = job.rates;
  const int l = blockIdx.x, b = blockIdx.y, D = job.D, half = rotation.dims / 2;
  const int position = job.offsets[b] + l;
  for (int i = threadIdx.x; i < half; i += kThreads) turns[i] = rotation.turn(i, position);
  __syncthreads();
  const bool fits = position >= 0 && position < job.capacity;
  for (int i = threadIdx.x; i < (job.H + 2 * job.Hkv) * D / V; i += kThreads) {
    const int head = i * V / D, d = i * V % D;
    const bool is_q = head < job.H, is_k = !is_q && head < job.H + job.Hkv;
    const int h = is_q ? head : head - job.H - (is_k ? 0 : job.Hkv);
    const int64_t* stride = is_q ? job.q_stride : is_k ? job.k_stride : job.v_stride;
    const T* row = static_cast<const T*>(is_q   ? job.q
                                         : is_k ? job.k
                                                : job.v) +
                   b * stride[0] + l * stride[1] + h * stride[2];
    P y = *reinterpret_cast<const P*>(row + d);
    if ((is_q || is_k) && d < rotation.dims) {
      if constexpr (V == 1) {
        y.x[0] = narrow<T>(rotation([&](int i) { return widen(row[i]); }, d, turns));
      } else {
        const bool second = d >= half;
        const int pair = second ? d - half : d;
        const P other = *reinterpret_cast<const P*>(row + (second ? pair : d + half));
#pragma unroll
        for (int e = 0; e < V; ++e) {
          const float x = widen(y.x[e]), z = widen(other.x[e]);
          const float2 t = turns[pair + e];
          y.x[e] = narrow<T>(second ? z * t.y + x * t.x : x * t.x - z * t.y);
        }
      }
    }
    T* to = nullptr;
    if (is_q)
      to = static_cast<T*>(job.rotated) + ((int64_t(b) * job.L + l) * job.H + h) * D + d;
    else if (fits)
      to = static_cast<T*>(is_k ? job.cache_k : job.cache_v) +
           ((int64_t(b) * job.Hkv + h) * job.capacity + position) * D + d;
    if (to) *reinterpret_cast<P*>(to) = y;
  }
}

template <class T>
void write_all(const Job& job, int batch, CudaQueue& queue) {
  constexpr int V = 16 / sizeof(T);
  bool whole = !job.rotation.traditional && job.rotation.dims % (2 * V) == 0 && job.D % V == 0;
  for (const void* p : {job.q, job.k, job.v, static_cast<const void*>(job.cache_k),
                        static_cast<const void*>(job.cache_v)})
    whole = whole && reinterpret_cast<uintptr_t>(p) % 16 == 0;
  for (const auto& strides : {job.q_stride, job.k_stride, job.v_stride})
    for (int i = 0; i < 3; ++i) whole = whole && strides[i] % V == 0;
  launch(queue, whole ? write_rows<T, V> : write_rows<T, 1>, dim3(unsigned(job.L), unsigned(batch)),
         kThreads, 0, job);
}

}  // namespace

void cached_attention(const fast::CachedAttention& op, const Args& args, CudaQueue& queue) {
  const fast::AttentionForm& form = op.form;
  const fast::Rotation& rotation = form.rotation;
  const fast::CachedAttention::Inputs in = op.inputs(args.in);
  const array &q = *in.q, &k = *in.k, &v = *in.v;
  const int batch = in.B, L = in.L, H = in.H, D = in.D, Hkv = in.Hkv, capacity = in.capacity;
  const float* freqs = in.freqs ? queue.ptr<float>(*in.freqs) : nullptr;
  Rates rates = {};  // of rotation
  for (int i = 0; i < rotation.dims / 2 && !freqs; ++i)
    rates[size_t(i)] = float(std::pow(double(rotation.base), -2.0 * i / rotation.dims));
  if (L == 1) {
    AttentionTask task = {};
    const auto rows = [&](const array& x, int64_t(&stride)[2]) {
      stride[0] = x.node().strides[0], stride[1] = x.node().strides[2];
      return queue.ptr<void>(x);
    };
    task.q = rows(q, task.q_stride), task.k = rows(k, task.k_stride);
    task.v = rows(v, task.v_stride);
    task.cache_k = queue.ptr<void>(*in.cache_k), task.cache_v = queue.ptr<void>(*in.cache_v);
    task.y = queue.ptr<void>(args.out[0]);
    task.offsets = queue.ptr<int>(*in.offsets), task.freqs = freqs;
    task.B = batch, task.H = H, task.Hkv = Hkv, task.D = D, task.capacity = capacity;
    task.rope_dims = rotation.dims, task.traditional = rotation.traditional;
    task.rope_scale = rotation.scale, task.scale = form.scale;
    return queue.tasks().add(queue, task, q.dtype(), rates, args);
  }
  Job job = {};
  const auto rows = [&](const array& x, int64_t(&stride)[3]) {
    for (int i = 0; i < 3; ++i) stride[i] = x.node().strides[i];
    return queue.ptr<void>(x);
  };
  job.q = rows(q, job.q_stride), job.k = rows(k, job.k_stride), job.v = rows(v, job.v_stride);
  job.cache_k = queue.ptr<void>(*in.cache_k), job.cache_v = queue.ptr<void>(*in.cache_v);
  job.offsets = queue.ptr<int>(*in.offsets);
  job.L = L, job.H = H, job.D = D, job.Hkv = Hkv, job.capacity = capacity;
  job.rotation = {rotation.dims, rotation.traditional, rotation.scale, freqs, nullptr};
  std::copy(rates.begin(), rates.end(), job.rates);
  job.rotated = queue.scratch<std::byte>(q.nbytes());
  switch (q.dtype()) {
    case float16: write_all<__half>(job, batch, queue); break;
    case bfloat16: write_all<__nv_bfloat16>(job, batch, queue); break;
    default: write_all<float>(job, batch, queue);
  }
  const int64_t row = int64_t(H) * D, head = int64_t(capacity) * D;
  FlashJob flash;
  flash.dtype = q.dtype();
  flash.B = batch, flash.H = H, flash.Hkv = Hkv, flash.L = L;
  flash.D = flash.Dv = D;
  flash.q = {job.rotated, L * row, D, row};
  flash.k = {job.cache_k, Hkv * head, head, D};
  flash.v = {job.cache_v, Hkv * head, head, D};
  flash.y = {queue.ptr<void>(args.out[0]), L * row, D, row};
  flash.scale = form.scale;
  flash.keys = L, flash.more_keys = job.offsets;
  flash.causal = true, flash.more_offset = job.offsets;
  flash_attention(queue, flash);
}

// Rows must be contiguous and in vectors of eight; caches row-major; float64 is decomposed, and so
// is every form but plain attention to a whole cache.
bool cached_attention_fits(const Primitive& p, std::span<const array> in) {
  const auto& op = static_cast<const fast::CachedAttention&>(p);
  const fast::AttentionForm& form = op.form;
  if (form.ring || form.latent > 0 || !form.writes || form.has_sinks || form.softcap > 0 ||
      form.rotation.amplitude != 1)
    return false;
  const fast::CachedAttention::Inputs i = op.inputs(in);
  if (form.window > 0 && form.window < i.capacity) return false;
  if (i.freqs && i.freqs->ndim() == 2 && i.B > 1) return false;
  const auto dense = [](const array* x) {
    return !x || row_contiguous(x->shape(), x->node().strides);
  };
  const auto contiguous_rows = [](const array& x) { return x.node().strides[3] == 1; };
  return i.q->dtype() != float64 && i.D % 8 == 0 && i.D <= kMaxHeadDim && i.D == i.Dv &&
         i.q->size() > 0 && contiguous_rows(*i.q) && contiguous_rows(*i.k) &&
         contiguous_rows(*i.v) && dense(i.cache_k) && dense(i.cache_v) && dense(i.freqs);
}

}  // namespace hearth::cuda
