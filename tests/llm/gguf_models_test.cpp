// GGUF files as models: the one that is committed, against what transformers and tokenizers say of
// it; and, where $HEARTH_GGUF names a folder of them, the tiny checkpoints as llama.cpp's converter
// writes them, its vocabularies with their expected ids, and real models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "hearth/llm/chat_template.h"
#include "hearth/llm/checkpoint.h"
#include "hearth/llm/describe.h"
#include "hearth/llm/generate.h"
#include "hearth/llm/gguf.h"
#include "hearth/llm/perplexity.h"
#include "hearth/ops/ops.h"
#include "tests/gguf_file.h"
#include "tests/llm/tiny_checkpoint.h"

namespace hearth::llm {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::content_of;
using ::testing::ElementsAre;
using testing::error_of;
using testing::GgufFile;
using ::testing::HasSubstr;
using testing::TempFolder;

const fs::path kTiny = "tests/data/gguf/tiny.gguf";
fs::path tiny() { return testing::source_dir() / kTiny; }
const nlohmann::json& expected() {  // it stays: tests walk through parts of it
  static const auto all =
      nlohmann::json::parse(content_of(testing::source_dir() / "tests/data/gguf/tiny.json"));
  return all;
}

std::vector<float> logits(LanguageModel& model, const std::vector<int>& ids) {
  auto cache = model.make_cache();
  const array tokens(ids.begin(), Shape{1, int(ids.size())}, int32);
  return astype(model.forward({tokens, {}, false}, cache), float32).to_vector<float>();
}

/// The largest difference, relative to the largest of `wanted`.
float error(std::span<const float> got, std::span<const float> wanted) {
  float difference = 0, largest = 0;
  EXPECT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < std::min(got.size(), wanted.size()); ++i) {
    difference = std::max(difference, std::abs(got[i] - wanted[i]));
    largest = std::max(largest, std::abs(wanted[i]));
  }
  return std::isfinite(difference) ? difference / largest : INFINITY;
}

TEST(GgufModel, LogitsAreThoseOfItsDequantisedWeights) {
  const auto& wanted = expected();
  const auto model = load_model(tiny(), {.dtype = float32});
  const auto all = logits(*model, wanted["ids"]);
  const size_t vocab = size_t(model->facts.vocab_size);
  for (size_t i = 0; i < wanted["positions"].size(); ++i) {
    const std::vector<float> row = wanted["logits"][i];
    ASSERT_EQ(row.size(), vocab);
    EXPECT_LT(error({all.data() + wanted["positions"][i].get<size_t>() * vocab, vocab}, row),
              1e-3f);
  }
  EXPECT_EQ(model->facts.type, "llama");
  EXPECT_EQ(model->facts.layers, 2);
  EXPECT_EQ(model->facts.context_length, 128);
}

// What is packed gives what its values give: the same file with all of it unpacked before.
TEST(GgufModel, PackedWeightsComputeAsTheirValuesDo) {
  Checkpoint values = read_checkpoint(tiny());
  values.tensors = [read = values.tensors](bool v) {
    fast::Matrices all = read(v);
    size_t packed = 0;
    for (auto& [name, m] : all) {
      packed += m.packed();
      if (m.packed()) m = fast::dequantize(m, float32);
    }
    EXPECT_EQ(packed, 11u);
    return all;
  };
  const std::vector<int> ids = expected()["ids"];
  for (const Dtype dtype : {float32, bfloat16}) {
    const auto wanted = load_model(values, {.dtype = dtype}),
               got = load_model(tiny(), {.dtype = dtype});
    EXPECT_LT(got->facts.weights_bytes, wanted->facts.weights_bytes);
    EXPECT_LT(error(logits(*got, ids), logits(*wanted, ids)), dtype == float32 ? 1e-5f : 3e-2f);
  }
}

TEST(GgufModel, TokenizesAsTheTokenizerThatItWasMadeOf) {
  const Tokenizer tokenizer = Tokenizer::load(tiny());
  for (const auto& one : expected()["texts"]) {
    const std::string text = one["text"];
    const std::vector<int> ids = one["ids"];
    EXPECT_EQ(tokenizer.encode(text), ids) << text;
    EXPECT_EQ(tokenizer.decode(std::span(ids).subspan(1)), text);
  }
  EXPECT_EQ(tokenizer.config().bos_token, "<|begin_of_text|>");
  EXPECT_TRUE(tokenizer.is_special(*tokenizer.token_to_id("<|eot_id|>")));
  const std::string typed = "<|eot_id|>";
  const Tokenizer::Piece pieces[] = {{typed, false}};
  EXPECT_GT(tokenizer.encode(pieces, false).size(), 1u);
}

TEST(GgufModel, HasItsTemplateAndWhatEndsAnAnswer) {
  const auto chat = ChatTemplate::load(tiny());
  ASSERT_TRUE(chat.has_value());
  Conversation conversation;
  conversation.messages = R"([{"role": "user", "content": "Hi"}])";
  EXPECT_EQ(chat->render(conversation).text(),
            "<|begin_of_text|><|start|>user: Hi<|eot_id|><|start|>assistant:");
  const Tokenizer tokenizer = Tokenizer::load(tiny());
  EXPECT_THAT(gguf_stop_ids(Gguf::open(tiny())), ElementsAre(*tokenizer.token_to_id("<|eot_id|>")));
}

// All that is read comes from the file as it was opened, though another lies in its place since.
TEST(GgufModel, IsOpenedOnceForAllThatReadIt) {
  const TempFolder folder;
  fs::copy(tiny(), folder / "m.gguf");
  const ModelFiles files(folder / "m.gguf");
  EXPECT_TRUE(Tokenizer::file_in(files).has_value());
  fs::remove(folder / "m.gguf");
  folder.write("m.gguf", "GGUF, but damaged");
  EXPECT_EQ(describe(files).use, "generate");
  EXPECT_THAT(describe_tokenizer(files), HasSubstr("gpt2 (llama-bpe), "));
  EXPECT_EQ(describe_template(files), "m.gguf");
  EXPECT_EQ(read_config(files).text("model_type"), "llama");
  EXPECT_TRUE(ChatTemplate::load(files).has_value());
  EXPECT_EQ(Tokenizer::load(files).vocab_size(), Tokenizer::load(tiny()).vocab_size());
  const auto model = load_model(files), same = load_model(tiny());
  EXPECT_EQ(logits(*model, {1, 2, 3}), logits(*same, {1, 2, 3}));
  EXPECT_THROW(load_model(folder / "m.gguf"), std::runtime_error);
}

TEST(GgufModel, IsDescribed) {
  const Description d = describe(tiny());
  EXPECT_EQ(d.use, "generate");
  EXPECT_EQ(d.found.architecture, "llama");
  EXPECT_THAT(d.found.mix,
              AllOf(HasSubstr("Q8_0 3"), HasSubstr("F32 6"), HasSubstr("bits a weight")));
  EXPECT_THAT(describe_tokenizer(tiny()), HasSubstr("gpt2 (llama-bpe), "));
  EXPECT_EQ(describe_template(tiny()), "tiny.gguf");
  const TempFolder folder;  // a folder with one is the model
  fs::copy(tiny(), folder / "tiny.gguf");
  EXPECT_EQ(describe(folder.path()).use, "generate");
  EXPECT_TRUE(Tokenizer::file_in(folder.path()).has_value());
}

class GgufFaults : public ::testing::Test {
 protected:
  /// A model that lacks much.
  static GgufFile model(const std::string& architecture = "llama") {
    GgufFile file;
    file.string("general.architecture", architecture);
    for (const auto& [key, value] : {std::pair("block_count", 1),
                                     {"embedding_length", 8},
                                     {"attention.head_count", 2},
                                     {"context_length", 16},
                                     {"feed_forward_length", 8}})
      file.number(architecture + "." + key, uint32_t(value));
    return file;
  }
  static GgufFile with_embedding(GgufFile file, uint32_t type = 24, size_t bytes = 32) {
    return file.tensor("token_embd.weight", {8, 4}, type, std::string(bytes, '\0'));
  }
  std::string said(const GgufFile& file) const {
    return error_of([&] { load_model(folder_.write("m.gguf", file.bytes())); });
  }
  std::string tokenizer_error(const GgufFile& file) const {
    return error_of([&] { Tokenizer::load(folder_.write("m.gguf", file.bytes())); });
  }
  TempFolder folder_;
};

TEST_F(GgufFaults, OfTheArchitectureAreNamed) {
  EXPECT_THAT(said(GgufFile().number("x", 1)), HasSubstr("general.architecture is missing"));
  EXPECT_THAT(said(model("nothing")),
              AllOf(HasSubstr("architecture \"nothing\""), HasSubstr("qwen3")));
  EXPECT_THAT(said(model("clip")), HasSubstr("mmproj"));
  EXPECT_THAT(said(GgufFile().string("general.architecture", "llama")),
              HasSubstr("llama.block_count is missing"));
  EXPECT_THAT(said(model()), HasSubstr("token_embd.weight is missing"));
  EXPECT_THAT(said(with_embedding(GgufFile()
                                      .string("general.architecture", "llama")
                                      .number("llama.block_count", 4000000000u)
                                      .number("llama.embedding_length", 8)
                                      .number("llama.attention.head_count", 2))),
              HasSubstr("llama.block_count: wanted an integer from 1 to 1000"));
  EXPECT_THAT(said(with_embedding(GgufFile()
                                      .string("general.architecture", "llama")
                                      .string("llama.block_count", "two")
                                      .number("llama.embedding_length", 8)
                                      .number("llama.attention.head_count", 2))),
              HasSubstr("llama.block_count: wanted an integer"));
}

TEST_F(GgufFaults, OfTensorsAreNamed) {
  EXPECT_THAT(said(with_embedding(model(), 0, 128)), HasSubstr("missing"));
  // Of a type that hearth lacks: its name, and what to fetch.
  GgufFile other = with_embedding(model(), 0, 128);
  other.tensor("blk.0.attn_q.weight", {256, 1}, 16, std::string(66, '\0'));
  EXPECT_THAT(said(other), AllOf(HasSubstr("\"blk.0.attn_q.weight\" is of the type IQ2_XXS"),
                                 HasSubstr("fetch a file of the same model in Q2_K")));
  GgufFile real = model();
  real.real("llama.rope.freq_base", NAN);
  EXPECT_THAT(said(with_embedding(real, 0, 128)),
              HasSubstr("llama.rope.freq_base: wanted a finite"));
}

TEST_F(GgufFaults, OfTokenizersAreNamed) {
  EXPECT_THAT(tokenizer_error(model()), HasSubstr("tokenizer.ggml.model is missing"));
  const auto bpe = [](const std::string& pre) {
    return model().string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", pre);
  };
  EXPECT_THAT(tokenizer_error(model().string("tokenizer.ggml.model", "rwkv")),
              HasSubstr("'rwkv' is not one of"));
  EXPECT_THAT(tokenizer_error(bpe("gpt-2")), HasSubstr("tokenizer.ggml.tokens is missing"));
  EXPECT_THAT(tokenizer_error(bpe("unheard-of").strings("tokenizer.ggml.tokens", {"a"})),
              AllOf(HasSubstr("'unheard-of' is not known"), HasSubstr("llama-bpe")));
  EXPECT_THAT(tokenizer_error(bpe("gpt-2")
                                  .strings("tokenizer.ggml.tokens", {"a", "b"})
                                  .numbers<int32_t>("tokenizer.ggml.token_type", 5, {1})),
              HasSubstr("token_type has 1 numbers for 2 tokens"));
  EXPECT_THAT(tokenizer_error(bpe("gpt-2").strings("tokenizer.ggml.tokens", {"a", "\xFF"})),
              HasSubstr("token 1 is not UTF-8"));
  EXPECT_THAT(tokenizer_error(bpe("gpt-2").strings("tokenizer.ggml.tokens", {"a", "a"})),
              HasSubstr("has two ids"));
  EXPECT_THAT(tokenizer_error(bpe("gpt-2")
                                  .strings("tokenizer.ggml.tokens", {"a", "b", "ab"})
                                  .strings("tokenizer.ggml.merges", {"ab"})),
              HasSubstr("merge 0 'ab' is not two tokens"));
  const auto spm = model().string("tokenizer.ggml.model", "llama");
  EXPECT_THAT(tokenizer_error(GgufFile(spm).strings("tokenizer.ggml.tokens", {"a"})),
              HasSubstr("scores has 0 numbers for 1 tokens"));
  EXPECT_THAT(tokenizer_error(GgufFile(spm)
                                  .strings("tokenizer.ggml.tokens", {"a"})
                                  .numbers<float>("tokenizer.ggml.scores", 6, {NAN})),
              HasSubstr("that of token 0 is NaN"));
}

TEST_F(GgufFaults, ModelsWithWrongBytesNeverCrash) {
  std::string whole = content_of(tiny());
  uint64_t random = 7;
  for (int i = 0; i < 300; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    const size_t at = (random >> 33) % 9000;
    const char before = whole[at];
    whole[at] = char(random >> 20);
    try {
      const auto file = folder_.write("m.gguf", whole);
      describe(file);
      Tokenizer::load(file).encode("the other");
    } catch (const std::runtime_error&) {
    }
    if (i % 3) whole[at] = before;
  }
}

// Each tiny checkpoint as a folder and as a file: the same model.
class GgufFamilies : public ::testing::TestWithParam<std::string> {
 protected:
  static std::optional<fs::path> file(const std::string& end) {
    const char* named = std::getenv("HEARTH_GGUF");
    const fs::path path = fs::path(named ? named : "") / "tiny" / (GetParam() + end);
    return named && fs::exists(path) ? std::optional(path) : std::nullopt;
  }
};
INSTANTIATE_TEST_SUITE_P(Tiny, GgufFamilies, ::testing::ValuesIn(testing::TinyCheckpoint::names()),
                         [](const auto& info) { return info.param; });

TEST_P(GgufFamilies, LogitsAreThoseOfTheFolder) {
  const auto gguf = file(".gguf"), config = file(".json");
  if (!gguf || !config)
    GTEST_SKIP() << "needs $HEARTH_GGUF/tiny, which tools/gguf_models.py makes; llama.cpp's "
                    "converter does not take all of them";
  const testing::TinyCheckpoint checkpoint(GetParam());
  fs::copy(*config, checkpoint.path() / "config.json", fs::copy_options::overwrite_existing);
  const auto wanted = load_model(checkpoint.path(), {.dtype = float32}),
             got = load_model(*gguf, {.dtype = float32});
  for (const auto& prompt : checkpoint.prompts)
    EXPECT_LT(error(logits(*got, prompt.ids), logits(*wanted, prompt.ids)), 1e-4f);
}

// What llama.cpp's tests hold its own tokenizers to.
TEST(GgufVocabularies, GiveTheIdsThatAreExpected) {
  const char* named = std::getenv("HEARTH_GGUF");
  const fs::path folder = fs::path(named ? named : "") / "vocabularies";
  if (!named || !fs::exists(folder))
    GTEST_SKIP() << "needs $HEARTH_GGUF/vocabularies, which tools/gguf_fetch.py fetches";
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".inp") continue;
    ++files;
    const fs::path file = fs::path(entry.path()).replace_extension();
    const Tokenizer tokenizer = Tokenizer::load(file);
    std::istringstream wanted(content_of(file.string() + ".out"));
    std::string text = content_of(entry.path());
    constexpr std::string_view kBetween = "\n__ggml_vocab_test__\n";
    for (std::string line; std::getline(wanted, line);) {
      std::istringstream numbers(line);
      std::vector<int> ids;
      for (int id; numbers >> id;) ids.push_back(id);
      const size_t end = text.find(kBetween);
      EXPECT_EQ(tokenizer.encode(text.substr(0, end), false), ids)
          << file << ": " << text.substr(0, end);
      text.erase(0, end == text.npos ? end : end + kBetween.size());
    }
  }
  EXPECT_GE(files, 15);
}

// Against transformers with the dequantised weights, in float32.
TEST(GgufRealModels, AnswerAndPredictAsTransformersDoes) {
  const char* named = std::getenv("HEARTH_GGUF");
  const fs::path folder = fs::path(named ? named : "") / "models";
  if (!named || !fs::exists(folder))
    GTEST_SKIP() << "needs $HEARTH_GGUF/models, which tools/gguf_fetch.py fetches";
  const auto all =
      nlohmann::json::parse(content_of(testing::source_dir() / "tests/data/gguf/real.json"));
  const std::string story = content_of(testing::source_dir() / "tests/data/llm/story.txt");
  for (const auto& [file, wanted] : all.items()) {
    const auto model = load_model(folder / file, {.dtype = float32});
    const Tokenizer tokenizer = Tokenizer::load(folder / file);
    const std::vector<int> ids = wanted["ids"];
    EXPECT_EQ(tokenizer.encode(wanted["prompt"].get<std::string>()), ids);
    std::vector<int> greedy = wanted["greedy"];
    if (tokenizer.is_special(greedy.back())) greedy.pop_back();  // what ends an answer is not in it
    GenerateOptions options;
    options.max_tokens = 64;
    options.stop_ids = model->facts.eos;
    EXPECT_EQ(generate(*model, ids, options).ids, greedy) << file;
    const double perplexity = llm::perplexity(*model, tokenizer.encode(story), 512).value;
    EXPECT_NEAR(perplexity, wanted["perplexity"].get<double>(), 1e-3 * perplexity) << file;
  }
}

}  // namespace
}  // namespace hearth::llm
