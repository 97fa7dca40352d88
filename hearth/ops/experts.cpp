#include "hearth/ops/experts.h"

#include "hearth/ops/create.h"
#include "hearth/ops/index.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_layers.h"
#include "hearth/ops/wide.h"

namespace hearth::fast {

Arrays expert_linears(const array& x, const array& ids, std::span<const Projection> projections,
                      StreamOrDevice s) {
  StreamScope scope(s);
  check(!projections.empty(), "expert_linears: wanted at least one projection");
  check(is_integer(ids.dtype()), "expert_linears: wanted integer ids, got ", ids.dtype());
  std::vector<Linear::Part> parts;
  Arrays in{x, astype(ids, int32)};
  for (const Projection& p : projections) {
    parts.push_back(
        {p.activation, p.bias.has_value(), p.gates, p.weight.packing(), p.weight.int8()});
    for (const array& plane : p.weight.planes()) in.push_back(plane);
    if (p.bias) in.push_back(*p.bias);
  }
  return apply_all(std::make_shared<ExpertLinear>(std::move(parts)), std::move(in));
}

Specs ExpertLinear::infer(std::span<const array> in) const {
  constexpr std::string_view op = "expert_linears";
  const array &x = in[0], &ids = in[1];
  check(is_floating(x.dtype()), op, ": wanted a floating dtype, got ", x.dtype());
  check(x.ndim() >= 2 && ids.ndim() == x.ndim() - 1, op, ": x is ", x.shape(), ", ids are ",
        ids.shape(), ": wanted x (..., K or 1, k) and ids (..., K)");
  const int K = ids.shape(-1), k = x.shape(-1);
  Shape rows = ids.shape();
  check(x.shape(-2) == K || x.shape(-2) == 1, op, ": x has ", x.shape(-2),
        " rows for each choice of ", K, " experts, wanted 1 or ", K);
  for (int i = 0; i + 1 < ids.ndim(); ++i)
    check(x.shape(i) == ids.shape(i), op, ": x is ", x.shape(), ", ids are ", ids.shape(),
          ": wanted x (..., K or 1, k) and ids (..., K)");
  Specs out;
  Operands operands(in, 2);
  const int E = in[2].ndim() == 3 ? in[2].shape(0) : 0;
  int gate = -1;  // rows of the gate before
  for (size_t i = 0; i < parts.size(); ++i) {
    const Linear::Part& part = parts[i];
    const auto planes = operands.weight(part.packing);
    const Shape weight = shape_of(op, part.packing, planes);
    check(weight.size() == 3 && weight[0] == E && weight[2] == k, op, ": x is ", x.shape(),
          ", a weight ", weight, ": wanted (", E > 0 ? concat(E) : "experts", ", n, ", k, ")");
    check(part.packing != Packing::dense || planes[0].dtype() == x.dtype(), op,
          ": wanted one dtype, got ", x.dtype(), " and ", planes[0].dtype(), "; cast with astype");
    const int n = weight[1];
    if (const array* bias = operands.bias(part.bias))
      check(bias->shape() == Shape{E, n} && bias->dtype() == x.dtype(), op,
            ": wanted a bias of shape ", Shape{E, n}, " and dtype ", x.dtype(), ", got ",
            bias->shape(), " and ", bias->dtype());
    check(gate < 0 || (gate == n && !part.gates && part.activation == Activation::none), op,
          ": a gate of ", gate, " rows wants a part after it with as many, and no activation; got ",
          n);
    check(!part.gates || i + 1 < parts.size(), op, ": a gate wants a part after it");
    gate = part.gates ? n : -1;
    if (part.gates) continue;
    Shape shape = rows;
    shape.push_back(n);
    out.push_back({shape, x.dtype()});
  }
  return out;
}

// Few choices gather their experts' weights; for many, packed weights become dense, every expert
// sees all rows, and each choice takes its own: no memory grows with rows times weights.
std::optional<Arrays> ExpertLinear::decompose(const Arrays& in) const {
  if (has_gates(parts)) {
    std::vector<Linear::Part> plain = parts;
    for (Linear::Part& part : plain) part.gates = false;
    return gated(parts, apply_all(std::make_shared<ExpertLinear>(std::move(plain)), Arrays(in)));
  }
  const array &x = in[0], &ids = in[1];
  const bool few = ids.size() <= size_t(in[2].shape(0));
  if (has_packed(parts) && !few) {
    std::vector<Linear::Part> dense = parts;
    Arrays all = with_dense_weights(dense, in, 2);
    return apply_all(std::make_shared<ExpertLinear>(std::move(dense)), std::move(all));
  }
  const array column = expand_dims(widen(x), -1), chosen = expand_dims(ids, -1);
  Arrays out;
  Operands operands(in, 2);
  for (const Linear::Part& part : parts) {
    const Matrix weight = operands.matrix(part.packing, x.dtype());
    const array* bias = operands.bias(part.bias);
    if (few) {
      const array rows = weight.packed() ? widen(dequantize(take_rows(weight, ids)))
                                         : take(widen(weight.dense()), ids, 0);
      array y = squeeze(matmul(rows, column), -1);
      if (bias) y = add(y, take(widen(*bias), ids, 0));
      out.push_back(astype(activate(y, part.activation), x.dtype()));
      continue;
    }
    Shape shape = ids.shape();
    shape.push_back(weight.shape(1));
    array y = zeros(shape, x.dtype());
    const auto expert = [&](int e) {
      return map_planes(weight, [e](const array& plane) { return take(plane, e, 0); });
    };
    for (int e = 0; e < weight.shape(0); ++e) {
      std::optional<array> b;
      if (bias) b = take(*bias, e, 0);
      const array one = linear(x, expert(e), b, part.activation);
      y = where(equal(chosen, array(e)), one, y);
    }
    out.push_back(y);
  }
  return out;
}

}  // namespace hearth::fast
