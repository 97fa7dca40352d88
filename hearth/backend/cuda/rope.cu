// Rotary embedding: a thread to a pair of elements, or to one that is passed on.
#include <cmath>

#include "hearth/backend/cuda/elements.cuh"

namespace hearth::cuda {
namespace {

constexpr int kMaxPairs = 512;
/// The angle of a position, by pair: in double on the host, as exact as the definition.
struct Rates {
  float at[kMaxPairs];
};

struct RopeJob {
  Axes<1> matrices;  // leading axes but L and D
  int64_t count, per_batch, L, D, half, row_stride, stride;
  bool traditional, inverse;
  float scale;
  const void *offsets, *freqs;  // freqs may be null
  Dtype offsets_dtype, freqs_dtype;
  int64_t offsets_stride, freqs_stride;  // offsets_stride 0: one for all
};

template <class T>
__global__ void rope_kernel(RopeJob j, Rates rates, const T* in, T* out) {
  const int64_t units = j.D - j.half, total = j.count * j.L * units;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < total;
       i += int64_t(gridDim.x) * blockDim.x) {
    const int64_t row = quotient(i, units), unit = i - row * units;
    const int64_t matrix = quotient(row, j.L), l = row - matrix * j.L;
    int64_t at[1];
    j.matrices.offsets(matrix, at);
    const T* x = in + at[0] + l * j.row_stride;
    T* y = out + row * j.D;
    if (unit >= j.half) {
      const int64_t d = unit + j.half;
      y[d] = x[d * j.stride];
      continue;
    }
    const int64_t offset = load_as<int64_t>(j.offsets, j.offsets_dtype,
                                            quotient(matrix, j.per_batch) * j.offsets_stride);
    const float rate = j.freqs ? 1 / load_as<float>(j.freqs, j.freqs_dtype, unit * j.freqs_stride)
                               : rates.at[unit];
    float sine, cosine;
    sincosf((float(l) + float(offset)) * j.scale * rate, &sine, &cosine);
    if (j.inverse) sine = -sine;
    const int64_t first = j.traditional ? 2 * unit : unit;
    const int64_t second = j.traditional ? first + 1 : unit + j.half;
    const auto a = widen(x[first * j.stride]), b = widen(x[second * j.stride]);
    y[first] = narrow<T>(a * cosine - b * sine);
    y[second] = narrow<T>(a * sine + b * cosine);
  }
}

}  // namespace

void rope(const fast::RoPE& op, const Args& args, CudaQueue& queue) {
  const array &x = args.in[0], &offset = args.in[1];
  if (args.out[0].size() == 0) return;
  const Shape& shape = x.shape();
  const Strides& strides = x.node().strides;
  const int axes = x.ndim(), half = op.rotation.dims / 2;
  RopeJob j{
      Axes<1>(Shape(shape.begin(), shape.end() - 2), {Strides(strides.begin(), strides.end() - 2)}),
      int64_t(x.size()) / shape[axes - 2] / shape[axes - 1],
      1,
      shape[axes - 2],
      shape[axes - 1],
      half,
      strides[axes - 2],
      strides[axes - 1],
      op.rotation.traditional,
      op.inverse,
      op.rotation.scale,
      queue.ptr<void>(offset),
      nullptr,
      offset.dtype(),
      float32,
      offset.size() > 1 ? offset.node().strides[0] : 0,
      0};
  j.per_batch = j.count / shape[0];
  Rates rates = {};
  if (op.rotation.has_freqs) {
    const array& freqs = args.in[2];
    j.freqs = queue.ptr<void>(freqs);
    j.freqs_dtype = freqs.dtype();
    j.freqs_stride = freqs.node().strides[0];
  } else {
    ensure(half <= kMaxPairs, "rope: the kernel takes at most ", 2 * kMaxPairs, " dimensions, got ",
           op.rotation.dims, "; pass freqs");
    for (int i = 0; i < half; ++i)
      rates.at[i] = float(std::pow(double(op.rotation.base), -double(i) / half));
  }
  visit(Floats{}, x.dtype(), op.name(), [&]<class H>() {
    using T = OnDevice<H>;
    launch(queue, rope_kernel<T>, blocks_for(j.count * j.L * (j.D - half), 256), 256, 0, j, rates,
           queue.ptr<const T>(x), queue.ptr<T>(args.out[0]));
  });
}

}  // namespace hearth::cuda
