// GPT-2 (learned positions, weights stored transposed), GPT-NeoX and Pythia (q, k and v fused by
// heads), StarCoder 2, StableLM: LayerNorms with biases.
#include <cmath>

#include "hearth/llm/models/family.h"

namespace hearth::llm {

Traits gpt2(const JsonObject& config) {
  refuse_flag(config, "add_cross_attention", false);
  const int hidden = config.positive("n_embd");
  ensure(hidden <= 1 << 24, config.where(), ": n_embd is ", hidden, ", wanted at most 2^24");
  const Sizes s = read_sizes(config, {.context = 1024,
                                      .ffn = 4 * hidden,
                                      .grouped = false,
                                      .own_head_dim = false,
                                      .hidden = "n_embd",
                                      .layers = "n_layer",
                                      .heads = "n_head",
                                      .width = "n_inner",
                                      .positions = "n_positions"});
  const NormForm norm = read_layer_norm(config, true, "layer_norm_epsilon");
  AttentionTraits attention = attention_of(s);
  attention.qkv_bias = attention.out_bias = true;
  attention.scale =
      config.flag("scale_attn_weights", true) ? 1 / std::sqrt(float(s.head_dim)) : 1.0f;
  const bool by_layer = config.flag("scale_attn_by_inverse_layer_idx", false);
  const MlpTraits mlp{.width = s.ffn,
                      .activation = read_activation(config, "gelu_new", "activation_function"),
                      .gated = false,
                      .up_bias = true,
                      .down_bias = true};
  Traits t = make_traits(config, s, norm, true, [&](int i) {
    AttentionTraits a = attention;
    if (by_layer) a.scale /= float(i + 1);
    return LayerTraits{a, mlp, Placement::pre, norm};
  });
  t.learned_positions = s.context;
  t.rewrites = {
      {"^transformer.", ""},
      {".attn.bias$", "", Rewrite::skip},  // the causal mask
      {".attn.masked_bias$", "", Rewrite::skip},
      {"^wte.", "model.embed_tokens."},
      {"^wpe.", "model.embed_positions."},
      {"^ln_f.", "model.norm."},
      {"^h.", "model.layers."},
      {".ln_1.", ".input_layernorm."},
      {".ln_2.", ".post_attention_layernorm."},
      {".attn.c_attn.weight$", ".attn.c_attn.weight", Rewrite::transpose},
      {".attn.c_proj.weight$", ".attn.c_proj.weight", Rewrite::transpose},
      {".mlp.c_fc.weight$", ".mlp.c_fc.weight", Rewrite::transpose},
      {".mlp.c_proj.weight$", ".mlp.c_proj.weight", Rewrite::transpose},
      {".attn.c_attn.weight$",
       ".self_attn.q_proj.weight,.self_attn.k_proj.weight,.self_attn.v_proj.weight",
       Rewrite::split},
      {".attn.c_attn.bias$", ".self_attn.q_proj.bias,.self_attn.k_proj.bias,.self_attn.v_proj.bias",
       Rewrite::split},
      {".attn.c_proj.", ".self_attn.o_proj."},
      {".mlp.c_fc.", ".mlp.up_proj."},
      {".mlp.c_proj.", ".mlp.down_proj."},
  };
  return t;
}

Traits gpt_neox(const JsonObject& config) {
  const Sizes s = read_sizes(config, {.context = 2048, .grouped = false, .own_head_dim = false});
  const NormForm norm = read_layer_norm(config, true);
  AttentionTraits attention = attention_of(s);
  attention.qkv_bias = attention.out_bias = config.flag("attention_bias", true);
  attention.rope = read_rope(config, s.head_dim,
                             {.base = config.positive_number("rotary_emb_base", 10000),
                              .partial = config.positive_number("rotary_pct", 0.25)});
  const MlpTraits mlp{.width = s.ffn,
                      .activation = read_activation(config, "gelu"),
                      .gated = false,
                      .up_bias = true,
                      .down_bias = true};
  const bool parallel = config.flag("use_parallel_residual", true);
  Traits t = make_traits(config, s, norm, false, [&](int) {
    return LayerTraits{attention, mlp, parallel ? Placement::parallel_two : Placement::pre, norm};
  });
  t.rewrites = {
      {"^gpt_neox.", "model."},
      {"model.embed_in.", "model.embed_tokens."},
      {"model.final_layer_norm.", "model.norm."},
      {"^embed_out.", "lm_head."},
      {".attention.bias$", "", Rewrite::skip},  // the causal mask
      {".attention.masked_bias$", "", Rewrite::skip},
      {".attention.query_key_value.weight",
       ".self_attn.q_proj.weight,.self_attn.k_proj.weight,.self_attn.v_proj.weight",
       Rewrite::split,
       {},
       s.heads},
      {".attention.query_key_value.bias",
       ".self_attn.q_proj.bias,.self_attn.k_proj.bias,.self_attn.v_proj.bias",
       Rewrite::split,
       {},
       s.heads},
      {".attention.dense.", ".self_attn.o_proj."},
      {".mlp.dense_h_to_4h.", ".mlp.up_proj."},
      {".mlp.dense_4h_to_h.", ".mlp.down_proj."},
  };
  return t;
}

Traits starcoder2(const JsonObject& config) {
  const Sizes s = read_sizes(config, {.kv_heads = 2, .context = 4096});
  const NormForm norm = read_layer_norm(config, true, "norm_epsilon");
  const bool bias = config.flag("use_bias", true);
  AttentionTraits attention = attention_of(s);
  attention.qkv_bias = attention.out_bias = bias;
  attention.rope = read_rope(config, s.head_dim);
  attention.window = read_window(config, 0);
  const MlpTraits mlp{.width = s.ffn,
                      .activation = read_activation(config, "gelu_pytorch_tanh"),
                      .gated = false,
                      .up_bias = bias,
                      .down_bias = bias};
  Traits t = make_traits(config, s, norm, true, [&](int) {
    return LayerTraits{attention, mlp, Placement::pre, norm};
  });
  t.rewrites = {{".mlp.c_fc.", ".mlp.up_proj."}, {".mlp.c_proj.", ".mlp.down_proj."}};
  return t;
}

Traits stablelm(const JsonObject& config) {
  const Sizes s = read_sizes(config, {.context = 4096, .own_head_dim = false});
  const NormForm norm = read_layer_norm(config, true);
  AttentionTraits attention = attention_of(s);
  attention.qkv_bias = config.flag("use_qkv_bias", false);
  attention.rope = read_rope(config, s.head_dim, {.partial = 0.25});
  if (config.flag("qk_layernorm", false)) attention.qk_norm = AttentionTraits::each_head;
  attention.qk_form = read_layer_norm(config, false);
  const MlpTraits mlp{.width = s.ffn, .activation = read_activation(config, "silu")};
  const bool parallel = config.flag("use_parallel_residual", false);
  Traits t = make_traits(config, s, norm, false, [&](int) {
    return LayerTraits{attention, mlp, parallel ? Placement::parallel : Placement::pre, norm};
  });
  t.rewrites = {
      {".q_layernorm.norms.*.weight", ".q_norm.weight", Rewrite::stack},
      {".k_layernorm.norms.*.weight", ".k_norm.weight", Rewrite::stack},
  };
  return t;
}

}  // namespace hearth::llm
