// Mamba-2 on most layers: Granite 4 (experts beside a shared MLP, multipliers), Nemotron H and Nano
// (one part a layer: Mamba-2, attention, an MLP of relu^2, or experts).
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "hearth/llm/models/experts.h"

namespace hearth::llm {

namespace {

/// "linear_attention" and "mamba" are the same, and so are "full_attention" and "attention".
std::vector<std::string> kinds(const JsonObject& config, const char* key, int layers) {
  static const std::map<std::string, std::string> names = {
      {"linear_attention", "mamba"}, {"mamba", "mamba"}, {"full_attention", "attention"},
      {"attention", "attention"},    {"mlp", "mlp"},     {"moe", "moe"}};
  const nlohmann::json& list = config.raw().at(key);
  ensure(list.is_array() && (layers == 0 || int(list.size()) == layers), config.where(), ": ", key,
         ": wanted a list of texts, one a layer");
  std::vector<std::string> all;
  for (const auto& kind : list) {
    const auto found = names.find(kind.is_string() ? kind.get<std::string>() : "");
    ensure(found != names.end(), config.where(), ": ", key, ": ", kind.dump(), " is not known");
    all.push_back(found->second);
  }
  return all;
}

Mamba2Traits checked(const JsonObject& config, const Mamba2Traits& m) {
  const std::pair<const char*, int64_t> sizes[] = {
      {"the width of all heads is", int64_t(m.heads) * m.head_dim},
      {"the width of all groups is", int64_t(m.groups) * m.state},
      {"the convolution's length is", m.taps}};
  for (const auto& [name, size] : sizes)
    ensure(size <= 1 << 22, config.where(), ": mamba: ", name, " ", size, ", wanted at most 2^22");
  ensure(m.heads % m.groups == 0, config.where(), ": mamba: ", m.heads,
         " heads are no multiple of ", m.groups, " groups");
  return m;
}

/// The least and most of a time step; [0, infinity] where it is absent.
void read_limits(const JsonObject& config, Mamba2Traits& m) {
  if (!config.has("time_step_limit")) return;
  const nlohmann::json& list = config.raw().at("time_step_limit");
  const auto number = [&](const nlohmann::json& v) {
    if (v.is_number()) return v.get<float>();
    const bool infinite =
        v == "inf" || v == "Infinity" || (v.is_object() && v.contains("__float__"));
    ensure(infinite, config.where(), ": time_step_limit: wanted two numbers, got ", list.dump());
    return std::numeric_limits<float>::infinity();
  };
  ensure(list.is_array() && list.size() == 2, config.where(),
         ": time_step_limit: wanted two numbers, got ", list.dump());
  m.least = number(list[0]), m.most = number(list[1]);
}

}  // namespace

Traits granitemoehybrid(const JsonObject& config) {
  const Sizes s = read_sizes(config, {.context = 2048});
  const NormForm norm = read_rms_norm(config, 1e-6);
  AttentionTraits attention = attention_of(s);
  attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
  attention.scale = float(config.positive_number("attention_multiplier", 1));
  const std::string positions = config.text("position_embedding_type", "nope");
  ensure(positions == "rope" || positions == "nope", config.where(), ": position_embedding_type ",
         in_quotes(positions), " is not known; known: rope, nope");
  if (positions == "rope") attention.rope = read_rope(config, s.head_dim);
  const int heads = config.positive("mamba_n_heads", 128);
  const double expanded = config.positive_number("mamba_expand", 2) * s.hidden;
  ensure(expanded <= 1 << 24, config.where(), ": mamba_expand x hidden_size is ", expanded,
         ", wanted at most 2^24");
  const int width = int(expanded);
  const bool given = config.has("mamba_d_head") && config.raw().at("mamba_d_head").is_number();
  Mamba2Traits mamba{.heads = heads,
                     .head_dim = given ? config.positive("mamba_d_head") : width / heads,
                     .groups = config.positive("mamba_n_groups", 1),
                     .state = config.positive("mamba_d_state", 256),
                     .taps = config.positive("mamba_d_conv", 4),
                     .conv_bias = config.flag("mamba_conv_bias", true),
                     .bias = config.flag("mamba_proj_bias", false),
                     .eps = norm.eps};
  ensure(mamba.head_dim > 0 && int64_t(heads) * mamba.head_dim == width, config.where(),
         ": mamba_n_heads ", heads, " of mamba_d_head ", mamba.head_dim, " are not mamba_expand x ",
         "hidden_size, ", width);
  read_limits(config, mamba);
  mamba = checked(config, mamba);

  const int shared = config.natural("shared_intermediate_size", 1024);
  const fast::Activation activation = read_activation(config, "silu");
  std::optional<MlpTraits> mlp;
  if (shared > 0) mlp = {.width = shared, .activation = activation};
  std::optional<MoeTraits> moe;
  if (const int experts = config.natural("num_local_experts", 8); experts > 0)
    moe = {.router = checked(config, Router{.experts = experts,
                                            .chosen = config.positive("num_experts_per_tok", 2),
                                            .score = Router::softmax_of_chosen}),
           .width = s.ffn,
           .activation = activation};
  std::vector<std::string> types(size_t(s.layers), "mamba");
  for (const char* key : {"layer_types", "layers_block_type"})
    if (config.has(key)) types = kinds(config, key, s.layers);
  Traits t = make_traits(config, s, norm, false, [&](int i) {
    LayerTraits layer{.mixer = attention, .mlp = mlp, .norm = norm, .moe = moe};
    if (types[size_t(i)] == "mamba") layer.mixer = mamba;
    return layer;
  });
  t.embed_scale = float(config.number("embedding_multiplier", 1));
  t.residual_scale = float(config.number("residual_multiplier", 1));
  t.logit_scale = float(1 / config.positive_number("logits_scaling", 1));
  t.rewrites = {
      {".block_sparse_moe.router.layer.", ".moe.gate."},
      {.from = ".block_sparse_moe.input_linear.weight",
       .to = ".moe.experts.gate_proj,.moe.experts.up_proj",
       .operation = Rewrite::split,
       .axis = 1},
      {".block_sparse_moe.output_linear.weight", ".moe.experts.down_proj"},
      {".shared_mlp.input_linear.weight", ".mlp.gate_proj.weight,.mlp.up_proj.weight",
       Rewrite::split},
      {".shared_mlp.output_linear.", ".mlp.down_proj."},
  };
  return t;
}

Traits nemotron_h(const JsonObject& config) {
  std::vector<std::string> types;
  for (const char* key : {"layers_block_type", "layer_types"})
    if (types.empty() && config.has(key)) types = kinds(config, key, 0);
  if (types.empty()) {
    const std::map<char, std::string> letters = {
        {'M', "mamba"}, {'*', "attention"}, {'-', "mlp"}, {'E', "moe"}};
    for (const char c : config.text("hybrid_override_pattern")) {
      ensure(letters.contains(c), config.where(), ": hybrid_override_pattern: '", c,
             "' is not known; known: M, *, -, E");
      types.push_back(letters.at(c));
    }
  }
  nlohmann::json with_layers = config.raw();
  with_layers["num_hidden_layers"] = types.size();
  const Sizes s = read_sizes(JsonObject::parse(with_layers.dump(), config.where()),
                             {.kv_heads = 8, .head_dim = 128, .context = 4096});
  const NormForm norm{.eps = float(config.positive_number("layer_norm_epsilon", 1e-5))};
  ensure(config.text("mlp_hidden_act", "relu2") == "relu2", config.where(), ": mlp_hidden_act ",
         in_quotes(config.text("mlp_hidden_act", "relu2")), " is not known; known: relu2");
  ensure(!config.has("moe_latent_size"), config.where(),
         ": moe_latent_size: hearth has no experts behind a projection");
  AttentionTraits attention = attention_of(s);
  attention.qkv_bias = attention.out_bias = config.flag("attention_bias", false);
  attention.window = read_window(config, 0);
  Mamba2Traits mamba{.heads = config.positive("mamba_num_heads", 128),
                     .head_dim = config.positive("mamba_head_dim", 64),
                     .groups = config.positive("n_groups", 8),
                     .state = config.positive("ssm_state_size", 128),
                     .taps = config.positive("conv_kernel", 4),
                     .conv_bias = config.flag("use_conv_bias", true),
                     .bias = config.flag("use_bias", false),
                     .eps = norm.eps,
                     .least = float(config.number("time_step_min", 0.001))};
  mamba = checked(config, mamba);
  const bool bias = config.flag("mlp_bias", false);
  const MlpTraits mlp{.width = s.ffn,
                      .activation = fast::Activation::relu,
                      .gated = false,
                      .squared = true,
                      .up_bias = bias,
                      .down_bias = bias};
  std::optional<MoeTraits> moe;
  if (std::find(types.begin(), types.end(), "moe") != types.end()) {
    moe = {.router = read_sigmoid_router(config),
           .width = config.positive("moe_intermediate_size"),
           .activation = fast::Activation::relu,
           .gated = false,
           .squared = true,
           .shared = mlp};
    moe->shared->width = config.positive("moe_shared_expert_intermediate_size");
  }
  Traits t = make_traits(config, s, norm, false, [&](int i) {
    LayerTraits layer{.norm = norm};
    const std::string& type = types[size_t(i)];
    if (type == "mamba") layer.mixer = mamba;
    if (type == "attention") layer.mixer = attention;
    if (type == "mlp") layer.mlp = mlp;
    if (type == "moe") layer.moe = moe;
    return layer;
  });
  t.rewrites = {{"^backbone.", "model."},
                {"^mtp.", "", Rewrite::skip},
                {"^model.embeddings.", "model.embed_tokens."},
                {"^model.norm_f.", "model.norm."}};
  const std::map<std::string, std::pair<const char*, const char*>> names = {
      {"mamba", {".input_layernorm.", ".mamba."}},
      {"attention", {".input_layernorm.", ".self_attn."}},
      {"mlp", {".post_attention_layernorm.", ".mlp."}},
      {"moe", {".post_attention_layernorm.", ".mlp."}}};
  for (size_t i = 0; i < types.size(); ++i) {
    const std::string layer = concat("model.layers.", i);
    const auto& [norms, part] = names.at(types[i]);
    t.rewrites.push_back({"^" + layer + ".norm.", layer + norms});
    t.rewrites.push_back({"^" + layer + ".mixer.", layer + part});
  }
  const auto experts = expert_rewrites();
  t.rewrites.insert(t.rewrites.end(), experts.begin(), experts.end());
  return t;
}

}  // namespace hearth::llm
