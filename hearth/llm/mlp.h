// The dense feed-forward.
#pragma once
#include "hearth/llm/part.h"
#include "hearth/nn/layers.h"

namespace hearth::llm {

struct MlpTraits {
  int width;
  fast::Activation activation = fast::Activation::silu;
  bool gated = true;  // down(activation(gate) up), else down(activation(up))
  bool up_bias = false, down_bias = false;
};

struct Mlp {
  Mlp(const MlpTraits& traits, int hidden);

  static constexpr bool kUsesInput = false;
  void reads(std::vector<fast::Projection>& all) const;
  Output operator()(const Input& in) const;

  MlpTraits traits;
  std::optional<nn::Linear> gate_proj;
  nn::Linear up_proj, down_proj;
  HEARTH_FIELDS(gate_proj, up_proj, down_proj)
};

}  // namespace hearth::llm
