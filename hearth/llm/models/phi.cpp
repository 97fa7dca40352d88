// Phi-1, Phi-1.5 and Phi-2: attention and MLP in parallel behind one LayerNorm, partial rotary
// embedding. Phi-3, 3.5, 4 and 4-mini: llama with fused projections and LongRoPE.
#include "hearth/llm/models/family.h"

namespace hearth::llm {

Traits phi(const JsonObject& config) {
  const Sizes s = read_sizes(config, {.context = 2048});
  const NormForm norm = read_layer_norm(config, true);
  AttentionTraits attention = attention_of(s);
  attention.qkv_bias = attention.out_bias = true;
  attention.rope = read_rope(config, s.head_dim);
  if (config.flag("qk_layernorm", false)) attention.qk_norm = AttentionTraits::head;
  attention.qk_form = norm;
  const MlpTraits mlp{.width = s.ffn,
                      .activation = read_activation(config, "gelu_new"),
                      .gated = false,
                      .up_bias = true,
                      .down_bias = true};
  Traits t = make_traits(config, s, norm, false, [&](int) {
    return LayerTraits{attention, mlp, Placement::parallel, norm};
  });
  t.head_bias = true;
  t.rewrites = {
      {"model.final_layernorm.", "model.norm."},
      {".self_attn.dense.", ".self_attn.o_proj."},
      {".q_layernorm.", ".q_norm."},
      {".k_layernorm.", ".k_norm."},
      {".mlp.fc1.", ".mlp.up_proj."},
      {".mlp.fc2.", ".mlp.down_proj."},
  };
  return t;
}

Traits phi3(const JsonObject& config) {
  const Sizes s = read_sizes(config, {.context = 4096});
  const NormForm norm = read_rms_norm(config, 1e-5);
  AttentionTraits attention = attention_of(s);
  attention.rope = read_rope(config, s.head_dim);
  attention.window = read_window(config, 0);
  const MlpTraits mlp{.width = s.ffn, .activation = read_activation(config, "silu")};
  Traits t = make_traits(config, s, norm, false, [&](int) {
    return LayerTraits{attention, mlp, Placement::pre, norm};
  });
  const int queries = s.heads * s.head_dim, keys = s.kv_heads * s.head_dim;
  t.rewrites = {
      {"qkv_proj.weight",
       "q_proj.weight,k_proj.weight,v_proj.weight",
       Rewrite::split,
       {queries, keys, keys}},
      {"gate_up_proj.weight", "gate_proj.weight,up_proj.weight", Rewrite::split},
  };
  return t;
}

}  // namespace hearth::llm
