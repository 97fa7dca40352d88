#include "hearth/llm/gguf/particulars.h"

#include <algorithm>

#include "hearth/base/error.h"

namespace hearth::llm::particulars {

using Keys = GgufKeys;
using nlohmann::json;

namespace {

bool has(const Keys& keys, std::string_view tensor) { return keys.tensor(tensor) != nullptr; }
/// Alone or with those of keys and values.
bool q_biased(const Keys& keys) {
  return has(keys, "blk.0.attn_q.bias") || has(keys, "blk.0.attn_qkv.bias");
}

/// A number of each layer of a model of layers of several kinds, and what its only other value is.
int64_t only_above_zero(const std::vector<int64_t>& all) {
  return all.empty() ? 0 : *std::max_element(all.begin(), all.end());
}

}  // namespace

// Llama's is what many models are called whose tensors say more: biases, experts.
void llama(const Keys& keys, json& config) {
  const bool q = q_biased(keys), o = has(keys, "blk.0.attn_output.bias");
  config["attention_bias"] = q;
  config["mlp_bias"] = has(keys, "blk.0.ffn_up.bias");
  if (q && !o) config["model_type"] = "qwen2";
  if (keys.integer("expert_count").value_or(0) > 0) {
    config["model_type"] = "mixtral";
    config["num_local_experts"] = config["num_experts"];
  } else if (config.contains("sliding_window")) {
    config["model_type"] = "mistral";
  }
}

void ministral(const Keys& keys, json& config) {
  if (const auto beta = keys.number("attention.temperature_scale"))
    config["rope_parameters"]["llama_4_scaling_beta"] = *beta;
}

void qwen3(const Keys& keys, json& config) { config["attention_bias"] = q_biased(keys); }

/// Layers with experts are those whose router is there.
void qwen3_moe(const Keys& keys, json& config) {
  qwen3(keys, config);
  json dense = json::array();
  for (int64_t i = 0; i < config["num_hidden_layers"]; ++i)
    if (!has(keys, concat("blk.", i, ".ffn_gate_inp.weight"))) dense.push_back(i);
  config["mlp_only_layers"] = dense;
  config["norm_topk_prob"] = true;
}

// The scale of scores is not in the file: it is one over the root of a head's width, but in the 27B
// models of both.
void gemma(const Keys&, json& config) {
  const int64_t layers = config["num_hidden_layers"], hidden = config["hidden_size"],
                heads = config["num_attention_heads"];
  const bool gemma2 = config["model_type"] == "gemma2";
  const bool largest = gemma2 ? layers == 46 : layers == 62;
  config["query_pre_attn_scalar"] =
      largest ? json(hidden / std::max<int64_t>(heads, 1)) : config.value("head_dim", json(256));
}

/// Layers of two kinds, which differ in their heads.
void gemma4(const Keys& keys, json& config) {
  const int64_t layers = config["num_hidden_layers"];
  config["global_head_dim"] = config.value("head_dim", json(512));
  if (const auto head = keys.integer("attention.key_length_swa")) config["head_dim"] = *head;
  const auto heads = keys.by_layer("attention.head_count_kv", layers),
             widths = keys.by_layer("feed_forward_length", layers);
  bool values = true;
  for (int64_t i = 0; i < layers; ++i) {
    const bool full = config["layer_types"][size_t(i)] == "full_attention";
    if (!heads.empty())
      config[full ? "num_global_key_value_heads" : "num_key_value_heads"] = heads[size_t(i)];
    if (full && has(keys, concat("blk.", i, ".attn_k.weight")))
      values = values && has(keys, concat("blk.", i, ".attn_v.weight"));
  }
  config["attention_k_eq_v"] = !values;
  config["hidden_size_per_layer_input"] = config.value("hidden_size_per_layer_input", json(0));
  if (!widths.empty()) {
    const auto [least, most] = std::minmax_element(widths.begin(), widths.end());
    config["intermediate_size"] = *least;
    config["use_double_wide_mlp"] = *least < *most;
  }
  config["enable_moe_block"] = config.contains("num_experts");
  if (config.contains("num_experts")) config["top_k_experts"] = config["num_experts_per_tok"];
  // Of the frequencies of full layers, those that are divided by 1 turn, the others do not.
  json& rope = config["rope_parameters"];
  const json factors = rope.value("factors", json::array());
  const auto turning = std::count_if(factors.begin(), factors.end(),
                                     [](const json& factor) { return factor <= 1.0; });
  const double part = factors.empty() ? 0.25 : double(turning) / double(factors.size());
  rope = {{"full_attention",
           {{"rope_type", "proportional"},
            {"rope_theta", config["rope_theta"]},
            {"partial_rotary_factor", part}}},
          {"sliding_attention",
           {{"rope_type", "default"},
            {"rope_theta", keys.number("rope.freq_base_swa").value_or(10000)}}}};
  config.erase("partial_rotary_factor");
}

void olmo2(const Keys&, json& config) {
  if (config.contains("sliding_window")) config["model_type"] = "olmo3";
}

void stablelm(const Keys& keys, json& config) {
  config["use_qkv_bias"] = q_biased(keys);
  config["qk_layernorm"] = has(keys, "blk.0.attn_q_norm.weight");
  config["use_parallel_residual"] = !has(keys, "blk.0.ffn_norm.weight");
}

void starcoder2(const Keys& keys, json& config) {
  config["use_bias"] = q_biased(keys);
  config["norm_epsilon"] = config.value("layer_norm_eps", json(1e-5));
}

void ernie(const Keys& keys, json& config) {
  config["use_bias"] = has(keys, "blk.0.ffn_up.bias") || q_biased(keys);
}

void ernie_moe(const Keys& keys, json& config) {
  ernie(keys, config);
  config["moe_num_experts"] = config["num_experts"];
  config["moe_k"] = config["num_experts_per_tok"];
  config["moe_num_shared_experts"] = config.value("n_shared_experts", json(0));
}

void seed_oss(const Keys& keys, json& config) {
  config["attention_bias"] = q_biased(keys);
  config["attention_out_bias"] = has(keys, "blk.0.attn_output.bias");
}

void glm4(const Keys& keys, json& config) { config["attention_bias"] = q_biased(keys); }

void glm4_moe(const Keys& keys, json& config) {
  glm4(keys, config);
  config["use_qk_norm"] = has(keys, "blk.0.attn_q_norm.weight");
}

void exaone_moe(const Keys&, json& config) {
  config["num_shared_experts"] = config.value("n_shared_experts", json(0));
}

void gpt_oss(const Keys&, json& config) { config["num_local_experts"] = config["num_experts"]; }

void command_r(const Keys& keys, json& config) {
  config["use_qk_norm"] = has(keys, "blk.0.attn_q_norm.weight");
}

/// What a layer mixes with is told by its keys' heads: none in those of another kind.
void lfm2(const Keys& keys, json& config) {
  const auto heads = keys.by_layer("attention.head_count_kv", config["num_hidden_layers"]);
  json types = json::array();
  for (const int64_t n : heads) types.push_back(n > 0 ? "full_attention" : "conv");
  config["layer_types"] = types;
  config["num_key_value_heads"] = only_above_zero(heads);
  config["norm_eps"] = config["rms_norm_eps"];
  config["block_auto_adjust_ff_dim"] = false;  // feed_forward_length is what came of it
  config["tie_embedding"] = config["tie_word_embeddings"];
  config["num_dense_layers"] = config.value("first_k_dense_replace", json(0));
}

void deepseek2(const Keys& keys, json& config) {
  const auto rotated = keys.integer("rope.dimension_count").value_or(64);
  ensure(keys.integer("attention.key_length_mla").has_value(), keys.file().name(),
         ": a file of before 2025, whose attention is laid out in another way: fetch a newer one");
  config["qk_rope_head_dim"] = rotated;
  config["qk_nope_head_dim"] = *keys.integer("attention.key_length_mla") - rotated;
  config["v_head_dim"] = keys.integer("attention.value_length_mla").value_or(128);
  for (const char* key : {"head_dim", "partial_rotary_factor"}) config.erase(key);
  config["num_key_value_heads"] = config["num_attention_heads"];
  // V3 and what is built like it choose by sigmoids and a correction.
  const int64_t layers = config["num_hidden_layers"];
  bool corrected = false;
  for (int64_t i = 0; i < layers; ++i)
    corrected = corrected || has(keys, concat("blk.", i, ".exp_probs_b.bias"));
  config["model_type"] = corrected ? "deepseek_v3" : "deepseek_v2";
  if (config.value("n_group", json(1)) > 1) config["topk_method"] = "group_limited_greedy";
  if (const auto log = keys.number("rope.scaling.yarn_log_multiplier"))
    for (const char* key : {"mscale", "mscale_all_dim"})
      config["rope_parameters"][key] = *log * 10;  // the converter writes a tenth
}

void granite_hybrid(const Keys& keys, json& config) {
  const int64_t layers = config["num_hidden_layers"];
  json types = json::array();
  for (int64_t i = 0; i < layers; ++i)
    types.push_back(has(keys, concat("blk.", i, ".attn_output.weight")) ? "attention" : "mamba");
  config["layer_types"] = types;
  // Heads of keys are told by the rows of a layer that has some: the file may say none.
  const int64_t head = keys.integer("rope.dimension_count").value_or(1);
  for (int64_t i = 0; i < layers; ++i)
    if (const auto* k = keys.tensor(concat("blk.", i, ".attn_k.weight")); k && head > 0)
      config["num_key_value_heads"] = k->shape[0] / head;
  const auto rope = keys.file().flag(keys.name("rope.scaling.finetuned"));
  config["position_embedding_type"] = rope.value_or(true) ? "rope" : "nope";
  config["num_local_experts"] = config.value("num_experts", json(0));
  const int64_t inner = keys.integer("ssm.inner_size").value_or(0),
                heads = keys.integer("ssm.time_step_rank").value_or(1);
  config["mamba_d_head"] = inner / std::max<int64_t>(heads, 1);
  config["mamba_expand"] = double(inner) / double(config["hidden_size"]);
  config["mamba_conv_bias"] = has(keys, "blk.0.ssm_conv1d.bias");
}

/// One part a layer, told by its tensors.
void nemotron_h(const Keys& keys, json& config) {
  const int64_t layers = config["num_hidden_layers"],
                inner = keys.integer("ssm.inner_size").value_or(0),
                heads = keys.integer("ssm.time_step_rank").value_or(1);
  json types = json::array();
  bool conv_bias = false, mamba_bias = false, mlp_bias = false;
  for (int64_t i = 0; i < layers; ++i) {
    const auto here = [&](const char* name) { return has(keys, concat("blk.", i, ".", name)); };
    types.push_back(here("ssm_in.weight")         ? "mamba"
                    : here("ffn_gate_inp.weight") ? "moe"
                    : here("attn_output.weight")  ? "attention"
                                                  : "mlp");
    conv_bias = conv_bias || here("ssm_conv1d.bias");
    mamba_bias = mamba_bias || here("ssm_in.bias");
    mlp_bias = mlp_bias || here("ffn_up.bias");
    const GgufTensor* up = keys.tensor(concat("blk.", i, ".ffn_up.weight"));
    if (up && up->shape.size() == 2) config["intermediate_size"] = up->shape[0];
  }
  config["layers_block_type"] = types;
  config["mamba_head_dim"] = inner / std::max<int64_t>(heads, 1);
  config["use_conv_bias"] = conv_bias;
  config["use_bias"] = mamba_bias;
  config["mlp_bias"] = mlp_bias;
  if (!config.contains("layer_norm_epsilon")) config["layer_norm_epsilon"] = config["rms_norm_eps"];
}

void qwen_delta(const Keys& keys, json& config) {
  const int64_t values = keys.integer("ssm.inner_size").value_or(0),
                heads = keys.integer("ssm.time_step_rank").value_or(1);
  config["linear_value_head_dim"] = values / std::max<int64_t>(heads, 1);
  json types = json::array();
  for (int64_t i = 0; i < config["num_hidden_layers"]; ++i) {
    const bool full = has(keys, concat("blk.", i, ".attn_q.weight"));
    types.push_back(full ? "full_attention" : "linear_attention");
  }
  config["layer_types"] = types;
  config["norm_topk_prob"] = true;
  // In qwen35's files the heads of values take turns with those of keys, instead of each key's
  // heads side by side.
  config["linear_heads_in_turn"] = config["model_type"] != "qwen3_next";
}

void gpt2(const Keys& keys, json& config) {
  // The converter writes four times the width, whatever it is.
  if (const GgufTensor* up = keys.tensor("blk.0.ffn_up.weight"); up && up->shape.size() == 2)
    config["intermediate_size"] = up->shape[0];
  for (const auto& [from, to] : {std::pair("hidden_size", "n_embd"),
                                 {"num_hidden_layers", "n_layer"},
                                 {"num_attention_heads", "n_head"},
                                 {"intermediate_size", "n_inner"},
                                 {"max_position_embeddings", "n_positions"},
                                 {"layer_norm_eps", "layer_norm_epsilon"}})
    if (config.contains(from)) config[to] = config[from];
}

void apertus(const Keys&, json& config) { config["hidden_act"] = "xielu"; }

void hunyuan(const Keys& keys, json& config) {
  if (config.contains("num_experts")) config["moe_topk"] = config["num_experts_per_tok"];
  config["attention_bias"] = q_biased(keys);
}

}  // namespace hearth::llm::particulars
