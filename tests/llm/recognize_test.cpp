// What is said of a model's folder: that it can be run, or what it is instead. What recognize()
// says and what load_model throws are the same.
#include "hearth/llm/recognize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "hearth/io/safetensors.h"
#include "hearth/ops/ops.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::AnyOf;
using testing::content_of;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::Not;

/// A copy of tests/data/models/phi, with its config.json and its tensors to be changed.
class Folder : public ::testing::Test {
 protected:
  Folder()
      : config_(json::parse(content_of(source_ / "config.json"))),
        tensors_(load_safetensors((source_ / "model.safetensors").string()).first) {
    save();
  }
  void save() {
    folder_.write("config.json", config_.dump());
    save_safetensors((folder_ / "model.safetensors").string(), tensors_);
  }
  /// What recognize() says; load_model must refuse with the same.
  std::string refused() {
    const Recognized found = recognize(folder_.path());
    EXPECT_FALSE(found.usable);
    EXPECT_EQ(error_of([&] { load_model(folder_.path()); }), found.sentence);
    return found.sentence;
  }
  std::string refused_with(const char* key, const json& value) {
    const json before = config_;
    config_[key] = value;
    folder_.write("config.json", config_.dump());
    config_ = before;
    return refused();
  }
  std::vector<float> logits() {
    const auto model = load_model(folder_.path(), {.dtype = float32});
    auto cache = model->make_cache();
    return model->forward({array({1, 2, 3}, {1, 3}, int32), {}, true}, cache).to_vector<float>();
  }

  const std::filesystem::path source_ = testing::source_path("tests/data/models/phi");
  testing::TempFolder folder_;
  json config_;
  Tensors tensors_;
};

TEST_F(Folder, ThatIsAModelIsCounted) {
  const Recognized found = recognize(folder_.path());
  EXPECT_TRUE(found.usable) << found.sentence;
  EXPECT_EQ(found.type, "phi");
  EXPECT_EQ(found.tensors, tensors_.size());
  size_t elements = 0, bytes = 0;
  for (const auto& [name, a] : tensors_) elements += a.size(), bytes += a.nbytes();
  EXPECT_EQ(found.parameters, elements);
  EXPECT_EQ(found.bytes, bytes);
  EXPECT_EQ(found.dtypes.size(), 1u);
  EXPECT_FALSE(found.tokenizer);
  EXPECT_THAT(found.sentence, AllOf(HasSubstr(": a phi model, "), HasSubstr("token ids only")));
  folder_.write("tokenizer.json", "{}");
  EXPECT_TRUE(recognize(folder_.path()).tokenizer);
}

TEST_F(Folder, OfQuantizedWeightsSaysHow) {
  const std::pair<json, const char*> cases[] = {
      {{{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}}, "(bitsandbytes, 4 bits)"},
      {{{"load_in_8bit", true}}, "8 bits"},
      {{{"quant_method", "of tomorrow"}}, "quantized (of tomorrow)"},
      {{{"quant_method", "nvfp4"}}, "(NVFP4)"},
      {{{"quant_method", "hqq"}, {"weight_bits", 3}}, "(HQQ, 3 bits)"},
      {{{"quant_method", "exl2"}, {"bits", 4.5}}, "(EXL2, 4.5 bits)"},
      {{{"group_size", 128}}, "(a method that quantization_config does not name)"},
      {{{"quant_method", "bitsandbytes"}, {"load_in_4bit", false}, {"load_in_8bit", true}},
       "(bitsandbytes, 8 bits)"},
  };
  for (const auto& [settings, said] : cases)
    EXPECT_THAT(refused_with("quantization_config", settings),
                AllOf(HasSubstr(said), AnyOf(HasSubstr("cannot read yet; it reads plain weights"),
                                             HasSubstr("its card names it"))));
  EXPECT_THAT(refused_with("compression_config", {{"quant_method", "sparseml"}}),
              HasSubstr("quantized (sparseml)"));
  EXPECT_THAT(refused_with("text_config", {{"quantization_config", {{"quant_method", "hqq"}}}}),
              HasSubstr("HQQ"));
}

TEST_F(Folder, WithSettingsThatQuantizeNothingIsPlain) {
  for (const json& settings :
       {json(), json::object(),
        json{{"quant_method", "bitsandbytes"}, {"load_in_4bit", false}, {"load_in_8bit", false}}}) {
    config_["quantization_config"] = settings;
    save();
    EXPECT_TRUE(recognize(folder_.path()).usable) << settings;
  }
  // All methods pack the modules of which scales are there: here none.
  for (const char* method : {"mxfp4", "fp8", "fbgemm_fp8", "awq", "gptq", "compressed-tensors"}) {
    config_["quantization_config"] = {{"quant_method", method}};
    save();
    EXPECT_TRUE(recognize(folder_.path()).usable) << method;
  }
  config_["quantization"] = {{"group_size", 64}, {"bits", 4}};
  save();
  EXPECT_TRUE(recognize(folder_.path()).usable);
  EXPECT_EQ(recognize(folder_.path()).packed, "MLX, 4 bits");
}

TEST_F(Folder, OfWeightsWhoseNamesShowThatTheyArePacked) {
  const std::pair<const char*, const char*> packed[] = {{".qweight", "GPTQ or AWQ"},
                                                        {".weight.absmax", "bitsandbytes, 4 bits"},
                                                        {".SCB", "bitsandbytes, 8 bits"},
                                                        {".weight_packed", "compressed-tensors"},
                                                        {".weight_scale_inv", "FP8"},
                                                        {".weight_scale", "FP8"},
                                                        {"_blocks", "MXFP4"},
                                                        {".scales", "MLX"}};
  for (const auto& [end, by] : packed) {
    const std::string name = std::string("model.layers.0.mlp.fc1") + end;
    tensors_.emplace(name, array(1));
    save();
    EXPECT_THAT(refused(), HasSubstr(concat("quantized (", by, ", as \"", name, "\"")));
    tensors_.erase(name);
  }
}

TEST_F(Folder, OfAnotherFamilyNamesThoseThatThereAre) {
  EXPECT_THAT(
      refused_with("model_type", "parrot"),
      AllOf(HasSubstr("model_type \"parrot\" is not known; known: " + known_models().front()),
            Not(HasSubstr("download"))));
  config_["quantization_config"] = {{"quant_method", "hqq"}};
  EXPECT_THAT(refused_with("model_type", "parrot"), HasSubstr("quantized (HQQ)"));
}

TEST_F(Folder, WithoutItsWeights) {
  std::filesystem::remove(folder_ / "model.safetensors");
  EXPECT_THAT(refused(), HasSubstr("no weights: neither"));
  folder_.write("pytorch_model.bin", "PK\3\4" + std::string(22, '\0') + "\x10" +
                                         std::string(3, '\0') + "archive/data.pkl");
  EXPECT_THAT(refused(), HasSubstr("pytorch_model.bin is there: a PyTorch file"));
  folder_.write("model.safetensors", "");
  EXPECT_THAT(refused(), HasSubstr("model.safetensors: the file is empty"));
  folder_.write("model.safetensors", content_of(source_ / "model.safetensors").substr(0, 5000));
  EXPECT_THAT(refused(), HasSubstr("cut short: fetch it again"));
  std::filesystem::remove(folder_ / "config.json");
  EXPECT_THAT(refused(), HasSubstr("it has no config.json, which says what its weights are"));
}

TEST_F(Folder, WithAShardMissingNamesIt) {
  json map;
  for (const auto& [name, a] : tensors_) map[name] = "model-00001-of-00002.safetensors";
  map["lm_head.bias"] = "model-00002-of-00002.safetensors";
  std::filesystem::rename(folder_ / "model.safetensors",
                          folder_ / "model-00001-of-00002.safetensors");
  folder_.write("model.safetensors.index.json", json{{"weight_map", map}}.dump());
  EXPECT_THAT(refused(),
              HasSubstr("1 of 2 shards is missing: \"model-00002-of-00002.safetensors\""));
}

TEST_F(Folder, OfOtherTensorsNamesTwentyAndCountsTheRest) {
  for (int i = 0; i < 1000; ++i) tensors_.emplace("extra." + std::to_string(i), array(1));
  tensors_.erase("lm_head.bias");
  save();
  const std::string said = refused();
  EXPECT_THAT(said,
              AllOf(HasSubstr("not those that config.json describes: 1 missing: lm_head.bias"),
                    HasSubstr("1000 unused: "), HasSubstr(", and 980 more")));
  EXPECT_LT(said.size(), 800u);
}

TEST_F(Folder, OfAnythingElse) {
  EXPECT_THAT(recognize(folder_ / "none").sentence, HasSubstr("no such file or folder"));
  EXPECT_THAT(recognize(folder_ / "model.safetensors").sentence, HasSubstr("name the folder"));
  EXPECT_THAT(recognize(folder_ / "config.json").sentence, HasSubstr("is a JSON text, not the"));
  EXPECT_THAT(recognize(folder_.write("x.gguf", "GGUF\3")).sentence, HasSubstr("a GGUF file"));
  EXPECT_THAT(recognize(folder_.write("x", std::string(9, '\1'))).sentence,
              HasSubstr("of a kind that hearth does not know"));
}

TEST_F(Folder, WithWhatOldCheckpointsKeepIsReadAsTransformersDoes) {
  const auto before = logits();
  tensors_.emplace("model.layers.0.self_attn.rotary_emb.inv_freq", array(1.0f));
  save();
  EXPECT_EQ(logits(), before);
  EXPECT_TRUE(recognize(folder_.path()).usable);
}

// transformers 5: both and equal, the head alone, the embedding alone: tied; both and different:
// not.
TEST_F(Folder, WithATiedHeadIsReadAsTransformersDoes) {
  config_["tie_word_embeddings"] = true;
  const array embedding = tensors_.at("model.embed_tokens.weight"),
              head = tensors_.at("lm_head.weight");
  save();
  const auto different = logits();
  EXPECT_TRUE(recognize(folder_.path()).usable);
  config_["tie_word_embeddings"] = false;
  save();
  EXPECT_EQ(logits(), different);
  config_["tie_word_embeddings"] = true;
  tensors_.erase("lm_head.weight");
  save();
  const auto tied = logits();
  EXPECT_NE(tied, different);
  tensors_.insert_or_assign("lm_head.weight", embedding);
  save();
  EXPECT_EQ(logits(), tied);
  EXPECT_TRUE(recognize(folder_.path()).usable);
  EXPECT_FALSE(load_model(folder_.path())->parameters().contains("lm_head.weight"));
  tensors_.erase("model.embed_tokens.weight");
  save();
  EXPECT_EQ(logits(), tied);
  EXPECT_TRUE(recognize(folder_.path()).usable);
}

}  // namespace
}  // namespace hearth::llm
