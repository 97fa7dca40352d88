// Layer and RMS normalisation: each row is widened once into f32 and stays in L1.
#include "hearth/backend/cpu/isa.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/norm.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/rows.h"
#include "hearth/backend/cpu/simd-inl.h"
#include "hearth/backend/pool.h"
#include "hearth/ops/primitives_fast.h"

#ifndef HEARTH_BACKEND_CPU_NORM_
#define HEARTH_BACKEND_CPU_NORM_
namespace hearth::cpu {
struct Norm {
  Dtype dtype;
  bool centred;  // layer norm; else RMS norm
  float eps;
  int64_t rows, n;
  const std::byte* x;
  int64_t x_stride;                // bytes between rows; y has none between
  const std::byte *weight, *bias;  // (n), or null
  std::byte* y;
};
}  // namespace hearth::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

/// The sum of (x[i] - mean)^Power, Power 1 or 2.
template <class W, int Power>
W moment(const W* x, int64_t n, W mean) {
  const hn::ScalableTag<W> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  const auto centre = hn::Set(d, mean);
  hn::Vec<decltype(d)> sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  const auto add = [&](int64_t i, hn::Vec<decltype(d)>& to) HWY_ATTR {
    const auto v = hn::Sub(hn::LoadU(d, x + i), centre);
    to = Power == 1 ? hn::Add(to, v) : hn::MulAdd(v, v, to);
  };
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes)
    for (int v = 0; v < 4; ++v) add(i + v * lanes, sum[v]);
  for (; i + lanes <= n; i += lanes) add(i, sum[0]);
  const auto all = hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]));
  W total = hn::GetLane(hn::SumOfLanes(d, all));
  for (; i < n; ++i) total += Power == 1 ? x[i] - mean : (x[i] - mean) * (x[i] - mean);
  return total;
}

template <class T>
void normalise(const Norm& job, int64_t row, Wide<T>* wide) {
  using W = Wide<T>;
  const WideTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d)), size = sizeof(T), n = job.n;
  const std::byte* x = job.x + row * job.x_stride;
  std::byte* y = job.y + row * n * size;
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(load_wide<T>(x + i * size), d, wide + i);
  if (i < n) hn::StoreU(load_wide<T>(x + i * size, size_t(n - i)), d, wide + i);
  const W mean = job.centred ? moment<W, 1>(wide, n, 0) / W(n) : W(0);
  const W factor = 1 / std::sqrt(moment<W, 2>(wide, n, mean) / W(n) + W(job.eps));
  const auto centre = hn::Set(d, mean), scale = hn::Set(d, factor);
  for (i = 0; i + lanes <= n; i += lanes) {
    auto v = hn::Mul(hn::Sub(hn::LoadU(d, wide + i), centre), scale);
    if (job.weight) v = hn::Mul(v, load_wide<T>(job.weight + i * size));
    if (job.bias) v = hn::Add(v, load_wide<T>(job.bias + i * size));
    store_narrow<T>(v, y + i * size);
  }
  if (const size_t rest = size_t(n - i)) {
    auto v = hn::Mul(hn::Sub(hn::LoadU(d, wide + i), centre), scale);
    if (job.weight) v = hn::Mul(v, load_wide<T>(job.weight + i * size, rest));
    if (job.bias) v = hn::Add(v, load_wide<T>(job.bias + i * size, rest));
    store_narrow<T>(v, y + i * size, rest);
  }
}

void norm_range(const Norm& job, int64_t first, int64_t last) {
  visit(Floats{}, job.dtype, "norm", [&]<class T>() HWY_ATTR {
    thread_local Scratch scratch;
    auto* wide = scratch.get<Wide<T>>(size_t(job.n) + hn::Lanes(WideTag<T>()));
    for (int64_t row = first; row < last; ++row) normalise<T>(job, row, wide);
  });
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu {
namespace {

HEARTH_EXPORT(norm_range);

}  // namespace

void norm_rows(const array& x, const array* weight, const array* bias, bool centred, float eps,
               std::byte* y) {
  const Rows rows = rows_of(x);
  std::optional<Rows> w, b;
  if (weight) w = rows_of(*weight);
  if (bias) b = rows_of(*bias);
  const int64_t size = int64_t(size_of(x.dtype()));
  const Norm job{x.dtype(),
                 centred,
                 eps,
                 rows.count,
                 rows.length,
                 rows.data,
                 rows.stride * size,
                 w ? w->data : nullptr,
                 b ? b->data : nullptr,
                 y};
  const int64_t block = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, job.n));
  parallel_for((job.rows + block - 1) / block, [&](int64_t i) {
    HEARTH_DISPATCH(norm_range)(job, i * block, std::min(job.rows, (i + 1) * block));
  });
}

void layer_norm(const fast::LayerNorm& op, const Args& args, CpuQueue&) {
  norm_rows(args.in[0], op.scaled ? &args.in[1] : nullptr,
            op.shifted ? &args.in[1 + op.scaled] : nullptr, true, op.eps,
            ptr<std::byte>(args.out[0]));
}
void rms_norm(const fast::RMSNorm& op, const Args& args, CpuQueue&) {
  norm_rows(args.in[0], op.scaled ? &args.in[1] : nullptr, nullptr, false, op.eps,
            ptr<std::byte>(args.out[0]));
}

}  // namespace hearth::cpu
#endif
