#include "hearth/llm/per_layer_input.h"

#include <cmath>

#include "hearth/ops/ops.h"

namespace hearth::llm {

PerLayerTable::PerLayerTable(const PerLayerTraits& t, int hidden, int layers)
    : traits(t),
      hidden(hidden),
      layers(layers),
      embedding(t.vocab, layers * t.dims),
      projection(hidden, layers * t.dims, false),
      norm(t.norm, {t.dims}) {}

Arrays PerLayerTable::operator()(const array& tokens, const array& x) const {
  const Dtype dtype = x.dtype();
  const Shape parts{tokens.shape(0), tokens.shape(1), layers, traits.dims};
  const auto times = [&](const array& a, double factor) {
    return multiply(a, array(float(factor), dtype));
  };
  const array by_token = reshape(times(embedding(tokens), std::sqrt(double(traits.dims))), parts);
  const array by_context =
      norm(reshape(times(projection(x), 1 / std::sqrt(double(hidden))), parts));
  const array all = times(add(by_context, by_token), std::sqrt(0.5));
  Arrays out;
  for (const array& part : split(all, layers, 2)) out.push_back(squeeze(part, 2));
  return out;
}

PerLayerInput::PerLayerInput(const PerLayerTraits& t, int hidden)
    : activation(t.activation),
      gate(hidden, t.dims, false),
      projection(t.dims, hidden, false),
      norm(t.norm, {hidden}) {}

array PerLayerInput::operator()(const array& x, const array& part) const {
  return add(x, norm(projection(multiply(gate(x, activation), part))));
}

}  // namespace hearth::llm
