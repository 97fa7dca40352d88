// The architectures of GGUF files, as llama.cpp and its converter have them.
#include "hearth/llm/gguf/architecture.h"

#include <algorithm>
#include <charconv>

#include "hearth/base/error.h"
#include "hearth/base/listed.h"
#include "hearth/io/json.h"
#include "hearth/llm/gguf/particulars.h"

namespace hearth::llm {

namespace {

namespace more = particulars;

const std::string kQ = ".self_attn.q_proj.", kK = ".self_attn.k_proj.", kV = ".self_attn.v_proj.";

const std::vector<Rewrite> kGemma = {
    {".post_attention_norm.", ".post_attention_layernorm."},
    {".ffn_norm.", ".pre_feedforward_layernorm."},
    {".post_ffw_norm.", ".post_feedforward_layernorm."},
};
const std::vector<Rewrite> kPostNorms = {
    {".post_attention_norm.", ".post_attention_layernorm."},
    {".post_ffw_norm.", ".post_feedforward_layernorm."},
};
const std::vector<Rewrite> kSecondNorm = {{".post_attention_norm.", ".post_attention_layernorm."}};
const std::vector<Rewrite> kShortConv = {
    {"^token_embd_norm.", "model.embedding_norm."},
    {"^output_norm.", "model.embedding_norm."},
    {".shortconv.conv.", ".conv.conv."},
    {".shortconv.", ".conv."},
};
const std::vector<Rewrite> kLatent = {
    {".attn_q_a.", ".self_attn.q_a_proj."},
    {".attn_q_b.", ".self_attn.q_b_proj."},
    {".attn_q_a_norm.", ".self_attn.q_a_layernorm."},
    {".attn_kv_a_mqa.", ".self_attn.kv_a_proj_with_mqa."},
    {".attn_kv_a_norm.", ".self_attn.kv_a_layernorm."},
    {".attn_k_b.weight", ".self_attn.k_b"},
    {".attn_v_b.weight", ".self_attn.v_b"},
};
/// Mamba-2, and what else an architecture with it calls things.
std::vector<Rewrite> mamba_and(std::vector<Rewrite> more) {
  const Rewrite all[] = {
      {".ssm_in.", ".mamba.in_proj."},
      {".ssm_conv1d.", ".mamba.conv1d."},
      {".ssm_dt.bias", ".mamba.dt_bias"},
      {".ssm_a$", ".mamba.A_log"},
      {".ssm_d$", ".mamba.D"},
      {".ssm_norm.", ".mamba.norm."},
      {".ssm_out.", ".mamba.out_proj."},
  };
  more.insert(more.end(), std::begin(all), std::end(all));
  return more;
}
const std::vector<Rewrite> kDelta = {
    {".post_attention_norm.", ".post_attention_layernorm."},
    {".attn_qkv.", ".linear_attn.in_proj_qkv."},
    {".attn_gate.", ".linear_attn.in_proj_z."},
    {".ssm_beta.", ".linear_attn.in_proj_b."},
    {".ssm_alpha.", ".linear_attn.in_proj_a."},
    {".ssm_ba.", ".linear_attn.in_proj_ba."},
    {".ssm_in.", ".linear_attn.in_proj_qkvz."},
    {".ssm_conv1d.", ".linear_attn.conv1d."},
    {".ssm_dt.bias", ".linear_attn.dt_bias"},
    {".ssm_a$", ".linear_attn.A_log"},
    {".ssm_norm.", ".linear_attn.norm."},
    {".ssm_out.", ".linear_attn.out_proj."},
};
const std::vector<Rewrite> kGemma4 = {
    {"^per_layer_token_embd.", "model.per_layer.embedding."},
    {"^per_layer_model_proj.", "model.per_layer.projection."},
    {"^per_layer_proj_norm.", "model.per_layer.norm."},
    {".inp_gate.", ".per_layer.gate."},
    {".proj.weight$", ".per_layer.projection.weight"},
    {".post_norm.", ".per_layer.norm."},
    {".layer_output_scale.weight", ".layer_scalar"},
    {".post_attention_norm.", ".post_attention_layernorm."},
    {".ffn_norm.", ".pre_feedforward_layernorm."},
    {".pre_ffw_norm_2.", ".pre_feedforward_layernorm_2."},
    {".post_ffw_norm_1.", ".post_feedforward_layernorm_1."},
    {".post_ffw_norm_2.", ".post_feedforward_layernorm_2."},
    {".post_ffw_norm.", ".post_feedforward_layernorm."},
    {".ffn_gate_inp.scale", ".router.scale"},
    {".ffn_gate_inp.weight", ".router.proj.weight"},
    {".ffn_down_exps.scale", ".router.per_expert_scale"},
    {".ffn_down_exps.weight", ".experts.down_proj"},
    {".ffn_gate_up_exps.weight", ".experts.gate_up_proj"},
};

const std::vector<GgufArchitecture::Key> kGraniteKeys = {
    {"attention.scale", "attention_multiplier", GgufValue::f32},
    {"embedding_scale", "embedding_multiplier", GgufValue::f32},
    {"residual_scale", "residual_multiplier", GgufValue::f32},
    {"logit_scale", "logits_scaling", GgufValue::f32},
};
const std::vector<GgufArchitecture::Key> kNemotronKeys = {
    {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
    {"ssm.conv_kernel", "conv_kernel"},
    {"ssm.state_size", "ssm_state_size"},
    {"ssm.group_count", "n_groups"},
    {"ssm.time_step_rank", "mamba_num_heads"},
    {"expert_shared_feed_forward_length", "moe_shared_expert_intermediate_size"},
};
const std::vector<GgufArchitecture::Key> kDeltaKeys = {
    {"ssm.conv_kernel", "linear_conv_kernel_dim"},
    {"ssm.state_size", "linear_key_head_dim"},
    {"ssm.group_count", "linear_num_key_heads"},
    {"ssm.time_step_rank", "linear_num_value_heads"},
    {"expert_shared_feed_forward_length", "shared_expert_intermediate_size"},
};
/// Qwen's, of which some layers are delta nets.
GgufArchitecture of_deltas(std::string_view name, std::string_view model_type) {
  return {.name = name,
          .model_type = model_type,
          .keys = kDeltaKeys,
          .names = kDelta,
          .one_added = true,
          .more = more::qwen_delta};
}

const GgufArchitecture kArchitectures[] = {
    {.name = "apertus", .model_type = "apertus", .more = more::apertus},
    {.name = "cohere2",
     .model_type = "cohere2",
     .keys = {{"logit_scale", "logit_scale", GgufValue::f32}},
     .pattern = 4},
    {.name = "command-r",
     .model_type = "cohere",
     .keys = {{"logit_scale", "logit_scale", GgufValue::f32}},
     .more = more::command_r},
    {.name = "deepseek2",
     .model_type = "deepseek_v2",
     .keys = {{"attention.q_lora_rank", "q_lora_rank"}, {"attention.kv_lora_rank", "kv_lora_rank"}},
     .names = kLatent,
     .more = more::deepseek2},
    {.name = "ernie4_5", .model_type = "ernie4_5", .more = more::ernie},
    {.name = "ernie4_5-moe",
     .model_type = "ernie4_5_moe",
     .keys = {{"leading_dense_block_count", "moe_layer_start_index"},
              {"interleave_moe_layer_step", "moe_layer_interval"}},
     .more = more::ernie_moe},
    {.name = "exaone-moe", .model_type = "exaone_moe", .pattern = 4, .more = more::exaone_moe},
    {.name = "exaone4", .model_type = "exaone4", .names = kPostNorms, .pattern = 4},
    {.name = "gemma", .model_type = "gemma", .one_added = true},
    {.name = "gemma2",
     .model_type = "gemma2",
     .keys = {{"attn_logit_softcapping", "attn_logit_softcapping", GgufValue::f32},
              {"final_logit_softcapping", "final_logit_softcapping", GgufValue::f32}},
     .names = kGemma,
     .pattern = 2,
     .one_added = true,
     .more = more::gemma},
    {.name = "gemma3",
     .model_type = "gemma3_text",
     .keys = {{"rope.freq_base_swa", "rope_local_base_freq", GgufValue::f32},
              {"final_logit_softcapping", "final_logit_softcapping", GgufValue::f32}},
     .names = kGemma,
     .pattern = 6,
     .one_added = true,
     .more = more::gemma},
    {.name = "gemma4",
     .model_type = "gemma4_text",
     .keys = {{"attention.shared_kv_layers", "num_kv_shared_layers"},
              {"embedding_length_per_layer_input", "hidden_size_per_layer_input"},
              {"final_logit_softcapping", "final_logit_softcapping", GgufValue::f32}},
     .names = kGemma4,
     .pattern = 6,
     .more = more::gemma4},
    {.name = "glm4",
     .model_type = "glm4",
     .names = {{".post_attention_norm.", ".post_self_attn_layernorm."},
               {".post_ffw_norm.", ".post_mlp_layernorm."},
               {".ffn_up.", ".mlp.gate_up_proj."}},
     .more = more::glm4},
    {.name = "glm4moe", .model_type = "glm4_moe", .names = kSecondNorm, .more = more::glm4_moe},
    {.name = "gpt-oss",
     .model_type = "gpt_oss",
     .names = kSecondNorm,
     .pattern = 2,
     .more = more::gpt_oss},
    {.name = "gpt2",
     .model_type = "gpt2",
     .names = {{"^position_embd.", "model.embed_positions."}},
     .more = more::gpt2},
    {.name = "gptneox",
     .model_type = "gpt_neox",
     .keys = {{"use_parallel_residual", "use_parallel_residual", GgufValue::boolean}}},
    {.name = "granite", .model_type = "granite", .keys = kGraniteKeys, .neighbours = true},
    {.name = "granitehybrid",
     .model_type = "granitemoehybrid",
     .keys = {{"attention.scale", "attention_multiplier", GgufValue::f32},
              {"embedding_scale", "embedding_multiplier", GgufValue::f32},
              {"residual_scale", "residual_multiplier", GgufValue::f32},
              {"logit_scale", "logits_scaling", GgufValue::f32},
              {"ssm.conv_kernel", "mamba_d_conv"},
              {"ssm.state_size", "mamba_d_state"},
              {"ssm.group_count", "mamba_n_groups"},
              {"ssm.time_step_rank", "mamba_n_heads"},
              {"expert_shared_feed_forward_length", "shared_intermediate_size"}},
     .names = mamba_and({{".ffn_gate_shexp.", ".mlp.gate_proj."},
                         {".ffn_up_shexp.", ".mlp.up_proj."},
                         {".ffn_down_shexp.", ".mlp.down_proj."}}),
     .neighbours = true,
     .more = more::granite_hybrid},
    {.name = "hunyuan-dense", .model_type = "hunyuan_v1_dense", .more = more::hunyuan},
    {.name = "hunyuan-moe", .model_type = "hunyuan_v1_moe", .more = more::hunyuan},
    {.name = "lfm2",
     .model_type = "lfm2",
     .keys = {{"shortconv.l_cache", "conv_L_cache"}},
     .names = kShortConv,
     .more = more::lfm2},
    {.name = "lfm2moe",
     .model_type = "lfm2_moe",
     .keys = {{"shortconv.l_cache", "conv_L_cache"}},
     .names = kShortConv,
     .more = more::lfm2},
    {.name = "llama", .model_type = "llama", .neighbours = true, .more = more::llama},
    {.name = "mistral3", .model_type = "ministral3", .neighbours = true, .more = more::ministral},
    {.name = "nemotron_h",
     .model_type = "nemotron_h",
     .keys = kNemotronKeys,
     .names = mamba_and({{".attn_norm.", ".norm."}}),
     .more = more::nemotron_h},
    {.name = "nemotron_h_moe",
     .model_type = "nemotron_h",
     .keys = kNemotronKeys,
     .names = mamba_and({{".attn_norm.", ".norm."}}),
     .more = more::nemotron_h},
    {.name = "olmo2",
     .model_type = "olmo2",
     .names = kPostNorms,
     .pattern = 4,
     .more = more::olmo2},
    {.name = "phi2", .model_type = "phi"},
    {.name = "phi3", .model_type = "phi3", .names = {{".ffn_up.", ".mlp.gate_up_proj."}}},
    {.name = "qwen2", .model_type = "qwen2"},
    {.name = "qwen3", .model_type = "qwen3", .more = more::qwen3},
    of_deltas("qwen35", "qwen3_5_text"),
    of_deltas("qwen35moe", "qwen3_5_moe_text"),
    {.name = "qwen3moe", .model_type = "qwen3_moe", .more = more::qwen3_moe},
    of_deltas("qwen3next", "qwen3_next"),
    {.name = "qwen3vl", .model_type = "qwen3", .more = more::qwen3},
    {.name = "qwen3vlmoe", .model_type = "qwen3_moe", .more = more::qwen3_moe},
    {.name = "seed_oss", .model_type = "seed_oss", .names = kSecondNorm, .more = more::seed_oss},
    {.name = "smollm3",
     .model_type = "smollm3",
     .defaults = R"({"no_rope_layer_interval": 4})",
     .neighbours = true},
    {.name = "stablelm", .model_type = "stablelm", .more = more::stablelm},
    {.name = "starcoder2", .model_type = "starcoder2", .more = more::starcoder2},
};

const Rewrite kNames[] = {
    {"^rope_freqs.weight$", "", Rewrite::skip},  // these are in the configuration
    {"^rope_factors_long.weight$", "", Rewrite::skip},
    {"^rope_factors_short.weight$", "", Rewrite::skip},
    {"^token_embd.", "model.embed_tokens."},
    {"^output_norm.", "model.norm."},
    {"^output.", "lm_head."},
    {"^blk.*.", "model.layers.*."},
    {".attn_norm.", ".input_layernorm."},
    {".attn_q.", kQ},
    {".attn_k.", kK},
    {".attn_v.", kV},
    {".attn_output.", ".self_attn.o_proj."},
    {".attn_q_norm.", ".self_attn.q_norm."},
    {".attn_k_norm.", ".self_attn.k_norm."},
    {".attn_sinks.weight", ".self_attn.sinks"},
    {".ffn_norm.", ".post_attention_layernorm."},
    // Files of before 2024 have each expert by itself.
    {".ffn_gate.*.weight", ".moe.experts.gate_proj", Rewrite::stack},
    {".ffn_up.*.weight", ".moe.experts.up_proj", Rewrite::stack},
    {".ffn_down.*.weight", ".moe.experts.down_proj", Rewrite::stack},
    {".ffn_gate.", ".mlp.gate_proj."},
    {".ffn_up.", ".mlp.up_proj."},
    {".ffn_down.", ".mlp.down_proj."},
    {".ffn_gate_inp.", ".moe.gate."},
    {".exp_probs_b.bias", ".moe.e_score_correction_bias"},
    {".ffn_gate_exps.weight", ".moe.experts.gate_proj"},
    {".ffn_up_exps.weight", ".moe.experts.up_proj"},
    {".ffn_down_exps.weight", ".moe.experts.down_proj"},
    {".ffn_gate_up_exps.weight", ".mlp.experts.gate_up_proj"},
    {".ffn_gate_exps.bias", ".moe.experts.gate_proj_bias"},
    {".ffn_up_exps.bias", ".moe.experts.up_proj_bias"},
    {".ffn_down_exps.bias", ".moe.experts.down_proj_bias"},
    {".ffn_gate_shexp.", ".moe.shared_experts.gate_proj."},
    {".ffn_up_shexp.", ".moe.shared_experts.up_proj."},
    {".ffn_down_shexp.", ".moe.shared_experts.down_proj."},
    {".ffn_gate_inp_shexp.", ".moe.shared_expert_gate."},
};

}  // namespace

int64_t gguf_layer_of(std::string_view tensor) {
  constexpr std::string_view kBegin = "blk.";
  int64_t number = -1;
  if (tensor.starts_with(kBegin))
    std::from_chars(tensor.data() + kBegin.size(), tensor.data() + tensor.size(), number);
  return number;
}

std::span<const GgufArchitecture> gguf_architectures() { return kArchitectures; }
std::span<const Rewrite> gguf_names() { return kNames; }

std::vector<int64_t> GgufKeys::by_layer(std::string_view key, int64_t layers) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  const std::vector<double> numbers = file_.numbers(name(key));
  ensure(!value->is_list() || int64_t(numbers.size()) >= layers, file_.name(), ": ", name(key),
         ": ", numbers.size(), " numbers for ", layers, " layers");
  std::vector<int64_t> all;
  for (int64_t i = 0; i < layers; ++i)
    all.push_back(int64_t(value->is_list() ? numbers[size_t(i)] : numbers.at(0)));
  return all;
}

const GgufTensor* GgufKeys::tensor(std::string_view name) const { return file_.find_tensor(name); }

const GgufArchitecture& gguf_architecture(const Gguf& file) {
  const auto name = file.text("general.architecture");
  ensure(name.has_value(), file.name(), ": general.architecture is missing: not a model's file");
  ensure(*name != "clip", file.name(),
         ": the part of a model that sees or hears (mmproj), which hearth does not run; name the ",
         "language model's own file");
  for (const GgufArchitecture& known : kArchitectures)
    if (known.name == *name) return known;
  std::vector<std::string_view> names;
  for (const GgufArchitecture& known : kArchitectures) names.push_back(known.name);
  ensure(false, file.name(), ": a GGUF file of the architecture ", in_quotes(*name),
         ", which hearth does not run; it runs: ", listed(names, ", ", names.size()));
  return kArchitectures[0];
}

}  // namespace hearth::llm
