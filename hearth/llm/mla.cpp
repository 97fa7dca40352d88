#include "hearth/llm/mla.h"

#include "hearth/ops/experts.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

/// x[..., from:to]
/// Every head's own product: x (B, L, heads, k), weight (heads, n, k) -> (B, L, heads, n).
array by_heads(const array& x, const fast::Matrix& weight) {
  const int B = x.shape(0), L = x.shape(1), heads = x.shape(2);
  const array ids = broadcast_to(arange(0, heads, 1), {B, L, heads});
  const fast::Projection all[] = {{weight, {}}};
  return fast::expert_linears(x, ids, all)[0];
}

}  // namespace

Mla::Mla(const MlaTraits& t, int hidden)
    : traits(t),
      kv_a_proj_with_mqa(hidden, t.rank + t.rotated, t.bias),
      kv_a_layernorm({.eps = t.eps}, {t.rank}),
      k_b(zeros({t.heads, t.rank, t.key_dim})),
      v_b(zeros({t.heads, t.value_dim, t.rank})),
      o_proj(t.heads * t.value_dim, hidden, t.bias) {
  const int queries = t.heads * (t.key_dim + t.rotated);
  if (t.query_rank > 0) {
    q_a_proj.emplace(hidden, t.query_rank, t.bias);
    q_a_layernorm.emplace(NormForm{.eps = t.eps}, Shape{t.query_rank});
    q_b_proj.emplace(t.query_rank, queries, false);
  } else {
    q_proj.emplace(hidden, queries, false);
  }
}

void Mla::reads(std::vector<fast::Projection>& all) const {
  all.push_back((q_proj ? *q_proj : *q_a_proj).projection());
  all.push_back(kv_a_proj_with_mqa.projection());
}

StateShape Mla::state() const {
  return {.kind = StateShape::positions, .parts = {{1, traits.rotated + traits.rank}}};
}

// The keys' way up is taken by the queries instead, and the values' by what was attended: then
// heads share the latent vectors, and nothing of a position's size times heads is ever made.
Output Mla::operator()(const Input& in, LayerState& state) const {
  const MlaTraits& t = traits;
  const int B = in.read[0].shape(0), L = in.read[0].shape(1), D = t.key_dim + t.rotated;
  array q = in.read[0];
  if (q_b_proj) {
    const fast::Projection up[] = {q_b_proj->projection()};
    q = fast::linears(q, up, q_a_layernorm->norm())[0];
  }
  q = reshape(q, {B, L, t.heads, D});
  if (t.temperature) q = multiply(q, t.temperature->of(in.step, L, q.dtype()));
  const array latent = kv_a_layernorm(last(in.read[1], 0, t.rank));
  const array turned = last(in.read[1], t.rank, t.rank + t.rotated);
  const array keys = reshape(concatenate({turned, latent}, -1), {B, L, 1, t.rotated + t.rank});
  const array queries =
      concatenate({last(q, t.key_dim, D), by_heads(last(q, 0, t.key_dim), k_b)}, -1);
  const fast::AttentionForm form{.scale = t.scale,
                                 .ring = state.ring,
                                 .latent = t.rank,
                                 .rotation = t.rope.rotation,
                                 .state = state.packing};
  const auto out = fast::cached_attention(queries, keys, state.parts[0], in.step.offsets, form,
                                          {.freqs = t.rope.at(in.step)});
  state.parts = {out.cache_k};
  const array values = by_heads(out.y, v_b);  // (B, L, heads, value_dim)
  return {.terms = {o_proj.term(reshape(values, {B, L, t.heads * t.value_dim}))}};
}

}  // namespace hearth::llm
