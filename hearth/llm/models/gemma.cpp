// Gemma 2 and 3: norms of 1 + w before and after, embeddings times sqrt(hidden), windows on most
// layers, tanh-capped scores and logits (2), norms of queries and keys (3). Gemma 4: plain norms,
// heads of two sizes, layers that share keys and values, an input of each layer.
#include <cmath>
#include <map>

#include "hearth/llm/models/experts.h"

namespace hearth::llm {

namespace {

struct Gemma {
  Sizes sizes;
  NormForm norm;
  AttentionTraits attention;
  MlpTraits mlp;
  int window;

  explicit Gemma(const JsonObject& config, int context)
      : sizes(read_sizes(config, {.kv_heads = 4, .head_dim = 256, .context = context})),
        norm(read_rms_norm(config)),
        attention(attention_of(sizes)),
        mlp{.width = sizes.ffn,
            .activation = read_activation(config, "gelu_pytorch_tanh", "hidden_activation")},
        window(read_window(config, 4096)) {
    refuse_flag(config, "use_bidirectional_attention", false);
    attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
    attention.scale = float(1 / std::sqrt(config.positive_number("query_pre_attn_scalar", 256)));
  }
  Traits traits(const JsonObject& config, const std::vector<std::string>& types,
                const std::function<void(const std::string&, AttentionTraits&)>& change) const {
    Traits t = make_traits(config, sizes, norm, true, [&](int i) {
      AttentionTraits a = attention;
      if (types[size_t(i)] == "sliding_attention") a.window = window;
      change(types[size_t(i)], a);
      return LayerTraits{a, mlp, Placement::sandwich, norm};
    });
    t.embed_scale = std::sqrt(float(sizes.hidden));
    t.rewrites = {
        {".post_attention_layernorm.", ".mixer_norm."},
        {".pre_feedforward_layernorm.", ".post_attention_layernorm."},
        {".post_feedforward_layernorm.", ".feed_forward_norm."},
        {"norm.weight$", "norm.weight", Rewrite::plus_one},
    };
    return t;
  }
};

// A softcap; 0 where it is null or absent without a fallback.
float read_softcap(const JsonObject& config, const char* key, double fallback) {
  if (is_null(config, key)) return 0;
  return float(config.number(key, fallback));
}

}  // namespace

Traits gemma(const JsonObject& config) {
  refuse_flag(config, "use_bidirectional_attention", false);
  const Sizes s = read_sizes(config, {.head_dim = 256, .context = 8192});
  const NormForm norm = read_rms_norm(config);
  AttentionTraits attention = attention_of(s);
  attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
  attention.rope = read_rope(config, s.head_dim);
  // "gelu" was written where that by tanh was meant.
  const auto activation = config.text("hidden_act", "gelu") == "gelu"
                              ? fast::Activation::gelu_approx
                              : read_activation(config, "gelu");
  const MlpTraits mlp{.width = s.ffn, .activation = activation};
  Traits t = make_traits(config, s, norm, true, [&](int) {
    return LayerTraits{attention, mlp, Placement::pre, norm};
  });
  t.embed_scale = std::sqrt(float(s.hidden));
  t.rewrites = {{"norm.weight$", "norm.weight", Rewrite::plus_one}};
  return t;
}

Traits gemma2(const JsonObject& config) {
  Gemma model(config, 8192);
  model.attention.softcap = read_softcap(config, "attn_logit_softcapping", 50);
  model.attention.rope = read_rope(config, model.sizes.head_dim);
  const auto types =
      read_layer_types(config, model.sizes.layers, [](int i) { return every_nth_full(i, 2); });
  Traits t = model.traits(config, types, [](auto&, auto&) {});
  t.logit_softcap = read_softcap(config, "final_logit_softcapping", 30);
  return t;
}

Traits gemma3(const JsonObject& config) {
  Gemma model(config, 131072);
  model.attention.softcap = read_softcap(config, "attn_logit_softcapping", 0);
  model.attention.qk_norm = AttentionTraits::head;
  model.attention.qk_form = model.norm;
  const int every = config.natural("sliding_window_pattern", 6);
  const auto types =
      read_layer_types(config, model.sizes.layers, [&](int i) { return every_nth_full(i, every); });
  const Rope global =
      read_rope(config, model.sizes.head_dim, {.layer_type = "full_attention", .base = 1e6});
  const Rope local = read_rope(config, model.sizes.head_dim,
                               {.layer_type = "sliding_attention",
                                .base = 10000,
                                .base_key = "rope_local_base_freq",
                                .scaled = false});
  Traits t = model.traits(config, types, [&](const std::string& type, AttentionTraits& a) {
    a.rope = type == "sliding_attention" ? local : global;
  });
  t.logit_softcap = read_softcap(config, "final_logit_softcapping", 0);
  return t;
}

namespace {

// Where a layer differs from the top of the file: per_layer_config by index, or, in older files,
// global_head_dim and num_global_key_value_heads of the layers with full attention.
struct OwnSizes {
  int kv_heads, head_dim;
};
OwnSizes own_sizes(const JsonObject& config, const Sizes& s, int layer, bool full, bool k_is_v) {
  if (config.has("per_layer_config")) {
    const JsonObject own = config.object("per_layer_config").object(std::to_string(layer));
    return {own.positive("num_key_value_heads", s.kv_heads), own.positive("head_dim", s.head_dim)};
  }
  if (!full) return {s.kv_heads, s.head_dim};
  return {k_is_v ? config.positive("num_global_key_value_heads", s.kv_heads) : s.kv_heads,
          config.positive("global_head_dim", 512)};
}

/// Where enable_moe_block says so, beside each layer's MLP.
std::optional<MoeTraits> gemma4_experts(const JsonObject& config, fast::Activation activation) {
  if (!config.flag("enable_moe_block", false)) return {};
  const Router router{.experts = config.positive("num_experts"),
                      .chosen = config.positive("top_k_experts"),
                      .renormalise = true,
                      .each_scaled = true};
  MoeTraits moe = read_moe(config, router, nullptr);
  moe.activation = activation;
  return moe;
}
const std::vector<Rewrite> kGemma4Experts = {
    {".pre_feedforward_layernorm.", ".beside.mlp_before."},
    {".post_feedforward_layernorm_1.", ".beside.mlp_after."},
    {".pre_feedforward_layernorm_2.", ".beside.experts_before."},
    {".post_feedforward_layernorm_2.", ".beside.experts_after."},
    {".mlp.", ".beside.mlp."},
    {".router.scale$", ".beside.router_scale"},
    {".router.proj.", ".beside.moe.gate."},
    {".router.per_expert_scale$", ".beside.moe.per_expert_scale"},
    {".experts.down_proj$", ".beside.moe.experts.down_proj"},
    {.from = ".experts.gate_up_proj$",
     .to = ".beside.moe.experts.gate_proj,.beside.moe.experts.up_proj",
     .operation = Rewrite::split,
     .axis = 1},
};

}  // namespace

Traits gemma4(const JsonObject& config) {
  ensure(!config.has("use_bidirectional_attention") ||
             config.text("use_bidirectional_attention") == "vision",
         config.where(), ": use_bidirectional_attention: hearth sees what is before only");
  const Sizes s = read_sizes(config, {.kv_heads = 4, .head_dim = 256, .context = 131072});
  const NormForm norm = read_rms_norm(config);
  const int window = read_window(config, 512);
  const int own = s.layers - config.natural("num_kv_shared_layers", 0);  // keys and values
  ensure(own > 0, config.where(), ": num_kv_shared_layers leaves no layer with keys of its own");
  const bool k_is_v = config.flag("attention_k_eq_v", false);
  const bool wide = config.flag("use_double_wide_mlp", false);
  const auto activation = read_activation(config, "gelu_pytorch_tanh", "hidden_activation");
  const std::optional<MoeTraits> moe = gemma4_experts(config, activation);
  auto types = read_layer_types(config, s.layers, [](int i) { return every_nth_full(i, 6); });
  types.back() = "full_attention";
  std::map<std::string, int> source;  // the last layer of a kind that has keys of its own
  for (int i = 0; i < own; ++i) source[types[size_t(i)]] = i;
  Traits t = make_traits(config, s, norm, true, [&](int i) {
    const std::string& type = types[size_t(i)];
    const bool full = type == "full_attention", shares = i >= own;
    const auto [kv_heads, head_dim] = own_sizes(config, s, i, full, k_is_v);
    ensure(s.heads % kv_heads == 0 && int64_t(s.heads) * head_dim <= 1 << 24, config.where(),
           ": layer ", i, " has ", s.heads, " heads of ", head_dim, " and ", kv_heads,
           " of keys; wanted a multiple, and at most 2^24 together");
    ensure(!shares || source.contains(type), config.where(), ": layer ", i,
           " shares the keys of a ", type, " layer before it, and there is none");
    AttentionTraits a{.heads = s.heads, .kv_heads = kv_heads, .head_dim = head_dim};
    a.qkv_bias = a.out_bias = config.flag("attention_bias", false);
    a.scale = 1;
    a.qk_norm = AttentionTraits::head, a.qk_form = norm;
    a.value_norm = true;
    a.values_are_keys = k_is_v && full;
    a.rope =
        full ? read_rope(config, head_dim,
                         {.layer_type = type, .base = 1e6, .type = "proportional", .partial = 0.25})
             : read_rope(config, head_dim, {.layer_type = type});
    if (!full) a.window = window;
    if (shares) a.source = source[type];
    const MlpTraits mlp{.width = s.ffn * (wide && shares ? 2 : 1), .activation = activation};
    LayerTraits layer{a, mlp, Placement::sandwich, norm, true};
    if (moe) {
      layer.beside = {mlp, *moe, norm};
      layer.mlp.reset();
    }
    return layer;
  });
  t.embed_scale = std::sqrt(float(s.hidden));
  t.logit_softcap = read_softcap(config, "final_logit_softcapping", 0);
  const int dims = config.natural("hidden_size_per_layer_input", 256);
  ensure(int64_t(dims) * s.layers <= 1 << 24, config.where(), ": hidden_size_per_layer_input is ",
         dims, " for ", s.layers, " layers, wanted less");
  if (dims > 0)
    t.per_layer = {config.positive("vocab_size_per_layer_input", s.vocab), dims, activation, norm};
  t.rewrites = {
      {".post_attention_layernorm.", ".mixer_norm."},
      {".pre_feedforward_layernorm.", ".post_attention_layernorm."},
      {".post_feedforward_layernorm.", ".feed_forward_norm."},
      {".post_per_layer_input_norm.", ".per_layer.norm."},
      {".per_layer_input_gate.", ".per_layer.gate."},
      {".per_layer_projection.", ".per_layer.projection."},
      {"model.embed_tokens_per_layer.", "model.per_layer.embedding."},
      {"model.per_layer_model_projection.", "model.per_layer.projection."},
      {"model.per_layer_projection_norm.", "model.per_layer.norm."},
  };
  if (moe) t.rewrites.insert(t.rewrites.begin(), kGemma4Experts.begin(), kGemma4Experts.end());
  // Layers that share have such tensors in some checkpoints.
  for (int i = own; i < s.layers; ++i)
    for (const char* part : {"k_proj", "v_proj", "k_norm", "v_norm"})
      t.rewrites.push_back(
          {concat("model.layers.", i, ".self_attn.", part, "."), "", Rewrite::skip});
  return t;
}

}  // namespace hearth::llm
