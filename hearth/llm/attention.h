// Attention with grouped queries: the mixer of most families.
#pragma once
#include "hearth/llm/norm.h"
#include "hearth/llm/part.h"
#include "hearth/llm/rope.h"
#include "hearth/nn/layers.h"

namespace hearth::llm {

struct AttentionTraits {
  int heads, kv_heads, head_dim;
  bool qkv_bias = false, out_bias = false;
  float scale = 0;    // of q k^T; 0: 1 / sqrt(head_dim)
  float softcap = 0;  // of scores; 0: none
  int window = 0;     // positions that a query sees, itself among them; 0: all
  bool sinks = false;
  Rope rope = {};
  /// Norms of q and k before the rotation: none, of each head with one weight (head_dim), of each
  /// head with its own weight (heads, head_dim), or of all heads' width at once.
  enum QkNorm { none, head, each_head, width } qk_norm = none;
  NormForm qk_form = {};
  bool norm_after_rope = false;  // the norms of q and k come after the rotation (Hunyuan)
  bool value_norm = false;       // v without a weight (gemma4)
  bool values_are_keys = false;  // no v_proj: v is k before its norm (gemma4)
  bool out_gate = false;         // q_proj gives [q, gate] per head; the result times sigmoid(gate)
  int source = -1;               // the layer whose keys and values are used; -1: its own
  /// Queries times 1 + beta ln(1 + floor(position / original)) (llama 4, ministral3).
  struct Temperature {
    float beta;
    int original;
    /// The factors of a step's positions: (B, L, 1, 1).
    array of(const StepInfo& step, int length, Dtype dtype) const;
  };
  std::optional<Temperature> temperature = {};
};

struct Attention {
  Attention(const AttentionTraits& traits, int hidden);

  static constexpr bool kUsesInput = false;
  void reads(std::vector<fast::Projection>& all) const;
  Output operator()(const Input& in, LayerState& state) const;
  StateShape state() const;
  /// What may be one product (LanguageModel::joined): q, k and v; nothing where some are absent.
  std::vector<nn::Linear*> joinable();

  AttentionTraits traits;
  nn::Linear q_proj;
  std::optional<nn::Linear> k_proj, v_proj;
  nn::Linear o_proj;
  std::optional<Norm> q_norm, k_norm;
  std::optional<array> sinks;     // (heads)
  std::optional<nn::Linear> qkv;  // the three in one, where they were joined
  HEARTH_FIELDS(q_proj, k_proj, v_proj, o_proj, q_norm, k_norm, sinks)
};

}  // namespace hearth::llm
