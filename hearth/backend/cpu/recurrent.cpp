// Layers with a running state: the short convolution over time, and the gated delta rule. Every
// sum is added up in one order, however a text is cut and however many threads there are.
#include "hearth/backend/cpu/isa.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/recurrent.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/products/kernels.h"
#include "hearth/backend/cpu/rows.h"
#include "hearth/backend/cpu/simd-inl.h"
#include "hearth/backend/pool.h"

#ifndef HEARTH_BACKEND_CPU_RECURRENT_
#define HEARTH_BACKEND_CPU_RECURRENT_
namespace hearth::cpu {

constexpr int64_t kColumns = 64;  // of a state at a time: 128 rows of them are the first level

struct ConvRow {
  Dtype dtype;
  int64_t channels, taps;
  const std::byte* const* inputs;  // rows of x: one for each tap, the latest last
  const std::byte* weight;         // (taps, channels), of the sums' dtype
  std::byte* sums;                 // (channels), of the sums' dtype
};

/// Columns [0, n) of one head's state, over all positions of one row.
struct DeltaBlock {
  Dtype dtype;
  int64_t length, keys, n;
  const std::byte *q, *k, *v;    // the first position's
  int64_t key_step, value_step;  // bytes between positions: of q and k, of v and y
  const float *decay, *beta;     // beta: null where nothing is taken back
  int64_t step;                  // elements between positions: of decay and beta
  const float* before;           // the state (keys, n), rows `row` elements apart
  float* after;
  int64_t row;
  std::byte* y;
  float* room;  // keys * (kColumns + 2), aligned
};

}  // namespace hearth::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

void conv_row(const ConvRow& job) {
  visit(Floats{}, job.dtype, "causal_conv", [&]<class T>() HWY_ATTR {
    using W = Wide<T>;
    const WideTag<T> d;
    const int64_t lanes = int64_t(hn::Lanes(d)), size = sizeof(T);
    const auto* const weight = reinterpret_cast<const W*>(job.weight);
    auto* const sums = reinterpret_cast<W*>(job.sums);
    int64_t c = 0;
    for (; c + lanes <= job.channels; c += lanes) {
      auto sum = hn::Zero(d);
      for (int64_t j = 0; j < job.taps; ++j)
        sum = hn::MulAdd(hn::LoadU(d, weight + j * job.channels + c),
                         load_wide<T>(job.inputs[j] + c * size), sum);
      hn::StoreU(sum, d, sums + c);
    }
    for (; c < job.channels; ++c) {
      W sum = 0;
      for (int64_t j = 0; j < job.taps; ++j)
        sum += weight[j * job.channels + c] * load_one<T>(job.inputs[j] + c * size);
      sums[c] = sum;
    }
  });
}

template <class T>
void widen_row(const std::byte* from, int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = load_one<T>(from + i * int64_t(sizeof(T)));
}

template <class T>
void delta_block(const DeltaBlock& job) {
  const F32 d;
  const int64_t lanes = int64_t(hn::Lanes(d)), K = job.keys;
  const int64_t n = (job.n + lanes - 1) / lanes * lanes;  // with columns of zeros
  float* const S = job.room;
  float *const q = S + K * kColumns, *const k = q + K;
  alignas(64) float put[kColumns], y[kColumns];
  for (int64_t i = 0; i < K; ++i) {
    std::copy_n(job.before + i * job.row, job.n, S + i * n);
    std::fill(S + i * n + job.n, S + (i + 1) * n, 0.0f);
  }
  std::fill(put, put + kColumns, 0.0f);
  for (int64_t t = 0; t < job.length; ++t) {
    widen_row<T>(job.q + t * job.key_step, K, q);
    widen_row<T>(job.k + t * job.key_step, K, k);
    widen_row<T>(job.v + t * job.value_step, job.n, put);
    const auto decay = hn::Set(d, std::exp(job.decay[t * job.step]));
    const float beta = job.beta ? job.beta[t * job.step] : 1;
    for (int64_t c = 0; c < n; c += lanes) {
      auto held = hn::Zero(d);  // k^T S
      for (int64_t i = 0; i < K; ++i) {
        const auto row = hn::Mul(hn::Load(d, S + i * n + c), decay);
        hn::Store(row, d, S + i * n + c);
        held = hn::MulAdd(hn::Set(d, k[i]), row, held);
      }
      auto add = hn::Load(d, put + c);
      if (job.beta) add = hn::Mul(hn::Sub(add, held), hn::Set(d, beta));
      auto out = hn::Zero(d);
      for (int64_t i = 0; i < K; ++i) {
        const auto row = hn::MulAdd(hn::Set(d, k[i]), add, hn::Load(d, S + i * n + c));
        hn::Store(row, d, S + i * n + c);
        out = hn::MulAdd(hn::Set(d, q[i]), row, out);
      }
      hn::Store(out, d, y + c);
    }
    std::byte* const to = job.y + t * job.value_step;
    for (int64_t c = 0; c < job.n; ++c) {
      const T one = T(y[c]);
      std::memcpy(to + c * int64_t(sizeof(T)), &one, sizeof one);
    }
  }
  for (int64_t i = 0; i < K; ++i) std::copy_n(S + i * n, job.n, job.after + i * job.row);
}

void delta_rows(const DeltaBlock& job) {
  visit(Types<float16_t, bfloat16_t, float>{}, job.dtype, "gated_delta",
        [&]<class T>() { delta_block<T>(job); });
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu {
namespace {

HEARTH_EXPORT(conv_row);
HEARTH_EXPORT(delta_rows);

/// All elements of an array, row-major, copied if they do not lie so; or nothing.
struct Plain {
  Plain() = default;
  explicit Plain(const array& a) : data(ptr<std::byte>(a)) {
    if (row_contiguous(a.shape(), a.node().strides)) return;
    copy.reset(new std::byte[a.nbytes()]);
    if (a.size() > 0) gather(a.node().view(), data, a.itemsize(), copy.get());
    data = copy.get();
  }
  const std::byte* data = nullptr;
  std::unique_ptr<std::byte[]> copy;
};

}  // namespace

void causal_conv(const fast::CausalConv& op, const Args& args, CpuQueue&) {
  const array &x = args.in[0], &weight = args.in[1], &y = args.out[0], &after = args.out[1];
  const Dtype dtype = x.dtype();
  const int64_t B = x.shape(0), L = x.shape(1), C = x.shape(2), K = weight.shape(1);
  const int64_t size = int64_t(x.itemsize()), wide = int64_t(kernels::sum_size(dtype));
  const Plain in(x), state(args.in[2]), taps(weight);
  const Plain bias = op.bias ? Plain(args.in[3]) : Plain();
  const Plain lengths = op.has_lengths ? Plain(args.in.back()) : Plain();
  // Row `at` of the state and then x.
  const auto row = [&](int64_t b, int64_t at) {
    return at < K - 1 ? state.data + (b * (K - 1) + at) * C * size
                      : in.data + (b * L + at - (K - 1)) * C * size;
  };
  std::unique_ptr<std::byte[]> weights(new std::byte[size_t(K * C * wide)]);  // (K, C), wide
  visit(Floats{}, dtype, "causal_conv", [&]<class T>() {
    using W = std::conditional_t<std::is_same_v<T, double>, double, float>;
    for (int64_t c = 0; c < C; ++c)
      for (int64_t j = 0; j < K; ++j) {
        T one;
        std::memcpy(&one, taps.data + (c * K + j) * size, sizeof one);
        const W value = W(one);
        std::memcpy(weights.get() + (j * C + c) * wide, &value, sizeof value);
      }
  });
  constexpr int64_t kRows = 8;  // of a task
  const int64_t blocks = (L + kRows - 1) / kRows;
  parallel_for(B * blocks, [&](int64_t task) {
    thread_local Scratch scratch;
    std::byte* const sums = scratch.get(size_t(C * wide));
    std::vector<const std::byte*> inputs(static_cast<size_t>(K));
    const int64_t b = task / blocks, first = task % blocks * kRows;
    for (int64_t t = first; t < std::min(L, first + kRows); ++t) {
      for (int64_t j = 0; j < K; ++j) inputs[size_t(j)] = row(b, t + j);
      HEARTH_DISPATCH(conv_row)({dtype, C, K, inputs.data(), weights.get(), sums});
      kernels::finish_row(dtype, {C, sums, bias.data, op.activation, nullptr, nullptr, nullptr,
                                  ptr<std::byte>(y) + (b * L + t) * C * size});
    }
  });
  for (int64_t b = 0; b < B; ++b) {
    int length = int(L);
    if (lengths.data) std::memcpy(&length, lengths.data + b * 4, 4);
    ensure(length >= 0 && length <= L, "causal_conv: row ", b, " has a length of ", length,
           ", wanted 0 to ", L);
    for (int64_t j = 0; j < K - 1; ++j)
      std::memcpy(ptr<std::byte>(after) + (b * (K - 1) + j) * C * size, row(b, length + j),
                  size_t(C * size));
  }
}

void gated_delta(const fast::GatedDelta& op, const Args& args, CpuQueue&) {
  const array &q = args.in[0], &v = args.in[2], &y = args.out[0], &after = args.out[1];
  const int64_t B = q.shape(0), L = q.shape(1), Hk = q.shape(2), Dk = q.shape(3);
  const int64_t H = v.shape(2), Dv = v.shape(3), size = int64_t(q.itemsize());
  const Plain queries(q), keys(args.in[1]), values(v), decays(args.in[3]), state(args.in[4]);
  const Plain betas = op.delta ? Plain(args.in[5]) : Plain();
  const auto floats = [](const std::byte* p) { return reinterpret_cast<const float*>(p); };
  const int64_t blocks = (Dv + kColumns - 1) / kColumns;
  parallel_for(B * H * blocks, [&](int64_t task) {
    const int64_t head = task / blocks, b = head / H, h = head % H, hk = h / (H / Hk);
    const int64_t column = task % blocks * kColumns;
    thread_local Scratch scratch;
    HEARTH_DISPATCH(delta_rows)
    ({.dtype = q.dtype(),
      .length = L,
      .keys = Dk,
      .n = std::min(kColumns, Dv - column),
      .q = queries.data + (b * L * Hk + hk) * Dk * size,
      .k = keys.data + (b * L * Hk + hk) * Dk * size,
      .v = values.data + ((b * L * H + h) * Dv + column) * size,
      .key_step = Hk * Dk * size,
      .value_step = H * Dv * size,
      .decay = floats(decays.data) + b * L * H + h,
      .beta = betas.data ? floats(betas.data) + b * L * H + h : nullptr,
      .step = H,
      .before = floats(state.data) + head * Dk * Dv + column,
      .after = ptr<float>(after) + head * Dk * Dv + column,
      .row = Dv,
      .y = ptr<std::byte>(y) + ((b * L * H + h) * Dv + column) * size,
      .room = scratch.get<float>(size_t(Dk * (kColumns + 2)) + 16)});
  });
}

}  // namespace hearth::cpu
#endif
