// Softmax and logsumexp of rows: one pass for the maximum and the sum, kept together as they run,
// one that writes. Halves are computed in f32.
#include "hearth/backend/cuda/block.cuh"

namespace hearth::cuda {
namespace {

template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// NaN is larger than all.
template <class W>
__device__ inline W larger(W a, W b) {
  return b > a || b != b ? b : a;
}

/// The sum of exp(x - high) of some elements, and their maximum.
template <class W>
struct Running {
  W high, sum;
};
template <class W>
__device__ inline Running<W> join(Running<W> a, Running<W> b) {
  const W high = larger(a.high, b.high);
  if (high == -W(INFINITY)) return {high, 0};
  return {high, a.sum * exp(a.high - high) + b.sum * exp(b.high - high)};
}

template <class T>
struct SoftmaxJob {
  const T* in;
  T* out;
  Axes<1> rows;
  int64_t count, n, stride;
  int lanes;
};

/// `Log`: the logarithm of the sum, one element a row.
template <class T, bool Log, int V>
__global__ void __launch_bounds__(1024) softmax_kernel(SoftmaxJob<T> j) {
  using W = Wide<T>;
  __shared__ Running<W> shared[32];
  const int lane = int(threadIdx.x) % j.lanes;
  const int64_t step = int64_t(gridDim.x) * blockDim.x / j.lanes, pieces = j.n / V;
  for (int64_t row = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / j.lanes; row < j.count;
       row += step) {
    int64_t at[1];
    j.rows.offsets(row, at);
    const T* x = j.in + at[0];
    const auto load = [&](int64_t i, W(&to)[V]) {
      if constexpr (V > 1) {
        const auto p = reinterpret_cast<const Piece<T, V>*>(x)[i];
#pragma unroll
        for (int e = 0; e < V; ++e) to[e] = widen(p.x[e]);
      } else {
        to[0] = widen(x[i * j.stride]);
      }
    };
    Running<W> all{-W(INFINITY), 0};
    for (int64_t i = lane; i < pieces; i += j.lanes) {
      W v[V];
      load(i, v);
      W high = all.high;
#pragma unroll
      for (int e = 0; e < V; ++e) high = larger(high, v[e]);
      if (high == -W(INFINITY)) continue;
      if (high != all.high) all.sum *= exp(all.high - high);
      all.high = high;
#pragma unroll
      for (int e = 0; e < V; ++e) all.sum += exp(v[e] - high);
    }
    all = join_threads(all, j.lanes, join<W>, shared);
    if constexpr (Log) {
      if (lane == 0) {
        const bool known = all.high - all.high != 0;  // an infinity or NaN
        j.out[row] = narrow<T>(known ? all.high : W(log(double(all.sum)) + double(all.high)));
      }
    } else {
      const W scale = 1 / all.sum;
      T* y = j.out + row * j.n;
      for (int64_t i = lane; i < pieces; i += j.lanes) {
        W v[V];
        load(i, v);
        Piece<T, V> p;
#pragma unroll
        for (int e = 0; e < V; ++e) p.x[e] = narrow<T>(exp(v[e] - all.high) * scale);
        reinterpret_cast<Piece<T, V>*>(y)[i] = p;
      }
    }
  }
}

template <bool Log>
void run_rows(const Args& args, CudaQueue& queue, std::string_view name) {
  const array &in = args.in[0], &out = args.out[0];
  if (out.size() == 0) return;
  visit(Floats{}, in.dtype(), name, [&]<class H>() {
    using T = OnDevice<H>;
    constexpr int V = 16 / sizeof(T);
    SoftmaxJob<T> j{queue.ptr<const T>(in),
                    queue.ptr<T>(out),
                    leading_axes(in),
                    1,
                    in.shape(-1),
                    in.node().strides.back(),
                    32};
    for (int i = 0; i + 1 < in.ndim(); ++i) j.count *= in.shape(i);
    const bool whole = rows_in_pieces(in, j.in, V);
    const RowsPlan plan = plan_rows(queue.card(), j.count, whole ? j.n / V : j.n, 8);
    j.lanes = plan.lanes;
    launch(queue, whole ? softmax_kernel<T, Log, V> : softmax_kernel<T, Log, 1>, plan.grid,
           plan.block, 0, j);
  });
}

}  // namespace

void softmax(const Softmax& op, const Args& args, CudaQueue& queue) {
  run_rows<false>(args, queue, op.name());
}
void log_sum_exp(const LogSumExp& op, const Args& args, CudaQueue& queue) {
  run_rows<true>(args, queue, op.name());
}

}  // namespace hearth::cuda
