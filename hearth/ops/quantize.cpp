#include "hearth/ops/quantize.h"

#include "hearth/ops/batched_products.h"
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/experts.h"
#include "hearth/ops/fp8.h"
#include "hearth/ops/index.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_fast.h"

namespace hearth {

Packing packing_of_mode(std::string_view who, const std::string& mode,
                        std::optional<int> group_size, std::optional<int> bits) {
  if (mode == "affine") {
    const int g = group_size.value_or(64), b = bits.value_or(4);
    const auto packing = affine_packing(b, g);
    check(packing.has_value(), who, ": ", b, " bits in groups of ", g,
          ": affine wants 2, 3, 4, 5, 6 or 8 bits, groups of 32, 64 or 128");
    return *packing;
  }
  for (const Packing p : {Packing::mxfp4, Packing::mxfp8, Packing::nvfp4}) {
    if (mode != to_string(p)) continue;
    const int64_t g = packing_info(p).weights, b = code_bits(p);
    check(group_size.value_or(int(g)) == g && bits.value_or(int(b)) == b, who, ": ", mode, " has ",
          b, " bits in groups of ", g, ", asked for ", bits.value_or(int(b)), " in groups of ",
          group_size.value_or(int(g)));
    return p;
  }
  check(false, who, ": mode '", mode, "' is not one of affine, mxfp4, mxfp8, nvfp4");
  return Packing::dense;
}

namespace fast {

Specs Quantize::infer(std::span<const array> in) const {
  const array& w = in[0];
  const PackingInfo& info = packing_info(packing);
  check(packing != Packing::dense && !info.wide_scales, "quantize: to ", info.name,
        ", wanted a packing of GGUF's or MLX's");
  check(w.ndim() >= 2, "quantize: wanted 2 axes or more, got shape ", w.shape());
  check(is_floating(w.dtype()) && w.dtype() != float64,
        "quantize: wanted float16, bfloat16 or float32, got ", w.dtype());
  check(packs(packing, w.shape(-1)), "quantize: rows of ", w.shape(-1), ", of shape ", w.shape(),
        ", are no whole number of ", info.planes > 1 ? "groups" : "blocks", " of ", info.weights);
  if (in.size() > 1) {
    const array& importance = in[1];
    check(info.planes == 1, "quantize: to ", info.name, ", which has no use for importance");
    const bool each = importance.ndim() == 2 && w.ndim() == 3 && importance.shape(0) == w.shape(0);
    check(importance.dtype() == float32 && (importance.ndim() == 1 || each) &&
              importance.shape(-1) == w.shape(-1),
          "quantize: the importance is ", importance.dtype(), " of shape ", importance.shape(),
          ", wanted float32 for the columns of ", w.shape());
  }
  Specs out;
  for (int i = 0; i < info.planes; ++i) {
    const Plane plane = plane_of(packing, i, w.shape(-1));
    Shape shape = w.shape();
    shape.back() = int(plane.row);
    out.push_back({shape, plane.dtype.value_or(w.dtype())});
  }
  return out;
}

Matrix quantize(const array& w, Packing packing, const std::optional<array>& importance,
                StreamOrDevice s) {
  StreamScope scope(s);
  Arrays in{w};
  if (importance) in.push_back(*importance);
  return {packing, apply_all(std::make_shared<Quantize>(packing), std::move(in)), w.dtype()};
}

}  // namespace fast

namespace {

/// What arrays hold that MLX's functions are given. `scales` are taken as `dtype`.
fast::Matrix matrix_of(std::string_view who, const array& w, const array& scales,
                       const std::optional<array>& biases, std::optional<int> group_size,
                       std::optional<int> bits, const std::string& mode,
                       std::optional<Dtype> dtype = {}) {
  const Packing packing = packing_of_mode(who, mode, group_size, bits);
  const bool wants = packing_info(packing).planes > 2;
  check(wants == biases.has_value(), who, ": mode ", mode, wants ? " wants" : " has no", " biases");
  Arrays planes{w, scales};
  if (biases) planes.push_back(*biases);
  fast::shape_of(who, packing, planes);
  return {packing, planes, dtype ? dtype : wants ? scales.dtype() : bfloat16};
}

/// The batch axes of w taken as one, broadcast to `batch`.
fast::Matrix as_batch(const fast::Matrix& w, const Shape& batch) {
  return map_planes(w, [&](const array& plane) {
    Shape shape = batch;
    shape.push_back(plane.shape(-2)), shape.push_back(plane.shape(-1));
    const array all = broadcast_to(plane, shape);
    return reshape(all, {int(element_count(batch)), plane.shape(-2), plane.shape(-1)});
  });
}

Shape batch_of(const Shape& shape) { return {shape.begin(), shape.end() - 2}; }

const array kMostNvfp4(2688.0f);  // 448 of e4m3 times 6 of e2m1

array checked_global_scale(std::string_view who, const std::string& mode, const array& scale) {
  check(mode == "nvfp4", who, ": a global scale is of nvfp4, got mode ", mode);
  check(scale.dtype() == float32 && scale.size() == 1, who,
        ": wanted a global scale of one float32, got ", scale.dtype(), " of shape ", scale.shape());
  return reshape(scale, {});
}

/// What x becomes by quantizing it and back, in its dtype.
array through(const array& x, std::optional<int> group_size, std::optional<int> bits,
              const std::string& mode, const std::optional<array>& global_scale) {
  const auto q = quantize(x, group_size, bits, mode, global_scale);
  return dequantize(q[0], q[1], {}, group_size, bits, mode, global_scale, x.dtype());
}

/// x and w of a product of both quantized, as values.
std::pair<array, array> operands(std::string_view who, const array& x, const array& w,
                                 const std::optional<array>& scales, std::optional<int> group_size,
                                 std::optional<int> bits, const std::string& mode,
                                 const std::optional<array>& global_x,
                                 const std::optional<array>& global_w) {
  check(mode == "nvfp4" || mode == "mxfp8", who, ": mode '", mode, "' is not one of nvfp4, mxfp8");
  check(is_floating(x.dtype()) && x.ndim() >= 2, who,
        ": wanted an x of a floating dtype and 2 axes or more, got ", x.dtype(), " of shape ",
        x.shape());
  check(scales || w.dtype() == x.dtype(), who, ": w is ", w.dtype(), ", x ", x.dtype(),
        "; a w without scales has x's dtype");
  const array dense = scales
                          ? dequantize(w, *scales, {}, group_size, bits, mode, global_w, x.dtype())
                          : through(w, group_size, bits, mode, global_w);
  check(dense.ndim() >= 2 && x.shape(-1) == dense.shape(-1), who,
        ": inner sizes differ: ", x.shape(), " x ", dense.shape(), ", transposed");
  return {through(x, group_size, bits, mode, global_x), swapaxes(dense, -1, -2)};
}

}  // namespace

std::vector<array> quantize(const array& w, std::optional<int> group_size, std::optional<int> bits,
                            const std::string& mode, const std::optional<array>& global_scale,
                            StreamOrDevice s) {
  StreamScope scope(s);
  const Packing packing = packing_of_mode("quantize", mode, group_size, bits);
  array x = w;
  if (global_scale) {
    const array scale = checked_global_scale("quantize", mode, *global_scale);
    check(is_floating(w.dtype()), "quantize: wanted a floating dtype, got ", w.dtype());
    x = multiply(astype(w, float32), divide(kMostNvfp4, scale));
  }
  const fast::Matrix m = fast::quantize(x, packing, {});
  return {m.planes().begin(), m.planes().end()};
}

array dequantize(const array& w, const array& scales, const std::optional<array>& biases,
                 std::optional<int> group_size, std::optional<int> bits, const std::string& mode,
                 const std::optional<array>& global_scale, std::optional<Dtype> dtype,
                 StreamOrDevice s) {
  StreamScope scope(s);
  const fast::Matrix m = matrix_of("dequantize", w, scales, biases, group_size, bits, mode);
  if (global_scale) {
    const array scale = checked_global_scale("dequantize", mode, *global_scale);
    const array wide = multiply(from_fp8(scales, float32), divide(scale, kMostNvfp4));
    return astype(fast::dequantize(fast::Matrix(Packing::fp4_16, Arrays{w, wide}, float32)),
                  dtype.value_or(float32));
  }
  const array rounded = fast::dequantize(m, biases ? std::nullopt : dtype);  // to the scales' dtype
  return astype(rounded, dtype.value_or(m.dtype()));
}

array quantized_matmul(const array& x, const array& w, const array& scales,
                       const std::optional<array>& biases, bool transpose,
                       std::optional<int> group_size, std::optional<int> bits,
                       const std::string& mode, StreamOrDevice s) {
  StreamScope scope(s);
  constexpr std::string_view op = "quantized_matmul";
  check(is_floating(x.dtype()), op, ": wanted a floating dtype, got ", x.dtype());
  fast::Matrix m = matrix_of(op, w, scales, biases, group_size, bits, mode, x.dtype());
  const Dtype dtype = biases ? promote_types(x.dtype(), scales.dtype()) : x.dtype();
  const array a = astype(x, dtype);
  m = m.as(dtype);
  check(x.ndim() >= 1 && m.ndim() >= 2, op, ": x is ", x.shape(), ", the matrix ", m.shape(),
        ": wanted 1 axis or more, and 2 or more");
  check(x.shape(-1) == m.shape(transpose ? -1 : -2), op, ": inner sizes differ: ", x.shape(), " x ",
        m.shape(), transpose ? ", transposed" : "");
  if (transpose && m.ndim() == 2) return fast::linear(a, m);
  const array dense = fast::dequantize(m);
  return matmul(a, transpose ? swapaxes(dense, -1, -2) : dense);
}

array qqmm(const array& x, const array& w, const std::optional<array>& w_scales,
           std::optional<int> group_size, std::optional<int> bits, const std::string& mode,
           const std::optional<array>& global_scale_x, const std::optional<array>& global_scale_w,
           StreamOrDevice s) {
  StreamScope scope(s);
  const auto [a, b] =
      operands("qqmm", x, w, w_scales, group_size, bits, mode, global_scale_x, global_scale_w);
  return matmul(a, b);
}

array gather_qqmm(const array& x, const array& w, const std::optional<array>& scales_w,
                  const std::optional<array>& lhs_indices, const std::optional<array>& rhs_indices,
                  std::optional<int> group_size, std::optional<int> bits, const std::string& mode,
                  const std::optional<array>& global_scale_x,
                  const std::optional<array>& global_scale_w, bool sorted_indices,
                  StreamOrDevice s) {
  StreamScope scope(s);
  const auto [a, b] = operands("gather_qqmm", x, w, scales_w, group_size, bits, mode,
                               global_scale_x, global_scale_w);
  return gather_mm(a, b, lhs_indices, rhs_indices, sorted_indices);
}

array gather_qmm(const array& x, const array& w, const array& scales,
                 const std::optional<array>& biases, std::optional<array> lhs_indices,
                 std::optional<array> rhs_indices, bool transpose, std::optional<int> group_size,
                 std::optional<int> bits, const std::string& mode, bool, StreamOrDevice s) {
  if (!lhs_indices && !rhs_indices)
    return quantized_matmul(x, w, scales, biases, transpose, group_size, bits, mode, s);
  StreamScope scope(s);
  constexpr std::string_view op = "gather_qmm";
  check(is_floating(x.dtype()), op, ": wanted a floating dtype, got ", x.dtype());
  const fast::Matrix m = matrix_of(op, w, scales, biases, group_size, bits, mode, x.dtype());
  const Dtype dtype = biases ? promote_types(x.dtype(), scales.dtype()) : x.dtype();
  check(x.ndim() >= 2 && m.ndim() >= 2, op, ": x is ", x.shape(), ", the matrices ", m.shape(),
        ": wanted 2 axes or more");
  check(x.shape(-1) == m.shape(transpose ? -1 : -2), op, ": inner sizes differ: ", x.shape(), " x ",
        m.shape(), transpose ? ", transposed" : "");
  const Shape left = batch_of(x.shape()), right = batch_of(m.shape());
  const auto indices = [&](const std::optional<array>& given, const Shape& batch) {
    if (!given) return reshape(arange(0, int(element_count(batch)), 1), batch);
    check(is_integer(given->dtype()), op, ": wanted integer indices, got ", given->dtype());
    const array i = astype(*given, int32);
    const array count(int(element_count(batch)));
    return where(less(i, array(0)), add(i, count), i);  // from the end when negative
  };
  array l = indices(lhs_indices, left), r = indices(rhs_indices, right);
  const Shape chosen = broadcast_shapes(l.shape(), r.shape(), op);
  l = broadcast_to(l, chosen), r = broadcast_to(r, chosen);
  const int M = x.shape(-2), k = x.shape(-1), count = int(element_count(chosen));
  const array rows = reshape(astype(x, dtype), {int(element_count(left)), M, k});
  const array xs = take(rows, reshape(l, {count}), 0);  // (count, M, k)
  const fast::Matrix all = as_batch(m.as(dtype), right);
  const int n = m.shape(transpose ? -2 : -1);
  array y(0.0f);
  if (transpose) {
    const fast::Projection each[] = {{all, {}}};
    const array ids = broadcast_to(reshape(r, {count, 1}), {count, M});
    y = fast::expert_linears(xs, ids, each)[0];  // (count, M, n)
  } else {
    y = matmul(xs, fast::dequantize(take_rows(all, reshape(r, {count}))));
  }
  Shape shape = chosen;
  shape.push_back(M), shape.push_back(n);
  return reshape(y, shape);
}

}  // namespace hearth
