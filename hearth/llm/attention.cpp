#include "hearth/llm/attention.h"

#include <cmath>

#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

Shape norm_shape(const AttentionTraits& t, int heads) {
  switch (t.qk_norm) {
    case AttentionTraits::each_head: return {heads, t.head_dim};
    case AttentionTraits::width: return {heads * t.head_dim};
    default: return {t.head_dim};
  }
}

/// x (B, L, heads, D), rotated as attention would.
array turned(const Rope& rope, const array& x, const StepInfo& step) {
  const fast::Rotation& r = rope.rotation;
  if (r.dims == 0) return x;
  const auto freqs = rope.at(step);
  const auto base = freqs ? std::nullopt : std::optional(r.base);
  return swapaxes(
      fast::rope(swapaxes(x, 1, 2), r.dims, r.traditional, base, r.scale, step.offsets, freqs), 1,
      2);
}

}  // namespace

array AttentionTraits::Temperature::of(const StepInfo& step, int length, Dtype dtype) const {
  const int B = int(step.offsets.size());
  const array positions =
      add(reshape(step.offsets, {B, 1, 1, 1}), reshape(arange(0, length, 1), {1, length, 1, 1}));
  const array turns = floor(divide(astype(positions, float32), array(float(original))));
  return astype(add(multiply(log1p(turns), array(beta)), array(1.0f)), dtype);
}

Attention::Attention(const AttentionTraits& t, int hidden)
    : traits(t),
      q_proj(hidden, t.heads * t.head_dim * (t.out_gate ? 2 : 1), t.qkv_bias),
      o_proj(t.heads * t.head_dim, hidden, t.out_bias) {
  const bool own = t.source < 0;
  if (own) k_proj.emplace(hidden, t.kv_heads * t.head_dim, t.qkv_bias);
  if (own && !t.values_are_keys) v_proj.emplace(hidden, t.kv_heads * t.head_dim, t.qkv_bias);
  if (t.qk_norm != AttentionTraits::none) {
    q_norm.emplace(t.qk_form, norm_shape(t, t.heads));
    if (own) k_norm.emplace(t.qk_form, norm_shape(t, t.kv_heads));
  }
  if (t.sinks) sinks = zeros({t.heads});
}

StateShape Attention::state() const {
  if (traits.source >= 0) return {.kind = StateShape::alias, .source = traits.source};
  const Shape part{traits.kv_heads, traits.head_dim};
  return {.kind = StateShape::positions, .parts = {part, part}, .window = traits.window};
}

void Attention::reads(std::vector<fast::Projection>& all) const {
  if (qkv) {
    all.push_back(qkv->projection());
    return;
  }
  all.push_back(q_proj.projection());
  if (k_proj) all.push_back(k_proj->projection());
  if (v_proj) all.push_back(v_proj->projection());
}

std::vector<nn::Linear*> Attention::joinable() {
  if (!k_proj || !v_proj) return {};
  return {&q_proj, &*k_proj, &*v_proj};
}

Output Attention::operator()(const Input& in, LayerState& state) const {
  const AttentionTraits& t = traits;
  const int B = in.batch(), L = in.length(), D = t.head_dim;
  Arrays y(in.read.begin(), in.read.end());
  if (qkv) {
    const int queries = q_proj.weight.shape(0), keys = t.kv_heads * D;
    y = split(y[0], {queries, queries + keys}, -1);
  }
  std::optional<array> gate;  // (B, L, heads * D)
  if (t.out_gate) {
    const Arrays halves = split(reshape(y[0], {B, L, t.heads, 2 * D}), 2, -1);
    y[0] = reshape(halves[0], {B, L, t.heads * D});
    gate = reshape(halves[1], {B, L, t.heads * D});
  }
  const auto heads_of = [&](const array& x, int heads, const std::optional<Norm>& norm) {
    const bool whole = t.qk_norm == AttentionTraits::width;
    array rows = reshape(norm && whole ? (*norm)(x) : x, {B, L, heads, D});
    if (t.norm_after_rope) rows = turned(t.rope, rows, in.step);
    return norm && !whole ? (*norm)(rows) : rows;
  };
  array q = heads_of(y[0], t.heads, q_norm);
  if (t.temperature) q = multiply(q, t.temperature->of(in.step, L, q.dtype()));
  float scale = t.scale > 0 ? t.scale : 1 / std::sqrt(float(D));
  fast::Rotation rotation = t.norm_after_rope ? fast::Rotation{} : t.rope.rotation;
  // Where all of a row is rotated, what the rotation is amplified by is a factor of the scores.
  if (rotation.dims == D) {
    scale *= rotation.amplitude * rotation.amplitude;
    rotation.amplitude = 1;
  }
  const fast::AttentionForm form{
      .scale = scale,
      .softcap = t.softcap,
      .window = t.window,
      .ring = state.ring,
      .rotation = rotation,
      .state = state.packing,
  };
  fast::AttentionArrays more{.sinks = sinks};
  if (!t.norm_after_rope) more.freqs = t.rope.at(in.step);
  std::optional<array> attended;
  if (t.source >= 0) {
    attended =
        fast::attention_to_cache(q, state.parts[0], state.parts[1], in.step.offsets, form, more);
  } else {
    const array k = heads_of(y[1], t.kv_heads, k_norm);
    array v = reshape(y[t.values_are_keys ? 1 : 2], {B, L, t.kv_heads, D});
    if (t.value_norm) v = fast::rms_norm(v, {}, t.qk_form.eps);
    const auto out = fast::cached_attention(q, k, v, state.parts[0], state.parts[1],
                                            in.step.offsets, form, more);
    state.parts = {out.cache_k, out.cache_v};
    attended = out.y;
  }
  array rows = reshape(*attended, {B, L, t.heads * D});
  if (gate) rows = multiply(rows, sigmoid(*gate));
  return {.terms = {o_proj.term(rows)}};
}

}  // namespace hearth::llm
