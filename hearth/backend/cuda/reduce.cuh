// Joining many elements into one on the device: how the work is cut, and the kernels, for any way
// of joining. An Op has
//   Part, Total                  the types of a few joined elements, and of all
//   Total identity()
//   Part lift(T x, int64_t i)    element i, as the output's elements are counted
//   Part join(Part, Part), Total join(Total, Total), Total widen(Part)
//   void store(void* out, int64_t i, Total)
//   kPieces                      are elements loaded 16 bytes at a time? For types below 4 bytes
// The order of joins depends on sizes alone.
#pragma once
#include "hearth/backend/cuda/block.cuh"
#include "hearth/backend/cuda/elements.cuh"
#include "hearth/backend/walk.h"

namespace hearth::cuda {

/// How one reduction is cut. Rows: the threads of a group share an output. Columns: neighbouring
/// threads have neighbouring outputs.
struct ReducePlan {
  const std::byte* in;
  size_t item;
  WalkAxes kept, reduced;  // without `across`; without `run`
  WalkAxis run, across;
  bool columns;
  int64_t outputs, elements;  // elements: of one output
};
/// `ordered`: elements keep their order; else the reduced axes may be walked in any.
inline ReducePlan plan_reduce(const std::byte* data, const array& in, std::span<const int> axes,
                              bool ordered) {
  ReducePlan p{data, in.itemsize(), {}, {}, {1, 1, 0}, {1, 0, 0}, false, 1, 1};
  const Strides& strides = in.node().strides;
  for (int i = in.ndim(); i-- > 0;) {
    const int64_t size = in.shape()[i];
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) {
      p.kept.insert(p.kept.begin(), {size, strides[i], p.outputs});
      p.outputs *= size;
    } else {
      p.elements *= size;
      if (!ordered && strides[i] < 0 && size > 0) {
        p.in += (size - 1) * strides[i] * int64_t(p.item);
        p.reduced.push_back({size, -strides[i], 0});
      } else {
        p.reduced.push_back({size, strides[i], 0});
      }
    }
  }
  if (p.elements == 0) p.reduced = {{0, 1, 0}};
  if (!ordered)
    std::stable_sort(p.reduced.begin(), p.reduced.end(),
                     [](const WalkAxis& a, const WalkAxis& b) { return a.stride > b.stride; });
  merge(p.reduced);
  merge(p.kept);
  const auto step = [](const WalkAxis& a) {
    return a.stride == 0 ? INT64_MAX : std::abs(a.stride);
  };
  if (!p.reduced.empty()) {
    p.run = p.reduced.back();
    p.reduced.pop_back();
  }
  size_t near = 0;
  for (size_t i = 0; i < p.kept.size(); ++i)
    if (step(p.kept[i]) <= step(p.kept[near])) near = i;
  p.columns = !p.kept.empty() && p.elements > 0 && step(p.kept[near]) < step(p.run);
  if (p.columns) {
    p.across = p.kept[near];
    p.kept.erase(p.kept.begin() + near);
  }
  return p;
}

/// Axes for kernels: strides in the input and in the output.
inline Axes<2> on_device(const WalkAxes& axes) {
  Shape shape;
  std::array<Strides, 2> strides;
  for (const WalkAxis& a : axes) {
    ensure(a.size < INT32_MAX, "cuda: an axis of ", a.size, " elements is too long to reduce");
    shape.push_back(int(a.size));
    strides[0].push_back(a.stride), strides[1].push_back(a.to);
  }
  return Axes<2>(shape, strides);
}

/// Joins the totals of `lanes` neighbouring threads of a warp, a power of 2; all have the result.
template <class Op>
__device__ inline typename Op::Total join_lanes(const Op& op, typename Op::Total t, int lanes) {
  for (int o = lanes / 2; o > 0; o /= 2) t = op.join(t, shuffle_xor(t, o));
  return t;
}

// Not inlined, for the size of the code: most reductions get by without.
inline __noinline__ __device__ int64_t divided(int64_t a, int64_t b) { return quotient(a, b); }
struct Offsets {
  int64_t in, out;
};
inline __noinline__ __device__ Offsets offsets_of(const Axes<2>& axes, int64_t i) {
  int64_t at[2];
  axes.offsets(i, at);
  return {at[0], at[1]};
}

template <class T, class Op>
struct ReduceJob {
  const T* in;
  void* out;
  typename Op::Total* partials;  // (segments, outputs), or null
  Op op;
  Axes<2> kept, reduced;  // without `across`; without the run
  int64_t outputs, elements, run, run_stride;
  int64_t across, across_stride, across_to;  // columns
  int64_t segments, per_segment;             // elements of one output
  int lanes;                                 // rows: threads that share an output
  bool in_pieces;                            // runs are whole 16-byte pieces

  /// Where element i of an output is, or piece i, of V elements, when runs are of `run` of them.
  __device__ int64_t offset(int64_t i, int64_t run, int64_t step) const {
    if (this->run == elements) return i * step;
    const int64_t outer = divided(i, run);
    return offsets_of(reduced, outer).in + (i - outer * run) * step;
  }
  __device__ void give(int64_t segment, int64_t output, typename Op::Total t) const {
    if (partials)
      partials[segment * outputs + output] = t;
    else
      op.store(out, output, t);
  }
};

template <class T>
constexpr int kPiece = int(16 / sizeof(T));  // elements that a thread loads at once

template <class T, class Op>
__device__ inline typename Op::Part join_piece(const Op& op, const uint4& piece, int64_t i) {
  const T* x = reinterpret_cast<const T*>(&piece);
  typename Op::Part part = op.lift(x[0], i);
#pragma unroll
  for (int e = 1; e < kPiece<T>; ++e) part = op.join(part, op.lift(x[e], i + e));
  return part;
}

constexpr int kFlight = 4;  // loads that a thread has under way

/// Elements [begin, end) of the output whose first element is at `row`, by thread `lane` of
/// `lanes`.
template <class T, class Op>
__device__ inline typename Op::Total join_range(const ReduceJob<T, Op>& j, const T* row,
                                                int64_t begin, int64_t end, int lane, int lanes) {
  using Part = typename Op::Part;
  const Op& op = j.op;
  typename Op::Total total = op.identity();
  const auto take = [&](Part p) { total = op.join(total, op.widen(p)); };
  const bool one_run = j.run == j.elements;
  if constexpr (Op::kPieces) {
    constexpr int V = kPiece<T>;
    if (one_run && j.run_stride == 1) {
      const T* x = row + begin;
      const int64_t count = end - begin;
      const int64_t head =
          min(count, int64_t((16 - (reinterpret_cast<uintptr_t>(x) & 15)) % 16 / sizeof(T)));
      const uint4* pieces = reinterpret_cast<const uint4*>(x + head);
      const int64_t whole = (count - head) / V, body = head + whole * V;
      int64_t i = lane;
      for (; i + (kFlight - 1) * lanes < whole; i += kFlight * lanes) {
        uint4 v[kFlight];
#pragma unroll
        for (int u = 0; u < kFlight; ++u) v[u] = pieces[i + u * lanes];
#pragma unroll
        for (int u = 0; u < kFlight; ++u)
          take(join_piece<T>(op, v[u], begin + head + (i + u * lanes) * V));
      }
#pragma unroll 1
      for (; i < whole; i += lanes) take(join_piece<T>(op, pieces[i], begin + head + i * V));
#pragma unroll 1
      for (i = lane; i < head + count - body; i += lanes) {
        const int64_t e = i < head ? i : body + i - head;
        take(op.lift(x[e], begin + e));
      }
      return total;
    }
    if (j.in_pieces) {
      const int64_t run = j.run / V;
#pragma unroll 1
      for (int64_t i = begin / V + lane; i < end / V; i += lanes)
        take(join_piece<T>(op, *reinterpret_cast<const uint4*>(row + j.offset(i, run, V)), i * V));
      return total;
    }
  }
  int64_t i = begin + lane;
  if (one_run)
    for (; i + (kFlight - 1) * lanes < end; i += kFlight * lanes) {
      T v[kFlight];
#pragma unroll
      for (int u = 0; u < kFlight; ++u) v[u] = row[(i + u * lanes) * j.run_stride];
      Part part[kFlight];
#pragma unroll
      for (int u = 0; u < kFlight; ++u) part[u] = op.lift(v[u], i + u * lanes);
      take(op.join(op.join(part[0], part[1]), op.join(part[2], part[3])));
    }
#pragma unroll 1
  for (; i < end; i += lanes) take(op.lift(row[j.offset(i, j.run, j.run_stride)], i));
  return total;
}

constexpr int kReduceThreads = 256;

/// Rows: j.lanes threads to an output, of a warp, or a whole block to a segment of one.
template <class T, class Op>
__global__ void __launch_bounds__(kReduceThreads)
    reduce_rows(const __grid_constant__ ReduceJob<T, Op> j) {
  __shared__ typename Op::Total warps[kReduceThreads / 32];
  const int t = int(threadIdx.x), lane = t % j.lanes, in_warp = min(j.lanes, 32);
  const int64_t units = j.outputs * j.segments, per_warp = 32 / in_warp;
  const int64_t groups = int64_t(gridDim.x) * (kReduceThreads / j.lanes);
  const int64_t first = (int64_t(blockIdx.x) * kReduceThreads + t) / j.lanes;
  // All threads of a warp, or of a block, go round as often: they join together.
  for (int64_t base = first / per_warp * per_warp; base < units; base += groups) {
    const int64_t unit = base + first % per_warp;
    const int64_t output = divided(unit, j.segments), segment = unit - output * j.segments;
    auto total = j.op.identity();
    if (unit < units) {
      const int64_t begin = segment * j.per_segment, at = offsets_of(j.kept, output).in;
      total =
          join_range(j, j.in + at, begin, min(j.elements, begin + j.per_segment), lane, j.lanes);
    }
    total = join_lanes(j.op, total, in_warp);
    if (j.lanes > 32) {
      if (t % 32 == 0) warps[t / 32] = total;
      __syncthreads();
      if (t < 32)
        total = join_lanes(j.op, t < kReduceThreads / 32 ? warps[t] : j.op.identity(), 32);
      __syncthreads();
    }
    if (lane == 0 && unit < units) j.give(segment, output, total);
  }
}

/// Columns: a thread has V neighbouring outputs and every so many-th element of them. A block is X
/// threads wide; its unit is a segment of X * V outputs of one place of the kept axes.
template <class T, class Op, int V>
__global__ void __launch_bounds__(kReduceThreads)
    reduce_columns(const __grid_constant__ ReduceJob<T, Op> j, int X, int64_t chunks,
                   int64_t units) {
  using Part = typename Op::Part;
  using Total = typename Op::Total;
  struct alignas(sizeof(T) * V) Piece {
    T x[V];
  };
  __shared__ Total shared[kReduceThreads * V];
  const int t = int(threadIdx.x), tx = t % X, ty = t / X, Y = kReduceThreads / X;
  for (int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const int64_t rest = divided(unit, j.segments), segment = unit - rest * j.segments;
    const int64_t place = divided(rest, chunks), column = (rest - place * chunks) * X * V + tx * V;
    const int64_t begin = segment * j.per_segment, end = min(j.elements, begin + j.per_segment);
    const Offsets at = offsets_of(j.kept, place);
    Total total[V];
#pragma unroll
    for (int v = 0; v < V; ++v) total[v] = j.op.identity();
    if (column < j.across) {
      const T* x = j.in + at.in + column * j.across_stride;
      const auto row = [&](int64_t i) { return x + j.offset(i, j.run, j.run_stride); };
      int64_t i = begin + ty;
      for (; i + (kFlight - 1) * Y < end; i += kFlight * Y) {
        Piece p[kFlight];
#pragma unroll
        for (int u = 0; u < kFlight; ++u) p[u] = *reinterpret_cast<const Piece*>(row(i + u * Y));
#pragma unroll
        for (int v = 0; v < V; ++v) {
          Part part[kFlight];
#pragma unroll
          for (int u = 0; u < kFlight; ++u) part[u] = j.op.lift(p[u].x[v], i + u * Y);
          total[v] = j.op.join(total[v], j.op.widen(j.op.join(j.op.join(part[0], part[1]),
                                                              j.op.join(part[2], part[3]))));
        }
      }
#pragma unroll 1
      for (; i < end; i += Y) {
        const Piece p = *reinterpret_cast<const Piece*>(row(i));
#pragma unroll
        for (int v = 0; v < V; ++v)
          total[v] = j.op.join(total[v], j.op.widen(j.op.lift(p.x[v], i)));
      }
    }
#pragma unroll
    for (int v = 0; v < V; ++v) shared[v * kReduceThreads + t] = total[v];
    __syncthreads();
    for (int half = Y / 2; half > 0; half /= 2) {
      if (ty < half) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
          Total& mine = shared[v * kReduceThreads + t];
          mine = j.op.join(mine, shared[v * kReduceThreads + t + half * X]);
        }
      }
      __syncthreads();
    }
    if (ty == 0 && column < j.across)
      for (int v = 0; v < V; ++v)
        j.give(segment, at.out + (column + v) * j.across_to, shared[v * kReduceThreads + t]);
    __syncthreads();
  }
}

/// Joins the segments' totals: a warp to an output.
template <class Op>
__global__ void __launch_bounds__(kReduceThreads)
    reduce_segments(Op op, const typename Op::Total* partials, void* out, int64_t outputs,
                    int64_t segments) {
  const int lane = int(threadIdx.x) % 32;
  for (int64_t output = (int64_t(blockIdx.x) * kReduceThreads + threadIdx.x) / 32; output < outputs;
       output += int64_t(gridDim.x) * kReduceThreads / 32) {
    auto total = op.identity();
#pragma unroll 1
    for (int64_t s = lane; s < segments; s += 32)
      total = op.join(total, partials[s * outputs + output]);
    total = join_lanes(op, total, 32);
    if (lane == 0) op.store(out, output, total);
  }
}

inline int power_of_2(int64_t at_least, int most) {
  int p = 1;
  while (p < most && p < at_least) p *= 2;
  return p;
}

template <class T, class Op>
void run_reduce(CudaQueue& queue, const ReducePlan& p, void* out, const Op& op) {
  const int64_t wanted = int64_t(queue.card().multiprocessors) * 8;  // blocks that fill the card
  ReduceJob<T, Op> j{reinterpret_cast<const T*>(p.in),
                     out,
                     nullptr,
                     op,
                     on_device(p.kept),
                     on_device(p.reduced),
                     p.outputs,
                     p.elements,
                     p.run.size,
                     p.run.stride,
                     p.across.size,
                     p.across.stride,
                     p.across.to,
                     1,
                     p.elements,
                     32,
                     false};
  constexpr int V = kPiece<T>;
  const auto in_pieces = [&](int64_t size, int64_t stride, const WalkAxis* but, int v) {
    bool all = reinterpret_cast<uintptr_t>(p.in) % (sizeof(T) * size_t(v)) == 0 && stride == 1 &&
               size % v == 0;
    for (const WalkAxes* axes : {&p.kept, &p.reduced})
      for (const WalkAxis& a : *axes) all = all && a.stride % v == 0;
    return all && (!but || but->size == 1 || but->stride % v == 0);
  };
  // Enough segments to fill the card, of at least `least` elements, in whole pieces.
  const auto cut = [&](int64_t units, int64_t least) {
    if (units >= 4 * wanted) return;
    const int64_t most = (p.elements + least - 1) / least;
    const int64_t several = (units < wanted ? wanted : 4 * wanted) / units;
    const int64_t segments = std::max<int64_t>(1, std::min(most, several));
    j.per_segment = (p.elements + segments - 1) / segments;
    j.per_segment = std::max<int64_t>((j.per_segment + 63) / 64 * 64, 64);
    j.segments = std::max<int64_t>(1, (p.elements + j.per_segment - 1) / j.per_segment);
    if (j.segments > 1)
      j.partials = queue.scratch<typename Op::Total>(size_t(j.segments * p.outputs));
  };
  if (p.columns) {
    constexpr int W = !Op::kPieces ? 1 : V < 8 ? V : 8;
    const bool wide = in_pieces(p.across.size, p.across.stride, &p.run, W);
    const int width = wide ? W : 1;
    const int X = power_of_2((p.across.size + width - 1) / width, 32), Y = kReduceThreads / X;
    const int64_t chunks = (p.across.size + X * width - 1) / (X * width);
    const int64_t groups = count(p.kept) * chunks;
    cut(groups, int64_t(Y) * 16);
    const int64_t units = groups * j.segments;
    const auto start = [&](auto kernel) {
      launch(queue, kernel, blocks_for(units, 1), kReduceThreads, 0, j, X, chunks, units);
    };
    if (wide)
      start(reduce_columns<T, Op, W>);
    else
      start(reduce_columns<T, Op, 1>);  // the same if W is 1
  } else {
    j.in_pieces = p.run.size != p.elements && in_pieces(p.run.size, p.run.stride, nullptr, V);
    const bool few = p.outputs < wanted;
    if (p.elements > 4096 || (p.elements > 256 && few)) {
      cut(p.outputs, 2048);
      j.lanes = kReduceThreads;
    } else {
      const int64_t each = p.run.stride == 1 ? 2 * V : 4;
      j.lanes = power_of_2((p.elements + each - 1) / each, 32);
    }
    launch(queue, reduce_rows<T, Op>, blocks_for(p.outputs * j.segments * j.lanes, kReduceThreads),
           kReduceThreads, 0, j);
  }
  if (j.partials)
    launch(queue, reduce_segments<Op>, blocks_for(p.outputs * 32, kReduceThreads), kReduceThreads,
           0, op, static_cast<const typename Op::Total*>(j.partials), out, p.outputs, j.segments);
}

}  // namespace hearth::cuda
