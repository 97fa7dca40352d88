// Folders that MLX quantized: the tiny ones of tests/data/mlx, by tools/tiny_mlx.py, against what
// mlx-lm says of them and against their own dequantized weights; and those that do not fit
// together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/llm/describe.h"
#include "hearth/llm/encoder.h"
#include "hearth/llm/generate.h"
#include "hearth/llm/prefill.h"
#include "hearth/nn/module.h"
#include "hearth/ops/ops.h"
#include "hearth/ops/quantize.h"
#include "tests/llm/tiny_checkpoint.h"
#include "tests/llm/tiny_logits.h"
#include "tests/on_device.h"

namespace hearth::llm {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TempFolder, testing::content_of, testing::source_dir, testing::tiny_tensor;

/// One of them as MLX would have written it, and the same with dense weights.
class MlxFolder {
 public:
  explicit MlxFolder(const std::string& name) {
    const auto from = source_dir() / "tests/data/mlx" / name;
    const json tiny = json::parse(std::ifstream(from / "tiny.json"));
    config = json::parse(content_of(from / "config.json"));
    Tensors values;
    for (const auto& [key, t] : tiny.at("tensors").items()) {
      const std::vector<int> sizes = t[0];
      const array w =
          tiny_tensor(key, Shape(sizes.begin(), sizes.end()), t[1], t[2], tiny.at("salt"));
      if (t[3].is_null()) {
        tensors.emplace(key, w);
        values.emplace(key, w);
        continue;
      }
      const Packing packing = packing_of_mode(
          key, t[3].at("mode"), t[3].at("group_size").get<int>(), t[3].at("bits").get<int>());
      const fast::Matrix m = fast::quantize(w, packing, {}, Device::cpu);
      for (int i = 0; i < int(m.planes().size()); ++i)
        tensors.emplace(nn::plane_name(key, packing, i), m.planes()[size_t(i)]);
      values.emplace(key, fast::dequantize(m, float32));
    }
    positions = tiny.at("positions").get<std::vector<int>>();
    for (const auto& p : tiny.at("prompts"))
      prompts.push_back({p.at("ids"), p.at("greedy"), p.at("logits")});
    save(folder_, tensors);
    json plain = config;
    plain.erase("quantization"), plain.erase("quantization_config");
    dense_.write("config.json", plain.dump());
    save_safetensors((dense_ / "model.safetensors").string(), values);
  }
  static std::vector<std::string> names() {
    std::vector<std::string> all;
    std::error_code absent;  // the tests may have been carried elsewhere
    for (const auto& entry :
         std::filesystem::directory_iterator(source_dir() / "tests/data/mlx", absent))
      all.push_back(entry.path().filename().string());
    std::sort(all.begin(), all.end());
    return all;
  }
  void save(const TempFolder& to, const Tensors& all) const {
    to.write("config.json", config.dump());
    save_safetensors((to / "model.safetensors").string(), all);
  }
  const std::filesystem::path& path() const { return folder_.path(); }
  const std::filesystem::path& dense() const { return dense_.path(); }

  json config;
  Tensors tensors;
  std::vector<int> positions;
  std::vector<testing::TinyCheckpoint::Prompt> prompts;

 private:
  TempFolder folder_, dense_;
};

class MlxFolders : public ::testing::TestWithParam<std::string> {};

TEST_P(MlxFolders, GiveMlxsLogitsAndItsGreedyTokens) {
  const MlxFolder folder(GetParam());
  const auto model = load_model(folder.path());
  EXPECT_EQ(model->facts.dtype, float32);
  for (const auto& prompt : folder.prompts) {
    const auto logits = logits_of(*model, prompt.ids, prompt.ids.size());
    const size_t vocab = size_t(model->facts.vocab_size);
    for (size_t i = 0; i < folder.positions.size(); ++i)
      EXPECT_LT(difference(std::span(logits).subspan(size_t(folder.positions[i]) * vocab, vocab),
                           prompt.logits[i]),
                1e-4f);
    GenerateOptions options;
    options.max_tokens = int(prompt.greedy.size());
    EXPECT_EQ(generate(*model, prompt.ids, options).ids, prompt.greedy);
  }
}

TEST_P(MlxFolders, MeetActivationsInInt8WhereAsked) {
  const MlxFolder folder(GetParam());
  LoadOptions options;
  options.int8 = true;
  const auto plain = load_model(folder.path());
  if (testing::on_device()) {
    EXPECT_THROW(load_model(folder.path(), options), std::runtime_error);
    return;
  }
  const auto model = load_model(folder.path(), options);
  EXPECT_EQ(model->facts.activations(), "int8");
  EXPECT_EQ(plain->facts.activations(), "f32");
  const auto& ids = folder.prompts[0].ids;
  const auto want = logits_of(*plain, ids, 1), got = logits_of(*model, ids, 1);
  double error = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i)
    error += std::pow(got[i] - want[i], 2), size += std::pow(want[i], 2);
  EXPECT_LT(std::sqrt(error / size), 0.1);  // one expert in place of another is the most of it
  EXPECT_NE(got, want);
  EXPECT_EQ(logits_of(*model, ids, 1), got);
}

TEST(MlxFolder, DenseWeightsMeetNothingInInt8) {
  const MlxFolder folder(MlxFolder::names().at(0));
  LoadOptions options;
  options.int8 = true;
  EXPECT_THROW(load_model(folder.dense(), options), std::runtime_error);
}

TEST_P(MlxFolders, GiveTheLogitsOfTheirDequantizedWeightsHoweverTheyAreFed) {
  const MlxFolder folder(GetParam());
  const auto packed = load_model(folder.path()), dense = load_model(folder.dense());
  EXPECT_LT(packed->facts.weights_bytes, dense->facts.weights_bytes / 2);
  EXPECT_LT(packed->facts.bytes_per_token, dense->facts.bytes_per_token / 2);
  const auto& ids = folder.prompts[0].ids;
  const auto want = logits_of(*dense, ids, ids.size());
  for (const size_t step : {size_t(1), size_t(7), ids.size()})
    EXPECT_LT(difference(logits_of(*packed, ids, step), want), 1e-5f) << step;
  // In a batch.
  std::vector<int> both = ids;
  both.insert(both.end(), folder.prompts[1].ids.begin(), folder.prompts[1].ids.end());
  KvCache cache = packed->make_cache(2);
  const array tokens(both.begin(), Shape{2, int(ids.size())}, int32);
  const auto batch = packed->forward({tokens, {}}, cache).to_vector<float>();
  EXPECT_LT(difference(std::span(batch).first(want.size()), want), 1e-5f);
}

TEST_P(MlxFolders, RunInEveryDtype) {
  const MlxFolder folder(GetParam());
  const auto exact = load_model(folder.path());
  const auto& ids = folder.prompts[0].ids;
  const auto want = logits_of(*exact, ids, ids.size());
  for (const Dtype dtype : {float16, bfloat16}) {
    LoadOptions options;
    options.dtype = dtype;
    const auto model = load_model(folder.path(), options);
    EXPECT_EQ(model->facts.weights_bytes < exact->facts.weights_bytes, true);
    KvCache cache = model->make_cache();
    EXPECT_EQ(prefill(*model, cache, ids, 16).dtype(), dtype);
    const bool experts =
        model->costs(dtype).active < model->costs(dtype).parameters;  // a choice may flip
    EXPECT_LT(difference(logits_of(*model, ids, ids.size()), want), experts ? 1.0f : 0.2f);
  }
}

// As folders are: scales in halves. Products take scale * code + bias unrounded.
TEST(MlxFolder, WithScalesInHalvesGivesTheLogitsOfItsDequantizedWeights) {
  for (const Dtype half : {float16, bfloat16}) {
    MlxFolder folder("llama");
    Tensors dense;
    for (auto& [key, x] : folder.tensors)
      if (is_floating(x.dtype())) x = astype(x, half);
    for (const auto& [key, x] : folder.tensors) {
      const std::string path = key.substr(0, key.rfind('.'));
      if (!folder.tensors.contains(path + ".scales")) {
        dense.emplace(key, x);
      } else if (key.ends_with(".weight")) {
        const Arrays planes{x, folder.tensors.at(path + ".scales"),
                            folder.tensors.at(path + ".biases")};
        dense.emplace(key, fast::dequantize(fast::Matrix(Packing::affine_4_32, planes), float32));
      }
    }
    const TempFolder packed, plain;
    folder.save(packed, folder.tensors);
    EXPECT_EQ(load_model(packed.path())->facts.dtype, half);
    json config = folder.config;
    config.erase("quantization"), config.erase("quantization_config");
    plain.write("config.json", config.dump());
    save_safetensors((plain / "model.safetensors").string(), dense);
    for (const Dtype dtype : {float32, half}) {
      LoadOptions options;
      options.dtype = dtype;
      const auto one = load_model(packed.path(), options),
                 other = load_model(plain.path(), options);
      const auto& ids = folder.prompts[0].ids;
      for (const size_t step : {size_t(1), ids.size()})
        EXPECT_LT(difference(logits_of(*one, ids, step), logits_of(*other, ids, step)),
                  dtype == float32 ? 1e-5f : 5e-2f)
            << half << " in " << dtype << ", " << step;
    }
  }
}

TEST_P(MlxFolders, AreDescribedByWhatTheyHold) {
  const MlxFolder folder(GetParam());
  const Description packed = describe(folder.path()), dense = describe(folder.dense());
  const auto model = load_model(folder.path());
  EXPECT_EQ(packed.use, "generate");
  EXPECT_EQ(packed.found.parameters, dense.found.parameters);
  EXPECT_EQ(packed.found.tensors, dense.found.tensors);
  EXPECT_EQ(packed.found.bytes, model->facts.weights_bytes);
  EXPECT_EQ(packed.costs.bytes_per_token, model->facts.bytes_per_token);
  EXPECT_EQ(packed.costs.active, dense.costs.active);
}

INSTANTIATE_TEST_SUITE_P(Tiny, MlxFolders, ::testing::ValuesIn(MlxFolder::names()),
                         [](const auto& info) { return info.param; });

/// What a change of the tensors, or of config.json, is answered with.
std::string answer(const std::function<void(MlxFolder&)>& change, const char* name = "llama") {
  MlxFolder folder(name);
  change(folder);
  const TempFolder changed;
  folder.save(changed, folder.tensors);
  std::string loaded;
  try {
    load_model(changed.path());
  } catch (const std::runtime_error& error) {
    loaded = error.what();
  }
  EXPECT_EQ(recognize(changed.path()).usable, loaded.empty());
  if (!loaded.empty()) {
    EXPECT_EQ(recognize(changed.path()).sentence, loaded);
  }
  return loaded;
}

TEST(MlxFolder, RunsItsShapeWithRandomWeightsThatArePackedAlike) {
  for (const char* name : {"llama_linear", "gpt_oss", "qwen3_moe"}) {
    const MlxFolder folder(name);
    LoadOptions options;
    options.random_weights = true;
    const auto random = load_model(folder.path(), options),
               again = load_model(folder.path(), options);
    const auto real = load_model(folder.path());
    size_t packed = 0;
    for (const auto& [key, p] : real->parameters()) packed += p.packed();
    for (const auto& [key, p] : random->parameters()) {
      packed -= p.packed();
      for (const array& plane : p.planes())  // else every step would dequantize it
        EXPECT_TRUE(row_contiguous(plane.shape(), plane.strides())) << name << ": " << key;
    }
    EXPECT_EQ(packed, 0u) << name;
    EXPECT_NEAR(double(random->facts.weights_bytes), double(real->facts.weights_bytes),
                0.02 * double(real->facts.weights_bytes));
    const auto& ids = folder.prompts[0].ids;
    const auto logits = logits_of(*random, ids, ids.size());
    EXPECT_EQ(logits, logits_of(*again, ids, ids.size()));
    for (const float v : logits) ASSERT_TRUE(std::isfinite(v)) << name;
  }
}

TEST(MlxFolder, ThatDoesNotFitTogetherNamesTheTensor) {
  const std::string q = "model.layers.1.self_attn.q_proj";
  const auto replaced = [&](const char* plane, const Shape& shape, Dtype dtype) {
    return [=](MlxFolder& f) { f.tensors.insert_or_assign(q + plane, zeros(shape, dtype)); };
  };
  EXPECT_EQ(answer([](MlxFolder&) {}), "");
  EXPECT_THAT(answer([&](MlxFolder& f) { f.tensors.erase(q + ".biases"); }),
              HasSubstr(q + ".biases is missing"));
  EXPECT_THAT(answer([&](MlxFolder& f) { f.tensors.erase(q + ".weight"); }),
              HasSubstr(q + ".weight is missing"));
  EXPECT_THAT(answer([&](MlxFolder& f) { f.tensors.erase(q + ".scales"); }),
              HasSubstr(q + ".weight holds codes (uint32), but its scales are missing"));
  EXPECT_THAT(answer(replaced(".scales", {128, 1}, float32)),
              AllOf(HasSubstr(q + ".weight"), HasSubstr("are (128, 1), wanted (128, 2)")));
  EXPECT_THAT(answer(replaced(".scales", {127, 2}, float32)), HasSubstr(q + ".weight"));
  EXPECT_THAT(answer(replaced(".scales", {128, 2}, int32)),
              AllOf(HasSubstr(q + ".weight"), HasSubstr("int32")));
  EXPECT_THAT(answer(replaced(".biases", {128, 2}, float16)),
              AllOf(HasSubstr(q + ".weight"), HasSubstr("float16")));
  EXPECT_THAT(answer(replaced(".weight", {128, 9}, uint32)),
              AllOf(HasSubstr(q + ".weight"), HasSubstr("no whole number of blocks")));
  EXPECT_THAT(answer(replaced(".weight", {128, 8}, float32)), HasSubstr(q + ".weight"));
  EXPECT_THAT(answer([&](MlxFolder& f) {
                f.tensors.insert_or_assign(q + ".weight", zeros({64, 8}, uint32));
                f.tensors.insert_or_assign(q + ".scales", zeros({64, 2}));
                f.tensors.insert_or_assign(q + ".biases", zeros({64, 2}));
              }),
              HasSubstr(q + ".weight is (64, 64), wanted (128, 64)"));
}

// gpt-oss's own files: the same bytes, gate and up in turns, under other names.
TEST(MxfpFolder, OfGptOssGivesTheLogitsOfMlxs) {
  const MlxFolder folder("gpt_oss");
  const auto write = [&](const TempFolder& to, const std::function<void(Tensors&)>& change) {
    Tensors all;
    const auto u8 = [](const array& codes) { return contiguous(view(contiguous(codes), uint8)); };
    for (const auto& [key, x] : folder.tensors) {
      const size_t at = key.find(".mlp.experts.");
      if (at == key.npos) {
        const std::string path = key.substr(0, key.rfind('.'));
        const bool packed = !key.ends_with(".bias") && folder.tensors.contains(path + ".scales");
        if (!packed) all.emplace(key, x);
        if (!packed || key.ends_with(".scales")) continue;
        const Arrays planes{x, folder.tensors.at(path + ".scales")};
        all.emplace(key, fast::dequantize(fast::Matrix(Packing::mxfp4, planes), float32));
        continue;
      }
      const std::string layer = key.substr(0, at) + ".mlp.experts.";
      const auto plane = [&](const std::string& of) { return folder.tensors.at(layer + of); };
      const auto turns = [&](const char* end) {
        const array g = plane(concat("gate_proj", end)), u = plane(concat("up_proj", end));
        Shape shape = g.shape();
        shape[1] *= 2;
        return reshape(hearth::stack({g, u}, 2), shape);
      };
      const auto blocks = [&](const array& codes) {
        const array bytes = u8(codes);
        return reshape(bytes, {bytes.shape(0), bytes.shape(1), bytes.shape(2) / 16, 16});
      };
      all.insert_or_assign(layer + "gate_up_proj_blocks", blocks(turns(".weight")));
      all.insert_or_assign(layer + "gate_up_proj_scales", contiguous(turns(".scales")));
      all.insert_or_assign(layer + "gate_up_proj_bias", contiguous(turns(".bias")));
      all.insert_or_assign(layer + "down_proj_blocks", blocks(plane("down_proj.weight")));
      all.insert_or_assign(layer + "down_proj_scales", plane("down_proj.scales"));
      all.insert_or_assign(layer + "down_proj_bias", plane("down_proj.bias"));
    }
    change(all);
    json config = folder.config;
    config.erase("quantization");
    config["quantization_config"] = {{"quant_method", "mxfp4"}};
    to.write("config.json", config.dump());
    save_safetensors((to / "model.safetensors").string(), all);
  };
  const TempFolder own, damaged;
  write(own, [](Tensors&) {});
  const auto mlx = load_model(folder.path()), model = load_model(own.path());
  EXPECT_TRUE(recognize(own.path()).usable) << recognize(own.path()).sentence;
  for (const auto& prompt : folder.prompts)
    EXPECT_LT(difference(logits_of(*model, prompt.ids, 40), logits_of(*mlx, prompt.ids, 40)),
              1e-5f);
  const std::string blocks = "model.layers.0.mlp.experts.down_proj_blocks";
  const auto fails = [&](const std::function<void(Tensors&)>& change) {
    write(damaged, change);
    return testing::error_of([&] { load_model(damaged.path()); });
  };
  EXPECT_THAT(
      fails([&](Tensors& all) { all.erase("model.layers.0.mlp.experts.down_proj_scales"); }),
      HasSubstr("down_proj_scales is missing"));
  EXPECT_THAT(fails([&](Tensors& all) {
                all.insert_or_assign(blocks, zeros({5, 64, 15}, uint8));
              }),
              HasSubstr("wanted (experts, rows, groups, 16)"));
  EXPECT_THAT(fails([&](Tensors& all) {
                all.insert_or_assign(blocks, zeros({5, 64, 2, 16}, uint8));
              }),
              HasSubstr(blocks + ": the scales of mxfp4 are (5, 64, 3), wanted (5, 64, 2)"));
}

TEST(MlxFolder, SettingsThatAreNotKnownAreErrors) {
  const auto with = [](const char* key, const json& value) {
    return answer([&](MlxFolder& f) { f.config["quantization"][key] = value; });
  };
  EXPECT_THAT(with("bits", 7), HasSubstr("7 bits in groups of 32"));
  EXPECT_THAT(with("bits", 8), HasSubstr("weight"));
  EXPECT_THAT(with("bits", "four"), HasSubstr("bits: wanted a positive integer, got \"\"four\"\""));
  EXPECT_THAT(with("bits", -1), HasSubstr("wanted a positive integer"));
  EXPECT_THAT(with("bits", 1e300), HasSubstr("wanted a positive integer"));
  EXPECT_THAT(with("group_size", 0), HasSubstr("group_size: wanted a positive integer"));
  EXPECT_THAT(with("group_size", 64), HasSubstr("weight"));
  EXPECT_THAT(with("mode", "vq3"), HasSubstr("mode 'vq3' is not one of affine"));
  EXPECT_THAT(with("mode", 3), HasSubstr("mode: wanted a text"));
  EXPECT_THAT(with("mode", "mxfp4"), HasSubstr("weight"));
  const std::string path = "model.layers.0.mlp.up_proj";
  EXPECT_THAT(with(path.c_str(), false), HasSubstr(path + ".scales is there"));
  EXPECT_THAT(with(path.c_str(), {{"bits", 8}, {"group_size", 32}}), HasSubstr(path + ".weight"));
  EXPECT_THAT(with(path.c_str(), {{"bits", 9}}), HasSubstr("quantization: " + path + ": 9 bits"));
  EXPECT_EQ(with(path.c_str(), true), "");
  // In the other place only, and nowhere.
  const auto without = [](MlxFolder& f) { f.config.erase("quantization"); };
  EXPECT_EQ(answer(without), "");
  EXPECT_THAT(answer([&](MlxFolder& f) { without(f), f.config.erase("quantization_config"); }),
              HasSubstr("does not say how, under \"quantization\""));
}

}  // namespace
}  // namespace hearth::llm
