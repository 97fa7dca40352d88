// Qwen 3 Next and Qwen 3.5 and 3.6: three of four layers Gated DeltaNet, the others attention with
// an output gate; dense, or experts beside a gated shared one. Norms of 1 + w, but for the deltas'.
#include "hearth/llm/models/experts.h"

namespace hearth::llm {

namespace {

GatedDeltaTraits read_delta(const JsonObject& config, const NormForm& norm) {
  const GatedDeltaTraits d{.key_heads = config.positive("linear_num_key_heads", 16),
                           .value_heads = config.positive("linear_num_value_heads", 32),
                           .key_dim = config.positive("linear_key_head_dim", 128),
                           .value_dim = config.positive("linear_value_head_dim", 128),
                           .taps = config.positive("linear_conv_kernel_dim", 4),
                           .eps = norm.eps,
                           .in_turn = config.flag("linear_heads_in_turn", false)};
  const std::pair<const char*, int64_t> sizes[] = {
      {"linear keys are", int64_t(d.key_heads) * d.key_dim},
      {"linear values are", int64_t(d.value_heads) * d.value_dim},
      {"linear_conv_kernel_dim is", d.taps}};
  for (const auto& [name, size] : sizes)
    ensure(size <= 1 << 20, config.where(), ": ", name, " ", size, ", wanted at most 2^20");
  ensure(d.value_heads % d.key_heads == 0, config.where(), ": linear_num_value_heads ",
         d.value_heads, " is no multiple of linear_num_key_heads ", d.key_heads);
  return d;
}

/// Where `moe` is absent all layers are dense.
Traits hybrid(const JsonObject& config, const std::optional<MoeTraits>& moe) {
  std::optional<int> ffn;
  if (moe) ffn = moe->width;  // of dense layers, of which there may be none
  const Sizes s =
      read_sizes(config, {.kv_heads = 2, .head_dim = 256, .context = 32768, .ffn = ffn});
  const NormForm norm = read_rms_norm(config, 1e-6);
  AttentionTraits attention = attention_of(s);
  attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
  attention.rope = read_rope(config, s.head_dim, {.partial = 0.25});
  attention.qk_norm = AttentionTraits::head;
  attention.qk_form = norm;
  attention.out_gate = true;
  const GatedDeltaTraits delta = read_delta(config, norm);
  const MlpTraits mlp{.width = s.ffn, .activation = read_activation(config, "silu")};
  const int every = config.positive("full_attention_interval", 4);
  const auto types = read_layer_types(
      config, s.layers,
      [&](int i) { return (i + 1) % every == 0 ? "full_attention" : "linear_attention"; },
      {"full_attention", "linear_attention"});
  const auto sparse = qwen_sparse_layers(config, s.layers);
  Traits t = make_traits(config, s, norm, false, [&](int i) {
    LayerTraits layer{.mixer = attention, .norm = norm};
    if (types[size_t(i)] == "linear_attention") layer.mixer = delta;
    if (moe && sparse[size_t(i)])
      layer.moe = moe;
    else
      layer.mlp = mlp;
    return layer;
  });
  t.rewrites = expert_rewrites();
  const std::vector<Rewrite> more = {
      {"^mtp.", "", Rewrite::skip},  // for drafting
      {"^model.mtp.", "", Rewrite::skip},
      {"layernorm.weight$", "layernorm.weight", Rewrite::plus_one},
      {"q_norm.weight$", "q_norm.weight", Rewrite::plus_one},
      {"k_norm.weight$", "k_norm.weight", Rewrite::plus_one},
      {"^model.norm.weight$", "model.norm.weight", Rewrite::plus_one},
  };
  t.rewrites.insert(t.rewrites.end(), more.begin(), more.end());
  return t;
}

MoeTraits read_qwen_moe(const JsonObject& config, int experts, int chosen, bool renormalise) {
  const Router router{.experts = config.positive("num_experts", experts),
                      .chosen = config.positive("num_experts_per_tok", chosen),
                      .renormalise = renormalise};
  MoeTraits moe = read_moe(config, router, nullptr);
  const int shared = config.natural("shared_expert_intermediate_size", 512);
  ensure(shared <= 1 << 24, config.where(), ": shared_expert_intermediate_size is ", shared,
         ", too large");
  if (shared > 0) {
    moe.shared = {.width = shared, .activation = moe.activation};
    moe.shared_gate = true;
  }
  return moe;
}

}  // namespace

Traits qwen3_next(const JsonObject& config) {
  Traits t = hybrid(config, read_qwen_moe(config, 512, 10, config.flag("norm_topk_prob", true)));
  const GatedDeltaTraits d = read_delta(config, {});
  const int values = d.value_heads / d.key_heads * d.value_dim;  // of a key head
  const std::string qkv = ".in_proj_qkv.weight";
  t.rewrites.push_back({".in_proj_qkvz.weight$",
                        qkv + "," + qkv + "," + qkv + ",.in_proj_z.weight",
                        Rewrite::split,
                        {d.key_dim, d.key_dim, values, values},
                        d.key_heads});
  t.rewrites.push_back({".in_proj_ba.weight$",
                        ".in_proj_b.weight,.in_proj_a.weight",
                        Rewrite::split,
                        {},
                        d.key_heads});
  return t;
}
Traits qwen3_5(const JsonObject& config) { return hybrid(config, std::nullopt); }
Traits qwen3_5_moe(const JsonObject& config) {
  return hybrid(config, read_qwen_moe(config, 256, 8, true));
}

}  // namespace hearth::llm
