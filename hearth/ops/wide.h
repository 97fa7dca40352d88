// Formulas of several steps on halves: computed in float32 and rounded once, as kernels do. What is
// rounded after each step overflows at 65,504 and loses digits that cancel.
#pragma once
#include "hearth/ops/elementwise.h"

namespace hearth {

/// The dtype that formulas on d are computed in: float32 for halves, else d.
constexpr Dtype wide_of(Dtype d) { return d == float16 || d == bfloat16 ? float32 : d; }
/// What an operation of inexact results gives for d.
constexpr Dtype at_least_float(Dtype d) { return is_inexact(d) ? d : float32; }
inline array widen(const array& x) { return astype(x, wide_of(x.dtype())); }

/// x, if it is complex conjugated: what the gradient of a product by its other factor takes.
inline array conjugate_of(const array& x) { return is_complex(x.dtype()) ? conjugate(x) : x; }

/// f(x, more...) of the widened operands, rounded once if together they are a half. Costs nothing
/// where no operand is.
template <class F, class... More>
array in_wide(F&& f, const array& x, const More&... more) {
  Dtype dtype = x.dtype();
  ((dtype = promote_types(dtype, more.dtype())), ...);
  const array y = f(widen(x), widen(more)...);
  return wide_of(dtype) == dtype ? y : astype(y, dtype);
}

/// The gradient of a primitive whose vjp is a formula: that of the same primitive on widened
/// inputs, rounded once. Empty where nothing is a half.
template <class Op>
std::optional<Cotangents> vjp_of_halves(const Op& op, const Arrays& in, const Arrays& d) {
  Arrays wide, wide_d;
  bool same = true;
  for (const array& x : in) {
    wide.push_back(widen(x));
    same = same && wide.back().same_node(x);
  }
  if (same) return std::nullopt;
  for (const array& g : d) wide_d.push_back(widen(g));
  auto grads = op.vjp(wide, apply_all(std::make_shared<Op>(op), wide), wide_d);
  for (size_t i = 0; grads && i < in.size(); ++i)
    if ((*grads)[i]) (*grads)[i] = astype(*(*grads)[i], in[i].dtype());
  return grads;
}

}  // namespace hearth
