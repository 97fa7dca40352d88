#include "hearth/llm/mlp.h"

#include "hearth/ops/elementwise.h"

namespace hearth::llm {

Mlp::Mlp(const MlpTraits& traits, int hidden)
    : traits(traits),
      up_proj(hidden, traits.width, traits.up_bias),
      down_proj(traits.width, hidden, traits.down_bias) {
  if (traits.gated) gate_proj.emplace(hidden, traits.width, traits.up_bias);
}

void Mlp::reads(std::vector<fast::Projection>& all) const {
  if (gate_proj) all.push_back(gate_proj->projection(traits.activation));
  all.push_back(up_proj.projection(gate_proj ? fast::Activation::none : traits.activation));
}

Output Mlp::operator()(const Input& in) const {
  const array inner = gate_proj ? multiply(in.read[0], in.read[1]) : in.read[0];
  return {.terms = {down_proj.term(inner)}};
}

}  // namespace hearth::llm
