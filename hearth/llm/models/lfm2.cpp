// LFM2: gated short convolutions, and attention on some layers; dense or with experts.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "hearth/llm/models/experts.h"

namespace hearth::llm {

namespace {

/// intermediate_size, of which two thirds are used unless block_auto_adjust_ff_dim says otherwise.
int read_width(const JsonObject& config) {
  const char* key = config.has("block_ff_dim") ? "block_ff_dim" : "intermediate_size";
  int64_t width = config.positive(key, 12288);
  if (!config.flag("block_auto_adjust_ff_dim", true)) return int(width);
  const double factor = config.positive_number("block_ffn_dim_multiplier", 1);
  const int64_t multiple = config.positive("block_multiple_of", 256);
  const double scaled = std::min(factor * double(2 * width / 3), 1e9);
  width = (int64_t(scaled) + multiple - 1) / multiple * multiple;
  ensure(width > 0 && width <= 1 << 24, config.where(), ": the feed-forward's width is ", width);
  return int(width);
}

Traits lfm(const JsonObject& config, const MlpTraits& mlp,
           const std::function<std::optional<MoeTraits>(int)>& moe) {
  const Sizes s = read_sizes(config, {.kv_heads = 8, .context = 128000, .ffn = mlp.width});
  const NormForm norm{.eps = float(config.positive_number("norm_eps", 1e-5))};
  AttentionTraits attention = attention_of(s);
  attention.qk_norm = AttentionTraits::head;
  attention.qk_form = norm;
  attention.rope = read_rope(config, s.head_dim, {.base = 1e6});
  const ShortConvTraits conv{.taps = config.positive("conv_L_cache", 3),
                             .bias = config.flag("conv_bias", false)};
  ensure(conv.taps <= 1 << 16, config.where(), ": conv_L_cache is ", conv.taps, ", too large");
  const std::vector<int> full = config.naturals("full_attn_idxs");
  const bool listed = config.has("full_attn_idxs");
  const auto types = read_layer_types(
      config, s.layers,
      [&](int i) {
        const bool is = !listed || std::find(full.begin(), full.end(), i) != full.end();
        return is ? "full_attention" : "conv";
      },
      {"full_attention", "conv"});
  const bool tied = config.flag("tie_embedding", true);
  Traits t = make_traits(config, s, norm, tied, [&](int i) {
    LayerTraits layer{.mixer = attention, .norm = norm};
    if (types[size_t(i)] == "conv") layer.mixer = conv;
    layer.moe = moe(i);
    if (!layer.moe) layer.mlp = mlp;
    return layer;
  });
  t.rewrites = {
      {"^model.embedding_norm.", "model.norm."},
      {".operator_norm.", ".input_layernorm."},
      {".ffn_norm.", ".post_attention_layernorm."},
      {".self_attn.out_proj.", ".self_attn.o_proj."},
      {".self_attn.q_layernorm.", ".self_attn.q_norm."},
      {".self_attn.k_layernorm.", ".self_attn.k_norm."},
      {".feed_forward.expert_bias$", ".moe.e_score_correction_bias"},
      {".feed_forward.", ".mlp."},
      {".w1.weight$", ".gate_proj.weight"},
      {".w3.weight$", ".up_proj.weight"},
      {".w2.weight$", ".down_proj.weight"},
  };
  const auto experts = expert_rewrites();
  t.rewrites.insert(t.rewrites.end(), experts.begin(), experts.end());
  return t;
}

}  // namespace

Traits lfm2(const JsonObject& config) {
  return lfm(config, {.width = read_width(config)}, [](int) { return std::nullopt; });
}

Traits lfm2_moe(const JsonObject& config) {
  const Router router{.experts = config.positive("num_experts", 32),
                      .chosen = config.positive("num_experts_per_tok", 4),
                      .score = Router::sigmoid,
                      .correction = config.flag("use_expert_bias", true),
                      .renormalise = config.flag("norm_topk_prob", true),
                      .floor = 1e-6f,
                      .scale = float(config.number("routed_scaling_factor", 1))};
  const MoeTraits moe = read_moe(config, router, nullptr);
  const int dense = config.natural("num_dense_layers", 2);
  return lfm(config, {.width = config.positive("intermediate_size", 7168)},
             [&](int i) { return i < dense ? std::nullopt : std::optional(moe); });
}

}  // namespace hearth::llm
