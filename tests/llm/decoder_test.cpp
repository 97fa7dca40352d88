// What a family makes of config.json and of a checkpoint's tensors: wrong values in every field,
// traits that hearth does not have, rules that make parameters of tensors, rope's frequencies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "hearth/llm/generate.h"
#include "hearth/llm/models/family.h"
#include "hearth/llm/prefill.h"
#include "hearth/llm/registry.h"
#include "hearth/ops/ops.h"
#include "tests/llm/rewritten.h"
#include "tests/on_device.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// The configurations in tests/data/models whose family hearth knows.
std::vector<std::pair<std::string, json>> configs() {
  std::vector<std::pair<std::string, json>> all;
  const auto known = known_models();
  for (const auto& entry : fs::directory_iterator(testing::source_path("tests/data/models"))) {
    if (!fs::exists(entry.path() / "config.json")) continue;  // goldens of a model elsewhere
    const json config = json::parse(testing::content_of(entry.path() / "config.json"));
    const json& inner = config.contains("text_config") ? config["text_config"] : config;
    if (std::find(known.begin(), known.end(), inner.value("model_type", "")) != known.end())
      all.emplace_back(entry.path().filename().string(), config);
  }
  return all;
}
JsonObject object(const json& config) { return JsonObject::parse(config.dump(), "config.json"); }
json config_of(const std::string& name) {
  const fs::path folder = testing::source_dir() / "tests/data/models" / name;
  return json::parse(testing::content_of(folder / "config.json"));
}
std::string refused(const json& config) {
  return error_of([&] { make_model(object(config)); });
}

// Each field takes wrong values, also those of nested objects: the family throws, or makes a model;
// it does neither crash nor take memory or time. A quarter of the values for each field, in turn:
// families share most fields.
TEST(ModelConfigs, EveryFieldMayBeWrong) {
  const json wrong[] = {
      nullptr,  0,      -1,   1,   3,          7,    INT32_MAX,     int64_t(1) << 40,
      1e308,    1e-320, -0.5, 0.3, "nonsense", true, json::array(), json::object(),
      {1, 2, 3}};
  size_t tried = 0, fields = 0;
  for (const auto& [name, config] : configs()) {
    const auto try_it = [&, &name = name](const json& changed, const std::string& what) {
      const std::clock_t start = std::clock();
      try {
        const auto model = make_model(object(changed));
        size_t elements = 0;
        for (auto& [key, p] : model->parameters()) elements += p->size();
        EXPECT_GT(elements, 0u);
        EXPECT_NO_THROW(model->make_cache()) << name << ", " << what;
      } catch (const std::runtime_error& error) {
        EXPECT_THAT(error.what(), HasSubstr("config.json")) << name << ", " << what;
      }
      EXPECT_LT(std::clock() - start, 5 * CLOCKS_PER_SEC) << name << ", " << what;
      ++tried;
    };
    for (const auto& [key, value] : config.items()) {
      for (size_t i = fields++ % 4; i < std::size(wrong); i += 4) {
        const json& bad = wrong[i];
        json changed = config;
        changed[key] = bad;
        try_it(changed, key + " = " + bad.dump());
        if (!value.is_object()) continue;
        for (const auto& [inner, old] : value.items()) {
          changed[key] = value;
          changed[key][inner] = bad;
          try_it(changed, key + "." + inner + " = " + bad.dump());
        }
      }
    }
  }
  EXPECT_GT(tried, 200u);
}

TEST(ModelConfigs, WhatHearthDoesNotHaveIsNamed) {
  json config = config_of("phi");
  config["rope_parameters"] = {{"rope_type", "spiral"}};
  EXPECT_THAT(refused(config), AllOf(HasSubstr("\"spiral\" is not known"), HasSubstr("llama3")));
  config = config_of("phi");
  config["hidden_act"] = "wobble";
  EXPECT_THAT(refused(config), AllOf(HasSubstr("hidden_act \"wobble\""), HasSubstr("silu")));
  json qwen = {{"model_type", "qwen3"},   {"hidden_size", 8},         {"intermediate_size", 8},
               {"num_hidden_layers", 2},  {"num_attention_heads", 2}, {"vocab_size", 9},
               {"num_key_value_heads", 1}};
  EXPECT_NO_THROW(make_model(object(qwen)));
  qwen["layer_types"] = {"full_attention", "chunked_attention"};
  EXPECT_THAT(refused(qwen), AllOf(HasSubstr("layer_types"), HasSubstr("\"chunked_attention\"")));
  qwen["layer_types"] = {"full_attention"};
  EXPECT_THAT(refused(qwen), HasSubstr("a list of 2 texts"));
  qwen.erase("layer_types");
  qwen["num_attention_heads"] = 3, qwen["num_key_value_heads"] = 2;
  EXPECT_THAT(refused(qwen), HasSubstr("must divide each other"));
  json gemma = {{"model_type", "gemma3_text"},
                {"hidden_size", 8},
                {"intermediate_size", 8},
                {"num_hidden_layers", 2},
                {"num_attention_heads", 4},
                {"vocab_size", 9},
                {"use_bidirectional_attention", true}};
  EXPECT_THAT(refused(gemma), HasSubstr("use_bidirectional_attention is true"));
}

TEST(ModelConfigs, AWrapperRunsItsLanguageModel) {
  const json inner = config_of("phi");
  json outer = {{"model_type", "phi_with_eyes"}, {"text_config", inner}, {"vision_config", json()}};
  outer["tie_word_embeddings"] = true;
  const auto model = make_model(object(outer));
  EXPECT_EQ(model->facts.type, "phi");
  EXPECT_EQ(model->facts.wrapper, "phi_with_eyes");
  EXPECT_FALSE(model->parameters().contains("lm_head.weight"));
  EXPECT_EQ(make_model(object(inner))->facts.wrapper, "");
}

// ---- State ----

// A window far shorter than the text: the caches are rings that went around, grew in between, and
// hold rows of unequal length.
TEST(ModelStates, RingsGiveWhatWholeCachesDo) {
  HEARTH_CPU_ONLY("rings are kept on the CPU alone");
  testing::TempFolder folder;
  const json config = {{"model_type", "mistral"},  {"hidden_size", 32},
                       {"intermediate_size", 48},  {"num_hidden_layers", 2},
                       {"num_attention_heads", 4}, {"num_key_value_heads", 2},
                       {"head_dim", 16},           {"vocab_size", 61},
                       {"sliding_window", 100},    {"max_position_embeddings", 4096}};
  folder.write("config.json", config.dump());
  const auto model = load_model(folder.path(), {.dtype = float32, .random_weights = true});
  for (auto& [name, p] : model->parameters())
    if (name.ends_with("proj.weight")) *p = multiply(*p, array(8.0f));  // so that context counts
  std::vector<int> ids;
  for (int i = 0; i < 1600; ++i) ids.push_back(1 + (i * 37 + i * i / 11) % 60);
  const auto expect_near = [](const std::vector<float>& got, const std::vector<float>& wanted,
                              const std::string& what) {
    ASSERT_EQ(got.size(), wanted.size()) << what;
    float most = 0, off = 0;
    for (size_t i = 0; i < wanted.size(); ++i)
      most = std::max(most, std::abs(wanted[i])), off = std::max(off, std::abs(got[i] - wanted[i]));
    EXPECT_LE(off, 2e-5f * most) << what;
  };
  const auto whole = [&](std::span<const int> text) {
    auto cache = model->make_cache();
    const auto logits = prefill(*model, cache, text, 4000);
    EXPECT_FALSE(cache.layer(0).ring);
    return logits.to_vector<float>();
  };
  const auto wanted = whole(ids);
  for (int chunk : {64, 333, 450}) {
    auto cache = model->make_cache();
    const auto got = prefill(*model, cache, ids, chunk).to_vector<float>();
    EXPECT_TRUE(cache.layer(0).ring);
    EXPECT_LE(cache.layer(1).parts[0].shape(2), chunk == 450 ? 1024 : 512);
    expect_near(got, wanted, concat("in chunks of ", chunk));
  }
  // Chunks, then one that the ring has no room for: it grows after it went around.
  auto cache = model->make_cache();
  prefill(*model, cache, std::span(ids).first(900), 50);
  const int before = cache.layer(0).parts[0].shape(2);
  const auto got = prefill(*model, cache, std::span(ids).subspan(900), 700).to_vector<float>();
  EXPECT_GT(cache.layer(0).parts[0].shape(2), before);
  expect_near(got, wanted, "in a ring that grew");
  // Two rows, the second 700 tokens shorter, fed together and padded.
  auto two = model->make_cache(2);
  array logits(0.0f);
  for (int at = 0, short_at = 0; at < 1600; at += 160, short_at += 90) {
    std::vector<int> step(ids.begin() + at, ids.begin() + at + 160);
    step.insert(step.end(), ids.begin() + short_at, ids.begin() + short_at + 90);
    step.resize(320, 7);
    logits = model->forward({array(step.begin(), {2, 160}, int32), {160, 90}, true}, two);
  }
  const auto both = logits.to_vector<float>();
  expect_near({both.begin(), both.begin() + 61}, wanted, "the longer row");
  expect_near({both.begin() + 61, both.end()}, whole(std::span(ids).first(900)), "the shorter row");
  // What is recorded goes on in the ring.
  GenerateOptions options;
  options.max_tokens = 300;
  const auto tail = generate(*model, std::span(ids).first(700), options).ids;
  std::vector<int> text(ids.begin(), ids.begin() + 700);
  text.insert(text.end(), tail.begin(), tail.end() - 1);
  const auto last = whole(text);
  EXPECT_EQ(std::max_element(last.begin(), last.end()) - last.begin(), tail.back());
}

// A prompt within the first context, and a text that outgrows it, have other frequencies: the text
// is that of a prompt that long, however it came about.
TEST(ModelStates, ATextThatOutgrowsItsFirstContextIsReadAgain) {
  testing::TempFolder folder;
  const json rope = {{"type", "longrope"},
                     {"short_factor", json::array({1, 1, 1, 1, 1, 1, 1, 1})},
                     {"long_factor", json::array({1, 2, 3, 4, 5, 6, 7, 8})}};
  const json config = {{"model_type", "phi3"},          {"hidden_size", 32},
                       {"intermediate_size", 48},       {"num_hidden_layers", 2},
                       {"num_attention_heads", 2},      {"vocab_size", 61},
                       {"rope_scaling", rope},          {"original_max_position_embeddings", 30},
                       {"max_position_embeddings", 128}};
  folder.write("config.json", config.dump());
  const auto model = load_model(folder.path(), {.dtype = float32, .random_weights = true});
  for (auto& [name, p] : model->parameters())
    if (name.ends_with("proj.weight")) *p = multiply(*p, array(9.0f));
  std::vector<int> text{5, 9, 40, 3, 22, 17, 60, 1, 8, 8, 31, 12, 50, 2, 44, 19, 7, 28, 33, 14};
  GenerateOptions options;
  options.max_tokens = 30;
  for (const int id : generate(*model, text, options).ids) {
    auto cache = model->make_cache();
    const auto logits = prefill(*model, cache, text, 7).to_vector<float>();
    ASSERT_EQ(std::max_element(logits.begin(), logits.end()) - logits.begin(), id) << text.size();
    text.push_back(id);
  }
}

// ---- Rules ----

Tensors tensors(std::initializer_list<std::pair<const std::string, array>> all) { return all; }
std::vector<float> values(const Tensors& all, const std::string& name) {
  return all.contains(name) ? all.at(name).to_vector<float>() : std::vector<float>{-1};
}

TEST(Rewrites, RenameSkipAndAnchor) {
  const std::vector<Rewrite> rules{
      {"^a.", "x."}, {".b$", ".c"}, {"drop", "", Rewrite::skip}, {"n.*.w", "w.*"}};
  const Tensors out = rewritten(tensors({{"a.b", array(1.0f)},
                                         {"b.a.b.d", array(2.0f)},
                                         {"keep.drop.this", array(3.0f)},
                                         {"n.12.w", array(4.0f)},
                                         {"n.q.w", array(5.0f)}}),
                                rules);
  EXPECT_EQ(out.size(), 4u);
  EXPECT_EQ(values(out, "x.c"), std::vector<float>{1});
  EXPECT_EQ(values(out, "b.a.b.d"), std::vector<float>{2});
  EXPECT_EQ(values(out, "w.12"), std::vector<float>{4});
  EXPECT_EQ(values(out, "n.q.w"), std::vector<float>{5});
}

TEST(Rewrites, SplitTransposeStackAndAddOne) {
  const array rows = reshape(arange(12.0), {6, 2});
  const std::vector<Rewrite> rules{
      {"qkv.w", "q.w,k.w,v.w", Rewrite::split, {3, 2, 1}},
      {"by_head.w", "a.w,b.w", Rewrite::split, {}, 3},
      {"t.w$", "t.w", Rewrite::transpose},
      {"norm.w$", "norm.w", Rewrite::plus_one},
      {"e.*.w", "e.w", Rewrite::stack},
  };
  Tensors in = tensors(
      {{"qkv.w", rows}, {"by_head.w", rows}, {"t.w", rows}, {"norm.w", array({0.0f, -1.0f})}});
  for (int i = 0; i < 11; ++i) in.emplace("e." + std::to_string(i) + ".w", full({2}, float(i)));
  const Tensors out = rewritten(in, rules);
  EXPECT_EQ(out.at("q.w").shape(), (Shape{3, 2}));
  EXPECT_EQ(values(out, "v.w"), (std::vector<float>{10, 11}));
  EXPECT_EQ(values(out, "a.w"), (std::vector<float>{0, 1, 4, 5, 8, 9}));
  EXPECT_EQ(values(out, "b.w"), (std::vector<float>{2, 3, 6, 7, 10, 11}));
  EXPECT_EQ(values(out, "t.w"), (std::vector<float>{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11}));
  EXPECT_EQ(values(out, "norm.w"), (std::vector<float>{1, 0}));
  EXPECT_EQ(out.at("e.w").shape(), (Shape{11, 2}));
  EXPECT_EQ(slice(out.at("e.w"), {10, 0}, {11, 2}).to_vector<float>(),
            (std::vector<float>{10, 10}));
}

// What a family's rules make of a checkpoint can be written as one again.
TEST(Rewrites, GoBackwardsForEveryFamily) {
  for (const auto& [name, config] : configs()) {
    const auto model = make_model(object(config));
    fill_random(model->parameters(), float32, 7);
    const Tensors before = nn::tensors(model->parameters());
    const Tensors after = rewritten(rewrite_back(before, model->rewrites()), model->rewrites());
    EXPECT_EQ(after.size(), before.size()) << name;
    for (const auto& [key, x] : before) {
      ASSERT_TRUE(after.contains(key)) << name << ": " << key;
      EXPECT_TRUE(allclose(after.at(key), x, 0, 1e-6).item<bool>()) << name << ": " << key;
    }
  }
}

TEST(Rewrites, ThatDoNotFitNameTheTensor) {
  const auto fails = [](const Tensors& in, const Rewrite& rule) {
    return error_of([&] { rewritten(in, std::span(&rule, 1)); });
  };
  const Tensors one = tensors({{"m.w", zeros({5, 2})}});
  EXPECT_THAT(fails(one, {"m.w", "a,b", Rewrite::split, {2, 2}}),
              AllOf(HasSubstr("m.w: its shape is"), HasSubstr("does not split")));
  EXPECT_THAT(fails(one, {"m.w", "a,b", Rewrite::split}), HasSubstr("m.w"));
  EXPECT_THAT(fails(one, {"m.w", "a,b", Rewrite::split, {}, 2}), HasSubstr("m.w"));
  EXPECT_THAT(fails(tensors({{"s", array(1.0f)}}), {"s", "a,b", Rewrite::split}), HasSubstr("s:"));
  EXPECT_THAT(fails(tensors({{"s", array({1.0f})}}), {"s", "s", Rewrite::transpose}),
              HasSubstr("wanted 2 axes"));
  const Tensors gap = tensors({{"e.0.w", zeros({2})}, {"e.2.w", zeros({2})}});
  EXPECT_THAT(fails(gap, {"e.*.w", "e.w", Rewrite::stack}), HasSubstr("part 1 is missing"));
  const Tensors odd = tensors({{"e.0.w", zeros({2})}, {"e.1.w", zeros({3})}});
  EXPECT_THAT(fails(odd, {"e.*.w", "e.w", Rewrite::stack}), HasSubstr("its parts are"));
  const Tensors huge = tensors({{"e.99999999999999999999.w", zeros({2})}});
  EXPECT_THAT(fails(huge, {"e.*.w", "e.w", Rewrite::stack}), HasSubstr("number is too large"));
  EXPECT_THAT(fails(tensors({{"a", array(1.0f)}, {"b", array(1.0f)}}), {"b", "a"}),
              HasSubstr("a: is there twice"));
}

TEST(Rewrites, MessagesNameWhatTheCheckpointHas) {
  const std::vector<Rewrite> rules{{".post.", ".after."},
                                   {".pre.", ".post."},
                                   {"gate_up.w", "gate.w,up.w", Rewrite::split},
                                   {"^t.", "model."}};
  EXPECT_EQ(name_before("model.0.post.w", rules), "t.0.pre.w");
  EXPECT_EQ(name_before("model.0.after.w", rules), "t.0.post.w");
  EXPECT_EQ(name_before("model.0.up.w", rules), "t.0.gate_up.w");
  EXPECT_EQ(name_before("lm_head.w", rules), "lm_head.w");
}

// ---- Rope ----

TEST(RopeConfigs, OldAndNewFormsAgree) {
  const auto read = [](const json& config) {
    const Rope rope = read_rope(object(config), 16);
    std::vector<float> all = rope.freqs ? rope.freqs->to_vector<float>() : std::vector<float>();
    all.insert(all.end(), {float(rope.rotation.dims), rope.rotation.base, rope.rotation.amplitude});
    return all;
  };
  json inside = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 16}};
  json old = {{"max_position_embeddings", 64}, {"rope_theta", 500.0}, {"rope_scaling", inside}};
  inside["rope_theta"] = 500.0;
  EXPECT_EQ(read(old), read({{"max_position_embeddings", 64}, {"rope_parameters", inside}}));
  inside["type"] = "yarn", inside.erase("rope_type");
  EXPECT_EQ(read(old), read({{"max_position_embeddings", 64}, {"rope_parameters", inside}}));
  EXPECT_EQ(read_context(object({{"max_position_embeddings", 64},
                                 {"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}})),
            128);
}

TEST(RopeConfigs, ListsOfFactorsAreChecked) {
  json config = {{"max_position_embeddings", 64},
                 {"rope_scaling",
                  {{"type", "longrope"},
                   {"original_max_position_embeddings", 16},
                   {"short_factor", json::array({1, 1, 1, 1})},
                   {"long_factor", json::array({1, 2, 3, 4})}}}};
  EXPECT_NO_THROW(read_rope(object(config), 8));
  for (const json& bad : {json(), json::array({1, 2, 3}), json::array({1, 2, 3, 0}),
                          json::array({1, 2, 3, "x"}), json(7)}) {
    json changed = config;
    changed["rope_scaling"]["long_factor"] = bad;
    EXPECT_THAT(error_of([&] { read_rope(object(changed), 8); }), HasSubstr("long_factor"));
  }
}

}  // namespace
}  // namespace hearth::llm
