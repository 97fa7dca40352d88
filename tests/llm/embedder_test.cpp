// Texts as vectors: those of transformers, pooled as sentence-transformers does.
#include "hearth/llm/embedder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "hearth/io/safetensors.h"
#include "hearth/llm/encoder.h"
#include "hearth/llm/model.h"
#include "hearth/ops/fast.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using hearth::testing::content_of;
using hearth::testing::error_of;
using hearth::testing::source_path;
using hearth::testing::TempFolder;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// tools/goldens_embed.py made it.
const json& golden() {
  static const json all = json::parse(content_of(source_path("tests/data/llm/embed.json")));
  return all;
}

/// The script's formula.
array weights(uint64_t number, const std::string& name, const Shape& shape) {
  size_t size = 1;
  for (const int n : shape) size *= size_t(n);
  std::vector<float> values;
  for (uint64_t i = 0; i < size; ++i) {
    uint32_t x = uint32_t(i * 2654435761u + (number + 1) * 40503u);
    x = (x ^ (x >> 16)) * 2246822519u;
    x ^= x >> 13;
    const bool scale = name.find("LayerNorm.weight") != name.npos;
    values.push_back(float(double(x) / 4294967296.0 - 0.5 + scale));
  }
  return array(values.begin(), shape, float32);
}

/// A folder of sentence-transformers with a tiny encoder of the family.
class EncoderFolder : public TempFolder {
 public:
  explicit EncoderFolder(const std::string& family, const std::string& prefix = "") {
    const json& f = golden()["families"][family];
    Tensors tensors;
    for (size_t i = 0; i < f["names"].size(); ++i) {
      const std::string name = f["names"][i];
      tensors.emplace(prefix + name, weights(i, name, f["shapes"][i].get<Shape>()));
    }
    save_safetensors((*this / "model.safetensors").string(), tensors);
    write("config.json", f["config"].dump());
    write("tokenizer.json", golden()["tokenizer"].dump());
    write("sentence_bert_config.json", json{{"max_seq_length", golden()["max_tokens"]}}.dump());
  }
  /// Pooling ways, and further modules, in modules.json.
  void set_modules(const std::vector<std::string>& pooling, std::vector<std::string> more = {}) {
    json modules = {
        {{"idx", 0}, {"path", ""}, {"type", "sentence_transformers.models.Transformer"}},
        {{"idx", 1}, {"path", "1_Pooling"}, {"type", "sentence_transformers.models.Pooling"}}};
    for (const auto& name : more)
      modules.push_back({{"idx", modules.size()},
                         {"path", concat(modules.size(), "_", name)},
                         {"type", "sentence_transformers.models." + name}});
    write("modules.json", modules.dump());
    json config = {{"word_embedding_dimension", 24}, {"pooling_mode_cls_token", false}};
    for (const auto& mode : pooling) config["pooling_mode_" + mode] = true;
    write("1_Pooling/config.json", config.dump());
  }
};

LoadOptions in_f32() {
  LoadOptions options;
  options.dtype = float32;
  return options;
}

std::vector<std::string> texts() { return golden()["texts"]; }

void expect_close(const array& found, const std::vector<std::vector<float>>& wanted) {
  ASSERT_EQ(found.shape(), (Shape{int(wanted.size()), int(wanted[0].size())}));
  const auto values = found.to_vector<float>();
  for (size_t i = 0; i < wanted.size(); ++i)
    for (size_t k = 0; k < wanted[i].size(); ++k)
      EXPECT_NEAR(values[i * wanted[i].size() + k], wanted[i][k],
                  1e-5 * std::max(1.f, std::abs(wanted[i][k])))
          << "text " << i << ", " << k;
}
std::vector<std::vector<float>> vectors(const std::string& family, const std::string& pooling) {
  std::vector<std::vector<float>> all;
  for (const json& text : golden()["families"][family]["vectors"]) all.push_back(text[pooling]);
  return all;
}
void normalize(std::vector<std::vector<float>>& all) {
  for (auto& v : all) {
    double squares = 0;
    for (const float x : v) squares += double(x) * x;
    for (float& x : v) x = float(x / std::sqrt(squares));
  }
}

TEST(Encoder, GivesWhatTransformersGives) {
  for (const auto& [family, config] : golden()["families"].items()) {
    const EncoderFolder folder(family);
    const Encoder encoder = Encoder::load(folder.path());
    for (size_t i = 0; i < texts().size(); ++i) {
      const std::vector<int> ids = golden()["ids"][i];
      const auto states =
          encoder(array(ids.begin(), Shape{1, int(ids.size())}, int32)).to_vector<float>();
      const std::vector<float> first = config["vectors"][i]["cls"],
                               last = config["vectors"][i]["last"];
      for (size_t k = 0; k < 24; ++k) {
        EXPECT_NEAR(states[k], first[k], 1e-5) << family << " " << i;
        EXPECT_NEAR(states[states.size() - 24 + k], last[k], 1e-5) << family << " " << i;
      }
    }
  }
}

TEST(Encoder, TakesNamesOfATrainedHeadAndOfTensorFlow) {
  const EncoderFolder plain("bert"), headed("bert", "bert.");
  auto tensors = load_safetensors((headed / "model.safetensors").string()).first;
  Tensors renamed;
  for (auto& [name, tensor] : tensors) {
    std::string old = name;
    if (const auto at = old.find("LayerNorm.weight"); at != old.npos)
      old.replace(at, old.npos, "LayerNorm.gamma");
    if (const auto at = old.find("LayerNorm.bias"); at != old.npos)
      old.replace(at, old.npos, "LayerNorm.beta");
    renamed.emplace(old, tensor);
  }
  renamed.emplace("cls.predictions.bias", array({1.f}, {1}));
  renamed.emplace("bert.pooler.dense.bias", array({1.f}, {1}));
  renamed.emplace("bert.embeddings.position_ids", array({0}, {1, 1}));
  save_safetensors((headed / "model.safetensors").string(), renamed);
  const int ids[] = {2, 5, 3};
  const array tokens(std::begin(ids), Shape{1, 3}, int32);
  EXPECT_EQ(Encoder::load(headed.path())(tokens).to_vector<float>(),
            Encoder::load(plain.path())(tokens).to_vector<float>());
}

TEST(Encoder, RefusesWhatItDoesNotKnow) {
  const auto changed = [](const json& change) {
    const EncoderFolder folder("bert");
    json config = golden()["families"]["bert"]["config"];
    config.update(change);
    folder.write("config.json", config.dump());
    return error_of([&] { Encoder::load(folder.path()); });
  };
  EXPECT_THAT(changed({{"model_type", "mpnet"}}),
              AllOf(HasSubstr("mpnet"), HasSubstr("known: bert")));
  EXPECT_THAT(changed({{"position_embedding_type", "relative_key"}}), HasSubstr("relative_key"));
  EXPECT_THAT(changed({{"hidden_act", "snake"}}), HasSubstr("snake"));
  EXPECT_THAT(changed({{"is_decoder", true}}), HasSubstr("is_decoder"));
  EXPECT_THAT(changed({{"num_attention_heads", 5}}), HasSubstr("no multiple"));
  EXPECT_THAT(changed({{"num_hidden_layers", 3}}),
              AllOf(HasSubstr("missing"), HasSubstr("encoder.layer.2.")));
  EXPECT_THAT(changed({{"vocab_size", 31}}), HasSubstr("embeddings.word_embeddings.weight"));
}

TEST(LanguageModel, FeaturesAreWhatTheHeadReads) {
  const auto model = load_model(source_path("tests/data/models/phi"), in_f32());
  const std::vector<int> ids = {5, 99, 3, 200, 17};
  const array tokens(ids.begin(), Shape{1, 5}, int32);
  auto parameters = model->parameters();
  const array logits = fast::linear(model->features(tokens), *parameters.at("lm_head.weight"),
                                    *parameters.at("lm_head.bias"));
  KvCache cache = model->make_cache();
  const auto found = logits.to_vector<float>(),
             wanted = model->forward({tokens, {}, false}, cache).to_vector<float>();
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], wanted[i], 1e-5);
}

TEST(Embedder, TakesTheLastVectorOfADecoder) {
  const auto folder = source_path("models/tiny-phi");
  EmbedOptions options;
  options.dtype = float32;
  const Embedder last = Embedder::load(folder, options);
  EXPECT_EQ(last.pooling(), std::vector{Pooling::last});
  options.pooling = Pooling::mean;
  options.normalize = false;
  const Embedder mean = Embedder::load(folder, options);
  const auto model = load_model(folder, in_f32());
  const std::vector<std::string> words = {"Once upon a time", "The cat", "Once"};
  const auto lasts = last(words).to_vector<float>(), means = mean(words).to_vector<float>();
  for (size_t i = 0; i < words.size(); ++i) {
    const auto ids = last.tokens(words[i]);
    const size_t L = ids.size();
    const auto states =
        model->features(array(ids.begin(), Shape{1, int(L)}, int32)).to_vector<float>();
    double length = 0;
    for (size_t k = 0; k < 320; ++k) length += std::pow(states[(L - 1) * 320 + k], 2);
    for (size_t k = 0; k < 320; ++k) {
      double sum = 0;
      for (size_t t = 0; t < L; ++t) sum += states[t * 320 + k];
      EXPECT_NEAR(means[i * 320 + k], sum / double(L), 1e-4);
      EXPECT_NEAR(lasts[i * 320 + k], states[(L - 1) * 320 + k] / std::sqrt(length), 1e-5);
    }
  }
}

TEST(Embedder, PoolsAsSentenceTransformersDoes) {
  for (const auto& [family, config] : golden()["families"].items()) {
    EncoderFolder folder(family);
    for (const auto& [mode, name] :
         {std::pair("cls_token", "cls"), std::pair("max_tokens", "max"),
          std::pair("mean_tokens", "mean"), std::pair("mean_sqrt_len_tokens", "mean-sqrt-len"),
          std::pair("weightedmean_tokens", "weighted-mean"), std::pair("lasttoken", "last")}) {
      folder.set_modules({mode});
      expect_close(Embedder::load(folder.path())(texts()), vectors(family, name));
    }
  }
}

TEST(Embedder, NormalizesWhereTheModulesSaySo) {
  EncoderFolder folder("bert");
  auto wanted = vectors("bert", "mean");
  const auto plain = wanted;
  normalize(wanted);
  expect_close(Embedder::load(folder.path())(texts()), wanted);  // without modules.json
  folder.set_modules({"mean_tokens"}, {"Normalize"});
  expect_close(Embedder::load(folder.path())(texts()), wanted);
  EmbedOptions options;
  options.normalize = false;
  expect_close(Embedder::load(folder.path(), options)(texts()), plain);
  folder.set_modules({"mean_tokens"});
  expect_close(Embedder::load(folder.path())(texts()), plain);
  options.normalize = true;
  expect_close(Embedder::load(folder.path(), options)(texts()), wanted);
  options.pooling = Pooling::cls;
  wanted = vectors("bert", "cls");
  normalize(wanted);
  expect_close(Embedder::load(folder.path(), options)(texts()), wanted);
}

TEST(Embedder, JoinsSeveralPoolingsAndPutsADenseLayerBehind) {
  EncoderFolder folder("bert");
  folder.set_modules({"mean_tokens", "cls_token"}, {"Dense"});
  folder.write("2_Dense/config.json", R"({"in_features": 48, "out_features": 2, "bias": true,
      "activation_function": "torch.nn.modules.activation.Tanh"})");
  const array weight = weights(1, "w", {2, 48}), bias = weights(2, "b", {2});
  save_safetensors((folder / "2_Dense/model.safetensors").string(),
                   {{"linear.weight", weight}, {"linear.bias", bias}});
  const auto w = weight.to_vector<float>(), b = bias.to_vector<float>();
  auto cls = vectors("bert", "cls"), mean = vectors("bert", "mean");
  std::vector<std::vector<float>> wanted;
  for (size_t i = 0; i < cls.size(); ++i) {
    std::vector<float> in = cls[i];
    in.insert(in.end(), mean[i].begin(), mean[i].end());
    auto& out = wanted.emplace_back();
    for (size_t o = 0; o < 2; ++o) {
      double sum = b[o];
      for (size_t k = 0; k < 48; ++k) sum += double(w[o * 48 + k]) * in[k];
      out.push_back(float(std::tanh(sum)));
    }
  }
  const Embedder embedder = Embedder::load(folder.path());
  EXPECT_EQ(embedder.dimensions(), 2);
  expect_close(embedder(texts()), wanted);
}

TEST(Embedder, AVectorDoesNotDependOnTheOtherTexts) {
  const EncoderFolder folder("bert");
  const Embedder embedder = Embedder::load(folder.path());
  std::vector<std::string> many;
  for (int i = 0; i < 100; ++i)
    for (const auto& text : texts()) many.push_back(text);
  const auto all = embedder(many).to_vector<float>();
  for (size_t i = 0; i < texts().size(); ++i) {
    const auto alone = embedder({texts()[i]}).to_vector<float>();
    for (size_t k = 0; k < alone.size(); ++k)
      EXPECT_NEAR(all[(50 * texts().size() + i) * alone.size() + k], alone[k], 1e-6);
  }
  EXPECT_EQ(embedder({}).shape(), (Shape{0, 24}));
}

TEST(Embedder, CutsATextThatIsTooLongAndKeepsItsEnds) {
  const EncoderFolder folder("bert");
  const Embedder embedder = Embedder::load(folder.path());
  EXPECT_EQ(embedder.max_tokens(), 20);
  for (size_t i = 0; i < texts().size(); ++i)
    EXPECT_EQ(embedder.tokens(texts()[i]), golden()["ids"][i].get<std::vector<int>>());
  std::string longer = "the ";
  for (int i = 0; i < 12; ++i) longer += longer;
  EXPECT_EQ(embedder.tokens(longer).size(), 20u);
  EXPECT_EQ(embedder.tokens(longer).back(), 3);
}

TEST(Embedder, RefusesVectorsThatAreNotFinite) {
  const EncoderFolder folder("bert");
  const auto file = (folder / "model.safetensors").string();
  Tensors tensors = load_safetensors(file).first;
  std::vector<float> table = tensors.at("embeddings.word_embeddings.weight").to_vector<float>();
  table[8 * 24 + 1] = INFINITY;  // "dog"
  tensors.insert_or_assign("embeddings.word_embeddings.weight",
                           array(table.begin(), Shape{30, 24}, float32));
  save_safetensors(file, tensors);
  const Embedder embedder = Embedder::load(folder.path());
  embedder({"the cat"});
  EXPECT_THAT(error_of([&] {
                embedder({"the cat", "a", "the dog", "a cat"});
              }),
              HasSubstr("text 3 holds NaN"));
}

TEST(Embedder, PutsTheModelsPromptBefore) {
  const EncoderFolder folder("bert");
  folder.write(
      "config_sentence_transformers.json",
      R"({"prompts": {"query": "the ", "document": "a "}, "default_prompt_name": "document"})");
  const auto tokens = [&](const EmbedOptions& options) {
    return Embedder::load(folder.path(), options).tokens("cat");
  };
  EXPECT_EQ(tokens({}), (std::vector{2, 6, 7, 3}));
  EmbedOptions options;
  options.prompt_name = "query";
  EXPECT_EQ(tokens(options), (std::vector{2, 5, 7, 3}));
  options.prompt = "dog ";
  EXPECT_EQ(tokens(options), (std::vector{2, 8, 7, 3}));
  options.prompt_name = "passage";
  EXPECT_THAT(error_of([&] { tokens(options); }),
              AllOf(HasSubstr("\"passage\""), HasSubstr("document, query")));
}

TEST(Embedder, RefusesModulesThatItDoesNotKnow) {
  EncoderFolder folder("bert");
  const auto error = [&] { return error_of([&] { Embedder::load(folder.path()); }); };
  folder.set_modules({"mean_tokens"}, {"WeightedLayerPooling"});
  EXPECT_THAT(error(), HasSubstr("\"WeightedLayerPooling\" is not known"));
  folder.set_modules({"median_tokens"});
  EXPECT_THAT(error(), HasSubstr("pooling_mode_median_tokens"));
  folder.set_modules({});
  EXPECT_THAT(error(), HasSubstr("no kind of pooling"));
  folder.write("modules.json", R"([{"path": "../..", "type": "a.Pooling"}])");
  EXPECT_THAT(error(), HasSubstr("outside the folder"));
  folder.write("modules.json", R"([{"path": "", "type": "a.Transformer"}])");
  EXPECT_THAT(error(), HasSubstr("no vectors of texts"));
  folder.write("modules.json", "{}");
  EXPECT_THAT(error(), HasSubstr("wanted a list of modules"));
}

}  // namespace
}  // namespace hearth::llm
