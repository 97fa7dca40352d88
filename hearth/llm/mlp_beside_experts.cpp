#include "hearth/llm/mlp_beside_experts.h"

#include <cmath>

#include "hearth/ops/ops.h"

namespace hearth::llm {

MlpBesideExperts::MlpBesideExperts(const MlpBesideExpertsTraits& t, int hidden)
    : mlp_before(t.norm, {hidden}),
      mlp_after(t.norm, {hidden}),
      experts_before(t.norm, {hidden}),
      experts_after(t.norm, {hidden}),
      mlp(t.mlp, hidden),
      moe(t.moe, hidden),
      router_scale(ones({hidden})) {}

Output MlpBesideExperts::operator()(const Input& in) const {
  std::vector<fast::Projection> dense;
  mlp.reads(dense);
  const Arrays inner = fast::linears(in.x, dense, mlp_before.norm());
  const array one = fast::linear_sum(mlp({in.x, inner, in.step}).terms);

  const fast::Norm scaled{router_scale, {}, mlp_before.form.eps, true};
  const fast::Projection router[] = {moe.gate.projection()};
  array logits = astype(fast::linears(in.x, router, scaled)[0], float32);
  logits = multiply(logits, array(1 / std::sqrt(float(in.x.shape(2)))));
  const array normed = experts_before(in.x);
  const Output other = moe({normed, std::span(&logits, 1), in.step});
  return {.sum = add(mlp_after(one), experts_after(*other.sum))};
}

}  // namespace hearth::llm
