// Attention to a cache. One new row (decode) is a task; for many (prefill), and for forms that
// tasks have not, the rows are rotated and written first, then flash attention reads the cache.
#include <cmath>

#include "hearth/backend/cuda/block.cuh"
#include "hearth/backend/cuda/flash.h"
#include "hearth/backend/cuda/rotation.cuh"
#include "hearth/backend/cuda/tasks.h"

namespace hearth::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kMaxRotated = 512;  // elements of a row, by rates or frequencies

struct Job {
  const void *q, *k, *v;    // (B, L, H, D), (B, L, Hkv, D), (B, L, Hkv, Dv); null: nothing to write
  void *cache_k, *cache_v;  // (B, Hkv, capacity, D), (.., Dv)
  void* rotated;            // (B, L, H, D)
  const int* offsets;       // (B)
  int64_t q_stride[3], k_stride[3], v_stride[3];  // of B, L and heads; D is contiguous
  int L, H, Hkv, D, Dv, capacity;
  int freqs_row;  // elements between the frequencies of rows
  Rotation rotation;
  float rates[kMaxHeadDim / 2];
};

// Grid (L, B): rotates q into `rotated`, k into the cache, and copies v there; V elements at a
// time, of which all or none are rotated, with those of the other half if V > 1.
template <class T, int V>
__global__ void __launch_bounds__(kThreads) write_rows(const __grid_constant__ Job job) {
  using P = Piece<T, V>;
  __shared__ float2 turns[kMaxRotated / 2];
  Rotation rotation = job.rotation;
  rotation.rates = job.rates;
  const int l = blockIdx.x, b = blockIdx.y, D = job.D, half = rotation.dims / 2;
  if (rotation.freqs) rotation.freqs += b * job.freqs_row;
  const int position = job.offsets[b] + l;
  for (int i = threadIdx.x; i < half; i += kThreads) turns[i] = rotation.turn(i, position);
  __syncthreads();
  const bool fits = position >= 0 && position < job.capacity;
  const int rotated = (job.H + (job.k ? job.Hkv : 0)) * D;  // elements; then come those of v
  for (int i = threadIdx.x * V; i < rotated + (job.v ? job.Hkv * job.Dv : 0); i += kThreads * V) {
    const int at = i < rotated ? i : i - rotated, size = i < rotated ? D : job.Dv;
    const int head = at / size, d = at % size;
    const bool is_q = i < rotated && head < job.H, is_k = i < rotated && !is_q;
    const int h = is_k ? head - job.H : head;
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
           ((int64_t(b) * job.Hkv + h) * job.capacity + position) * size + d;
    if (to) *reinterpret_cast<P*>(to) = y;
  }
}

template <class T>
void write_all(const Job& job, int batch, CudaQueue& queue) {
  constexpr int V = 16 / sizeof(T);
  bool whole = !job.rotation.traditional && job.rotation.dims % (2 * V) == 0 && job.D % V == 0 &&
               job.Dv % V == 0;
  for (const void* p : {job.q, job.k, job.v, static_cast<const void*>(job.cache_k),
                        static_cast<const void*>(job.cache_v)})
    whole = whole && reinterpret_cast<uintptr_t>(p) % 16 == 0;
  for (const auto& strides : {job.q_stride, job.k_stride, job.v_stride})
    for (int i = 0; i < 3; ++i) whole = whole && strides[i] % V == 0;
  launch(queue, whole ? write_rows<T, V> : write_rows<T, 1>, dim3(unsigned(job.L), unsigned(batch)),
         kThreads, 0, job);
}

}  // namespace

namespace {
// Tasks have rows in vectors of eight, and as long values as keys.
bool is_task(const fast::CachedAttention::Inputs& in) {
  return in.cache_v && in.D == in.Dv && in.D % 8 == 0 && in.D <= kMaxHeadDim;
}
}  // namespace

void cached_attention(const fast::CachedAttention& op, const Args& args, CudaQueue& queue) {
  const fast::AttentionForm& form = op.form;
  const fast::Rotation& rotation = form.rotation;
  const fast::CachedAttention::Inputs in = op.inputs(args.in);
  const array& q = *in.q;
  const int batch = in.B, L = in.L, H = in.H, D = in.D, Dv = in.Dv, Hkv = in.Hkv;
  const int capacity = in.capacity;
  const float* freqs = in.freqs ? queue.ptr<float>(*in.freqs) : nullptr;
  Rates rates = {};  // of rotation
  for (int i = 0; i < rotation.dims / 2 && !freqs; ++i)
    rates[size_t(i)] = float(std::pow(double(rotation.base), -2.0 * i / rotation.dims));
  const int freqs_row = in.freqs && in.freqs->ndim() == 2 ? in.freqs->shape(1) : 0;
  const int window = form.window < capacity ? form.window : 0;
  if (L == 1 && is_task(in)) {
    AttentionTask task = {};
    const auto rows = [&](const array& x, int64_t(&stride)[2]) {
      stride[0] = x.node().strides[0], stride[1] = x.node().strides[2];
      return queue.ptr<void>(x);
    };
    task.q = rows(q, task.q_stride), task.writes = form.writes;
    if (in.k) task.k = rows(*in.k, task.k_stride), task.v = rows(*in.v, task.v_stride);
    task.cache_k = queue.ptr<void>(*in.cache_k), task.cache_v = queue.ptr<void>(*in.cache_v);
    task.y = queue.ptr<void>(args.out[0]);
    task.offsets = queue.ptr<int>(*in.offsets), task.freqs = freqs;
    task.B = batch, task.H = H, task.Hkv = Hkv, task.D = D, task.capacity = capacity;
    task.rope_dims = rotation.dims, task.traditional = rotation.traditional;
    task.rope_scale = rotation.scale, task.amplitude = rotation.amplitude;
    task.scale = form.scale, task.softcap = form.softcap, task.window = window;
    task.freqs_row = freqs_row;
    if (in.sinks) {
      task.sinks = queue.ptr<void>(*in.sinks), task.sinks_dtype = in.sinks->dtype();
      task.sinks_stride = in.sinks->node().strides[0];
    }
    return queue.tasks().add(queue, task, q.dtype(), rates, args);
  }
  Job job = {};
  const auto rows = [&](const array& x, int64_t(&stride)[3]) {
    for (int i = 0; i < 3; ++i) stride[i] = x.node().strides[i];
    return queue.ptr<void>(x);
  };
  job.q = rows(q, job.q_stride);
  if (in.k) job.k = rows(*in.k, job.k_stride);
  if (in.v) job.v = rows(*in.v, job.v_stride);
  job.cache_k = queue.ptr<void>(*in.cache_k);
  if (in.cache_v) job.cache_v = queue.ptr<void>(*in.cache_v);
  job.offsets = queue.ptr<int>(*in.offsets);
  job.L = L, job.H = H, job.D = D, job.Dv = Dv, job.Hkv = Hkv, job.capacity = capacity;
  job.freqs_row = freqs_row;
  job.rotation = {rotation.dims, rotation.traditional, rotation.scale, freqs,
                  nullptr,       rotation.amplitude};
  std::copy(rates.begin(), rates.end(), job.rates);
  job.rotated = queue.scratch<std::byte>(q.nbytes());
  switch (q.dtype()) {
    case float16: write_all<__half>(job, batch, queue); break;
    case bfloat16: write_all<__nv_bfloat16>(job, batch, queue); break;
    default: write_all<float>(job, batch, queue);
  }
  const int64_t row = int64_t(H) * D, head = int64_t(capacity) * D;
  const int64_t value = in.cache_v ? Dv : D, values = int64_t(capacity) * value;
  FlashJob flash;
  flash.dtype = q.dtype();
  flash.B = batch, flash.H = H, flash.Hkv = Hkv, flash.L = L;
  flash.D = D, flash.Dv = Dv;
  flash.q = {job.rotated, L * row, D, row};
  flash.k = {job.cache_k, Hkv * head, head, D};
  // With a latent part, values are the last elements of the keys.
  const size_t skip = in.cache_v ? 0 : size_t(D - Dv) * size_of(q.dtype());
  flash.v = {static_cast<std::byte*>(in.cache_v ? job.cache_v : job.cache_k) + skip, Hkv * values,
             values, value};
  flash.y = {queue.ptr<void>(args.out[0]), int64_t(L) * H * Dv, Dv, int64_t(H) * Dv};
  flash.scale = form.scale, flash.softcap = form.softcap, flash.window = window;
  if (in.sinks) {
    flash.sinks = queue.ptr<void>(*in.sinks), flash.sinks_dtype = in.sinks->dtype();
    flash.sinks_stride = in.sinks->node().strides[0];
  }
  flash.keys = L, flash.more_keys = job.offsets;
  flash.causal = true, flash.more_offset = job.offsets;
  flash_attention(queue, flash);
}

// Rows must be contiguous and caches row-major. Float64, rings, and many queries of long halves,
// which no kernel has on tensor cores, and packed caches are decomposed.
bool cached_attention_fits(const Primitive& p, std::span<const array> in) {
  const auto& op = static_cast<const fast::CachedAttention&>(p);
  const fast::CachedAttention::Inputs i = op.inputs(in);
  const fast::Rotation& rotation = op.form.rotation;
  const auto dense = [](const array* x) {
    return !x || row_contiguous(x->shape(), x->node().strides);
  };
  const auto contiguous_rows = [](const array* x) {
    return !x || x->node().strides[3] == 1 || x->shape(3) == 1;
  };
  const bool long_rows = std::max(i.D, i.Dv) > 256;
  return op.form.state == Packing::dense && !op.form.ring && i.q->dtype() != float64 &&
         i.q->size() > 0 && i.Dv > 0 && i.Dv <= 512 && i.D <= 1024 && !(long_rows && i.L > 32) && i.capacity > 0 &&
         rotation.dims <= (i.freqs ? kMaxRotated : kMaxHeadDim) &&
         (!i.freqs || i.freqs->dtype() == float32) && contiguous_rows(i.q) &&
         contiguous_rows(i.k) && contiguous_rows(i.v) && dense(i.cache_k) && dense(i.cache_v) &&
         dense(i.freqs);
}

}  // namespace hearth::cuda
