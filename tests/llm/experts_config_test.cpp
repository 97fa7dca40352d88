// What a config.json of a family with experts or running states says that hearth does not have, or
// that does not fit together, is an error that names it; and how such checkpoints become
// parameters.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "hearth/llm/model.h"
#include "hearth/llm/rewrite.h"
#include "hearth/ops/ops.h"
#include "tests/llm/rewritten.h"
#include "tests/llm/tiny_checkpoint.h"

namespace hearth::llm {
namespace {

using testing::error_of;

/// The tiny config of a family, changed; what building a model of it says.
std::string refusal(const std::string& family, const std::string& change) {
  const auto path = testing::source_dir() / "tests/data/models" / family / "config.json";
  auto config = nlohmann::json::parse(testing::content_of(path));
  config.merge_patch(nlohmann::json::parse(change));
  testing::TempFolder folder;
  folder.write("config.json", config.dump());
  LoadOptions options;
  options.random_weights = true;
  return error_of([&] { load_model(folder.path(), options); });
}

TEST(ExpertsConfig, ErrorsNameWhatDoesNotFit) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"mixtral", R"({"num_experts_per_tok": 6})", "6 experts of 5 cannot be chosen"},
      {"mixtral", R"({"num_local_experts": 0})", "num_local_experts"},
      {"qwen3_moe", R"({"num_local_experts": 100000})", "experts of 100000"},
      {"qwen3_moe", R"({"moe_intermediate_size": 100000000})", "moe_intermediate_size"},
      {"glm4_moe", R"({"n_group": 3})", "2 of 3 groups of 8 experts"},
      {"glm4_moe", R"({"topk_group": 5})", "5 of 4 groups"},
      {"deepseek_v3", R"({"topk_group": 1})", "do not hold the 3 that are chosen"},
      {"deepseek_v2", R"({"topk_method": "noaux"})", "topk_method \"noaux\" is not known"},
      {"deepseek_v3", R"({"kv_lora_rank": 100000000})", "kv_lora_rank"},
      {"glm4_moe_lite", R"({"mlp_layer_types": ["dense", "odd", "sparse"]})", "got \"odd\""},
      {"glm4_moe_lite", R"({"mlp_layer_types": ["dense"]})", "a list of 3 texts"},
      {"qwen3_5", R"({"linear_num_value_heads": 3})", "is no multiple of linear_num_key_heads"},
      {"qwen3_5", R"({"linear_conv_kernel_dim": 2000000})", "linear_conv_kernel_dim"},
      {"qwen3_5", R"({"layer_types": ["mamba", "mamba", "mamba", "mamba"]})", "\"mamba\""},
      {"lfm2", R"({"block_ffn_dim_multiplier": 1e30})", "width"},
      {"lfm2", R"({"block_multiple_of": 0})", "block_multiple_of"},
      {"ernie4_5_moe", R"({"use_bias": true})", "use_bias"},
      {"nemotron_h", R"({"moe_latent_size": 8})", "moe_latent_size"},
      {"nemotron_h", R"({"mlp_hidden_act": "silu"})", "mlp_hidden_act \"silu\" is not known"},
      {"nemotron_h", R"({"layers_block_type": ["mamba", "odd"]})", "\"odd\" is not known"},
      {"nemotron_h", R"({"layers_block_type": null, "hybrid_override_pattern": "M*x"})",
       "'x' is not known"},
      {"nemotron_h", R"({"n_groups": 4})", "no multiple of 4 groups"},
      {"granitemoehybrid", R"({"mamba_n_heads": 7})", "mamba_n_heads 7"},
      {"granitemoehybrid", R"({"position_embedding_type": "alibi"})", "\"alibi\" is not known"},
      {"granitemoehybrid", R"({"time_step_limit": [0, "soon"]})", "time_step_limit"},
      {"gemma4_moe", R"({"top_k_experts": 7})", "7 experts of 6 cannot be chosen"},
      {"hunyuan_v1_moe", R"({"moe_topk": [2, 3, 2]})", "moe_topk"},
  };
  for (const auto& [family, change, wanted] : cases)
    EXPECT_NE(refusal(family, change).find(wanted), std::string::npos)
        << family << " " << change << ": " << refusal(family, change);
}

TEST(Rewrites, SplitAlongAnAxisAndPutPartsOfOneNameTogether) {
  const array x = reshape(arange(0, 24, 1, float32), {2, 6, 2});
  const std::vector<Rewrite> rules{
      {.from = "both$", .to = "gate,up", .operation = Rewrite::split, .axis = 1},
      {.from = "turns$", .to = "odd,even", .operation = Rewrite::split, .groups = 3, .axis = 1},
      {"qkvz$", "qkv,qkv,qkv,z", Rewrite::split, {1, 1, 2, 2}, 2},
      {.from = "heads$", .to = "heads", .operation = Rewrite::grouped, .groups = 3},
      {"row$", "row", Rewrite::flatten},
  };
  const array rows = reshape(arange(0, 12, 1, float32), {12, 1});
  const Tensors got = rewritten(
      {{"both", x}, {"turns", x}, {"qkvz", rows}, {"heads", rows}, {"row", reshape(rows, {1, 12})}},
      rules);
  using Values = std::vector<float>;
  EXPECT_EQ(got.at("gate").shape(), (Shape{2, 3, 2}));
  EXPECT_EQ(got.at("gate").to_vector<float>(), (Values{0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17}));
  EXPECT_EQ(got.at("up").to_vector<float>(), (Values{6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23}));
  EXPECT_EQ(got.at("odd").to_vector<float>(), (Values{0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21}));
  EXPECT_EQ(got.at("even").to_vector<float>(),
            (Values{2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23}));
  // Of each of two groups the first row, then the second, then two.
  EXPECT_EQ(got.at("qkv").to_vector<float>(), (Values{0, 6, 1, 7, 2, 3, 8, 9}));
  EXPECT_EQ(got.at("z").to_vector<float>(), (Values{4, 5, 10, 11}));
  EXPECT_EQ(got.at("heads").shape(), (Shape{3, 4, 1}));
  EXPECT_EQ(got.at("row").shape(), (Shape{12}));
  for (const auto& rule : {rules[0], rules[1], rules[2], rules[3]})
    EXPECT_NE(error_of([&] {
                rewritten({{rule.from.substr(0, rule.from.size() - 1), zeros({7, 7})}},
                          std::span(&rule, 1));
              }).find("its shape is (7, 7)"),
              std::string::npos);
}

}  // namespace
}  // namespace hearth::llm
