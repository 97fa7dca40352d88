// Matmul and Linear on arrays: reads strides, calls the raw products of products.h.
#include <algorithm>
#include <array>
#include <vector>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/products/products.h"
#include "hearth/backend/cpu/rows.h"
#include "hearth/backend/pool.h"
#include "hearth/ops/primitives_fast.h"

namespace hearth::cpu {
namespace {

// Complex numbers are rare enough for three loops; sums in double.
void complex_matmul(const MatmulJob& job) {
  const auto at = [](const void* p, int64_t i) {
    complex64_t v;
    std::memcpy(&v, static_cast<const std::byte*>(p) + i * int64_t(sizeof v), sizeof v);
    return std::complex<double>(v);
  };
  const auto start = [](const int64_t* offsets, int64_t i) { return offsets ? offsets[i] : 0; };
  parallel_for(job.batch * job.m, [&](int64_t row) {
    const int64_t pair = row / job.m, i = row % job.m;
    const int64_t a0 = start(job.a_offsets, pair), b0 = start(job.b_offsets, pair);
    for (int64_t j = 0; j < job.n; ++j) {
      std::complex<double> sum = 0;
      if (job.residual)
        sum = at(job.residual, start(job.residual_offsets, pair) + i * job.residual_row + j);
      for (int64_t p = 0; p < job.k; ++p)
        sum += at(job.a, a0 + i * job.a_row + p * job.a_col) *
               at(job.b, b0 + p * job.b_row + j * job.b_col);
      static_cast<complex64_t*>(job.c)[start(job.c_offsets, pair) + i * job.c_row + j] =
          complex64_t(sum);
    }
  });
}

// Where each matrix of a batch starts, in elements; `strides` are those of the batch axes.
std::vector<int64_t> starts(const Shape& batch, const Strides& strides, int64_t count) {
  std::vector<int64_t> out;
  out.reserve(size_t(count));
  for (int64_t i = 0; i < count; ++i) {
    int64_t at = 0, rest = i;
    for (int axis = int(batch.size()) - 1; axis >= 0; --axis) {
      at += rest % batch[axis] * strides[axis];
      rest /= batch[axis];
    }
    out.push_back(at);
  }
  return out;
}

}  // namespace

void matmul_arrays(const hearth::Matmul& op, const Args& args, CpuQueue&) {
  const array &a = args.in[0], &b = args.in[1], &out = args.out[0];
  const int axes = a.ndim();
  const auto stride = [axes](const array& x, int from_end) {
    return x.node().strides[axes - from_end];
  };
  MatmulJob job{.dtype = a.dtype(),
                .m = a.shape(-2),
                .n = b.shape(-1),
                .k = a.shape(-1),
                .a = ptr<void>(a),
                .a_row = stride(a, 2),
                .a_col = stride(a, 1),
                .b = ptr<void>(b),
                .b_row = stride(b, 2),
                .b_col = stride(b, 1),
                .c = ptr<void>(out),
                .c_row = b.shape(-1)};
  std::unique_ptr<std::byte[]> c_copy;
  Strides c_strides = out.node().strides;
  if (op.add) {
    const Node& c = args.in[2].node();
    job.residual = c.data();
    c_strides = c.strides;
    if (job.n > 1 && c_strides.back() != 1) {
      c_copy.reset(new std::byte[out.nbytes()]);
      gather(c.view(), c.data(), out.itemsize(), c_copy.get());
      job.residual = c_copy.get();
      c_strides = out.node().strides;
    }
    job.residual_row = c_strides[axes - 2];
  }
  Shape batch(a.shape().begin(), a.shape().end() - 2);
  const auto outer = [](const Strides& s) { return Strides(s.begin(), s.end() - 2); };
  Strides strides[] = {outer(a.node().strides), outer(b.node().strides), outer(c_strides),
                       outer(out.node().strides)};
  collapse(batch, strides);
  if (batch.size() == 1 && strides[1][0] == 0 && strides[0][0] == job.m * job.a_row &&
      (!op.add || strides[2][0] == job.m * job.residual_row)) {
    job.m *= batch[0];  // one b for all: a taller a
    batch.clear();
  }
  std::vector<int64_t> at[4];
  if (!batch.empty()) {
    job.batch = int64_t(element_count(batch));
    for (int i = 0; i < 4; ++i) at[i] = starts(batch, strides[i], job.batch);
    job.a_offsets = at[0].data();
    job.b_offsets = at[1].data();
    job.residual_offsets = at[2].data();
    job.c_offsets = at[3].data();
  }
  a.dtype() == complex64 ? complex_matmul(job) : matmul(job);
}

RawMatrix raw_matrix(Packing packing, std::span<const array> planes, bool int8) {
  std::array<const void*, 3> at{};
  for (size_t i = 0; i < planes.size(); ++i) at[i] = ptr<void>(planes[i]);
  RawMatrix out(packing, at, planes[std::min<size_t>(1, planes.size() - 1)].dtype());
  out.int8 = int8;
  return out;
}
bool rows_lie_whole(std::span<const array> planes) {
  return std::ranges::all_of(planes, [](const array& plane) {
    return row_contiguous(plane.shape(), plane.node().strides);
  });
}

bool linear_fits(const Primitive& p, std::span<const array> in) {
  const auto& op = static_cast<const fast::Linear&>(p);
  const bool packed = has_packed(op.parts);
  if (packed && in[0].dtype() == float64) return false;
  if (!packed && !has_gates(op.parts)) return true;
  fast::Operands operands(in, op.first_part());
  for (const fast::Linear::Part& part : op.parts) {
    const bool strides = part.packing == Packing::dense && !has_gates(op.parts);
    if (!rows_lie_whole(operands.weight(part.packing)) && !strides) return false;
    operands.bias(part.bias);
  }
  return true;
}

void linear_arrays(const fast::Linear& op, const Args& args, CpuQueue&) {
  const array& x = args.in[0];
  Rows rows = rows_of(x);
  const int64_t k = x.shape(-1);
  if (op.norm && k > 0) {
    thread_local Scratch scratch;
    std::byte* const to = scratch.get(size_t(rows.count * k) * x.itemsize());
    const fast::Linear::Norm& n = *op.norm;
    norm_rows(x, n.scaled ? &args.in[1] : nullptr, n.shifted ? &args.in[1 + n.scaled] : nullptr,
              !n.rms, n.eps, to);
    rows.data = to, rows.stride = k;
  }
  const int64_t m = k > 0 ? rows.count : int64_t(args.out[0].size()) / args.out[0].shape(-1);
  std::optional<Rows> residual;
  if (op.residual) residual = rows_of(args.in.back());
  SmallVector<LinearJob, 4> layers;
  SmallVector<Rows, 4> biases;
  biases.reserve(op.parts.size());
  fast::Operands operands(args.in, op.first_part());
  size_t out = 0;
  for (size_t i = 0; i < op.parts.size(); ++i) {
    const fast::Linear::Part& part = op.parts[i];
    const std::span<const array> planes = operands.weight(part.packing);
    const void* bias = nullptr;
    if (const array* b = operands.bias(part.bias)) {
      biases.push_back(rows_of(*b));
      bias = biases.back().data;
    }
    if (i > 0 && op.parts[i - 1].gates) {
      layers.back().times = raw_matrix(part.packing, planes, part.int8);
      layers.back().times_bias = bias;
      continue;
    }
    const array& y = args.out[out++];
    const int n = planes[0].shape(0);
    LinearJob layer{.weight = raw_matrix(part.packing, planes, part.int8),
                    .n = n,
                    .y = ptr<void>(y),
                    .y_stride = n,
                    .bias = bias,
                    .activation = part.activation};
    if (residual && i == 0) {
      layer.residual = residual->data;
      layer.residual_stride = residual->stride;
    }
    if (rows_lie_whole(planes)) {
      layers.push_back(layer);
      continue;
    }
    const Strides& strides = planes[0].node().strides;
    matmul({.dtype = x.dtype(),
            .m = m,
            .n = layer.n,
            .k = k,
            .a = rows.data,
            .a_row = rows.stride,
            .a_col = 1,
            .b = ptr<void>(planes[0]),
            .b_row = strides[1],
            .b_col = strides[0],
            .c = layer.y,
            .c_row = layer.n,
            .bias = layer.bias,
            .activation = layer.activation,
            .residual = layer.residual,
            .residual_row = layer.residual_stride});
  }
  if (!layers.empty()) linear(x.dtype(), m, k, rows.data, rows.stride, layers);
}

void dequantize_arrays(const fast::Dequantize& op, const Args& args, CpuQueue&) {
  const array& out = args.out[0];
  if (out.size() == 0) return;
  RawMatrix matrix = raw_matrix(op.packing, args.in);
  std::vector<std::unique_ptr<std::byte[]>> copies;
  for (size_t i = 0; i < args.in.size(); ++i) {
    const array& plane = args.in[i];
    if (row_contiguous(plane.shape(), plane.node().strides)) continue;
    auto& copy = copies.emplace_back(new std::byte[plane.nbytes()]);
    gather(plane.node().view(), plane.node().data(), plane.itemsize(), copy.get());
    matrix.planes[i] = copy.get();
  }
  const int64_t in = out.shape(-1);
  dequantize(matrix, in, 0, int64_t(out.size()) / in, op.dtype, ptr<void>(out));
}

}  // namespace hearth::cpu
