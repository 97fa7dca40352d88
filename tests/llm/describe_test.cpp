// What a folder's model costs, without reading its weights.
#include "hearth/llm/describe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hearth/llm/registry.h"
#include "hearth/llm/tokenizer.h"
#include "hearth/ops/create.h"
#include "tests/llm/tiny_checkpoint.h"

namespace hearth::llm {
namespace {

using ::testing::HasSubstr;
using testing::TempFolder;
using testing::TinyCheckpoint;

/// A tiny checkpoint's tensors, as its file lists them.
nlohmann::json tensors_of(const std::string& name) {
  return nlohmann::json::parse(
      std::ifstream(testing::source_dir() / "tests/data/models" / name / "tiny.json"))["tensors"];
}

TEST(Describe, CountsWhatATokenPassesThroughInEveryFamily) {
  const auto known = known_models();
  int seen = 0, mixtures = 0;
  for (const std::string& name : TinyCheckpoint::names()) {
    const TinyCheckpoint checkpoint(name);
    if (std::find(known.begin(), known.end(), checkpoint.model_type()) == known.end()) continue;
    ++seen;
    const Description d = describe(checkpoint.path());
    EXPECT_EQ(d.use, "generate") << name << d.found.sentence;
    EXPECT_TRUE(d.has_weights) << name;
    EXPECT_FALSE(d.shape) << name;
    bool experts = false;
    const auto tensors = tensors_of(name);
    for (const auto& [tensor, shape] : tensors.items())
      experts |= tensor.find(".experts.") != tensor.npos ||
                 tensor.find("block_sparse_moe.") != tensor.npos;
    EXPECT_EQ(d.costs.active < d.costs.parameters, experts) << name;
    mixtures += experts;
    // As it is once it is loaded.
    const auto model = load_model(checkpoint.path());
    EXPECT_EQ(d.costs.bytes_per_token, model->facts.bytes_per_token) << name;
    EXPECT_LE(d.costs.bytes_per_token, model->facts.weights_bytes) << name;
    // Rows of a step share the weights; of experts, the more rows the more are read.
    const double one = model->bytes_per_step(1), four = model->bytes_per_step(4);
    EXPECT_NEAR(one, double(d.costs.bytes_per_token), 100 + one / 1000) << name;
    EXPECT_EQ(four > 1.01 * one, experts) << name;
    EXPECT_LE(model->bytes_per_step(1000), double(model->facts.weights_bytes) * 1.0001) << name;
    // State: what a cache takes for so many tokens, which comes in blocks of 64.
    auto cache = model->make_cache();
    const int tokens = std::min(64, model->facts.context_length);
    cache.reserve(tokens);
    EXPECT_LE(model->state_bytes(tokens, model->facts.dtype), cache.nbytes()) << name;
    EXPECT_LE(model->state_bytes(1, model->facts.dtype), model->state_bytes(2, model->facts.dtype));
    EXPECT_EQ(model->state_bytes({&tokens, 1}, tokens), cache.nbytes()) << name;
  }
  EXPECT_GE(seen, 20);
  EXPECT_GE(mixtures, 2);
}

TEST(Describe, StateIsWhatTheCacheTakes) {
  LoadOptions options;
  options.dtype = float32;
  const auto model = load_model(testing::source_dir() / "models/tiny-phi", options);
  auto cache = model->make_cache();
  cache.reserve(64);
  EXPECT_EQ(model->state_bytes(cache.capacity(), float32), cache.nbytes());
  EXPECT_EQ(model->state_bytes(cache.capacity(), float16), cache.nbytes() / 2);
}

TEST(Describe, SaysWhatAModelIsThatItCannotRun) {
  const TempFolder folder;
  folder.write("config.json", R"({"model_type": "strange"})");
  Description d = describe(folder.path());
  EXPECT_EQ(d.use, "");
  EXPECT_FALSE(d.shape);
  EXPECT_THAT(d.found.sentence, HasSubstr("\"strange\""));
  save_safetensors((folder / "model.safetensors").string(), {{"x", zeros({2, 3}, float16)}});
  d = describe(folder.path());
  EXPECT_EQ(d.use, "");
  EXPECT_EQ(d.found.parameters, 6u);
  EXPECT_EQ(d.found.bytes, 12u);
  EXPECT_EQ(d.found.type, "strange");
  EXPECT_EQ(describe(folder / "nothing").use, "");
}

TEST(Describe, NamesTokenizerAndTemplate) {
  const TempFolder folder;
  EXPECT_EQ(describe_tokenizer(folder.path()), "");
  EXPECT_EQ(describe_template(folder.path()), "");
  folder.write("tokenizer_config.json", R"({"chat_template": "{{ messages }}"})");
  EXPECT_EQ(describe_template(folder.path()), "tokenizer_config.json");
  folder.write("chat_template.jinja", "x");
  EXPECT_EQ(describe_template(folder.path()), "chat_template.jinja");
  folder.write("tokenizer.model", "x");
  EXPECT_EQ(describe_tokenizer(folder.path()), "in tokenizer.model, which hearth cannot read");
  std::filesystem::copy_file(testing::source_dir() / "tests/data/tokenizers/spm_bpe.model",
                             folder / "tokenizer.model",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(describe_tokenizer(folder.path()),
            concat(Tokenizer::load(folder.path()).vocab_size(), " tokens, in tokenizer.model"));
  folder.write("tokenizer.json", "[]");
  EXPECT_EQ(describe_tokenizer(folder.path()), "in tokenizer.json, which hearth cannot read");
  EXPECT_EQ(describe_tokenizer(testing::source_dir() / "models/tiny-phi"),
            "BPE, 4096 tokens, in tokenizer.json");
}

}  // namespace
}  // namespace hearth::llm
