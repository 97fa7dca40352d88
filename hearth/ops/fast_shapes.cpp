// What the fused operations accept, and the shapes and dtypes that they give.
#include <algorithm>

#include "hearth/ops/primitives_fast.h"
#include "hearth/ops/state_packing.h"

namespace hearth {
namespace {

void check_floating(std::string_view op, const array& x) {
  check(is_floating(x.dtype()), op, ": wanted a floating dtype, got ", x.dtype());
}
void check_dtype(std::string_view op, const array& a, Dtype dtype) {
  check(a.dtype() == dtype, op, ": wanted one dtype, got ", dtype, " and ", a.dtype(),
        "; cast with astype");
}
void check_same_dtype(std::string_view op, std::span<const array> in, size_t count) {
  for (size_t i = 1; i < count; ++i) check_dtype(op, in[i], in[0].dtype());
}
void check_residual(std::string_view op, const array& a, const Spec& like) {
  check(a.shape() == like.shape, op, ": wanted a residual of shape ", like.shape, ", got ",
        a.shape());
  check_dtype(op, a, like.dtype);
}
void check_vector(std::string_view op, std::string_view what, const array& a, int size) {
  check(a.ndim() == 1 && a.shape(0) == size, op, ": wanted ", what, " of shape ", Shape{size},
        ", got ", a.shape());
}
void check_rotation(std::string_view op, const fast::Rotation& r, int D) {
  check(r.dims % 2 == 0 && r.dims <= D, op, ": wanted an even number of dimensions to rotate, at ",
        "most the last axis's ", D, ", got ", r.dims);
}

}  // namespace

Specs Matmul::infer(std::span<const array> in) const {
  const array &a = in[0], &b = in[1];
  check(a.ndim() >= 2 && a.ndim() == b.ndim(), "matmul: shapes ", a.shape(), " and ", b.shape());
  check(a.shape(-1) == b.shape(-2), "matmul: inner sizes differ: ", a.shape(), " x ", b.shape());
  check(is_inexact(a.dtype()), "matmul: wanted a floating or complex dtype, got ", a.dtype());
  check_same_dtype("matmul", in, in.size());
  Shape out = a.shape();
  out.back() = b.shape(-1);
  if (add) check(in[2].shape() == out, "matmul: wanted c of shape ", out, ", got ", in[2].shape());
  return {{out, a.dtype()}};
}

namespace fast {

Specs LayerNorm::infer(std::span<const array> in) const {
  check(in[0].ndim() > 0, "layer_norm: wanted at least one axis, got a scalar");
  check_floating("layer_norm", in[0]);
  check_same_dtype("layer_norm", in, in.size());
  if (scaled) check_vector("layer_norm", "a weight", in[1], in[0].shape(-1));
  if (shifted) check_vector("layer_norm", "a bias", in[1 + scaled], in[0].shape(-1));
  return {{in[0].shape(), in[0].dtype()}};
}

Specs RMSNorm::infer(std::span<const array> in) const {
  check(in[0].ndim() > 0, "rms_norm: wanted at least one axis, got a scalar");
  check_floating("rms_norm", in[0]);
  check_same_dtype("rms_norm", in, in.size());
  if (scaled) check_vector("rms_norm", "a weight", in[1], in[0].shape(-1));
  return {{in[0].shape(), in[0].dtype()}};
}

Specs RoPE::infer(std::span<const array> in) const {
  const array &x = in[0], &offset = in[1];
  check(x.ndim() >= 3, "rope: wanted at least 3 axes, got ", x.shape());
  check_floating("rope", x);
  check(rotation.dims > 0, "rope: wanted a positive number of dimensions, got ", rotation.dims);
  check_rotation("rope", rotation, x.shape(-1));
  check(is_integer(offset.dtype()), "rope: wanted integer offsets, got ", offset.dtype());
  check(offset.ndim() <= 1 && (offset.size() == 1 || int(offset.size()) == x.shape(0)),
        "rope: wanted one offset or ", x.shape(0), ", got shape ", offset.shape());
  if (rotation.has_freqs) check_vector("rope", "freqs", in[2], rotation.dims / 2);
  return {{x.shape(), x.dtype()}};
}

Specs Attention::infer(std::span<const array> in) const {
  constexpr std::string_view op = "scaled_dot_product_attention";
  const array &q = in[0], &k = in[1], &v = in[2];
  for (const array& x : in.first(3))
    check(x.ndim() == 4, op, ": wanted 4 axes, got shape ", x.shape());
  check(k.shape(0) == q.shape(0) && v.shape(0) == q.shape(0), op,
        ": batch sizes differ: ", q.shape(), ", ", k.shape(), ", ", v.shape());
  check(k.shape(3) == q.shape(3), op, ": queries and keys differ in their last axis: ", q.shape(),
        ", ", k.shape());
  check(k.shape(1) == v.shape(1) && k.shape(2) == v.shape(2), op, ": keys are ", k.shape(),
        ", values ", v.shape(), ": wanted as many heads and positions");
  check(k.shape(1) > 0 && q.shape(1) % k.shape(1) == 0, op, ": wanted a multiple of ", k.shape(1),
        " query heads, got ", q.shape(1));
  check_floating(op, q);
  check_same_dtype(op, in, 3);
  if (masked) {
    const Shape scores{q.shape(0), q.shape(1), q.shape(2), k.shape(2)};
    check(in[3].shape() == scores, op, ": wanted a mask of shape ", scores, ", got ",
          in[3].shape());
    check(in[3].dtype() == bool_ || in[3].dtype() == q.dtype(), op,
          ": wanted a mask of bool or of the queries' ", q.dtype(), ", got ", in[3].dtype());
  }
  if (has_sinks) check_vector(op, "sinks", in[3 + masked], q.shape(1));
  return {{{q.shape(0), q.shape(1), q.shape(2), v.shape(3)}, q.dtype()}};
}

int CachedAttention::writes_into(int output) const {
  const bool values = form.latent == 0;
  return output == 0 ? -1 : output + (values ? 2 : 1);
}

CachedAttention::Inputs CachedAttention::inputs(std::span<const array> in) const {
  Inputs i = {};
  size_t next = 0;
  const auto take = [&](bool there) { return there ? &in[next++] : nullptr; };
  const bool values = form.latent == 0;
  i.q = take(true), i.k = take(form.writes), i.v = take(form.writes && values);
  i.cache_k = take(true), i.cache_v = take(values), i.offsets = take(true);
  i.freqs = take(form.rotation.has_freqs), i.sinks = take(form.has_sinks);
  i.B = i.q->shape(0), i.L = i.q->shape(1), i.H = i.q->shape(2), i.D = i.q->shape(3);
  i.Hkv = i.cache_k->shape(1), i.capacity = i.cache_k->shape(2);
  i.Dv = !values ? form.latent : form.state == Packing::dense ? i.cache_v->shape(3) : i.D;
  return i;
}

Specs CachedAttention::infer(std::span<const array> in) const {
  constexpr std::string_view op = "cached_attention";
  const size_t rows = size_t(2 + form.writes + (form.latent == 0) * (1 + form.writes));
  for (const array& x : in.first(rows))
    check(x.ndim() == 4, op, ": wanted 4 axes, got shape ", x.shape());
  const Inputs i = inputs(in);
  const int B = i.B, L = i.L, H = i.H, Hkv = i.Hkv, D = i.D, Dv = i.Dv, capacity = i.capacity;
  const Shape none{};
  check(form.latent >= 0 && form.latent <= D, op, ": values are the last ", form.latent,
        " elements of keys of ", D);
  check(!i.k || (i.k->shape() == Shape{B, L, Hkv, D} && (!i.v || i.v->shape(2) == Hkv)), op,
        ": q is ", i.q->shape(), ", k ", i.k ? i.k->shape() : none, ", v ",
        i.v ? i.v->shape() : none, ": wanted (B, L, heads, D), k and v with as many heads");
  check(Hkv > 0 && H % Hkv == 0, op, ": wanted a multiple of ", Hkv, " query heads, got ", H);
  const int key_row = int(state_row(form.state, D)), value_row = int(state_row(form.state, Dv));
  check(i.cache_k->shape() == Shape{B, Hkv, capacity, key_row} &&
            (!i.cache_v || i.cache_v->shape() == Shape{B, Hkv, capacity, value_row}),
        op, ": caches are ", i.cache_k->shape(), " and ", i.cache_v ? i.cache_v->shape() : none,
        ", wanted (", B, ", ", Hkv, ", capacity, ", key_row, "), and alike but for the last axis");
  check(!i.v || i.v->shape() == Shape{B, L, Hkv, Dv}, op, ": v is ", i.v ? i.v->shape() : none,
        ", its cache ", i.cache_v ? i.cache_v->shape() : none, ": wanted ", Shape{B, L, Hkv, Dv});
  check_floating(op, *i.q);
  const Dtype kept = form.state == Packing::dense ? i.q->dtype() : uint8;
  for (const array* x : {i.k, i.v})
    if (x) check_dtype(op, *x, i.q->dtype());
  for (const array* cache : {i.cache_k, i.cache_v})
    if (cache) check_dtype(op, *cache, kept);
  check(i.offsets->dtype() == int32, op, ": wanted int32 offsets, got ", i.offsets->dtype());
  check_vector(op, "offsets", *i.offsets, B);
  check(form.window >= 0, op, ": the window is negative: ", form.window);
  check(!form.ring || (form.window > 0 && capacity >= int64_t(form.window) + L - 1), op,
        ": a ring of ", capacity, " rows has no room for a window of ", form.window, " and ", L,
        " new rows; wanted their sum less 1");
  check(form.softcap >= 0, op, ": the softcap is negative: ", form.softcap);
  check(form.rotation.dims >= 0, op, ": the rotation's dims are negative: ", form.rotation.dims);
  check_rotation(op, form.rotation, D);
  if (i.freqs) {
    const int half = form.rotation.dims / 2;
    check(i.freqs->shape() == Shape{half} || i.freqs->shape() == Shape{B, half}, op,
          ": wanted freqs of shape ", Shape{half}, " or ", Shape{B, half}, ", got ",
          i.freqs->shape());
  }
  if (i.sinks) check_vector(op, "sinks", *i.sinks, H);
  Specs out{{{B, L, H, Dv}, i.q->dtype()}};
  if (form.writes) out.push_back({i.cache_k->shape(), kept});
  if (form.writes && i.cache_v) out.push_back({i.cache_v->shape(), kept});
  return out;
}

bool has_gates(std::span<const Linear::Part> parts) {
  return std::ranges::any_of(parts, [](const Linear::Part& p) { return p.gates; });
}

namespace {

/// The rows of a weight of so many columns.
int rows_of(std::string_view op, const array& x, Packing packing, std::span<const array> planes) {
  const Shape weight = shape_of(op, packing, planes);
  check(weight.size() == 2 && weight[1] == x.shape(-1), op, ": x is ", x.shape(), ", the weight ",
        weight, ": wanted (n, ", x.shape(-1), ")");
  if (packing == Packing::dense) check_dtype(op, planes[0], x.dtype());
  return weight[0];
}

}  // namespace

Specs Linear::infer(std::span<const array> in) const {
  const array& x = in[0];
  check(x.ndim() > 0, "linear: wanted at least one axis, got a scalar");
  check_floating("linear", x);
  Specs out;
  for (size_t i = 1; i < first_part(); ++i) {
    check_vector("linear", i == 1 && norm->scaled ? "a norm's weight" : "a norm's bias", in[i],
                 x.shape(-1));
    check_dtype("linear", in[i], x.dtype());
  }
  Operands operands(in, first_part());
  check(!residual || !has_gates(parts), "linear: a gate takes no residual");
  int gate = -1;  // rows of the gate before
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    const int rows = rows_of("linear", x, part.packing, operands.weight(part.packing));
    if (const array* bias = operands.bias(part.bias)) {
      check_vector("linear", "a bias", *bias, rows);
      check_dtype("linear", *bias, x.dtype());
    }
    check(gate < 0 || (gate == rows && !part.gates && part.activation == Activation::none),
          "linear: a gate of ", gate,
          " rows wants a part after it with as many, and no activation;", " got ", rows);
    check(!part.gates || i + 1 < parts.size(), "linear: a gate wants a part after it");
    gate = part.gates ? rows : -1;
    if (part.gates) continue;
    Shape shape = x.shape();
    shape.back() = rows;
    out.push_back({shape, x.dtype()});
  }
  if (residual) check_residual("linear", operands.take(), out[0]);
  return out;
}

Specs LinearSum::infer(std::span<const array> in) const {
  check_floating("linear_sum", in[0]);
  Spec out{{}, in[0].dtype()};
  Operands operands(in, 0);
  for (size_t i = 0; i < terms.size(); ++i) {
    const array& x = operands.take();
    check(x.ndim() > 0, "linear_sum: wanted at least one axis, got a scalar");
    check_dtype("linear_sum", x, out.dtype);
    Shape shape = x.shape();
    shape.back() = rows_of("linear_sum", x, terms[i].packing, operands.weight(terms[i].packing));
    check(i == 0 || shape == out.shape, "linear_sum: terms of shape ", out.shape, " and ", shape);
    out.shape = std::move(shape);
    if (const array* bias = operands.bias(terms[i].bias)) {
      check_vector("linear_sum", "a bias", *bias, out.shape.back());
      check_dtype("linear_sum", *bias, out.dtype);
    }
  }
  if (residual) check_residual("linear_sum", operands.take(), out);
  return {out};
}

}  // namespace fast
}  // namespace hearth
