// Sum, prod, mean, max, min, all and any, over any axes of any layout.
#include "hearth/backend/cpu/isa.h"
// Plain loops, bound by memory: vectors of 64 bytes are no faster than those of 32 (measured in
// cache: 103 and 113 GB/s), and plain x86-64 has all that they need of SSE4.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/reduce.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/fold-inl.h"
#include "hearth/backend/cpu/narrow.h"
#include "hearth/backend/cpu/reduce.h"
#include "hearth/backend/pool.h"
#include "hearth/ops/primitives.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

template <class Op>
HWY_INLINE typename Op::Total join_run(const ReduceJob& j, const std::byte* x, int64_t n,
                                       typename Op::Total total) {
  using C = typename Op::C;
  using Total = typename Op::Total;
  const int64_t step = j.run.stride * int64_t(size_of(j.type));
  const auto folded = [&](const std::byte* from, int64_t m) HWY_ATTR -> C {
    if (j.direct) return fold<Op>(from, m);
    if constexpr (std::is_same_v<C, float>) {
      if (j.run.stride == 1 && j.type == float16) return fold<Op, float16_t>(from, m);
      if (j.run.stride == 1 && j.type == bfloat16) return fold<Op, bfloat16_t>(from, m);
    }
    C staged[kBlock];
    stage<C>(j.type, from, j.run.stride, m, staged);
    return fold<Op>(reinterpret_cast<std::byte*>(staged), m);
  };
  for (int64_t i = 0; i < n; i += kBlock)
    total = Op::join(total, to_total<Total>(folded(x + i * step, std::min(kBlock, n - i))));
  return total;
}

template <class Op>
typename Op::Total join_rows(const ReduceJob& j, const std::byte* x, int64_t segment) {
  auto total = to_total<typename Op::Total>(Op::identity());
  const int64_t size = int64_t(size_of(j.type)), n = j.run.size, runs = count(j.reduced);
  if (j.segments == 1 && runs == 1) return join_run<Op>(j, x, n, total);
  if (j.parts > 1) {
    const int64_t each = (n + j.parts - 1) / j.parts, first = segment % j.parts * each;
    const Walk at(j.reduced, segment / j.parts);
    return join_run<Op>(j, x + (at.from + first * j.run.stride) * size,
                        n - first < each ? n - first : each, total);
  }
  Walk at(j.reduced, segment * j.per_segment);
  for (int64_t r = segment * j.per_segment; r < runs && r < (segment + 1) * j.per_segment; ++r) {
    total = join_run<Op>(j, x + at.from * size, n, total);
    at.next();
  }
  return total;
}

template <class Op>
void join_columns(const ReduceJob& j, const std::byte* x, int64_t segment, int64_t width,
                  typename Op::Total* total) {
  using C = typename Op::C;
  using Total = typename Op::Total;
  constexpr int64_t kWidth = sizeof(C) > 4 ? 512 : 1024;
  C lane[kWidth], staged[kWidth];
  for (int64_t i = 0; i < width; ++i) {
    lane[i] = Op::identity();
    total[i] = to_total<Total>(Op::identity());
  }
  const int64_t size = int64_t(size_of(j.type)), rows = count(j.reduced);
  Walk at(j.reduced, segment * j.per_segment);
  for (int64_t r = segment * j.per_segment; r < rows && r < (segment + 1) * j.per_segment; ++r) {
    if (j.direct) {
      const std::byte* row = x + at.from * size;
      for (int64_t i = 0; i < width; ++i) lane[i] = Op::join(lane[i], load<C>(row, i));
    } else {
      stage<C>(j.type, x + at.from * size, j.across.stride, width, staged);
      for (int64_t i = 0; i < width; ++i) lane[i] = Op::join(lane[i], staged[i]);
    }
    at.next();
    if (!std::is_same_v<C, Total> && r % 128 == 127) {
      for (int64_t i = 0; i < width; ++i) {
        total[i] = Op::join(total[i], to_total<Total>(lane[i]));
        lane[i] = Op::identity();
      }
    }
  }
  for (int64_t i = 0; i < width; ++i) total[i] = Op::join(total[i], to_total<Total>(lane[i]));
}

int64_t width_of(const ReduceJob& j, int64_t start) {
  return j.across.size - start < j.width ? j.across.size - start : j.width;
}

/// A task is some units, in the order (group, segment); a group is `width` outputs along `across`.
template <class Op>
void run_task(const ReduceJob& j, int64_t task) {
  using Total = typename Op::Total;
  const int64_t size = int64_t(size_of(j.type)), units = j.groups * j.segments;
  const int64_t first = task * j.per_task;
  const int64_t last = first + j.per_task < units ? first + j.per_task : units;
  int64_t group = first / j.segments, segment = first % j.segments;
  Walk at(j.kept, group / j.chunks);
  for (int64_t unit = first; unit < last; ++unit) {
    const int64_t start = group % j.chunks * j.width, width = width_of(j, start);
    const std::byte* x = j.in + (at.from + start * j.across.stride) * size;
    Total here[1024];
    Total* totals = j.partials ? reinterpret_cast<Total*>(j.partials) + unit * j.width : here;
    if (j.columns)
      join_columns<Op>(j, x, segment, width, totals);
    else
      for (int64_t i = 0; i < width; ++i)
        totals[i] = join_rows<Op>(j, x + i * j.across.stride * size, segment);
    if (!j.partials) store_totals(j, totals, width, at.to + start * j.across.to);
    if (++segment < j.segments) continue;
    segment = 0;
    if (++group % j.chunks == 0) at.next();
  }
}

/// Joins the segments of one group.
template <class Op>
void join_segments(const ReduceJob& j, int64_t group) {
  using Total = typename Op::Total;
  auto* totals = reinterpret_cast<Total*>(j.partials) + group * j.segments * j.width;
  const Walk at(j.kept, group / j.chunks);
  const int64_t start = group % j.chunks * j.width, width = width_of(j, start);
  for (int64_t s = 1; s < j.segments; ++s)
    for (int64_t i = 0; i < width; ++i) totals[i] = Op::join(totals[i], totals[s * j.width + i]);
  store_totals(j, totals, width, at.to + start * j.across.to);
}

template <class Op>
void run_op(const ReduceJob& j, int64_t i, bool joining) {
  joining ? join_segments<Op>(j, i) : run_task<Op>(j, i);
}
template <class C>
void run_lane(const ReduceJob& j, int64_t i, bool joining) {
  constexpr bool compares = !std::is_same_v<C, uint8_t>;
  constexpr bool adds = compares && !std::is_same_v<C, int32_t>;
  switch (j.join) {
    case Join::sum:
      if constexpr (adds) run_op<Sum<C>>(j, i, joining);
      return;
    case Join::product:
      if constexpr (adds && !std::is_same_v<C, int64_t>) run_op<Product<C>>(j, i, joining);
      return;
    case Join::max: return run_op<Max<C>>(j, i, joining);
    case Join::min: return run_op<Min<C>>(j, i, joining);
  }
}
/// Task i of the job, or, when joining, its group i.
void reduce_part(const ReduceJob& j, int64_t i, bool joining) {
  switch (j.lane) {
    case JoinLane::u8: return run_lane<uint8_t>(j, i, joining);
    case JoinLane::i32: return run_lane<int32_t>(j, i, joining);
    case JoinLane::u32: return run_lane<uint32_t>(j, i, joining);
    case JoinLane::i64: return run_lane<int64_t>(j, i, joining);
    case JoinLane::u64: return run_lane<uint64_t>(j, i, joining);
    case JoinLane::f32: return run_lane<float>(j, i, joining);
    case JoinLane::f64: return run_lane<double>(j, i, joining);
    case JoinLane::c64: return run_lane<Pair<float>>(j, i, joining);
  }
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu {
namespace {

HEARTH_EXPORT(reduce_part);

/// A total over a divisor (0: none), rounded once.
template <class Out, class Total>
Out finish(Total t, double divisor) {
  if constexpr (std::is_class_v<Total> != std::is_same_v<Out, complex64_t>) {
    return Out{};  // never asked for
  } else if constexpr (std::is_class_v<Total>) {
    if (divisor != 0) return {float(double(t.re) / divisor), float(double(t.im) / divisor)};
    return {float(t.re), float(t.im)};
  } else if constexpr (std::is_same_v<Out, bool>) {
    return t != 0;
  } else if constexpr (is_floating(dtype_of<Out>)) {
    return narrow<Out>(divisor != 0 ? double(t) / divisor : double(t));
  } else {
    return Out(t);
  }
}

constexpr int64_t kSegment = 1 << 17;  // elements of a segment, about: half a megabyte of f32
constexpr int64_t kTask = 1 << 16;     // elements of a task, at least about

JoinLane lane_of(Reduce::Kind kind, Dtype type) {
  using Kind = Reduce::Kind;
  if (kind == Kind::all || kind == Kind::any) return JoinLane::u8;
  if (kind == Kind::max || kind == Kind::min || is_inexact(type)) return compare_lane(type);
  if (kind == Kind::mean) return size_of(type) == 8 ? JoinLane::f64 : JoinLane::i64;  // no overflow
  return size_of(type) == 8 ? JoinLane::u64 : JoinLane::u32;
}

Join join_of(Reduce::Kind kind) {
  switch (kind) {
    case Reduce::Kind::prod: return Join::product;
    case Reduce::Kind::max:
    case Reduce::Kind::any: return Join::max;
    case Reduce::Kind::min:
    case Reduce::Kind::all: return Join::min;
    default: return Join::sum;
  }
}

/// Sorts the input's axes into kept and reduced, and cuts the work.
ReduceJob plan(const Reduce& op, const array& in, const array& out) {
  ReduceJob j{};
  j.in = ptr<const std::byte>(in);
  j.out = ptr<std::byte>(out);
  j.type = in.dtype(), j.out_type = out.dtype();
  j.join = join_of(op.kind), j.lane = lane_of(op.kind, in.dtype());
  const auto& strides = in.node().strides;
  int64_t to = 1;
  for (int i = in.ndim(); i-- > 0;) {
    const int64_t size = in.shape()[i];
    if (std::find(op.axes.begin(), op.axes.end(), i) == op.axes.end()) {
      j.kept.insert(j.kept.begin(), {size, strides[i], to});
      to *= size;
    } else if (strides[i] < 0) {  // the order does not matter: walk forwards
      j.in += (size - 1) * strides[i] * int64_t(size_of(j.type));
      j.reduced.push_back({size, -strides[i], 0});
    } else {
      j.reduced.push_back({size, strides[i], 0});
    }
  }
  const int64_t elements = count(j.reduced);
  if (op.kind == Reduce::Kind::mean) j.divisor = elements ? double(elements) : NAN;
  if (elements == 0) j.reduced = {{0, 1, 0}};
  std::stable_sort(j.reduced.begin(), j.reduced.end(),
                   [](const WalkAxis& a, const WalkAxis& b) { return a.stride > b.stride; });
  merge(j.reduced);
  merge(j.kept);

  // Rows, if the axis of the smallest step is a reduced one and not very short; else columns. A few
  // elements always by columns: the order of their sum must not depend on how many others there
  // are.
  const size_t near = j.kept.empty() ? 0 : nearest(j.kept);
  j.run = j.reduced.empty() ? WalkAxis{1, 1, 0} : j.reduced.back();
  const bool few = elements > 0 && elements < 32;
  j.columns = few || (!j.kept.empty() && elements > 0 &&
                      (step(j.kept[near]) < step(j.run) ||
                       (j.run.size < 32 && j.kept[near].size > 2 * j.run.size)));
  j.across = {1, 0, 0};
  if (!j.kept.empty()) {
    const size_t i = j.columns ? near : j.kept.size() - 1;
    j.across = j.kept[i];
    j.kept.erase(j.kept.begin() + i);
  }
  int64_t per_segment = 1;  // elements of one output
  if (j.columns) {
    j.direct = j.across.stride == 1 && is_lane(j.type, j.lane);
    j.width = std::min<int64_t>(lane_size(j.lane) > 4 ? 512 : 1024, j.across.size);
    const bool many = count(j.kept) * j.across.size >= 64 * j.width;
    j.per_segment = many ? elements : std::max<int64_t>(256, kSegment / j.width);
    j.segments = (elements + j.per_segment - 1) / j.per_segment;
    per_segment = std::min(elements, j.per_segment);
  } else {
    if (!j.reduced.empty()) j.reduced.pop_back();
    j.direct = j.run.stride == 1 && is_lane(j.type, j.lane);
    const int64_t runs = count(j.reduced), n = std::max<int64_t>(j.run.size, 1);
    j.parts = (n + kSegment - 1) / kSegment;
    j.per_segment = std::max<int64_t>(1, kSegment / n);
    j.segments = j.parts > 1 ? runs * j.parts : (runs + j.per_segment - 1) / j.per_segment;
    per_segment = std::clamp<int64_t>(elements, 1, kSegment);
    if (j.segments == 1)
      j.width = std::min<int64_t>({1024, j.across.size, std::max<int64_t>(1, kTask / per_segment)});
  }
  j.chunks = (j.across.size + j.width - 1) / j.width;
  j.groups = count(j.kept) * j.chunks;
  j.per_task = std::max<int64_t>(1, kTask / (j.width * per_segment));
  return j;
}

}  // namespace

template <class Total>
void store_totals(const ReduceJob& j, const Total* t, int64_t n, int64_t to) {
  switch (j.out_type) {
#define X(name, T, kind, text)                                                         \
  case Dtype::name: {                                                                  \
    T* out = reinterpret_cast<T*>(j.out) + to;                                         \
    for (int64_t i = 0; i < n; ++i) out[i * j.across.to] = finish<T>(t[i], j.divisor); \
    return;                                                                            \
  }
    HEARTH_DTYPES(X)
#undef X
  }
}

template void store_totals(const ReduceJob&, const uint8_t*, int64_t, int64_t);
template void store_totals(const ReduceJob&, const int32_t*, int64_t, int64_t);
template void store_totals(const ReduceJob&, const uint32_t*, int64_t, int64_t);
template void store_totals(const ReduceJob&, const int64_t*, int64_t, int64_t);
template void store_totals(const ReduceJob&, const uint64_t*, int64_t, int64_t);
template void store_totals(const ReduceJob&, const float*, int64_t, int64_t);
template void store_totals(const ReduceJob&, const double*, int64_t, int64_t);
template void store_totals(const ReduceJob&, const Pair<float>*, int64_t, int64_t);
template void store_totals(const ReduceJob&, const Pair<double>*, int64_t, int64_t);

void reduce(const Reduce& op, const Args& args, CpuQueue&) {
  const array &in = args.in[0], &out = args.out[0];
  if (out.size() == 0) return;
  ReduceJob j = plan(op, in, out);
  std::vector<std::byte> partials;
  if (j.segments > 1) {
    partials.resize(size_t(j.groups * j.segments * j.width) * 16);  // the largest total's size
    j.partials = partials.data();
  }
  const int64_t tasks = (j.groups * j.segments + j.per_task - 1) / j.per_task;
  parallel_for(tasks, [&](int64_t i) { HEARTH_DISPATCH(reduce_part)(j, i, false); });
  if (j.partials)
    parallel_for(j.groups, [&](int64_t i) { HEARTH_DISPATCH(reduce_part)(j, i, true); });
}

}  // namespace hearth::cpu
#endif
