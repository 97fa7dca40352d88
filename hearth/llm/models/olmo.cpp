// OLMo 2 and 3 and EXAONE 4: norms only after attention and after the MLP, and of queries and keys
// (over all heads at once, or each).
#include "hearth/llm/models/family.h"

namespace hearth::llm {

namespace {

Traits post_norm(const JsonObject& config, const Sizes& s, AttentionTraits attention,
                 AttentionTraits::QkNorm qk,
                 const std::function<void(int, AttentionTraits&)>& change) {
  const NormForm norm = read_rms_norm(config, 1e-5);
  attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
  attention.qk_norm = qk;
  attention.qk_form = norm;
  const MlpTraits mlp{.width = s.ffn, .activation = read_activation(config, "silu")};
  Traits t = make_traits(config, s, norm, false, [&](int i) {
    AttentionTraits a = attention;
    change(i, a);
    return LayerTraits{a, mlp, Placement::post, norm};
  });
  t.rewrites = {
      {".post_attention_layernorm.", ".mixer_norm."},
      {".post_feedforward_layernorm.", ".feed_forward_norm."},
  };
  return t;
}

}  // namespace

Traits olmo2(const JsonObject& config) {
  const Sizes s = read_sizes(config, {.context = 2048});
  AttentionTraits attention = attention_of(s);
  attention.rope = read_rope(config, s.head_dim);
  return post_norm(config, s, attention, AttentionTraits::width, [](int, AttentionTraits&) {});
}

Traits olmo3(const JsonObject& config) {
  const Sizes s = read_sizes(config, {.context = 2048});
  const int window = read_window(config, 4096);
  const auto types = read_layer_types(config, s.layers, [](int i) { return every_nth_full(i, 4); });
  const double base = 500000;
  const Rope global = read_rope(config, s.head_dim, {.layer_type = "full_attention", .base = base});
  const Rope local = read_rope(config, s.head_dim,
                               {.layer_type = "sliding_attention", .base = base, .scaled = false});
  return post_norm(config, s, attention_of(s), AttentionTraits::width,
                   [&](int i, AttentionTraits& a) {
                     const bool sliding = types[size_t(i)] == "sliding_attention";
                     a.rope = sliding ? local : global;
                     if (sliding) a.window = window;
                   });
}

Traits exaone4(const JsonObject& config) {
  const Sizes s = read_sizes(config, {.context = 2048});
  const int window = read_window(config, 4096);
  const int every = window == 0 ? 0 : read_pattern(config, 4);
  const auto types =
      read_layer_types(config, s.layers, [&](int i) { return every_nth_full(i, every); });
  const Rope rope = read_rope(config, s.head_dim);
  return post_norm(config, s, attention_of(s), AttentionTraits::head,
                   [&](int i, AttentionTraits& a) {
                     const bool sliding = types[size_t(i)] == "sliding_attention";
                     if (window == 0 || sliding) a.rope = rope;
                     if (sliding) a.window = window;
                   });
}

}  // namespace hearth::llm
