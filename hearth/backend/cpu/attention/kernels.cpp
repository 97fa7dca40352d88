// The parts of attention that need the instruction set: rows widened and rotated, a few queries
// against a stretch of keys, and one step of a running softmax.
#include "hearth/backend/cpu/isa.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/attention/kernels.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "hearth/backend/cpu/attention/attention.h"
#include "hearth/backend/cpu/rows.h"
#include "hearth/backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

using kernels::FewQueries;
using kernels::SoftmaxBlock;
using Halves = Types<float, float16_t, bfloat16_t>;  // what attention takes

constexpr float kMasked = -std::numeric_limits<float>::max();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

int64_t lanes_of_f32() { return int64_t(hn::Lanes(F32())); }

template <class T>
HWY_INLINE void widen(const std::byte* x, int64_t n, float* y) {
  const int64_t lanes = lanes_of_f32(), size = sizeof(T);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(load_wide<T>(x + i * size), F32(), y + i);
  for (; i < n; ++i) {
    T one;
    std::memcpy(&one, x + i * size, sizeof(T));
    y[i] = float(one);
  }
}
template <class T>
HWY_INLINE void narrow(const float* x, int64_t n, float factor, std::byte* y) {
  const int64_t lanes = lanes_of_f32(), size = sizeof(T);
  const auto f = hn::Set(F32(), factor);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    store_narrow<T>(hn::Mul(hn::LoadU(F32(), x + i), f), y + i * size);
  for (; i < n; ++i) {
    const T one(x[i] * factor);
    std::memcpy(y + i * size, &one, sizeof(T));
  }
}

// Pairs (i, i + half), or (2i, 2i + 1).
HWY_INLINE void rotate(float* HWY_RESTRICT x, const float* HWY_RESTRICT cos, int half,
                       bool traditional, bool inverse) {
  const float* sin = cos + half;
  const float sign = inverse ? -1.0f : 1.0f;
  const int step = traditional ? 2 : 1, other = traditional ? 1 : half;
  for (int i = 0; i < half; ++i) {
    const float a = x[i * step], b = x[i * step + other], s = sign * sin[i];
    x[i * step] = a * cos[i] - b * s;
    x[i * step + other] = a * s + b * cos[i];
  }
}

template <class T>
void rotate_rows_of(const RotateRows& job) {
  thread_local Scratch scratch;
  float* const row = scratch.get<float>(size_t(job.D));
  for (int64_t i = 0; i < job.count; ++i) {
    widen<T>(job.x + i * job.x_stride, job.D, row);
    if (job.angles)
      rotate(row, job.angles + i * job.angles_stride, job.half, job.traditional, job.inverse);
    std::byte* y = job.y + i * job.y_stride;
    job.wide_y ? narrow<float>(row, job.D, job.scale, y) : narrow<T>(row, job.D, job.scale, y);
  }
}
void rotate_rows(const RotateRows& job) {
  visit(Halves{}, job.dtype, "rope", [&]<class T>() HWY_ATTR { rotate_rows_of<T>(job); });
}

// A row of n elements as vectors: the last one ends at the row's end and overlaps the one before.
// Rows shorter than a vector are one short load.
struct Slots {
  int64_t count, n, lanes;
  explicit Slots(int64_t n)
      : count((n + lanes_of_f32() - 1) / lanes_of_f32()), n(n), lanes(lanes_of_f32()) {}
  bool is_short() const { return n < lanes; }
  int64_t offset(int64_t i) const { return is_short() ? 0 : std::min(i * lanes, n - lanes); }
};
template <class T, bool Short>
HWY_INLINE VF32 load_slot(const std::byte* p, const Slots& slots) {
  if constexpr (Short)
    return load_wide<T>(p, size_t(slots.n));
  else
    return (void)slots, load_wide<T>(p);
}

// scores[r][j] = q[r] . k[j], q in slots, with zeros where the last slot overlaps.
template <class T, bool Short, int R, int U>
HWY_INLINE void dot_keys(const Slots& slots, const float* q, int64_t q_stride, const std::byte* k,
                         int64_t k_stride, float* scores) {
  VF32 sum[R][U];
  for (int r = 0; r < R; ++r)
    for (int u = 0; u < U; ++u) sum[r][u] = hn::Zero(F32());
  for (int64_t i = 0; i < slots.count; ++i) {
    const std::byte* at = k + slots.offset(i) * int64_t(sizeof(T));
    VF32 key[U];
    for (int u = 0; u < U; ++u) key[u] = load_slot<T, Short>(at + u * k_stride, slots);
    for (int r = 0; r < R; ++r) {
      const auto x = hn::LoadU(F32(), q + r * q_stride + i * slots.lanes);
      for (int u = 0; u < U; ++u) sum[r][u] = hn::MulAdd(x, key[u], sum[r][u]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int u = 0; u < U; ++u)
      scores[r * kernels::kMaxKeys + u] = hn::GetLane(hn::SumOfLanes(F32(), sum[r][u]));
}

// out[r] = sum of weights[r][j] v[j], for V slots from `first` on. U keys at a time.
template <class T, bool Short, int R, int V, int U>
HWY_INLINE void add_values(const FewQueries& job, const Slots& slots, int64_t first,
                           const float* weights, float* out) {
  VF32 sum[R][V][U];
  int64_t offset[V];
  for (int v = 0; v < V; ++v) offset[v] = slots.offset(first + v) * int64_t(sizeof(T));
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v)
      for (int u = 0; u < U; ++u) sum[r][v][u] = hn::Zero(F32());
  const auto add = [&](int64_t j, int u) HWY_ATTR {
    const std::byte* row = job.v + j * job.v_stride;
    for (int v = 0; v < V; ++v) {
      const auto value = load_slot<T, Short>(row + offset[v], slots);
      for (int r = 0; r < R; ++r)
        sum[r][v][u] =
            hn::MulAdd(hn::Set(F32(), weights[r * kernels::kMaxKeys + j]), value, sum[r][v][u]);
    }
  };
  int64_t j = 0;
  for (; j + U <= job.n; j += U)
    for (int u = 0; u < U; ++u) add(j + u, u);
  for (; j < job.n; ++j) add(j, 0);
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) {
      for (int u = 1; u < U; ++u) sum[r][v][0] = hn::Add(sum[r][v][0], sum[r][v][u]);
      std::byte* to = reinterpret_cast<std::byte*>(out + r * job.Dv) + slots.offset(first + v) * 4;
      if constexpr (Short)
        store_narrow<float>(sum[r][v][0], to, size_t(slots.n));
      else
        store_narrow<float>(sum[r][v][0], to);
    }
}

// tanh: Cephes' polynomial near 0, so that small scores keep their digits, and by exp beyond.
HWY_INLINE VF32 tanh(VF32 x) {
  const F32 d;
  const auto z = hn::Mul(x, x);
  auto p = hn::Set(d, -5.70498872745e-3f);
  p = hn::MulAdd(p, z, hn::Set(d, 2.06390887954e-2f));
  p = hn::MulAdd(p, z, hn::Set(d, -5.37397155531e-2f));
  p = hn::MulAdd(p, z, hn::Set(d, 1.33314422036e-1f));
  p = hn::MulAdd(p, z, hn::Set(d, -3.33332819422e-1f));
  const auto near = hn::MulAdd(hn::Mul(p, z), x, x);
  const auto one = hn::Set(d, 1.0f);
  const auto far = hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(exp(hn::Add(x, x)), one)));
  return hn::IfThenElse(hn::Lt(hn::Abs(x), hn::Set(d, 0.625f)), near, far);
}

void soften(int64_t n, float cap, float* scores) {
  const F32 d;
  const int64_t lanes = lanes_of_f32();
  const auto c = hn::Set(d, cap), inverse = hn::Set(d, 1 / cap);
  for (int64_t i = 0; i < n; i += lanes)
    hn::StoreU(hn::Mul(c, tanh(hn::Mul(hn::LoadU(d, scores + i), inverse))), d, scores + i);
}

// Weights exp(score - max) in place, and their sum.
HWY_INLINE void softmax_row(float* scores, int64_t n, float* max, float* sum) {
  const int64_t lanes = lanes_of_f32();
  for (int64_t j = n; j % lanes != 0; ++j) scores[j] = -kInfinity;
  auto high = hn::Set(F32(), -kInfinity);
  for (int64_t j = 0; j < n; j += lanes) high = hn::Max(high, hn::LoadU(F32(), scores + j));
  *max = hn::GetLane(hn::MaxOfLanes(F32(), high));
  const auto centre = hn::Set(F32(), *max == -kInfinity ? 0.0f : *max);
  auto total = hn::Zero(F32());
  for (int64_t j = 0; j < n; j += lanes) {
    const auto weight = exp(hn::Sub(hn::LoadU(F32(), scores + j), centre));
    hn::StoreU(weight, F32(), scores + j);
    total = hn::Add(total, weight);
  }
  *sum = hn::GetLane(hn::SumOfLanes(F32(), total));
}

template <class T, int R>
void few_queries_of(const FewQueries& job, int64_t row) {
  thread_local Scratch scratch;
  const Slots slots(job.D), values(job.Dv);
  const int64_t q_stride = slots.count * slots.lanes, whole = job.D / slots.lanes * slots.lanes;
  float* const q = scratch.get<float>(size_t(R * q_stride));
  for (int r = 0; r < R; ++r) {
    const float* from = job.q + (row + r) * job.D;
    float* to = q + r * q_stride;
    std::fill(to, to + q_stride, 0.0f);
    std::copy(from, from + whole, to);
    std::copy(from + whole, from + job.D, slots.is_short() ? to : to + q_stride - (job.D - whole));
  }
  alignas(64) float scores[R * kernels::kMaxKeys];
  const auto key = [&](int64_t j) { return job.k + j * job.k_stride; };
  int64_t j = 0;
  if (slots.is_short()) {
    for (; j < job.n; ++j)
      dot_keys<T, true, R, 1>(slots, q, q_stride, key(j), job.k_stride, scores + j);
  } else {
    constexpr int U = R == 1 ? 4 : 2;
    for (; j + U <= job.n; j += U)
      dot_keys<T, false, R, U>(slots, q, q_stride, key(j), job.k_stride, scores + j);
    for (; j < job.n; ++j)
      dot_keys<T, false, R, 1>(slots, q, q_stride, key(j), job.k_stride, scores + j);
  }
  for (int r = 0; r < R; ++r) {
    float* s = scores + r * kernels::kMaxKeys;
    if (job.softcap > 0) soften(job.n, job.softcap, s);
    if (job.bias)
      for (int64_t i = 0; i < job.n; ++i) {
        const float b = job.bias[(row + r) * job.n + i];
        s[i] = b == kMasked ? kMasked : s[i] + b;
      }
    const int64_t hidden = std::clamp<int64_t>(job.hidden[row + r], 0, job.n);
    std::fill(s, s + hidden, kMasked);
    for (int64_t i = std::max<int64_t>(0, job.visible[row + r]); i < job.n; ++i) s[i] = kMasked;
    softmax_row(s, job.n, job.max + row + r, job.sum + row + r);
  }
  float* out = job.out + row * job.Dv;
  if (values.is_short()) return add_values<T, true, R, 1, 1>(job, values, 0, scores, out);
  constexpr int V = R == 1 ? 8 : R == 2 ? 4 : 2;  // R V U sums: 8 hide the latency of the adds
  int64_t first = 0;
  for (; first + V <= values.count; first += V)
    add_values<T, false, R, V, 1>(job, values, first, scores, out);
  if constexpr (R == 1) {
    switch (values.count - first) {
      case 7: return add_values<T, false, 1, 7, 1>(job, values, first, scores, out);
      case 6: return add_values<T, false, 1, 6, 1>(job, values, first, scores, out);
      case 5: return add_values<T, false, 1, 5, 2>(job, values, first, scores, out);
      case 4: return add_values<T, false, 1, 4, 2>(job, values, first, scores, out);
      case 3: return add_values<T, false, 1, 3, 2>(job, values, first, scores, out);
      case 2: return add_values<T, false, 1, 2, 4>(job, values, first, scores, out);
      case 1: return add_values<T, false, 1, 1, 4>(job, values, first, scores, out);
    }
  } else {
    for (; first < values.count; ++first)
      add_values<T, false, R, 1, 1>(job, values, first, scores, out);
  }
}

void few_queries(const FewQueries& job) {
  visit(Halves{}, job.dtype, "attention", [&]<class T>() HWY_ATTR {
    int64_t row = 0;
    for (; row + 4 <= job.rows; row += 4) few_queries_of<T, 4>(job, row);
    for (; row + 2 <= job.rows; row += 2) few_queries_of<T, 2>(job, row);
    for (; row < job.rows; ++row) few_queries_of<T, 1>(job, row);
  });
}

void softmax_block(const SoftmaxBlock& job) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  for (int64_t at = 0; at < job.width; at += lanes_of_f32()) {
    float* const scores = job.scores + at;
    if (job.hidden) {
      const auto hidden = hn::LoadU(di, job.hidden + at);
      for (int64_t j = 0; j < job.n; ++j) {
        const auto unseen = hn::RebindMask(d, hn::Lt(hn::Set(di, int32_t(j)), hidden));
        float* s = scores + j * job.width;
        hn::StoreU(hn::IfThenElse(unseen, hn::Set(d, kMasked), hn::LoadU(d, s)), d, s);
      }
    }
    if (job.visible) {
      const auto visible = hn::LoadU(di, job.visible + at);
      for (int64_t j = 0; j < job.n; ++j) {
        const auto seen = hn::RebindMask(d, hn::Lt(hn::Set(di, int32_t(j)), visible));
        float* s = scores + j * job.width;
        hn::StoreU(hn::IfThenElse(seen, hn::LoadU(d, s), hn::Set(d, kMasked)), d, s);
      }
    }
    const auto before = hn::LoadU(d, job.max + at);
    auto max = before;
    for (int64_t j = 0; j < job.n; ++j) max = hn::Max(max, hn::LoadU(d, scores + j * job.width));
    const auto none = hn::Eq(max, hn::Set(d, -kInfinity));
    const auto centre = hn::IfThenElse(none, hn::Zero(d), max);
    const auto shrink = exp(hn::Sub(before, centre));
    auto sum = hn::Mul(hn::LoadU(d, job.sum + at), shrink);
    for (int64_t j = 0; j < job.n; ++j) {
      const auto weight = exp(hn::Sub(hn::LoadU(d, scores + j * job.width), centre));
      hn::StoreU(weight, d, scores + j * job.width);
      sum = hn::Add(sum, weight);
    }
    hn::StoreU(max, d, job.max + at);
    hn::StoreU(sum, d, job.sum + at);
    for (int64_t i = 0; i < job.Dv; ++i) {
      float* out = job.out + i * job.width + at;
      hn::StoreU(hn::Mul(hn::LoadU(d, out), shrink), d, out);
    }
  }
}

void widen_rows(Dtype dtype, int64_t count, int64_t n, const std::byte* x, int64_t stride,
                float* y) {
  visit(Halves{}, dtype, "attention", [&]<class T>() HWY_ATTR {
    for (int64_t i = 0; i < count; ++i) widen<T>(x + i * stride, n, y + i * n);
  });
}
void narrow_row(Dtype dtype, int64_t n, const float* x, float factor, std::byte* y) {
  visit(Halves{}, dtype, "attention", [&]<class T>() HWY_ATTR { narrow<T>(x, n, factor, y); });
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu {

HEARTH_EXPORT(rotate_rows);
void rotate_rows(const RotateRows& job) { HEARTH_DISPATCH(rotate_rows)(job); }

namespace kernels {

HEARTH_EXPORT(few_queries);
HEARTH_EXPORT(softmax_block);
HEARTH_EXPORT(soften);
HEARTH_EXPORT(widen_rows);
HEARTH_EXPORT(narrow_row);

void few_queries(const FewQueries& job) { HEARTH_DISPATCH(few_queries)(job); }
void softmax_block(const SoftmaxBlock& job) { HEARTH_DISPATCH(softmax_block)(job); }
void soften(int64_t n, float cap, float* scores) { HEARTH_DISPATCH(soften)(n, cap, scores); }
void widen_rows(Dtype dtype, int64_t count, int64_t n, const std::byte* x, int64_t stride,
                float* y) {
  HEARTH_DISPATCH(widen_rows)(dtype, count, n, x, stride, y);
}
void narrow_row(Dtype dtype, int64_t n, const float* x, float factor, std::byte* y) {
  HEARTH_DISPATCH(narrow_row)(dtype, n, x, factor, y);
}

}  // namespace kernels
}  // namespace hearth::cpu
#endif
