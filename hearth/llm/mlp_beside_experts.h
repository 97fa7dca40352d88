// A dense MLP and experts side by side, each behind and before a norm of its own, with a router
// that sees the stream itself (Gemma 4).
#pragma once
#include "hearth/llm/moe.h"
#include "hearth/llm/norm.h"

namespace hearth::llm {

struct MlpBesideExpertsTraits {
  MlpTraits mlp;
  MoeTraits moe;
  NormForm norm;
};

/// Of the stream, not of its norm: n1(mlp(n(x))) + n2(experts(n'(x))).
struct MlpBesideExperts {
  MlpBesideExperts(const MlpBesideExpertsTraits& traits, int hidden);

  static constexpr bool kUsesInput = true;
  void reads(std::vector<fast::Projection>&) const {}
  Output operator()(const Input& in) const;

  Norm mlp_before, mlp_after, experts_before, experts_after;
  Mlp mlp;
  Moe moe;
  array router_scale;  // (hidden): of the normed stream, before the router
  HEARTH_FIELDS(mlp_before, mlp_after, experts_before, experts_after, mlp, moe, router_scale)
};

}  // namespace hearth::llm
