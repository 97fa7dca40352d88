#include "hearth/llm/short_conv.h"

#include <algorithm>

#include "hearth/ops/ops.h"
#include "hearth/ops/recurrent.h"

namespace hearth::llm {

namespace {

bool padded(const StepInfo& step, int length) {
  return std::ranges::any_of(step.lengths, [&](int n) { return n < length; });
}
array lengths_of(const StepInfo& step) {
  return array(step.lengths.begin(), {int(step.lengths.size())}, int32);
}

}  // namespace

DepthwiseConv::DepthwiseConv(int channels, int taps, bool has_bias)
    : weight(zeros({channels, 1, taps})) {
  if (has_bias) bias = zeros({channels});
}

array DepthwiseConv::operator()(const array& x, array& state, const StepInfo& step,
                                fast::Activation activation) const {
  std::optional<array> lengths;
  if (padded(step, x.shape(1))) lengths = lengths_of(step);
  const auto out = fast::causal_conv(x, reshape(weight, {weight.shape(0), weight.shape(2)}),
                                     astype(state, x.dtype()), bias, activation, lengths);
  state = astype(out.state, state.dtype());
  return out.y;
}

std::optional<array> counted(const StepInfo& step, int length) {
  if (!padded(step, length)) return {};
  const array place = reshape(arange(0, length, 1), {1, length, 1});
  const int B = int(step.lengths.size());
  return astype(less(place, reshape(lengths_of(step), {B, 1, 1})), float32);
}

ShortConv::ShortConv(const ShortConvTraits& t, int hidden)
    : traits(t),
      in_proj(hidden, 3 * hidden, t.bias),
      out_proj(hidden, hidden, t.bias),
      conv(hidden, t.taps, t.bias) {}

StateShape ShortConv::state() const {
  return {.kind = StateShape::fixed, .parts = {{traits.taps - 1, out_proj.weight.shape(0)}}};
}

Output ShortConv::operator()(const Input& in, LayerState& state) const {
  const Arrays parts = split(in.read[0], 3, -1);  // B, C, x: (B, L, hidden)
  const array seen =
      conv(multiply(parts[0], parts[2]), state.parts[0], in.step, fast::Activation::none);
  return {.terms = {out_proj.term(multiply(parts[1], seen))}};
}

}  // namespace hearth::llm
