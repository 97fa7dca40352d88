// Multi-head latent attention: what is kept of a position is one short vector and one rotated key,
// read by all heads.
#pragma once
#include "hearth/llm/attention.h"

namespace hearth::llm {

struct MlaTraits {
  int heads;
  int query_rank;  // 0: queries come from the input at once
  int rank;        // of the latent vector
  int key_dim;     // of a head, that is not rotated
  int rotated;     // of a head, that is
  int value_dim;
  bool bias = false;  // of the products that go down, and of the output
  float scale;        // of q k^T
  Rope rope = {};
  float eps;
  /// Queries times 1 + beta ln(1 + floor(position / original)).
  std::optional<AttentionTraits::Temperature> temperature = {};
};

struct Mla {
  Mla(const MlaTraits& traits, int hidden);

  static constexpr bool kUsesInput = false;
  void reads(std::vector<fast::Projection>& all) const;
  Output operator()(const Input& in, LayerState& state) const;
  StateShape state() const;

  MlaTraits traits;
  std::optional<nn::Linear> q_proj;  // or, through a latent vector of their own:
  std::optional<nn::Linear> q_a_proj, q_b_proj;
  std::optional<Norm> q_a_layernorm;
  nn::Linear kv_a_proj_with_mqa;  // the latent vector, the rotated key
  Norm kv_a_layernorm;
  /// Of each head: keys as seen from the latent vector (heads, rank, key_dim), and values
  /// (heads, value_dim, rank). Both are rows of kv_b_proj in checkpoints.
  fast::Matrix k_b, v_b;
  nn::Linear o_proj;
  HEARTH_FIELDS(q_proj, q_a_proj, q_b_proj, q_a_layernorm, kv_a_proj_with_mqa, kv_a_layernorm, k_b,
                v_b, o_proj)
};

}  // namespace hearth::llm
