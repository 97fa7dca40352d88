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
#include "hearth/backend/cpu/reduce.h"
#include "hearth/backend/pool.h"
#include "hearth/ops/primitives.h"

#ifndef HEARTH_BACKEND_CPU_ARG_REDUCE_JOB
#define HEARTH_BACKEND_CPU_ARG_REDUCE_JOB
namespace hearth::cpu {
namespace {

/// Rows: each output looks through `axis`, in parts if it is long. Columns: outputs along `across`
/// are found side by side. A unit is a part of an output, or a chunk of columns.
struct ArgJob {
  const std::byte* in;
  uint32_t* out;
  Dtype type;
  JoinLane lane;
  bool largest, columns, direct;  // direct: elements are lanes already, side by side
  WalkAxes kept;                  // without `across`
  WalkAxis axis, across;
  int64_t chunks = 1;           // columns
  int64_t parts = 1, part = 0;  // rows: their number, and their size in elements
  uint32_t* found = nullptr;    // (outputs, parts) when there are several parts
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

/// Element i of the row at x.
template <class C>
HWY_INLINE C element(const ArgJob& j, const std::byte* x, int64_t i) {
  C v{};
  stage<C>(j.type, x + i * j.axis.stride * int64_t(size_of(j.type)), 1, 1, &v);
  return v;
}

/// Where in [first, last) of the row at x: the best block by a fold, then its first best element.
template <class Op>
uint32_t arg_row(const ArgJob& j, const std::byte* x, int64_t first, int64_t last) {
  using C = typename Op::C;
  const int64_t step = j.axis.stride * int64_t(size_of(j.type));
  C staged[kBlock], best{};
  int64_t best_block = -1;
  for (int64_t i = first; i < last; i += kBlock) {
    const int64_t m = last - i < kBlock ? last - i : kBlock;
    const std::byte* block = x + i * step;
    if (!j.direct) {
      stage<C>(j.type, block, j.axis.stride, m, staged);
      block = reinterpret_cast<const std::byte*>(staged);
    }
    const C here = fold<Op>(block, m);
    if (best_block < 0 || beats<Op>(here, best)) best = here, best_block = i;
  }
  int64_t at = best_block;  // the first that best does not beat: it is equal, or also NaN
  while (at + 1 < last && beats<Op>(best, element<C>(j, x, at))) ++at;
  return uint32_t(at);
}

template <class Op>
void arg_columns(const ArgJob& j, const std::byte* x, int64_t width, uint32_t* out) {
  using C = typename Op::C;
  const int64_t size = int64_t(size_of(j.type));
  C best[kArgWidth], staged[kArgWidth];
  uint32_t at[kArgWidth];
  stage<C>(j.type, x, j.across.stride, width, best);
  for (int64_t i = 0; i < width; ++i) at[i] = 0;
  for (int64_t r = 1; r < j.axis.size; ++r) {
    stage<C>(j.type, x + r * j.axis.stride * size, j.across.stride, width, staged);
    for (int64_t i = 0; i < width; ++i) {
      const bool better = beats<Op>(staged[i], best[i]);
      at[i] = better ? uint32_t(r) : at[i];
      best[i] = better ? staged[i] : best[i];
    }
  }
  for (int64_t i = 0; i < width; ++i) out[i * j.across.to] = at[i];
}

template <class Op>
void arg_units(const ArgJob& j, int64_t first, int64_t last) {
  const int64_t size = int64_t(size_of(j.type)), each = j.columns ? j.chunks : j.parts;
  Walk at(j.kept, first / each);
  for (int64_t unit = first; unit < last; ++unit) {
    const int64_t i = unit % each;
    const std::byte* x = j.in + at.from * size;
    if (j.columns) {
      const int64_t start = i * kArgWidth, rest = j.across.size - start;
      arg_columns<Op>(j, x + start * j.across.stride * size, rest < kArgWidth ? rest : kArgWidth,
                      j.out + at.to + start * j.across.to);
    } else {
      const int64_t end = (i + 1) * j.part < j.axis.size ? (i + 1) * j.part : j.axis.size;
      (j.found ? j.found[unit] : j.out[at.to]) = arg_row<Op>(j, x, i * j.part, end);
    }
    if (i + 1 == each) at.next();
  }
}

/// The best of the parts of one output.
template <class Op>
void arg_join(const ArgJob& j, int64_t output) {
  using C = typename Op::C;
  const Walk at(j.kept, output);
  const std::byte* x = j.in + at.from * int64_t(size_of(j.type));
  const uint32_t* found = j.found + output * j.parts;
  uint32_t best = found[0];
  for (int64_t p = 1; p < j.parts; ++p)
    if (beats<Op>(element<C>(j, x, found[p]), element<C>(j, x, best))) best = found[p];
  j.out[at.to] = best;
}

template <class Op>
void arg_op(const ArgJob& j, int64_t first, int64_t last) {
  last < 0 ? arg_join<Op>(j, first) : arg_units<Op>(j, first, last);
}
template <class C>
void arg_lane(const ArgJob& j, int64_t first, int64_t last) {
  j.largest ? arg_op<Max<C>>(j, first, last) : arg_op<Min<C>>(j, first, last);
}
/// Units [first, last); last < 0: joins the parts of output `first`.
void arg_part(const ArgJob& j, int64_t first, int64_t last) {
  switch (j.lane) {
    case JoinLane::u32: return arg_lane<uint32_t>(j, first, last);
    case JoinLane::i64: return arg_lane<int64_t>(j, first, last);
    case JoinLane::u64: return arg_lane<uint64_t>(j, first, last);
    case JoinLane::f32: return arg_lane<float>(j, first, last);
    case JoinLane::f64: return arg_lane<double>(j, first, last);
    case JoinLane::c64: return arg_lane<Pair<float>>(j, first, last);
    default: return arg_lane<int32_t>(j, first, last);
  }
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu {
namespace {
HEARTH_EXPORT(arg_part);
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
  const size_t near = j.kept.empty() ? 0 : nearest(j.kept);
  j.columns = !j.kept.empty() && (step(j.kept[near]) < step(j.axis) ||
                                  (j.axis.size < 32 && j.kept[near].size > 2 * j.axis.size));
  int64_t unit = j.axis.size;  // elements
  int64_t units = count(j.kept);
  std::vector<uint32_t> found;
  if (j.columns) {
    j.across = j.kept[near];
    j.kept.erase(j.kept.begin() + near);
    j.chunks = (j.across.size + kArgWidth - 1) / kArgWidth;
    unit *= std::min(j.across.size, kArgWidth);
    units = count(j.kept) * j.chunks;
  } else {
    constexpr int64_t kPart = 1 << 18;
    j.direct = j.axis.stride == 1 && is_lane(j.type, j.lane);
    j.parts = (j.axis.size + kPart - 1) / kPart;
    j.part = unit = std::min(kPart, j.axis.size);
    units *= j.parts;
    if (j.parts > 1) {
      found.resize(size_t(units));
      j.found = found.data();
    }
  }
  const int64_t each = std::max<int64_t>(1, (1 << 16) / unit);
  parallel_for((units + each - 1) / each, [&](int64_t i) {
    HEARTH_DISPATCH(arg_part)(j, i * each, std::min(units, (i + 1) * each));
  });
  if (j.found)
    for (int64_t i = 0; i < units / j.parts; ++i) HEARTH_DISPATCH(arg_part)(j, i, -1);
}

}  // namespace hearth::cpu
#endif
