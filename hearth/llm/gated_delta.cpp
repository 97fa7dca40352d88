#include "hearth/llm/gated_delta.h"

#include <cmath>

#include "hearth/ops/ops.h"
#include "hearth/ops/recurrent.h"

namespace hearth::llm {

GatedDelta::GatedDelta(const GatedDeltaTraits& t, int hidden)
    : traits(t),
      in_proj_qkv(hidden, 2 * t.key_heads * t.key_dim + t.value_heads * t.value_dim, false),
      in_proj_z(hidden, t.value_heads * t.value_dim, false),
      in_proj_b(hidden, t.value_heads, false),
      in_proj_a(hidden, t.value_heads, false),
      conv1d(2 * t.key_heads * t.key_dim + t.value_heads * t.value_dim, t.taps, false),
      dt_bias(zeros({t.value_heads})),
      A_log(zeros({t.value_heads})),
      norm({.eps = t.eps}, {t.value_dim}),
      out_proj(t.value_heads * t.value_dim, hidden, false) {}

void GatedDelta::reads(std::vector<fast::Projection>& all) const {
  for (const nn::Linear* part : {&in_proj_qkv, &in_proj_z, &in_proj_b, &in_proj_a})
    all.push_back(part->projection());
}

StateShape GatedDelta::state() const {
  const GatedDeltaTraits& t = traits;
  return {
      .kind = StateShape::fixed,
      .parts = {{t.taps - 1, in_proj_qkv.weight.shape(0)}, {t.value_heads, t.key_dim, t.value_dim}},
      .dtype = float32};
}

Output GatedDelta::operator()(const Input& in, LayerState& state) const {
  const GatedDeltaTraits& t = traits;
  const int B = in.read[0].shape(0), L = in.read[0].shape(1), keys = t.key_heads * t.key_dim;
  const Dtype dtype = in.read[0].dtype();
  const auto f32 = [](const array& x) { return astype(x, float32); };
  const array mixed = f32(conv1d(in.read[0], state.parts[0], in.step, fast::Activation::silu));
  const Arrays parts = split(mixed, {keys, 2 * keys}, -1);
  // x / sqrt(sum of x^2 + 1e-6) times `scale`, as a norm of the mean of squares.
  const auto unit = [&](const array& x, float scale) {
    const float root = std::sqrt(float(t.key_dim));
    const array rows = reshape(x, {B, L, t.key_heads, t.key_dim});
    const array all =
        fast::rms_norm(rows, full({t.key_dim}, array(scale / root)), 1e-6f / float(t.key_dim));
    return t.in_turn ? concatenate(Arrays(size_t(t.value_heads / t.key_heads), all), 2) : all;
  };
  array decay = negative(
      multiply(exp(f32(A_log)), softplus(add(f32(in.read[3]), f32(dt_bias)))));  // (B, L, heads)
  array beta = sigmoid(f32(in.read[2]));
  if (const auto counts = counted(in.step, L)) {
    decay = multiply(decay, *counts);
    beta = multiply(beta, *counts);
  }
  const auto out = fast::gated_delta(
      unit(parts[0], 1 / std::sqrt(float(t.key_dim))), unit(parts[1], 1),
      reshape(parts[2], {B, L, t.value_heads, t.value_dim}), decay, beta, state.parts[1]);
  state.parts[1] = out.state;
  const array z = silu(f32(reshape(in.read[1], {B, L, t.value_heads, t.value_dim})));
  const array rows = multiply(astype(norm(out.y), float32), z);
  return {
      .terms = {out_proj.term(astype(reshape(rows, {B, L, t.value_heads * t.value_dim}), dtype))}};
}

}  // namespace hearth::llm
