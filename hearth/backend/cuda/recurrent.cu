// Layers with a running state: the short convolution over time, and the gated delta rule. Sums are
// added up position by position, so that a text cut anywhere gives the same bits.
#include "hearth/backend/cuda/elements.cuh"
#include "hearth/backend/cuda/tasks.h"

namespace hearth::cuda {
namespace {

constexpr int kThreads = 128;

template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class W>
__device__ inline W activated(W x, fast::Activation a) {
  switch (a) {
    case fast::Activation::none: return x;
    case fast::Activation::relu: return x > 0 ? x : W(0);
    case fast::Activation::silu: return x / (1 + exp(-x));
    case fast::Activation::gelu_approx:
      return W(0.5) * x * (1 + tanh(W(0.7978845608028654) * (x + W(0.044715) * x * x * x)));
    case fast::Activation::gelu: return W(0.5) * x * erfc(x * W(-0.7071067811865476));
  }
  return x;
}

struct ConvJob {
  const void *x, *weight, *state, *bias;  // bias may be null
  const int* lengths;                     // (B), or null: L
  void *y, *after;                        // (B, L, C), (B, K - 1, C)
  int64_t x_stride[3], state_stride[3], weight_stride[2], bias_stride, lengths_stride;
  int B, L, C, K;
  fast::Activation activation;
};

// Grid (C, L + K - 1, B), threads over C: outputs, then rows of the state after.
template <class T>
__global__ void __launch_bounds__(kThreads) conv_kernel(const __grid_constant__ ConvJob j) {
  using W = Wide<T>;
  const int c = int(blockIdx.x) * kThreads + int(threadIdx.x), b = int(blockIdx.z);
  if (c >= j.C) return;
  const int before = j.K - 1;
  const auto input = [&](int l) {  // of the state's rows, then x's
    const bool old = l < before;
    const int64_t* s = old ? j.state_stride : j.x_stride;
    return static_cast<const T*>(old ? j.state
                                     : j.x)[b * s[0] + (old ? l : l - before) * s[1] + c * s[2]];
  };
  for (int l = int(blockIdx.y); l < j.L + before; l += int(gridDim.y)) {
    if (l >= j.L) {
      const int row = l - j.L;
      const int length = j.lengths ? min(max(j.lengths[b * j.lengths_stride], 0), j.L) : j.L;
      static_cast<T*>(j.after)[(int64_t(b) * before + row) * j.C + c] = input(length + row);
      continue;
    }
    W sum = j.bias ? W(widen(static_cast<const T*>(j.bias)[c * j.bias_stride])) : W(0);
    for (int k = 0; k < j.K; ++k)
      sum += W(widen(static_cast<const T*>(
                 j.weight)[c * j.weight_stride[0] + k * j.weight_stride[1]])) *
             W(widen(input(l + k)));
    static_cast<T*>(j.y)[(int64_t(b) * j.L + l) * j.C + c] =
        narrow<T>(activated(sum, j.activation));
  }
}

struct DeltaJob {
  const void *q, *k, *v;
  const float *decay, *beta, *state;  // beta may be null
  void* y;                            // (B, L, H, Dv)
  float* after;                       // (B, H, Dk, Dv)
  int64_t q_stride[4], k_stride[4], v_stride[4], decay_stride[3], beta_stride[3], state_stride[4];
  int L, H, Hk, Dk, Dv;
};

constexpr int kParts = 4, kColumns = kThreads / kParts;  // threads share a column of a state
constexpr int kMaxKeys = 256;

// Grid (B * H, columns). A thread keeps every fourth row of its column in registers.
template <class T, int R>
__global__ void __launch_bounds__(kThreads) delta_kernel(const __grid_constant__ DeltaJob j) {
  __shared__ float keys[kParts * R], queries[kParts * R];
  const int b = int(blockIdx.x) / j.H, h = int(blockIdx.x) % j.H, hk = h / (j.H / j.Hk);
  const int part = int(threadIdx.x) % kParts;
  const int column = int(blockIdx.y) * kColumns + int(threadIdx.x) / kParts;
  const bool there = column < j.Dv;
  float S[R];
  const float* const state = j.state + b * j.state_stride[0] + h * j.state_stride[1];
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int row = i * kParts + part;
    S[i] = there && row < j.Dk ? state[row * j.state_stride[2] + column * j.state_stride[3]] : 0;
  }
  const auto whole = [](float v) {  // over a column's threads
    v += __shfl_xor_sync(~0u, v, 1);
    return v + __shfl_xor_sync(~0u, v, 2);
  };
  for (int t = 0; t < j.L; ++t) {
    __syncthreads();
    for (int i = int(threadIdx.x); i < kParts * R; i += kThreads) {
      const auto at = [&](const void* x, const int64_t(&s)[4]) {
        return i < j.Dk
                   ? widen(static_cast<const T*>(x)[b * s[0] + t * s[1] + hk * s[2] + i * s[3]])
                   : 0.0f;
      };
      keys[i] = at(j.k, j.k_stride), queries[i] = at(j.q, j.q_stride);
    }
    __syncthreads();
    const auto scalar = [&](const float* x, const int64_t(&s)[3]) {
      return x[b * s[0] + t * s[1] + h * s[2]];
    };
    const float keep = expf(scalar(j.decay, j.decay_stride));
    float put = there
                    ? widen(static_cast<const T*>(j.v)[b * j.v_stride[0] + t * j.v_stride[1] +
                                                       h * j.v_stride[2] + column * j.v_stride[3]])
                    : 0.0f;
    float held = 0, y = 0;
#pragma unroll
    for (int i = 0; i < R; ++i) {
      S[i] *= keep;
      held = fmaf(keys[i * kParts + part], S[i], held);
    }
    if (j.beta) put = scalar(j.beta, j.beta_stride) * (put - whole(held));
#pragma unroll
    for (int i = 0; i < R; ++i) {
      S[i] = fmaf(keys[i * kParts + part], put, S[i]);
      y = fmaf(queries[i * kParts + part], S[i], y);
    }
    y = whole(y);
    if (there && part == 0)
      static_cast<T*>(j.y)[((int64_t(b) * j.L + t) * j.H + h) * j.Dv + column] = narrow<T>(y);
  }
  float* const after = j.after + (int64_t(b) * j.H + h) * j.Dk * j.Dv;
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int row = i * kParts + part;
    if (there && row < j.Dk) after[int64_t(row) * j.Dv + column] = S[i];
  }
}

template <int N>
void copy_strides(const array& a, int64_t (&to)[N]) {
  for (int i = 0; i < N; ++i) to[i] = a.node().strides[size_t(i)];
}

}  // namespace

void causal_conv(const fast::CausalConv& op, const Args& args, CudaQueue& queue) {
  const array &x = args.in[0], &weight = args.in[1], &state = args.in[2];
  ConvJob j = {};
  j.B = x.shape(0), j.L = x.shape(1), j.C = x.shape(2), j.K = weight.shape(1);
  if (j.B == 0 || j.C == 0 || j.L + j.K == 1) return;
  j.x = queue.ptr<void>(x), j.weight = queue.ptr<void>(weight), j.state = queue.ptr<void>(state);
  copy_strides(x, j.x_stride), copy_strides(state, j.state_stride);
  copy_strides(weight, j.weight_stride);
  if (op.bias) j.bias = queue.ptr<void>(args.in[3]), j.bias_stride = args.in[3].node().strides[0];
  if (op.has_lengths) {
    j.lengths = queue.ptr<int>(args.in.back());
    j.lengths_stride = args.in.back().node().strides[0];
  }
  j.y = queue.ptr<void>(args.out[0]), j.after = queue.ptr<void>(args.out[1]);
  j.activation = op.activation;
  const dim3 grid(blocks_for(j.C, kThreads), unsigned(std::min(j.L + j.K - 1, 32768)),
                  unsigned(j.B));
  visit(Floats{}, x.dtype(), "causal_conv",
        [&]<class H>() { launch(queue, conv_kernel<OnDevice<H>>, grid, kThreads, 0, j); });
}

// A state's column is in registers; float64 is taken apart.
bool gated_delta_fits(const Primitive&, std::span<const array> in) {
  return in[0].dtype() != float64 && in[0].shape(3) <= kMaxKeys;
}

void gated_delta(const fast::GatedDelta& op, const Args& args, CudaQueue& queue) {
  const array &q = args.in[0], &v = args.in[2];
  DeltaJob j = {};
  j.L = q.shape(1), j.Hk = q.shape(2), j.Dk = q.shape(3), j.H = v.shape(2), j.Dv = v.shape(3);
  const int B = q.shape(0);
  if (B == 0 || j.H == 0 || j.Dv == 0) return;
  j.q = queue.ptr<void>(q), j.k = queue.ptr<void>(args.in[1]), j.v = queue.ptr<void>(v);
  j.decay = queue.ptr<float>(args.in[3]), j.state = queue.ptr<float>(args.in[4]);
  copy_strides(q, j.q_stride), copy_strides(args.in[1], j.k_stride), copy_strides(v, j.v_stride);
  copy_strides(args.in[3], j.decay_stride), copy_strides(args.in[4], j.state_stride);
  if (op.delta) j.beta = queue.ptr<float>(args.in[5]), copy_strides(args.in[5], j.beta_stride);
  j.y = queue.ptr<void>(args.out[0]), j.after = queue.ptr<float>(args.out[1]);
  const dim3 grid(unsigned(B * j.H), blocks_for(j.Dv, kColumns));
  visit(Types<float, float16_t, bfloat16_t>{}, q.dtype(), "gated_delta", [&]<class H>() {
    using T = OnDevice<H>;
    const auto start = [&](auto kernel) { launch(queue, kernel, grid, kThreads, 0, j); };
    if (j.Dk <= 64) return start(delta_kernel<T, 16>);
    if (j.Dk <= 128) return start(delta_kernel<T, 32>);
    start(delta_kernel<T, kMaxKeys / kParts>);
  });
}

}  // namespace hearth::cuda
