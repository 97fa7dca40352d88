// Experts: a feed-forward of which each position reads a few parts, chosen by a router.
#pragma once
#include "hearth/llm/mlp.h"

namespace hearth::llm {

/// How experts are chosen and weighed.
struct Router {
  int experts, chosen;
  /// Of the router's logits: shares of all, each on its own, or shares of the chosen ones only.
  enum Score { softmax, sigmoid, softmax_of_chosen } score = softmax;
  bool bias = false;        // of the router's product
  bool exact = false;       // the product is computed, and its weights are kept, in float32
  bool correction = false;  // added to the scores to choose by, not to weigh by
  /// Only experts of the best `groups_chosen` of `groups` are eligible. A group is as good as its
  /// best expert, or its best two.
  int groups = 1, groups_chosen = 1;
  bool best_two = false;
  bool renormalise = false;  // weights are divided by their sum + `floor`
  float floor = 0;
  float scale = 1;           // of the weights, after all else
  bool each_scaled = false;  // and each by a number of its expert's own
};

struct MoeTraits {
  Router router;
  int width;  // of each expert
  fast::Activation activation = fast::Activation::silu;
  bool gated = true;     // down(activation(gate) up), else down(activation(up))
  bool squared = false;  // what the activation gives (relu^2)
  bool bias = false;     // of the experts' products
  /// down((up + 1) gate sigmoid(alpha gate)), gate and up cut at a limit (gpt_oss).
  struct Clamped {
    float alpha, limit;
  };
  std::optional<Clamped> clamped = {};
  std::optional<MlpTraits> shared = {};  // for every position
  bool shared_gate = false;              // the shared one times sigmoid(shared_expert_gate x)
};

struct Routed {
  array ids;      // int32 (..., chosen)
  array weights;  // f32 (..., chosen)
};
/// By logits (..., experts); correction (experts), where the router has it.
Routed route(const Router& router, const array& logits, const std::optional<array>& correction);

struct Moe {
  Moe(const MoeTraits& traits, int hidden);

  static constexpr bool kUsesInput = true;
  void reads(std::vector<fast::Projection>& all) const;
  Output operator()(const Input& in) const;

  struct Experts {
    Experts(const MoeTraits& traits, int hidden);
    std::optional<fast::Matrix> gate_proj;  // (experts, width, hidden)
    fast::Matrix up_proj, down_proj;        // (experts, width, hidden), (experts, hidden, width)
    std::optional<array> gate_proj_bias, up_proj_bias, down_proj_bias;
    HEARTH_FIELDS(gate_proj, up_proj, down_proj, gate_proj_bias, up_proj_bias, down_proj_bias)
  };

  MoeTraits traits;
  bool on_host = false;                          // the experts run on the CPU
  nn::Linear gate;                               // the router
  std::optional<array> e_score_correction_bias;  // (experts)
  Experts experts;
  std::optional<Mlp> shared_experts;
  std::optional<nn::Linear> shared_expert_gate;
  std::optional<array> per_expert_scale;  // (experts)
  HEARTH_FIELDS(gate, e_score_correction_bias, experts, shared_experts, shared_expert_gate,
                per_expert_scale)
};

}  // namespace hearth::llm
