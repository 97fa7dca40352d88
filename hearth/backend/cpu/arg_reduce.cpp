// argmax and argmin along any axis of any layout.
#include "hearth/backend/cpu/isa.h"
// Plain loops, bound by memory: vectors of 64 bytes are no faster than those of 32 (measured in
// cache: 103 and 113 GB/s), and plain x86-64 has all that they need of SSE4.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/arg_reduce.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/fold-inl.h"
#include "hearth/backend/cpu/pool.h"
#include "hearth/backend/cpu/reduce.h"
#include "hearth/ops/primitives.h"

#ifndef HEARTH_BACKEND_CPU_ARG_REDUCE_JOB
#define HEARTH_BACKEND_CPU_ARG_REDUCE_JOB
namespace hearth::cpu {
namespace {

/// Rows: each output looks through `axis`. Columns: outputs along `inner` are found side by side.
struct ArgJob {
  const std::byte* in;
  uint32_t* out;
  Dtype type;
  Lane lane;
  bool largest, columns;
  Axes kept;         // without `inner`
  Axis axis, inner;  // inner: for columns
  int64_t chunks = 1;
};
constexpr int64_t kArgWidth = 512;

}  // namespace
}  // namespace hearth::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

/// Is a strictly before b in the order that Op looks for? NaN is first of all.
template <class Op>
HWY_INLINE bool beats(typename Op::C a, typename Op::C b) {
  if (is_nan(b)) return false;
  if (is_nan(a)) return true;
  return std::is_same_v<Op, Max<typename Op::C>> ? !at_least(b, a) : !at_least(a, b);
}

/// The best block by a fold, then its first best element.
template <class Op>
uint32_t arg_row(const ArgJob& j, const std::byte* x) {
  using C = typename Op::C;
  const int64_t n = j.axis.size, step = j.axis.stride * int64_t(size_of(j.type));
  C staged[kBlock], best{};
  int64_t best_block = -1;
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t m = n - i < kBlock ? n - i : kBlock;
    stage<C>(j.type, x + i * step, j.axis.stride, m, staged);
    const C here = fold<Op>(reinterpret_cast<const std::byte*>(staged), m);
    if (best_block < 0 || beats<Op>(here, best)) best = here, best_block = i;
  }
  const int64_t m = n - best_block < kBlock ? n - best_block : kBlock;
  stage<C>(j.type, x + best_block * step, j.axis.stride, m, staged);
  int64_t at = 0;  // the first that best does not beat: it is equal, or also NaN
  while (at + 1 < m && beats<Op>(best, staged[at])) ++at;
  return uint32_t(best_block + at);
}

template <class Op>
void arg_columns(const ArgJob& j, const std::byte* x, int64_t width, uint32_t* out) {
  using C = typename Op::C;
  const int64_t size = int64_t(size_of(j.type));
  C best[kArgWidth], staged[kArgWidth];
  uint32_t at[kArgWidth];
  stage<C>(j.type, x, j.inner.stride, width, best);
  for (int64_t i = 0; i < width; ++i) at[i] = 0;
  for (int64_t r = 1; r < j.axis.size; ++r) {
    stage<C>(j.type, x + r * j.axis.stride * size, j.inner.stride, width, staged);
    for (int64_t i = 0; i < width; ++i) {
      const bool better = beats<Op>(staged[i], best[i]);
      at[i] = better ? uint32_t(r) : at[i];
      best[i] = better ? staged[i] : best[i];
    }
  }
  for (int64_t i = 0; i < width; ++i) out[i * j.inner.to] = at[i];
}

template <class Op>
void arg_units(const ArgJob& j, int64_t first, int64_t last) {
  const int64_t size = int64_t(size_of(j.type));
  Walk at(j.kept, first / j.chunks);
  for (int64_t unit = first; unit < last; ++unit) {
    const int64_t chunk = unit % j.chunks, start = chunk * kArgWidth;
    const std::byte* x = j.in + (at.from + start * j.inner.stride) * size;
    uint32_t* out = j.out + at.to + start * j.inner.to;
    if (j.columns)
      arg_columns<Op>(j, x, j.inner.size - start < kArgWidth ? j.inner.size - start : kArgWidth,
                      out);
    else
      *out = arg_row<Op>(j, x);
    if (chunk + 1 == j.chunks) at.next();
  }
}

template <class C>
void arg_lane(const ArgJob& j, int64_t first, int64_t last) {
  j.largest ? arg_units<Max<C>>(j, first, last) : arg_units<Min<C>>(j, first, last);
}
void arg_part(const ArgJob& j, int64_t first, int64_t last) {
  switch (j.lane) {
    case Lane::u32: return arg_lane<uint32_t>(j, first, last);
    case Lane::i64: return arg_lane<int64_t>(j, first, last);
    case Lane::u64: return arg_lane<uint64_t>(j, first, last);
    case Lane::f32: return arg_lane<float>(j, first, last);
    case Lane::f64: return arg_lane<double>(j, first, last);
    case Lane::c64: return arg_lane<Pair<float>>(j, first, last);
    default: return arg_lane<int32_t>(j, first, last);
  }
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu {
namespace {
HWY_EXPORT(arg_part);
}  // namespace

void arg_reduce(const ArgReduce& op, const Args& args, CpuQueue&) {
  const array &in = args.in[0], &out = args.out[0];
  if (out.size() == 0) return;
  const auto& strides = in.node().strides;
  ArgJob j{};
  j.in = ptr<const std::byte>(in), j.out = ptr<uint32_t>(out);
  j.type = in.dtype(), j.lane = compare_lane(in.dtype());
  j.largest = op.largest;
  j.axis = {in.shape()[op.axis], strides[op.axis], 0};
  int64_t to = 1;
  for (int i = in.ndim(); i-- > 0;) {
    if (i == op.axis) continue;
    j.kept.insert(j.kept.begin(), {in.shape()[i], strides[i], to});
    to *= in.shape()[i];
  }
  merge(j.kept);
  const Axis* last = j.kept.empty() ? nullptr : &j.kept.back();
  j.columns = last && (std::abs(last->stride) < std::abs(j.axis.stride) ||
                       (j.axis.size < 32 && last->size > 2 * j.axis.size));
  int64_t unit = j.axis.size;  // elements
  if (j.columns) {
    j.inner = *last;
    j.kept.pop_back();
    j.chunks = (j.inner.size + kArgWidth - 1) / kArgWidth;
    unit *= std::min(j.inner.size, kArgWidth);
  }
  const int64_t units = count(j.kept) * j.chunks;
  const int64_t each = std::max<int64_t>(1, (1 << 16) / unit);
  parallel_for((units + each - 1) / each, [&](int64_t i) {
    HWY_DYNAMIC_DISPATCH(arg_part)(j, i * each, std::min(units, (i + 1) * each));
  });
}

}  // namespace hearth::cpu
#endif
