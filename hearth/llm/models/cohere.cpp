// Command R and Command A: attention and MLP in parallel behind one LayerNorm without bias,
// rotation of neighbours, logits scaled; Cohere 2 has windows on three of four layers and no
// rotation on the others. GLM-4: rotation of neighbours, norms before and after.
#include "hearth/llm/models/family.h"

namespace hearth::llm {

namespace {

Traits parallel(const JsonObject& config, const Sizes& s, const AttentionTraits& attention,
                const std::function<void(int, AttentionTraits&)>& change) {
  const NormForm norm = read_layer_norm(config, false);
  const MlpTraits mlp{.width = s.ffn, .activation = read_activation(config, "silu")};
  Traits t = make_traits(config, s, norm, true, [&](int i) {
    AttentionTraits a = attention;
    a.qkv_bias = a.out_bias = config.flag("attention_bias", false);
    change(i, a);
    return LayerTraits{a, mlp, Placement::parallel, norm};
  });
  t.logit_scale = float(config.number("logit_scale", 0.0625));
  return t;
}

}  // namespace

Traits cohere(const JsonObject& config) {
  const Sizes s = read_sizes(config, {.context = 8192});
  AttentionTraits attention = attention_of(s);
  attention.rope = read_rope(config, s.head_dim, {.base = 500000});
  attention.rope.rotation.traditional = true;
  if (config.flag("use_qk_norm", false)) attention.qk_norm = AttentionTraits::each_head;
  attention.qk_form = read_layer_norm(config, false);
  return parallel(config, s, attention, [](int, AttentionTraits&) {});
}

Traits cohere2(const JsonObject& config) {
  const Sizes s = read_sizes(config, {.context = 8192, .own_head_dim = false});
  const int window = read_window(config, 4096);
  const int every = config.natural("sliding_window_pattern", 4);
  const auto types =
      read_layer_types(config, s.layers, [&](int i) { return every_nth_full(i, every); });
  Rope rope = read_rope(config, s.head_dim);
  rope.rotation.traditional = true;
  return parallel(config, s, attention_of(s), [&](int i, AttentionTraits& a) {
    if (types[size_t(i)] != "sliding_attention" || window == 0) return;
    a.rope = rope;
    a.window = window;
  });
}

Traits glm4(const JsonObject& config) {
  const Sizes s = read_sizes(config, {.kv_heads = 2, .head_dim = 128, .context = 131072});
  const NormForm norm = read_rms_norm(config, 1.5625e-7);
  AttentionTraits attention = attention_of(s);
  attention.qkv_bias = config.flag("attention_bias", true);
  attention.rope = read_rope(config, s.head_dim, {.partial = 0.5});
  attention.rope.rotation.traditional = true;
  const MlpTraits mlp{.width = s.ffn, .activation = read_activation(config, "silu")};
  Traits t = make_traits(config, s, norm, false, [&](int) {
    return LayerTraits{attention, mlp, Placement::sandwich, norm};
  });
  t.rewrites = {
      {".post_self_attn_layernorm.", ".mixer_norm."},
      {".post_mlp_layernorm.", ".feed_forward_norm."},
      {"gate_up_proj.weight", "gate_proj.weight,up_proj.weight", Rewrite::split},
  };
  return t;
}

}  // namespace hearth::llm
