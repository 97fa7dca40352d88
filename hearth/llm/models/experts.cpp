// Families with experts and plain attention: Mixtral, Qwen 3 MoE, GPT-OSS (sinks, experts with
// biases), GLM-4.5 and EXAONE MoE (sigmoid router, shared experts), ERNIE 4.5, Hunyuan.
#include "hearth/llm/models/experts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace hearth::llm {

std::vector<Rewrite> expert_rewrites() {
  return {
      {".mlp.gate.e_score_correction_bias$", ".moe.e_score_correction_bias"},
      {".mlp.gate.", ".moe.gate."},
      {".mlp.experts.*.gate_proj.weight", ".moe.experts.gate_proj", Rewrite::stack},
      {".mlp.experts.*.up_proj.weight", ".moe.experts.up_proj", Rewrite::stack},
      {".mlp.experts.*.down_proj.weight", ".moe.experts.down_proj", Rewrite::stack},
      {.from = ".mlp.experts.gate_up_proj$",
       .to = ".mlp.experts.gate_proj,.mlp.experts.up_proj",
       .operation = Rewrite::split,
       .axis = 1},
      {".mlp.experts.", ".moe.experts."},
      {".mlp.shared_expert_gate.", ".moe.shared_expert_gate."},
      {".mlp.shared_expert.", ".moe.shared_experts."},
      {".mlp.shared_experts.", ".moe.shared_experts."},
  };
}

std::vector<bool> sparse_layers(const JsonObject& config, int layers, int first_dense) {
  std::vector<bool> sparse;
  const int dense = config.natural("first_k_dense_replace", first_dense);
  for (int i = 0; i < layers; ++i) sparse.push_back(i >= dense);
  if (!config.has("mlp_layer_types")) return sparse;
  const nlohmann::json& list = config.raw().at("mlp_layer_types");
  ensure(list.is_array() && int(list.size()) == layers, config.where(),
         ": mlp_layer_types: wanted a list of ", layers, " texts, one a layer");
  for (int i = 0; i < layers; ++i) {
    ensure(list[size_t(i)] == "sparse" || list[size_t(i)] == "dense", config.where(),
           ": mlp_layer_types: wanted \"sparse\" or \"dense\", got ", list[size_t(i)].dump());
    sparse[size_t(i)] = list[size_t(i)] == "sparse";
  }
  return sparse;
}

std::vector<bool> qwen_sparse_layers(const JsonObject& config, int layers) {
  const int step = config.positive("decoder_sparse_step", 1);
  std::vector<bool> sparse;
  for (int i = 0; i < layers; ++i) sparse.push_back((i + 1) % step == 0);
  for (const int i : config.naturals("mlp_only_layers"))
    if (i < layers) sparse[size_t(i)] = false;
  return sparse;
}

Router checked(const JsonObject& config, const Router& r) {
  ensure(r.experts <= 1 << 16 && r.chosen <= r.experts, config.where(), ": ", r.chosen,
         " experts of ", r.experts, " cannot be chosen");
  ensure(r.experts % r.groups == 0 && r.groups_chosen <= r.groups &&
             r.chosen <= r.experts / r.groups * r.groups_chosen,
         config.where(), ": ", r.groups_chosen, " of ", r.groups, " groups of ", r.experts,
         " experts do not hold the ", r.chosen, " that are chosen");
  return r;
}

Router read_sigmoid_router(const JsonObject& config, const char* experts) {
  return checked(config, {.experts = config.positive(experts),
                          .chosen = config.positive("num_experts_per_tok"),
                          .score = Router::sigmoid,
                          .exact = true,
                          .correction = true,
                          .groups = config.positive("n_group", 1),
                          .groups_chosen = config.positive("topk_group", 1),
                          .best_two = true,
                          .renormalise = config.flag("norm_topk_prob", true),
                          .floor = 1e-20f,
                          .scale = float(config.number("routed_scaling_factor", 1))});
}

MoeTraits read_moe(const JsonObject& config, const Router& router, const char* shared) {
  MoeTraits moe{.router = checked(config, router),
                .width = config.positive("moe_intermediate_size"),
                .activation = read_activation(config, "silu")};
  const int64_t width = int64_t(moe.width) * (shared ? config.natural(shared, 0) : 0);
  ensure(moe.width <= 1 << 24 && width <= 1 << 24, config.where(), ": moe_intermediate_size is ",
         moe.width, ", too large");
  if (width > 0) moe.shared = {.width = int(width), .activation = moe.activation};
  return moe;
}

void skip_draft_layers(Traits& traits) {
  const size_t layers = traits.layers.size();
  for (size_t i = layers; i < layers + 4; ++i)
    traits.rewrites.push_back({concat("^model.layers.", i, "."), "", Rewrite::skip});
}

namespace {

struct Sparse {
  Sizes sizes;
  NormForm norm;
  AttentionTraits attention;
  MlpTraits mlp;

  Sparse(const JsonObject& config, const SizeDefaults& defaults, const RopeKeys& rope, double eps)
      : sizes(read_sizes(config, defaults)),
        norm(read_rms_norm(config, eps)),
        attention(attention_of(sizes)),
        mlp{.width = sizes.ffn, .activation = read_activation(config, "silu")} {
    attention.rope = read_rope(config, sizes.head_dim, rope);
    attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
    attention.qk_form = norm;
  }
  /// `moe` on the layers that are `sparse`; `change` for what differs between layers.
  Traits traits(const JsonObject& config, const MoeTraits& moe, const std::vector<bool>& sparse,
                const std::function<void(int, AttentionTraits&)>& change = {}) const {
    Traits t = make_traits(config, sizes, norm, false, [&](int i) {
      AttentionTraits a = attention;
      if (change) change(i, a);
      LayerTraits layer{.mixer = a, .norm = norm};
      feed(layer, sparse[size_t(i)], moe, mlp);
      return layer;
    });
    t.rewrites = expert_rewrites();
    return t;
  }
  std::vector<bool> everywhere() const { return std::vector<bool>(size_t(sizes.layers), true); }
};

}  // namespace

Traits mixtral(const JsonObject& config) {
  Sparse model(config, {.kv_heads = 8, .context = 131072}, {.base = 1e6}, 1e-5);
  model.attention.window = read_window(config, 0);
  const Router router{.experts = config.positive("num_local_experts", 8),
                      .chosen = config.positive("num_experts_per_tok", 2),
                      .renormalise = true};
  const MoeTraits moe{.router = checked(config, router),
                      .width = model.sizes.ffn,
                      .activation = model.mlp.activation};
  Traits t = model.traits(config, moe, model.everywhere());
  const std::vector<Rewrite> names = {{".block_sparse_moe.", ".mlp."},
                                      {".mlp.experts.*.w1.", ".mlp.experts.*.gate_proj."},
                                      {".mlp.experts.*.w3.", ".mlp.experts.*.up_proj."},
                                      {".mlp.experts.*.w2.", ".mlp.experts.*.down_proj."}};
  t.rewrites.insert(t.rewrites.begin(), names.begin(), names.end());
  return t;
}

Traits qwen3_moe(const JsonObject& config) {
  Sparse model(config, {.kv_heads = 4, .context = 32768}, {}, 1e-6);
  model.attention.qk_norm = AttentionTraits::head;
  // transformers 5 writes num_local_experts.
  const char* experts = config.has("num_experts") ? "num_experts" : "num_local_experts";
  const Router router{.experts = config.positive(experts, 128),
                      .chosen = config.positive("num_experts_per_tok", 8),
                      .renormalise = config.flag("norm_topk_prob", false)};
  if (config.flag("use_sliding_window", false)) model.attention.window = read_window(config, 4096);
  return model.traits(config, read_moe(config, router, nullptr),
                      qwen_sparse_layers(config, model.sizes.layers));
}

Traits gpt_oss(const JsonObject& config) {
  Sparse model(config, {.kv_heads = 8, .head_dim = 64, .context = 131072}, {.base = 150000}, 1e-5);
  model.attention.qkv_bias = model.attention.out_bias = config.flag("attention_bias", true);
  model.attention.sinks = true;
  const int window = read_window(config, 128);
  const auto types = read_layer_types(config, model.sizes.layers, [](int i) {
    return i % 2 == 0 ? "sliding_attention" : "full_attention";
  });
  const Router router{.experts = config.positive("num_local_experts", 128),
                      .chosen = config.positive("num_experts_per_tok", 4),
                      .score = Router::softmax_of_chosen,
                      .bias = true};
  const MoeTraits moe{.router = checked(config, router),
                      .width = model.sizes.ffn,
                      .bias = true,
                      .clamped = {{float(config.positive_number("swiglu_alpha", 1.702)),
                                   float(config.positive_number("swiglu_limit", 7))}}};
  Traits t = model.traits(config, moe, model.everywhere(), [&](int i, AttentionTraits& a) {
    if (types[size_t(i)] == "sliding_attention") a.window = window;
  });
  const std::string both = ".mlp.experts.gate_proj,.mlp.experts.up_proj";
  const std::string biases = ".mlp.experts.gate_proj_bias,.mlp.experts.up_proj_bias";
  const int width = model.sizes.ffn;  // gate and up take turns
  const std::vector<Rewrite> names = {
      {".mlp.router.", ".mlp.gate."},
      {".mlp.experts.gate_up_proj$", ".mlp.experts.gate_up_proj", Rewrite::transpose},
      {".mlp.experts.down_proj$", ".mlp.experts.down_proj", Rewrite::transpose},
      {".mlp.experts.gate_up_proj$", both, Rewrite::split, {}, width, 1},
      {".mlp.experts.gate_up_proj_bias$", biases, Rewrite::split, {}, width, 1}};
  t.rewrites.insert(t.rewrites.begin(), names.begin(), names.end());
  return t;
}

Traits glm4_moe(const JsonObject& config) {
  Sparse model(config, {.kv_heads = 8, .context = 131072}, {.partial = 0.5}, 1e-5);
  model.attention.out_bias = false;
  if (config.flag("use_qk_norm", false)) model.attention.qk_norm = AttentionTraits::head;
  const MoeTraits moe = read_moe(config, read_sigmoid_router(config), "n_shared_experts");
  Traits t = model.traits(config, moe, sparse_layers(config, model.sizes.layers, 1));
  skip_draft_layers(t);
  return t;
}

Traits exaone_moe(const JsonObject& config) {
  Sparse model(config, {.context = 2048}, {}, 1e-5);
  model.attention.qkv_bias = model.attention.out_bias = false;
  model.attention.qk_norm = AttentionTraits::head;
  const int window = read_window(config, 4096);
  const auto types = read_layer_types(config, model.sizes.layers, [&](int i) {
    return every_nth_full(i, read_pattern(config, window > 0 ? 4 : 0));
  });
  const MoeTraits moe =
      read_moe(config, read_sigmoid_router(config, "num_experts"), "num_shared_experts");
  Traits t = model.traits(config, moe, sparse_layers(config, model.sizes.layers, 1),
                          [&](int i, AttentionTraits& a) {
                            const bool sliding = types[size_t(i)] == "sliding_attention";
                            if (window > 0 && !sliding) a.rope = {};
                            if (sliding) a.window = window;
                          });
  t.rewrites.insert(t.rewrites.begin(),
                    {".mlp.e_score_correction_bias$", ".moe.e_score_correction_bias"});
  skip_draft_layers(t);
  return t;
}

Traits ernie4_5_moe(const JsonObject& config) {
  Sparse model(config, {.kv_heads = 4, .context = 131072}, {.base = 500000}, 1e-5);
  model.attention.rope.rotation.traditional = true;
  const bool bias = config.flag("use_bias", false);
  model.attention.qkv_bias = model.attention.out_bias = bias;
  model.mlp.up_bias = model.mlp.down_bias = bias;
  ensure(!bias, config.where(), ": use_bias: hearth has no biases of single experts' products");
  const Router router{.experts = config.positive("moe_num_experts", 64),
                      .chosen = config.positive("moe_k", 6),
                      .exact = true,
                      .correction = true,
                      .renormalise = true};
  const MoeTraits moe = read_moe(config, router, "moe_num_shared_experts");
  const int layers = model.sizes.layers, every = config.positive("moe_layer_interval", 1);
  const int first = config.natural("moe_layer_start_index", 1);
  const double end = config.number("moe_layer_end_index", -1);
  std::vector<bool> sparse;
  for (int i = 0; i < layers; ++i)
    sparse.push_back((i + 1) % every == 0 && i >= first && (end < 0 || i <= end));
  Traits t = model.traits(config, moe, sparse);
  t.tied = config.flag("tie_word_embeddings", true);
  const std::vector<Rewrite> names = {{".mlp.moe_statics.e_score_correction_bias$",
                                       ".moe.e_score_correction_bias", Rewrite::flatten}};
  t.rewrites.insert(t.rewrites.begin(), names.begin(), names.end());
  skip_draft_layers(t);
  return t;
}

Traits hunyuan_v1_moe(const JsonObject& config) {
  Sparse model(config, {.context = 2048}, {}, 1e-5);
  model.attention.rope = read_alpha_rope(config, model.sizes.head_dim);
  model.attention.qk_norm = AttentionTraits::head;
  model.attention.norm_after_rope = true;
  const auto same = [&](const char* key, int fallback) {
    const std::vector<int> all = config.has(key) ? config.naturals(key) : std::vector{fallback};
    ensure(!all.empty() && all[0] > 0 && std::equal(all.begin() + 1, all.end(), all.begin()),
           config.where(), ": ", key, ": wanted one positive number for all layers");
    return all[0];
  };
  const Router router{
      .experts = same("num_experts", 1), .chosen = same("moe_topk", 1), .renormalise = true};
  const MoeTraits moe{.router = checked(config, router),
                      .width = model.sizes.ffn,
                      .activation = model.mlp.activation,
                      .shared = model.mlp};
  Traits t = model.traits(config, moe, model.everywhere());
  const std::vector<Rewrite> names = {{".mlp.gate.wg.", ".mlp.gate."},
                                      {".mlp.shared_mlp.", ".mlp.shared_experts."},
                                      {".self_attn.query_layernorm.", ".self_attn.q_norm."},
                                      {".self_attn.key_layernorm.", ".self_attn.k_norm."}};
  t.rewrites.insert(t.rewrites.begin(), names.begin(), names.end());
  return t;
}

}  // namespace hearth::llm
