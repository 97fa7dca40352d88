// The dense feed-forward.
#pragma once
#include "hearth/llm/part.h"
#include "hearth/nn/layers.h"
#include "hearth/ops/create.h"

namespace hearth::llm {

/// x > 0: a x^2 + beta x; else (exp(min(x, eps)) - 1 - x) b + beta x, with a = softplus(alpha_p)
/// and b = beta + softplus(alpha_n) (Apertus).
struct Xielu {
  array alpha_p = zeros({1}), alpha_n = zeros({1}), beta = array(0.5f), eps = array(-1e-6f);
  HEARTH_FIELDS(alpha_p, alpha_n, beta, eps)

  array operator()(const array& x) const;
};

struct MlpTraits {
  int width;
  fast::Activation activation = fast::Activation::silu;
  bool gated = true;     // down(activation(gate) up), else down(activation(up))
  bool squared = false;  // what the activation gives (relu^2)
  bool up_bias = false, down_bias = false;
  bool xielu = false;  // instead of an activation
};

struct Mlp {
  Mlp(const MlpTraits& traits, int hidden);

  static constexpr bool kUsesInput = false;
  void reads(std::vector<fast::Projection>& all) const;
  Output operator()(const Input& in) const;
  /// Gate and up are one result of reads(), else two.
  bool one_pass() const { return gate_proj && !traits.squared && !act_fn; }

  MlpTraits traits;
  std::optional<nn::Linear> gate_proj;
  nn::Linear up_proj, down_proj;
  std::optional<Xielu> act_fn;
  HEARTH_FIELDS(gate_proj, up_proj, down_proj, act_fn)
};

}  // namespace hearth::llm
