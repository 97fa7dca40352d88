#include "hearth/llm/mamba2.h"

#include "hearth/ops/ops.h"
#include "hearth/ops/recurrent.h"

namespace hearth::llm {

Mamba2::Mamba2(const Mamba2Traits& t, int hidden)
    : traits(t),
      in_proj(hidden, inner() + mixed() + t.heads, t.bias),
      conv1d(mixed(), t.taps, t.conv_bias),
      dt_bias(zeros({t.heads})),
      A_log(zeros({t.heads})),
      D(ones({t.heads})),
      norm({.eps = t.eps}, {inner()}),
      out_proj(inner(), hidden, t.bias) {}

StateShape Mamba2::state() const {
  return {.kind = StateShape::fixed,
          .parts = {{traits.taps - 1, mixed()}, {traits.heads, traits.state, traits.head_dim}},
          .dtype = float32};
}

Output Mamba2::operator()(const Input& in, LayerState& state) const {
  const Mamba2Traits& t = traits;
  const int B = in.read[0].shape(0), L = in.read[0].shape(1), shared = t.groups * t.state;
  const Dtype dtype = in.read[0].dtype();
  const auto f32 = [](const array& x) { return astype(x, float32); };
  const Arrays read = split(in.read[0], {inner(), inner() + mixed()}, -1);  // z; x, B, C; steps
  const array seen = f32(conv1d(read[1], state.parts[0], in.step, fast::Activation::silu));
  const Arrays parts = split(seen, {inner(), inner() + shared}, -1);
  const array x = reshape(parts[0], {B, L, t.heads, t.head_dim});
  const array write = reshape(parts[1], {B, L, t.groups, t.state});
  const array query = reshape(parts[2], {B, L, t.groups, t.state});

  array steps = softplus(add(f32(read[2]), f32(dt_bias)));  // (B, L, heads)
  if (t.least > 0) steps = maximum(steps, array(t.least));
  if (std::isfinite(t.most)) steps = minimum(steps, array(t.most));
  if (const auto counts = counted(in.step, L)) steps = multiply(steps, *counts);
  const array decay = negative(multiply(steps, exp(f32(A_log))));
  const auto out = fast::gated_delta(query, write, multiply(x, expand_dims(steps, -1)), decay, {},
                                     state.parts[1]);
  state.parts[1] = out.state;

  const array skip = multiply(x, reshape(f32(D), {t.heads, 1}));
  const array opened = multiply(reshape(add(out.y, skip), {B, L, inner()}), silu(f32(read[0])));
  const array rows = reshape(opened, {B, L, t.groups, inner() / t.groups});
  const array normed = reshape(fast::rms_norm(rows, {}, t.eps), {B, L, inner()});
  return {.terms = {out_proj.term(astype(multiply(normed, f32(*norm.weight)), dtype))}};
}

}  // namespace hearth::llm
