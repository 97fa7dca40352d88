// Running sums, products, maxima, minima and logarithms of sums of exponentials along an axis.
// Floats run in f64, integers in 64 bits that wrap. Many lines: a thread to each. Few: a block to
// each, or to a segment of one, after a first pass that says what the segments add up to.
#include "hearth/backend/cuda/elements.cuh"

namespace hearth::cuda {
namespace {

using Kind = Scan::Kind;

__device__ inline bool is_nan(int64_t) { return false; }
__device__ inline bool is_nan(double v) { return v != v; }
__device__ inline bool is_nan(ComplexDouble v) { return v.re != v.re || v.im != v.im; }
__device__ inline bool less(int64_t a, int64_t b) { return a < b; }
__device__ inline bool less(double a, double b) { return a < b; }
__device__ inline bool less(ComplexDouble a, ComplexDouble b) {
  return !is_nan(a) && !is_nan(b) && (a.re < b.re || (a.re == b.re && a.im < b.im));
}

/// `min` is the max of elements flipped; of unsigned 64-bit integers the order is turned too.
template <Kind kind, class R>
__device__ inline R flipped(R v, uint64_t flip) {
  if constexpr (kind != Kind::max)
    return v;
  else if constexpr (std::is_integral_v<R>)
    return R(uint64_t(v) ^ flip);
  else if constexpr (std::is_class_v<R>)
    return flip ? R{-v.re, -v.im} : v;
  else
    return flip ? -v : v;
}

template <Kind kind, class R>
__device__ inline R join(R a, R b) {
  if constexpr (kind == Kind::sum) {
    if constexpr (std::is_class_v<R>)
      return {a.re + b.re, a.im + b.im};
    else
      return a + b;
  } else if constexpr (kind == Kind::prod) {
    if constexpr (std::is_class_v<R>)
      return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    else
      return a * b;
  } else if constexpr (kind == Kind::max) {
    return less(a, b) || (is_nan(b) && !is_nan(a)) ? b : a;
  } else {
    const R high = a < b || b != b ? b : a, low = a < b || b != b ? a : b;
    if (!(high - high == 0)) return high;  // an infinity or NaN
    return high + log1p(exp(low - high));
  }
}

template <class R>
struct ScanJob {
  const void* in;
  void* out;
  Dtype dtype, out_dtype;
  Axes<2> lines;
  int64_t count, n;
  int64_t in_first, in_step, out_first, out_step;  // reverse: from the end
  bool inclusive;
  uint64_t flip;
  R identity;
  int64_t segments, per_segment;
  R* totals;  // (lines, segments)
};

template <Kind kind, class R>
__global__ void scan_lines(ScanJob<R> j) {
  for (int64_t line = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; line < j.count;
       line += int64_t(gridDim.x) * blockDim.x) {
    int64_t at[2];
    j.lines.offsets(line, at);
    int64_t in = at[0] + j.in_first, out = at[1] + j.out_first;
    R run = j.identity;
#pragma unroll 4
    for (int64_t i = 0; i < j.n; ++i, in += j.in_step, out += j.out_step) {
      const R before = run;
      run = join<kind>(before, flipped<kind>(load_as<R>(j.in, j.dtype, in), j.flip));
      store_as(j.out, j.out_dtype, out, flipped<kind>(j.inclusive ? run : before, j.flip));
    }
  }
}

template <class R>
__device__ inline R shuffle_up(R x, int by) {
  int words[sizeof(R) / 4];
  memcpy(words, &x, sizeof(R));
  for (int& w : words) w = __shfl_up_sync(~0u, w, by);
  memcpy(&x, words, sizeof(R));
  return x;
}

constexpr int kThreads = 256, kItems = 4, kWarps = kThreads / 32;

/// What the threads before this one hold, joined, and in `total` what all hold.
template <Kind kind, class R>
__device__ inline R before_this(R mine, R identity, R* shared, R& total) {
  const int t = int(threadIdx.x), lane = t % 32;
  R run = mine;
  for (int by = 1; by < 32; by *= 2) {
    const R other = shuffle_up(run, by);
    if (lane >= by) run = join<kind>(other, run);
  }
  if (lane == 31) shared[t / 32] = run;
  R before = shuffle_up(run, 1);
  if (lane == 0) before = identity;
  __syncthreads();
  R warps = identity;
  total = identity;
  for (int w = 0; w < kWarps; ++w) {
    if (w == t / 32) warps = total;
    total = join<kind>(total, shared[w]);
  }
  __syncthreads();
  return join<kind>(warps, before);
}

/// A block to a segment of a line. `Totals`: only what the segment adds up to.
template <Kind kind, class R, bool Totals>
__global__ void __launch_bounds__(kThreads) scan_blocks(ScanJob<R> j) {
  __shared__ R shared[kWarps];
  const int t = int(threadIdx.x);
  for (int64_t unit = blockIdx.x; unit < j.count * j.segments; unit += gridDim.x) {
    const int64_t line = unit / j.segments, segment = unit - line * j.segments;
    const int64_t begin = segment * j.per_segment, end = min(j.n, begin + j.per_segment);
    int64_t at[2];
    j.lines.offsets(line, at);
    const int64_t in = at[0] + j.in_first, out = at[1] + j.out_first;
    R run = j.identity;
    if (!Totals && segment > 0) {
      R mine = j.identity;
      for (int64_t s = t; s < segment; s += kThreads)
        mine = join<kind>(mine, j.totals[line * j.segments + s]);
      before_this<kind>(mine, j.identity, shared, run);
    }
    for (int64_t tile = begin; tile < end; tile += kThreads * kItems) {
      const int64_t first = tile + t * kItems;
      R x[kItems];
      R mine = j.identity;
#pragma unroll
      for (int e = 0; e < kItems; ++e) {
        x[e] = first + e < end
                   ? flipped<kind>(load_as<R>(j.in, j.dtype, in + (first + e) * j.in_step), j.flip)
                   : j.identity;
        mine = join<kind>(mine, x[e]);
      }
      R total;
      R before = before_this<kind>(mine, j.identity, shared, total);
      if constexpr (!Totals) {
        before = join<kind>(run, before);
#pragma unroll
        for (int e = 0; e < kItems; ++e) {
          const R after = join<kind>(before, x[e]);
          if (first + e < end)
            store_as(j.out, j.out_dtype, out + (first + e) * j.out_step,
                     flipped<kind>(j.inclusive ? after : before, j.flip));
          before = after;
        }
      }
      run = join<kind>(run, total);
    }
    if (Totals && t == 0) j.totals[unit] = run;
  }
}

template <Kind kind, class R>
void run_scan(CudaQueue& queue, const Scan& op, const array& in, const array& out, R identity,
              uint64_t flip) {
  const int64_t n = in.shape()[size_t(op.axis)];
  const Strides &from = in.node().strides, to = row_major(in.shape());
  Shape others;
  std::array<Strides, 2> strides;
  for (int i = 0; i < in.ndim(); ++i) {
    if (i == op.axis) continue;
    others.push_back(in.shape()[i]);
    strides[0].push_back(from[i]), strides[1].push_back(to[i]);
  }
  const int64_t sign = op.reverse ? -1 : 1, start = op.reverse ? n - 1 : 0;
  ScanJob<R> j{queue.ptr<void>(in),
               queue.ptr<void>(out),
               in.dtype(),
               out.dtype(),
               Axes<2>(others, strides),
               int64_t(in.size()) / n,
               n,
               start * from[op.axis],
               sign * from[op.axis],
               start * to[op.axis],
               sign * to[op.axis],
               op.inclusive,
               flip,
               identity,
               1,
               n,
               nullptr};
  const int64_t wanted = int64_t(queue.card().multiprocessors) * 4;
  if (n <= 32 || (to[op.axis] > 1 && j.count >= wanted * 32)) {
    launch(queue, scan_lines<kind, R>, blocks_for(j.count, 128), 128, 0, j);
    return;
  }
  constexpr int64_t kLeast = 8 * kThreads * kItems;  // elements worth a segment
  if (j.count < wanted && n > 2 * kLeast) {
    const int64_t segments = std::min((n + kLeast - 1) / kLeast, wanted / j.count + 1);
    j.per_segment = (n + segments - 1) / segments;
    j.segments = (n + j.per_segment - 1) / j.per_segment;
  }
  const unsigned blocks = blocks_for(j.count * j.segments, 1);
  if (j.segments > 1) {
    j.totals = queue.scratch<R>(size_t(j.count * j.segments));
    launch(queue, scan_blocks<kind, R, true>, blocks, kThreads, 0, j);
  }
  launch(queue, scan_blocks<kind, R, false>, blocks, kThreads, 0, j);
}

/// Sums and products.
template <Kind kind>
void run_arithmetic(CudaQueue& queue, const Scan& op, const array& in, const array& out) {
  constexpr int one = kind == Kind::prod;
  if (is_complex(in.dtype()))
    run_scan<kind>(queue, op, in, out, ComplexDouble{one, 0}, 0);
  else if (is_floating(in.dtype()))
    run_scan<kind>(queue, op, in, out, double(one), 0);
  else
    run_scan<kind>(queue, op, in, out, uint64_t(one), 0);
}

void run_extreme(CudaQueue& queue, const Scan& op, const array& in, const array& out) {
  const Dtype type = in.dtype();
  const bool least = op.kind == Kind::min;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (is_complex(type))
    return run_scan<Kind::max>(queue, op, in, out, ComplexDouble{-infinity, -infinity}, least);
  if (is_floating(type)) return run_scan<Kind::max>(queue, op, in, out, -infinity, least);
  uint64_t flip = least ? ~uint64_t{0} : 0;
  if (type == uint64) flip ^= uint64_t{1} << 63;
  // Before the first: the least that the type holds, or for min the greatest.
  uint64_t first = 0;
  const int bits = int(size_of(type)) * 8;
  if (kind_of(type) == hearth::Kind::i)
    first = least ? (uint64_t{1} << (bits - 1)) - 1 : ~uint64_t{0} << (bits - 1);
  else if (least)
    first = type == bool_ ? 1 : ~uint64_t{0} >> (64 - bits);
  run_scan<Kind::max>(queue, op, in, out, int64_t(first ^ flip), flip);
}

}  // namespace

void scan(const Scan& op, const Args& args, CudaQueue& queue) {
  const array &in = args.in[0], &out = args.out[0];
  if (in.size() == 0) return;
  switch (op.kind) {
    case Kind::sum: return run_arithmetic<Kind::sum>(queue, op, in, out);
    case Kind::prod: return run_arithmetic<Kind::prod>(queue, op, in, out);
    case Kind::max:
    case Kind::min: return run_extreme(queue, op, in, out);
    case Kind::logaddexp:
      return run_scan<Kind::logaddexp>(queue, op, in, out, -std::numeric_limits<double>::infinity(),
                                       0);
  }
}

}  // namespace hearth::cuda
