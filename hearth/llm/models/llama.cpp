// Llama 1 to 3.3 and what is built like it: RMSNorm before attention with grouped queries and
// before a gated MLP. Mistral and Ministral 3 (a window, queries that grow with the position), Qwen
// 2 and 3 (biases; norms of queries and keys), SmolLM3 (layers without rotation), Granite
// (multipliers), Seed-OSS, ERNIE 4.5 (rotation of neighbours), Hunyuan (norms after the rotation),
// Apertus (xIELU).
#include <nlohmann/json.hpp>

#include "hearth/llm/models/family.h"

namespace hearth::llm {

namespace {

struct Llama {
  Sizes sizes;
  NormForm norm;
  AttentionTraits attention;
  MlpTraits mlp;

  explicit Llama(const JsonObject& config, const SizeDefaults& defaults = {}, double base = 10000,
                 double eps = 1e-6)
      : sizes(read_sizes(config, defaults)),
        norm(read_rms_norm(config, eps)),
        attention(attention_of(sizes)),
        mlp{.width = sizes.ffn, .activation = read_activation(config, "silu")} {
    attention.rope = read_rope(config, sizes.head_dim, {.base = base});
    attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
    mlp.up_bias = mlp.down_bias = config.flag("mlp_bias", false);
  }
  LayerTraits layer() const { return {attention, mlp, Placement::pre, norm}; }
  Traits traits(const JsonObject& config, bool tied,
                const std::function<void(int, AttentionTraits&)>& change = {}) const {
    return make_traits(config, sizes, norm, tied, [&](int i) {
      LayerTraits l = layer();
      if (change) change(i, std::get<AttentionTraits>(l.mixer));
      return l;
    });
  }
};

// Qwen's layers from max_window_layers on have a window, where they have one at all.
Traits with_windows(const JsonObject& config, const Llama& model) {
  const int window = config.flag("use_sliding_window", false) ? read_window(config, 4096) : 0;
  const int first = config.natural("max_window_layers", 28);
  const auto types = read_layer_types(config, model.sizes.layers, [&](int i) {
    return window > 0 && i >= first ? "sliding_attention" : "full_attention";
  });
  return model.traits(config, false, [&](int i, AttentionTraits& a) {
    if (types[size_t(i)] == "sliding_attention") a.window = window;
  });
}

}  // namespace

Traits llama(const JsonObject& config) {
  return Llama(config, {.context = 2048}).traits(config, false);
}

Traits mistral(const JsonObject& config) {
  Llama model(config, {.kv_heads = 8, .context = 131072});
  model.attention.window = read_window(config, 4096);
  return model.traits(config, false);
}

Traits ministral3(const JsonObject& config) {
  Llama model(config, {.kv_heads = 8, .head_dim = 128, .context = 262144}, 10000, 1e-5);
  model.attention.window = read_window(config, 0);
  const JsonObject rope = config.object("rope_parameters");
  if (rope.has("llama_4_scaling_beta"))
    model.attention.temperature = {
        float(rope.number("llama_4_scaling_beta")),
        rope.positive("original_max_position_embeddings", model.sizes.context)};
  return model.traits(config, false);
}

Traits qwen2(const JsonObject& config) {
  Llama model(config, {.context = 32768});
  model.attention.qkv_bias = true, model.attention.out_bias = false;
  return with_windows(config, model);
}

Traits qwen3(const JsonObject& config) {
  Llama model(config, {.head_dim = 128, .context = 32768});
  model.attention.qk_norm = AttentionTraits::head;
  model.attention.qk_form = model.norm;
  return with_windows(config, model);
}

Traits smollm3(const JsonObject& config) {
  const Llama model(config, {.kv_heads = 4, .context = 32768}, 2e6);
  const int every = config.positive("no_rope_layer_interval", 4), layers = model.sizes.layers;
  std::vector<bool> rotated;
  for (int i = 0; i < layers; ++i) rotated.push_back((i + 1) % every != 0);
  if (config.has("no_rope_layers")) {
    const std::vector<int> list = config.naturals("no_rope_layers");  // 1: with rotation
    ensure(int(list.size()) == layers, config.where(), ": no_rope_layers: wanted ", layers,
           " numbers, one a layer, got ", list.size());
    rotated.assign(list.begin(), list.end());
  }
  const int window = config.flag("use_sliding_window", false) ? read_window(config, 0) : 0;
  const auto types = read_layer_types(config, layers, [&](int i) {
    return window > 0 && !rotated[size_t(i)] ? "sliding_attention" : "full_attention";
  });
  return model.traits(config, true, [&](int i, AttentionTraits& a) {
    if (!rotated[size_t(i)]) a.rope = {};
    if (types[size_t(i)] == "sliding_attention") a.window = window;
  });
}

Traits seed_oss(const JsonObject& config) {
  Llama model(config, {.kv_heads = 8, .head_dim = 128, .context = 524288});
  model.attention.qkv_bias = config.flag("attention_bias", true);
  model.attention.out_bias = config.flag("attention_out_bias", false);
  return model.traits(config, false);
}

Traits ernie4_5(const JsonObject& config) {
  Llama model(config, {.kv_heads = 2, .head_dim = 128, .context = 131072}, 500000, 1e-5);
  model.attention.rope.rotation.traditional = true;
  const bool bias = config.flag("use_bias", false);
  model.attention.qkv_bias = model.attention.out_bias = bias;
  model.mlp.up_bias = model.mlp.down_bias = bias;
  return model.traits(config, true);
}

Traits hunyuan_v1_dense(const JsonObject& config) {
  Llama model(config, {.context = 2048}, 10000, 1e-5);
  model.attention.rope = read_alpha_rope(config, model.sizes.head_dim);
  model.attention.qk_norm = AttentionTraits::head;
  model.attention.qk_form = model.norm;
  model.attention.norm_after_rope = true;
  Traits t = model.traits(config, false);
  t.rewrites = {{".self_attn.query_layernorm.", ".self_attn.q_norm."},
                {".self_attn.key_layernorm.", ".self_attn.k_norm."}};
  return t;
}

Traits apertus(const JsonObject& config) {
  nlohmann::json silent = config.raw();  // the activation has parameters, and is none of the list
  const std::string activation = config.text("hidden_act", "xielu");
  ensure(activation == "xielu", config.where(), ": hidden_act ", in_quotes(activation),
         " is not known here; known: xielu");
  silent.erase("hidden_act");
  Llama model(JsonObject::parse(silent.dump(), config.where()), {.context = 65536}, 12e6, 1e-5);
  model.attention.qk_norm = AttentionTraits::head;
  model.attention.qk_form = model.norm;
  model.mlp.activation = fast::Activation::none;
  model.mlp.gated = false;
  model.mlp.xielu = true;
  Traits t = model.traits(config, false);
  t.rewrites = {{".attention_layernorm.", ".input_layernorm."},
                {".feedforward_layernorm.", ".post_attention_layernorm."}};
  return t;
}

Traits granite(const JsonObject& config) {
  Llama model(config, {.context = 2048});
  model.attention.scale = float(config.positive_number("attention_multiplier", 1));
  Traits t = model.traits(config, false);
  t.embed_scale = float(config.number("embedding_multiplier", 1));
  t.residual_scale = float(config.number("residual_multiplier", 1));
  t.logit_scale = float(1 / config.positive_number("logits_scaling", 1));
  return t;
}

}  // namespace hearth::llm
