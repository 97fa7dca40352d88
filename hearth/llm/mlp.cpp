#include "hearth/llm/mlp.h"

#include "hearth/ops/elementwise.h"

namespace hearth::llm {

array Xielu::operator()(const array& x) const {
  const auto f32 = [](const array& a) { return astype(a, float32); };
  const array wide = f32(x), straight = multiply(f32(beta), wide);
  const array above = multiply(softplus(f32(alpha_p)), square(wide));
  const array bend = subtract(expm1(minimum(wide, f32(eps))), wide);
  const array below = multiply(bend, add(f32(beta), softplus(f32(alpha_n))));
  return astype(add(where(greater(wide, array(0.0f)), above, below), straight), x.dtype());
}

Mlp::Mlp(const MlpTraits& traits, int hidden)
    : traits(traits),
      up_proj(hidden, traits.width, traits.up_bias),
      down_proj(traits.width, hidden, traits.down_bias) {
  if (traits.gated) gate_proj.emplace(hidden, traits.width, traits.up_bias);
  if (traits.xielu) act_fn.emplace();
}

void Mlp::reads(std::vector<fast::Projection>& all) const {
  if (gate_proj) all.push_back(gate_proj->projection(traits.activation, one_pass()));
  all.push_back(up_proj.projection(gate_proj ? fast::Activation::none : traits.activation));
}

Output Mlp::operator()(const Input& in) const {
  if (one_pass()) return {.terms = {down_proj.term(in.read[0])}};
  array opened = traits.squared ? square(in.read[0]) : in.read[0];
  if (act_fn) opened = (*act_fn)(opened);
  const array inner = gate_proj ? multiply(opened, in.read[1]) : opened;
  return {.terms = {down_proj.term(inner)}};
}

}  // namespace hearth::llm
