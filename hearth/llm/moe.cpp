#include "hearth/llm/moe.h"

#include <limits>

#include "hearth/ops/experts.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

/// x[..., from:to]
/// The places of the n largest of the last axis, the largest first, the lower of equals first.
array best(const array& x, int n) { return last(argsort(negative(x), -1), 0, n); }

/// `scores` with those of all but the best groups at the lowest.
array of_best_groups(const Router& r, const array& scores) {
  Shape grouped = scores.shape();
  grouped.back() = r.groups;
  grouped.push_back(r.experts / r.groups);
  const array each = reshape(scores, grouped);  // (..., groups, experts of one)
  const int size = grouped.back(), two = std::min(size, 2);
  const array merit = r.best_two ? sum(last(sort(each, -1), size - two, size), -1) : max(each, -1);
  const array rank = argsort(argsort(negative(merit), -1), -1);
  const array eligible = expand_dims(less(rank, array(r.groups_chosen, rank.dtype())), -1);
  const array lowest(-std::numeric_limits<float>::infinity());
  return reshape(where(eligible, each, lowest), scores.shape());
}

}  // namespace

Routed route(const Router& r, const array& logits, const std::optional<array>& correction) {
  array scores = astype(logits, float32);
  if (r.score == Router::softmax) scores = softmax(scores, -1);
  if (r.score == Router::sigmoid) scores = sigmoid(scores);
  array choice = correction ? add(scores, astype(*correction, float32)) : scores;
  if (r.groups > 1) choice = of_best_groups(r, choice);
  const array ids = astype(best(choice, r.chosen), int32);
  array weights = take_along_axis(scores, ids, -1);
  if (r.score == Router::softmax_of_chosen) weights = softmax(weights, -1);
  if (r.renormalise) weights = divide(weights, add(sum(weights, -1, true), array(r.floor)));
  if (r.scale != 1) weights = multiply(weights, array(r.scale));
  return {ids, weights};
}

Moe::Experts::Experts(const MoeTraits& t, int hidden)
    : up_proj(zeros({t.router.experts, t.width, hidden})),
      down_proj(zeros({t.router.experts, hidden, t.width})) {
  const int E = t.router.experts;
  if (t.gated) gate_proj = zeros({E, t.width, hidden});
  if (!t.bias) return;
  if (t.gated) gate_proj_bias = zeros({E, t.width});
  up_proj_bias = zeros({E, t.width});
  down_proj_bias = zeros({E, hidden});
}

Moe::Moe(const MoeTraits& t, int hidden)
    : traits(t), gate(hidden, t.router.experts, t.router.bias), experts(t, hidden) {
  if (t.router.correction) e_score_correction_bias = zeros({t.router.experts});
  if (t.router.each_scaled) per_expert_scale = ones({t.router.experts});
  if (t.shared) shared_experts.emplace(*t.shared, hidden);
  if (t.shared_gate) shared_expert_gate.emplace(hidden, 1, false);
}

void Moe::reads(std::vector<fast::Projection>& all) const {
  if (!traits.router.exact) all.push_back(gate.projection());
  if (shared_expert_gate) all.push_back(shared_expert_gate->projection());
  if (shared_experts) shared_experts->reads(all);
}

Output Moe::operator()(const Input& in) const {
  const MoeTraits& t = traits;
  size_t next = 0;
  const array logits = t.router.exact ? fast::linear(astype(in.x, float32), gate.weight.as(float32))
                                      : in.read[next++];
  Routed routed = route(t.router, logits, e_score_correction_bias);
  if (per_expert_scale)
    routed.weights =
        multiply(routed.weights, take(astype(*per_expert_scale, float32), routed.ids, 0));

  std::optional<StreamScope> where;
  if (on_host) where.emplace(Device::cpu);
  // Every chosen expert's products in one parallel region, then every one's way back.
  const fast::Activation activation = t.clamped ? fast::Activation::none : t.activation;
  const auto up = [&](fast::Activation a) {
    return fast::Projection{experts.up_proj, experts.up_proj_bias, a};
  };
  std::vector<fast::Projection> first;
  const bool one_pass = t.gated && !t.clamped;
  if (t.gated) first = {{*experts.gate_proj, experts.gate_proj_bias, activation, one_pass}};
  first.push_back(up(t.gated ? fast::Activation::none : activation));
  Arrays y = fast::expert_linears(expand_dims(in.x, -2), routed.ids, first);
  if (t.squared) y[0] = square(y[0]);
  array inner = y[0];  // (B, L, chosen, width)
  if (t.clamped) {
    const Dtype dtype = inner.dtype();
    const array limit(t.clamped->limit), g = minimum(astype(y[0], float32), limit);
    const array u = clip(astype(y[1], float32), negative(limit), limit);
    inner =
        multiply(multiply(add(u, array(1.0f)), g), sigmoid(multiply(g, array(t.clamped->alpha))));
    inner = astype(inner, dtype);
  }
  const fast::Projection down[] = {{experts.down_proj, experts.down_proj_bias}};
  const array back = fast::expert_linears(inner, routed.ids, down)[0];  // (B, L, chosen, hidden)
  const array weighed = multiply(astype(back, float32), expand_dims(routed.weights, -1));
  Output out{.sum = astype(sum(weighed, -2), in.x.dtype())};
  where.reset();

  if (shared_experts) {
    std::optional<array> open;  // (B, L, 1)
    if (shared_expert_gate) open = sigmoid(in.read[next++]);
    out.terms = (*shared_experts)({in.x, in.read.subspan(next), in.step}).terms;
    if (open) {
      for (fast::Term& term : out.terms) term.x = multiply(term.x, *open);
    }
  }
  return out;
}

}  // namespace hearth::llm
