// Folders whose weights are packed as FP8, compressed-tensors, AWQ and GPTQ have them: the tiny
// ones of tests/data/packed against what transformers says of their dequantized weights; and those
// that do not fit together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "hearth/llm/describe.h"
#include "hearth/llm/generate.h"
#include "tests/llm/packed_folder.h"
#include "tests/llm/tiny_logits.h"

namespace hearth::llm {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::PackedCheckpoint, testing::TempFolder;

class PackedFolders : public ::testing::TestWithParam<std::string> {
 protected:
  PackedFolders() { checkpoint_.save(folder_); }
  PackedCheckpoint checkpoint_{GetParam()};
  TempFolder folder_;
};

TEST_P(PackedFolders, GiveTheLogitsOfTheirDequantizedWeights) {
  const auto model = load_model(folder_.path());
  EXPECT_EQ(model->facts.dtype, float32);
  const size_t vocab = size_t(model->facts.vocab_size);
  for (const auto& prompt : checkpoint_.prompts) {
    for (const size_t step : {prompt.ids.size(), size_t(7), size_t(1)}) {
      const auto logits = logits_of(*model, prompt.ids, step);
      for (size_t i = 0; i < checkpoint_.positions.size(); ++i)
        EXPECT_LT(
            difference(std::span(logits).subspan(size_t(checkpoint_.positions[i]) * vocab, vocab),
                       prompt.logits[i]),
            1e-4f)
            << step;
    }
    GenerateOptions options;
    options.max_tokens = int(prompt.greedy.size());
    EXPECT_EQ(generate(*model, prompt.ids, options).ids, prompt.greedy);
  }
}

// Those whose columns have their scales in any order become dense.
TEST_P(PackedFolders, StayPackedWhereAPackingHoldsThem) {
  const auto model = load_model(folder_.path());
  size_t packed = 0, dense = 0;
  for (const auto& [name, p] : model->parameters()) {
    const bool linear = name.find("_proj") != name.npos && name.find("bias") == name.npos;
    if (linear) ++(p.packed() ? packed : dense);
  }
  const bool in_order = GetParam().find("order") == std::string::npos;
  EXPECT_EQ(packed > 0, in_order);
  EXPECT_LE(dense, in_order ? 2u : packed + dense);
}

TEST_P(PackedFolders, AreDescribedByWhatTheyHold) {
  const Description found = describe(folder_.path());
  const auto model = load_model(folder_.path());
  EXPECT_EQ(found.use, "generate") << found.found.sentence;
  EXPECT_EQ(found.found.bytes, model->facts.weights_bytes);
  EXPECT_EQ(found.costs.bytes_per_token, model->facts.bytes_per_token);
}

TEST_P(PackedFolders, RunInEveryDtype) {
  const auto exact = load_model(folder_.path());
  const auto& ids = checkpoint_.prompts[0].ids;
  const auto want = logits_of(*exact, ids, ids.size());
  const bool experts = exact->costs(float32).active < exact->costs(float32).parameters;
  for (const Dtype dtype : {float16, bfloat16}) {
    const auto model = load_model(folder_.path(), {.dtype = dtype});
    EXPECT_EQ(model->facts.dtype, dtype);
    const auto got = logits_of(*model, ids, ids.size());
    if (!experts) {  // a choice may flip
      EXPECT_LT(difference(got, want), 0.1f) << dtype;
    }
  }
}

TEST_P(PackedFolders, RunTheirShapeWithRandomWeights) {
  const auto real = load_model(folder_.path()),
             random = load_model(folder_.path(), {.random_weights = true});
  const auto& ids = checkpoint_.prompts[0].ids;
  for (const float v : logits_of(*random, ids, ids.size())) ASSERT_TRUE(std::isfinite(v));
  if (GetParam().find("order") == std::string::npos) {
    EXPECT_LT(double(random->facts.weights_bytes), 1.5 * double(real->facts.weights_bytes));
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, PackedFolders, ::testing::ValuesIn(PackedCheckpoint::names()),
                         [](const auto& info) { return info.param; });

/// What a change of a folder is answered with.
std::string changed(const char* name, const std::function<void(PackedCheckpoint&)>& change) {
  PackedCheckpoint checkpoint(name);
  change(checkpoint);
  const TempFolder folder;
  checkpoint.save(folder);
  std::string said;
  try {
    load_model(folder.path());
  } catch (const std::runtime_error& error) {
    said = error.what();
  }
  return said;
}

const std::string kQ = "model.layers.0.self_attn.q_proj";

std::string without(const char* name, const std::string& end) {
  return changed(name, [&](PackedCheckpoint& c) { EXPECT_EQ(c.tensors.erase(kQ + end), 1u); });
}
/// A tensor of zeros in place of q's.
std::string with(const char* name, const std::string& end, const char* dtype,
                 std::vector<int64_t> shape) {
  return changed(name, [&](PackedCheckpoint& c) {
    size_t bytes = dtype[1] == '8' || dtype[1] == 'F' || std::string_view(dtype) == "I8" ? 1 : 4;
    if (std::string_view(dtype).ends_with("16")) bytes = 2;
    if (std::string_view(dtype).starts_with("F8")) bytes = 1;
    for (const int64_t n : shape) bytes *= size_t(n);
    c.tensors[kQ + end] = {dtype, shape, std::string(bytes, '\0')};
  });
}
std::string with_setting(const char* name, const char* key, const json& value) {
  return changed(name, [&](PackedCheckpoint& c) { c.settings()[key] = value; });
}

TEST(PackedFolder, ThatLacksAPartNamesTheTensor) {
  EXPECT_THAT(without("fp8_block", ".weight"), HasSubstr(kQ + ".weight: is missing"));
  EXPECT_THAT(without("fp8_block", ".weight_scale_inv"),
              HasSubstr(kQ + ".weight holds codes (uint8), and nothing says what they mean"));
  EXPECT_THAT(without("ct_int4", ".weight_scale"), HasSubstr(kQ + ".weight_scale: is missing"));
  EXPECT_THAT(without("ct_int4", ".weight_packed"), HasSubstr(kQ + ".weight: is missing"));
  EXPECT_THAT(without("ct_int4_experts", ".weight_zero_point"),
              HasSubstr(kQ + ".weight_zero_point: is missing"));
  EXPECT_THAT(without("ct_nvfp4", ".weight_global_scale"),
              HasSubstr(kQ + ".weight_global_scale: is missing"));
  for (const char* name : {"awq", "gptq_3"}) {
    EXPECT_THAT(without(name, ".scales"), HasSubstr(kQ + ".scales: is missing"));
    EXPECT_THAT(without(name, ".qzeros"), HasSubstr(kQ + ".qzeros: is missing"));
    EXPECT_THAT(without(name, ".qweight"), HasSubstr(kQ + ".qzeros: is there without"));
  }
  EXPECT_EQ(without("gptq_3", ".g_idx"), "");  // in order, as older files leave it out
  EXPECT_EQ(without("gptq", ".qzeros"), "");   // "sym" says what they are
}

TEST(PackedFolder, OfOtherShapesNamesTheTensor) {
  EXPECT_THAT(with("fp8_block", ".weight_scale_inv", "F32", {1, 2}),
              AllOf(HasSubstr(kQ + ".weight_scale_inv"), HasSubstr("(1, 2), wanted (1, 1)")));
  EXPECT_THAT(with("fp8_tensor", ".weight_scale_inv", "F32", {2, 2}),
              HasSubstr("weight_block_size is null"));
  EXPECT_THAT(with("fp8_block", ".weight", "F8_E4M3", {128}), HasSubstr(kQ + ".weight"));
  EXPECT_THAT(with("fp8_block", ".weight", "F32", {128, 128}),
              HasSubstr(kQ + ".weight: is (128, 128) of float32, wanted F8_E4M3"));
  EXPECT_THAT(with("fp8_block", ".weight", "F8_E4M3", {0, 2147483647}), HasSubstr(kQ + ".weight"));
  EXPECT_THAT(with("fp8_block", ".weight", "F8_E4M3", {128, 64}),
              HasSubstr(kQ + ".weight is (128, 64), wanted (128, 128)"));
  EXPECT_THAT(with("ct_int4", ".weight_packed", "I32", {128, 15}),
              HasSubstr(kQ + ".weight_packed: its shape is (128, 15)"));
  EXPECT_THAT(with("ct_int4", ".weight_scale", "BF16", {128, 1}),
              HasSubstr(kQ + ".weight_packed: its shape"));
  EXPECT_THAT(with("ct_int4", ".weight_scale", "I32", {128, 2}),
              HasSubstr(kQ + ".weight_scale: is of int32"));
  EXPECT_THAT(with("ct_int4", ".weight_scale", "BF16", {64, 2}),
              HasSubstr(kQ + ".weight_scale: its shape is (64, 2), wanted (128, 2)"));
  EXPECT_THAT(with("ct_int4_experts", ".weight_zero_point", "I32", {15, 4}),
              HasSubstr(kQ + ".weight_zero_point: its shape is (15, 4), wanted (16, 4)"));
  EXPECT_THAT(with("ct_int3_order", ".weight_g_idx", "I32", {127}),
              HasSubstr(kQ + ".weight_g_idx: its shape is (127), wanted (128)"));
  EXPECT_THAT(with("ct_nvfp4", ".weight_scale", "F8_E4M3", {128, 7}),
              HasSubstr(kQ + ".weight_scale: its shape is (128, 7), wanted (128, 8)"));
  EXPECT_THAT(with("ct_nvfp4", ".weight_global_scale", "F32", {2}),
              HasSubstr(kQ + ".weight_global_scale: is (2)"));
  EXPECT_THAT(with("awq", ".qweight", "I32", {126, 16}),
              HasSubstr(kQ + ".qweight: its shape is (126, 16)"));
  EXPECT_THAT(with("awq", ".scales", "F16", {2, 127}),
              HasSubstr(kQ + ".scales: its shape is (2, 127), wanted (2, 128)"));
  EXPECT_THAT(with("awq", ".qzeros", "F32", {2, 16}), HasSubstr(kQ + ".qzeros: is (2, 16) of"));
  EXPECT_THAT(with("gptq_3", ".qweight", "I32", {11, 128}),
              HasSubstr(kQ + ".qweight: has 11 rows"));
  EXPECT_THAT(with("gptq_3", ".qzeros", "I32", {4, 11}),
              HasSubstr(kQ + ".qzeros: its shape is (4, 11), wanted (4, 12)"));
  EXPECT_THAT(with("gptq_3", ".g_idx", "I32", {64}), HasSubstr(kQ + ".g_idx: its shape is (64)"));
  EXPECT_THAT(
      changed("gptq_order", [](PackedCheckpoint& c) { c.tensors[kQ + ".g_idx"].bytes[0] = 2; }),
      HasSubstr(kQ + ".g_idx: input 0 is of group 2 of 2"));
  EXPECT_THAT(changed("gptq_order",
                      [](PackedCheckpoint& c) { c.tensors[kQ + ".g_idx"].bytes[3] = '\x80'; }),
              HasSubstr(kQ + ".g_idx: input 0 is of group -"));
}

TEST(PackedFolder, SettingsThatAreNotKnownAreErrors) {
  for (const char* name : {"fp8_block", "ct_int4", "awq", "gptq"}) {
    EXPECT_THAT(with_setting(name, "of_tomorrow", 3),
                AllOf(HasSubstr("\"of_tomorrow\""), HasSubstr("does not know")));
    EXPECT_EQ(with_setting(name, "of_tomorrow", nullptr), "");
    EXPECT_EQ(with_setting(name, "of_tomorrow", false), "");
  }
  for (const json& bits : {json(5), json(7), json(1), json(16)}) {
    EXPECT_THAT(with_setting("gptq", "bits", bits), HasSubstr("bits of GPTQ, wanted 2, 3, 4 or 8"));
    EXPECT_THAT(with_setting("awq", "bits", bits), HasSubstr("bits of AWQ, wanted 4"));
  }
  for (const json& absurd : {json(-1), json(0), json(1e300), json("four"), json::array({4})})
    for (const char* name : {"gptq", "awq"})
      EXPECT_THAT(with_setting(name, "bits", absurd), HasSubstr("bits: wanted a positive integer"));
  EXPECT_THAT(with_setting("gptq", "bits", 8), HasSubstr(".scales: its shape"));
  EXPECT_THAT(with_setting("gptq", "group_size", 0), HasSubstr("group_size"));
  EXPECT_THAT(with_setting("gptq", "group_size", 64), HasSubstr(".scales: its shape"));
  EXPECT_THAT(with_setting("gptq", "checkpoint_format", "marlin"),
              AllOf(HasSubstr("checkpoint_format"), HasSubstr("marlin")));
  EXPECT_THAT(with_setting("gptq", "is_marlin_format", true), HasSubstr("is_marlin_format"));
  EXPECT_THAT(with_setting("gptq", "pack_dtype", "int16"), HasSubstr("pack_dtype"));
  EXPECT_THAT(with_setting("awq", "version", "gemv"), HasSubstr("gemv"));
  EXPECT_EQ(with_setting("awq", "version", "GEMM"), "");
  EXPECT_THAT(with_setting("awq", "zero_point", false), HasSubstr("zero_point"));
  EXPECT_THAT(with_setting("awq", "backend", "llm-awq"), HasSubstr("llm-awq"));
  EXPECT_THAT(with_setting("fp8_block", "weight_block_size", {128}), HasSubstr("wanted two sizes"));
  EXPECT_THAT(with_setting("fp8_block", "weight_block_size", {0, 128}), HasSubstr("wanted two"));
  EXPECT_THAT(with_setting("fp8_block", "weight_block_size", {-1, 128}),
              HasSubstr("weight_block_size"));
  EXPECT_THAT(with_setting("fp8_experts", "weight_block_size", {2147483647, 2147483647}),
              HasSubstr("weight_scale_inv: its shape"));
  EXPECT_THAT(with_setting("fp8_block", "fmt", "e5m2"), HasSubstr("e5m2"));
  EXPECT_THAT(with_setting("fp8_block", "modules_to_not_convert", 3), HasSubstr("wanted a list"));
  EXPECT_THAT(with_setting("fp8_block", "modules_to_not_convert", {"(("}),
              HasSubstr("the expression \"((\""));
  EXPECT_THAT(with_setting("ct_int4", "format", "marlin-24"), HasSubstr("marlin-24"));
  EXPECT_THAT(with_setting("ct_int4", "sparsity_config", {{"format", "sparse-24-bitmask"}}),
              HasSubstr("sparse-24-bitmask"));
  EXPECT_THAT(with_setting("ct_int4", "config_groups", json::object()),
              HasSubstr("no group of config_groups"));
  const auto with_weights = [](const char* key, const json& value) {
    return changed("ct_int4", [&](PackedCheckpoint& c) {
      c.settings()["config_groups"]["group_1"]["weights"][key] = value;
    });
  };
  for (const json& bits : {json(1), json(7), json(9)})
    EXPECT_THAT(with_weights("num_bits", bits), HasSubstr("num_bits: "));
  EXPECT_THAT(with_weights("num_bits", 5), HasSubstr(".weight_packed: its shape"));
  EXPECT_THAT(with_weights("type", "log"), HasSubstr("type: \"log\""));
  EXPECT_THAT(with_weights("strategy", "token"), HasSubstr("strategy: \"token\""));
  EXPECT_THAT(with_weights("dynamic", true), HasSubstr("dynamic"));
  EXPECT_THAT(with_weights("of_tomorrow", 3), HasSubstr("\"of_tomorrow\""));
  EXPECT_THAT(with_weights("group_size", 1 << 30), HasSubstr(".weight_packed: its shape"));
}

// The modules that the settings leave out are plain: what is packed there is not theirs.
TEST(PackedFolder, LeavesOutWhatItsSettingsLeaveOut) {
  EXPECT_THAT(with_setting("fp8_block", "modules_to_not_convert", {"model.layers.0"}),
              HasSubstr("does not say how"));
  EXPECT_THAT(with_setting("awq", "modules_to_not_convert", {"q_proj", "o_proj"}),
              HasSubstr("does not say how"));
  EXPECT_THAT(with_setting("ct_int4", "ignore", {"re:.*q_proj"}), HasSubstr("does not say how"));
  EXPECT_EQ(with_setting("fp8_block", "modules_to_not_convert", {"model.layers.00", "proj.x"}), "");
}

TEST(PackedFolder, OfBitsandbytesNamesTheModelItWasMadeOf) {
  const auto of_bits = [](const std::string& card) {
    PackedCheckpoint c("fp8_block");
    c.config["quantization_config"] = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}};
    const TempFolder folder;
    c.save(folder);
    folder.write("README.md", card);
    return recognize(folder.path()).sentence;
  };
  EXPECT_THAT(of_bits("---\nlicense: mit\nbase_model: some/model-1B\n---\n"),
              AllOf(HasSubstr("bitsandbytes, 4 bits"), HasSubstr("made of: some/model-1B")));
  EXPECT_THAT(of_bits("---\nbase_model:\n- some/model-1B\n---\n"), HasSubstr("of: some/model-1B"));
  EXPECT_THAT(of_bits("nothing"), HasSubstr("its card names it"));
}

}  // namespace
}  // namespace hearth::llm
