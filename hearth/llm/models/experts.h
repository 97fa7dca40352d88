// What families with experts read alike.
#pragma once
#include "hearth/llm/models/family.h"

namespace hearth::llm {

/// From the names that most checkpoints have under `.mlp.`: each expert's tensors, or all experts'
/// in one, gate and up joined or not.
std::vector<Rewrite> expert_rewrites();

/// Which layers have experts: mlp_layer_types ("sparse"), or all from first_k_dense_replace on.
std::vector<bool> sparse_layers(const JsonObject& config, int layers, int first_dense);

/// The same as Qwen says it: every decoder_sparse_step-th, but for mlp_only_layers.
std::vector<bool> qwen_sparse_layers(const JsonObject& config, int layers);

/// A router whose numbers fit each other.
Router checked(const JsonObject& config, const Router& router);
/// DeepSeek V3's: sigmoids, a correction to choose by, groups; as n_routed_experts,
/// num_experts_per_tok, n_group, ... say.
Router read_sigmoid_router(const JsonObject& config, const char* experts = "n_routed_experts");
/// Experts of moe_intermediate_size, and as many shared ones in one as `shared` names.
MoeTraits read_moe(const JsonObject& config, const Router& router, const char* shared);

/// The layer's feed-forward: experts where it is sparse.
inline void feed(LayerTraits& layer, bool sparse, const MoeTraits& moe, const MlpTraits& mlp) {
  if (sparse)
    layer.moe = moe;
  else
    layer.mlp = mlp;
}

/// Layers after the last, for drafting: not read.
void skip_draft_layers(Traits& traits);

}  // namespace hearth::llm
