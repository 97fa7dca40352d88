// Layer and RMS normalisation: a row stays in the registers of the threads that share it.
#include "hearth/backend/cuda/block.cuh"
#include "hearth/backend/cuda/task_kernel.cuh"

namespace hearth::cuda {
namespace {

template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
struct NormJob {
  const T *x, *weight, *bias;  // weight and bias may be null
  T* y;
  Axes<1> rows;
  int64_t count, n, stride, weight_stride, bias_stride;
  float eps;
  int lanes;
};

constexpr int kKept = 4;  // pieces of a row that a thread keeps; more are read again

template <class T, bool Centred, int V>
__global__ void __launch_bounds__(1024) norm_kernel(NormJob<T> j) {
  using W = Wide<T>;
  __shared__ W shared[32];
  const int lane = int(threadIdx.x) % j.lanes;
  const int64_t step = int64_t(gridDim.x) * blockDim.x / j.lanes, pieces = j.n / V;
  const auto load = [&](const T* from, int64_t stride, int64_t i, W(&to)[V]) {
    if constexpr (V > 1) {
      const auto p = reinterpret_cast<const Piece<T, V>*>(from)[i];
#pragma unroll
      for (int e = 0; e < V; ++e) to[e] = widen(p.x[e]);
    } else {
      to[0] = widen(from[i * stride]);
    }
  };
  for (int64_t row = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / j.lanes; row < j.count;
       row += step) {
    int64_t at[1];
    j.rows.offsets(row, at);
    const T* x = j.x + at[0];
    W kept[kKept][V];
#pragma unroll
    for (int u = 0; u < kKept; ++u)
      if (lane + u * j.lanes < pieces) load(x, j.stride, lane + u * j.lanes, kept[u]);
    const auto each = [&](auto&& f) {
#pragma unroll
      for (int u = 0; u < kKept; ++u)
        if (lane + u * j.lanes < pieces) f(kept[u], lane + u * j.lanes);
#pragma unroll 1
      for (int64_t i = lane + kKept * j.lanes; i < pieces; i += j.lanes) {
        W v[V];
        load(x, j.stride, i, v);
        f(v, i);
      }
    };
    const auto add = [](W a, W b) { return a + b; };
    W mean = 0;
    if constexpr (Centred) {
      each([&](const W(&v)[V], int64_t) {
#pragma unroll
        for (int e = 0; e < V; ++e) mean += v[e];
      });
      mean = join_threads(mean, j.lanes, add, shared) / W(j.n);
    }
    W squares = 0;
    each([&](const W(&v)[V], int64_t) {
#pragma unroll
      for (int e = 0; e < V; ++e) squares += (v[e] - mean) * (v[e] - mean);
    });
    squares = join_threads(squares, j.lanes, add, shared);
    const W factor = W(1) / sqrt(squares / W(j.n) + W(j.eps));
    T* y = j.y + row * j.n;
    each([&](const W(&v)[V], int64_t i) {
      W weight[V], bias[V];
      if (j.weight) load(j.weight, j.weight_stride, i, weight);
      if (j.bias) load(j.bias, j.bias_stride, i, bias);
      Piece<T, V> p;
#pragma unroll
      for (int e = 0; e < V; ++e) {
        W r = (v[e] - mean) * factor;
        if (j.weight) r *= weight[e];
        if (j.bias) r += bias[e];
        p.x[e] = narrow<T>(r);
      }
      reinterpret_cast<Piece<T, V>*>(y)[i] = p;
    });
  }
}

// A norm alone: a block a row.
template <class T>
__global__ void __launch_bounds__(256) norm_rows(const __grid_constant__ NormTask n) {
  __shared__ float shared[32];
  const int row = int(blockIdx.x);
  const T* const x =
      static_cast<const T*>(n.x) + row / n.heads * n.stride[0] + row % n.heads * n.stride[1];
  float square = 0;
  for (int i = int(threadIdx.x); i < n.n; i += 256) square += widen(x[i]) * widen(x[i]);
  square = join_threads(
      square, 256, [](float a, float b) { return a + b; }, shared);
  const float scale = rsqrtf(square / float(n.n) + n.eps);
  for (int i = int(threadIdx.x); i < n.n; i += 256) {
    const int64_t at = int64_t(row) * n.n + i;
    float v = widen(x[i]) * scale;
    if (n.weight) v *= widen(static_cast<const T*>(n.weight)[i]);
    const T y = narrow<T>(v);
    static_cast<T*>(n.y)[at] = y;
    if (n.sum)
      static_cast<T*>(n.sum)[at] =
          narrow<T>(widen(static_cast<const T*>(n.residual)[at]) + widen(y));
  }
}

template <class T>
void start_alone(const NormTask& norm, cudaStream_t stream) {
  norm_rows<T><<<unsigned(norm.B * norm.heads), 256, 0, stream>>>(norm);
  check_cuda(cudaGetLastError(), "kernel launch");
}

template <bool Centred>
void norm(CudaQueue& queue, std::string_view name, const array& x, const array* weight,
          const array* bias, float eps, const array& y) {
  if (y.size() == 0) return;
  visit(Floats{}, x.dtype(), name, [&]<class H>() {
    using T = OnDevice<H>;
    constexpr int V = 16 / sizeof(T);
    const auto data = [&](const array* a) { return a ? queue.ptr<const T>(*a) : nullptr; };
    const auto stride = [](const array* a) { return a ? a->node().strides[0] : 0; };
    NormJob<T> j{data(&x),
                 data(weight),
                 data(bias),
                 queue.ptr<T>(y),
                 leading_axes(x),
                 int64_t(x.size()) / x.shape(-1),
                 x.shape(-1),
                 x.node().strides.back(),
                 stride(weight),
                 stride(bias),
                 eps,
                 32};
    const bool whole = rows_in_pieces(x, j.x, V) &&
                       (!weight || rows_in_pieces(*weight, j.weight, V)) &&
                       (!bias || rows_in_pieces(*bias, j.bias, V));
    const RowsPlan plan = plan_rows(queue.card(), j.count, whole ? j.n / V : j.n, kKept);
    j.lanes = plan.lanes;
    launch(queue, whole ? norm_kernel<T, Centred, V> : norm_kernel<T, Centred, 1>, plan.grid,
           plan.block, 0, j);
  });
}

}  // namespace

void layer_norm(const fast::LayerNorm& op, const Args& args, CudaQueue& queue) {
  norm<true>(queue, op.name(), args.in[0], op.scaled ? &args.in[1] : nullptr,
             op.shifted ? &args.in[1 + op.scaled] : nullptr, op.eps, args.out[0]);
}
void start_norm(Dtype dtype, const NormTask& norm, cudaStream_t stream) {
  switch (dtype) {
    case float16: return start_alone<__half>(norm, stream);
    case bfloat16: return start_alone<__nv_bfloat16>(norm, stream);
    default: return start_alone<float>(norm, stream);
  }
}

// Of what tasks that wait give, it waits too: whoever reads it may do it.
void rms_norm(const fast::RMSNorm& op, const Args& args, CudaQueue& queue) {
  const array &x = args.in[0], &y = args.out[0];
  const Strides& strides = x.node().strides;
  const bool heads = x.ndim() == 4;
  if (!queue.tasks().empty() && (heads || x.ndim() == 3) && x.shape(1) == 1 && x.size() > 0 &&
      strides.back() == 1 && (!op.scaled || args.in[1].node().strides[0] == 1)) {
    NormTask task = {};
    task.x = queue.ptr<void>(x), task.y = queue.ptr<void>(y);
    if (op.scaled) task.weight = queue.ptr<void>(args.in[1]);
    task.B = x.shape(0), task.heads = heads ? x.shape(2) : 1, task.n = x.shape(-1);
    task.stride[0] = strides[0], task.stride[1] = heads ? strides[2] : 0;
    task.eps = op.eps;
    if (queue.tasks().add(task, x.dtype(), args)) return;
  }
  norm<false>(queue, op.name(), args.in[0], op.scaled ? &args.in[1] : nullptr, nullptr, op.eps,
              args.out[0]);
}

}  // namespace hearth::cuda
