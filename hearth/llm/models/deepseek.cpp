// Multi-head latent attention with experts: DeepSeek V2 and V3 (Kimi K2, ...), GLM-4.7-Flash,
// Mistral Small 4.
#include <cmath>
#include <nlohmann/json.hpp>

#include "hearth/llm/models/experts.h"

namespace hearth::llm {

namespace {

struct Latent {
  Sizes sizes;
  NormForm norm;
  MlaTraits mla;

  Latent(const JsonObject& config, double eps, int context)
      : sizes(read_sizes(config, {.head_dim = 1, .context = context})),
        norm(read_rms_norm(config, eps)),
        mla{.heads = sizes.heads,
            .query_rank = config.has("q_lora_rank") ? config.positive("q_lora_rank") : 0,
            .rank = config.positive("kv_lora_rank", 512),
            .key_dim = config.positive("qk_nope_head_dim", 128),
            .rotated = config.positive("qk_rope_head_dim", 64),
            .value_dim = config.positive("v_head_dim", 128),
            .bias = config.flag("attention_bias", false),
            .scale = 0,
            .eps = 1e-6f} {  // whatever rms_norm_eps is
    const std::pair<const char*, int64_t> widths[] = {
        {"q_lora_rank", mla.query_rank},
        {"kv_lora_rank", mla.rank},
        {"the width of all heads", int64_t(mla.heads) * (int64_t(mla.key_dim) + mla.rotated)},
        {"the width of all values", int64_t(mla.heads) * mla.value_dim}};
    for (const auto& [name, width] : widths)
      ensure(width <= 1 << 24, config.where(), ": ", name, " is ", width, ", wanted at most 2^24");
    mla.scale = read_yarn_scale(config) / std::sqrt(float(mla.key_dim + mla.rotated));
    // Some files give partial_rotary_factor, of a whole head.
    const int head = mla.key_dim + mla.rotated;
    const bool partial = config.has("partial_rotary_factor") ||
                         config.object("rope_parameters").has("partial_rotary_factor");
    mla.rope = read_rope(config, partial ? head : mla.rotated);
    ensure(mla.rope.rotation.dims == mla.rotated, config.where(),
           ": partial_rotary_factor rotates ", mla.rope.rotation.dims, " of ", head,
           " dimensions, qk_rope_head_dim is ", mla.rotated);
    mla.rope.rotation.traditional = config.flag("rope_interleave", true);
  }
  Traits traits(const JsonObject& config, const MoeTraits& moe, int first_dense) const {
    const MlpTraits mlp{.width = sizes.ffn, .activation = read_activation(config, "silu")};
    const auto sparse = sparse_layers(config, sizes.layers, first_dense);
    Traits t = make_traits(config, sizes, norm, false, [&](int i) {
      LayerTraits layer{.mixer = mla, .norm = norm};
      feed(layer, sparse[size_t(i)], moe, mlp);
      return layer;
    });
    t.rewrites = expert_rewrites();
    const std::vector<Rewrite> up = {
        {".self_attn.", ".mla."},
        {".mla.kv_b_proj.weight$",
         ".mla.k_rows,.mla.v_rows",
         Rewrite::split,
         {mla.key_dim, mla.value_dim},
         mla.heads},
        {".mla.k_rows$", ".mla.k_heads", Rewrite::grouped, {}, mla.heads},
        {".mla.v_rows$", ".mla.v_b", Rewrite::grouped, {}, mla.heads},
        {".mla.k_heads$", ".mla.k_heads", Rewrite::unpack},
        {".mla.k_heads$", ".mla.k_b", Rewrite::transpose},
    };
    t.rewrites.insert(t.rewrites.end(), up.begin(), up.end());
    skip_draft_layers(t);
    return t;
  }
};

}  // namespace

Traits deepseek_v2(const JsonObject& config) {
  const Latent model(config, 1e-6, 2048);
  const std::string method = config.text("topk_method", "greedy");
  ensure(method == "greedy" || method == "group_limited_greedy", config.where(), ": topk_method ",
         in_quotes(method), " is not known; known: greedy, group_limited_greedy");
  const bool grouped = method == "group_limited_greedy";
  const Router router{.experts = config.positive("n_routed_experts", 64),
                      .chosen = config.positive("num_experts_per_tok"),
                      .exact = true,
                      .groups = grouped ? config.positive("n_group") : 1,
                      .groups_chosen = grouped ? config.positive("topk_group") : 1,
                      .scale = float(config.number("routed_scaling_factor", 1))};
  return model.traits(config, read_moe(config, router, "n_shared_experts"), 0);
}

Traits deepseek_v3(const JsonObject& config) {
  const Latent model(config, 1e-6, 4096);
  return model.traits(config, read_moe(config, read_sigmoid_router(config), "n_shared_experts"), 3);
}

Traits glm4_moe_lite(const JsonObject& config) {
  const Latent model(config, 1e-5, 202752);
  return model.traits(config, read_moe(config, read_sigmoid_router(config), "n_shared_experts"), 1);
}

Traits mistral4(const JsonObject& config) {
  Latent model(config, 1e-6, 1048576);
  const JsonObject rope = config.object("rope_parameters");
  if (rope.has("llama_4_scaling_beta"))
    model.mla.temperature = {
        float(rope.number("llama_4_scaling_beta")),
        rope.positive("original_max_position_embeddings", model.sizes.context)};
  Router router = read_sigmoid_router(config);
  router.score = Router::softmax;
  router.correction = router.exact = false;
  return model.traits(config, read_moe(config, router, "n_shared_experts"), 0);
}

}  // namespace hearth::llm
