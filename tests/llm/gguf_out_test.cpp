// Models to GGUF files: the types of each mixture and whole files as llama-quantize has them
// (tests/data/gguf/mixtures.json, by tools/goldens_blocks.py), and folders that come back.
#include "hearth/llm/gguf_out.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "hearth/io/file_hash.h"
#include "hearth/llm/chat_template.h"
#include "hearth/llm/model.h"
#include "hearth/llm/tokenizer.h"
#include "hearth/ops/ops.h"
#include "tests/llm/tiny_checkpoint.h"

namespace hearth::llm {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::content_of;
using testing::error_of;
using ::testing::HasSubstr;
using testing::source_dir;
using testing::TempFolder;
using testing::TinyCheckpoint;

const nlohmann::json& expected() {
  static const auto all =
      nlohmann::json::parse(content_of(source_dir() / "tests/data/gguf/mixtures.json"));
  return all;
}
fs::path tiny() { return source_dir() / "tests/data/gguf/tiny.gguf"; }

Written write(const fs::path& from, const fs::path& to, const char* mixture,
              const Importance* importance = nullptr) {
  return write_gguf(to, read_gguf_model(from), *find_gguf_mixture(mixture), importance);
}

TEST(GgufOut, MixturesAreThoseOfLlamaQuantize) {
  size_t checked = 0;
  for (const auto& [name, m] : expected().at("models").items()) {
    MixedModel model{m.at("architecture"), m.at("layers"),  m.at("heads"),
                     m.at("kv_heads"),     m.at("experts"), false};
    for (const GgufMixture& mixture : gguf_mixtures())
      for (const bool importance : {false, true}) {
        std::vector<MixedTensor> tensors;
        for (const auto& t : m.at("tensors")) tensors.push_back({t[0], t[1], t[2]});
        std::sort(tensors.begin(), tensors.end(), stands_before);
        model.importance = importance;
        mix(mixture, model, tensors);
        const auto& types = m.at("types");
        const std::string plain(mixture.name), with = plain + "+importance";
        std::istringstream wanted(
            types.at(importance && types.contains(with) ? with : plain).get<std::string>());
        for (const auto& t : m.at("tensors")) {
          uint32_t type = 0;
          wanted >> type;
          const auto got = std::ranges::find(tensors, t[0].get<std::string>(), &MixedTensor::name);
          EXPECT_EQ(got->type, type) << name << ", " << mixture.name << ": " << got->name;
          ++checked;
        }
      }
  }
  EXPECT_GT(checked, 10000u);
}

TEST(GgufOut, FilesAreThoseOfLlamaQuantizeToTheByte) {
  const TempFolder folder;
  for (const GgufMixture& mixture : gguf_mixtures()) {
    const fs::path to = folder / "m.gguf";
    write(tiny(), to, std::string(mixture.name).c_str());
    FileHash hash = FileHash::sha256();
    hash.add(content_of(to));
    EXPECT_EQ(hash.digits(),
              expected().at("files").at(std::string(mixture.name)).get<std::string>())
        << mixture.name;
  }
}

std::vector<float> logits(LanguageModel& model, const std::vector<int>& ids) {
  auto cache = model.make_cache();
  const array tokens(ids.begin(), Shape{1, int(ids.size())}, int32);
  return astype(model.forward({tokens, {}, false}, cache), float32).to_vector<float>();
}

/// The largest difference, relative to the largest of `wanted`.
float difference(std::span<const float> got, std::span<const float> wanted) {
  float most = 0, largest = 0;
  EXPECT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < std::min(got.size(), wanted.size()); ++i) {
    most = std::max(most, std::abs(got[i] - wanted[i]));
    largest = std::max(largest, std::abs(wanted[i]));
  }
  return most / largest;
}

// What hearth writes of a folder, it reads as that folder.
TEST(GgufOut, FoldersComeBackAsTheyWere) {
  std::vector<std::string> written, refused;
  for (const std::string& name : TinyCheckpoint::names()) {
    const TinyCheckpoint tiny(name);
    const TempFolder folder;
    try {
      write(tiny.path(), folder / "m.gguf", "f32");
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), ::testing::AnyOf(HasSubstr("hearth cannot write into a GGUF file"),
                                                 HasSubstr("cannot say")))
          << name;
      refused.push_back(name);
      continue;
    }
    written.push_back(name);
    const auto wanted = load_model(tiny.path(), {.dtype = float32}),
               got = load_model(folder / "m.gguf", {.dtype = float32});
    EXPECT_EQ(got->facts.context_length, wanted->facts.context_length) << name;
    for (const auto& prompt : tiny.prompts)
      EXPECT_LT(difference(logits(*got, prompt.ids), logits(*wanted, prompt.ids)), 1e-5f) << name;
  }
  EXPECT_THAT(written,
              ::testing::IsSupersetOf({"llama", "mixtral", "qwen3_moe", "granite", "seed_oss"}));
  EXPECT_THAT(refused, ::testing::Contains("deepseek_v3"));
}

// $HEARTH_GGUF/tiny has what llama.cpp's converter makes of the tiny checkpoints, by
// tools/gguf_models.py: NAME.gguf, and NAME.json, the configuration that it was made of.
TEST(GgufOut, FoldersAreThoseOfTheConverter) {
  const char* const folder = std::getenv("HEARTH_GGUF");
  if (!folder) GTEST_SKIP() << "needs $HEARTH_GGUF/tiny, which tools/gguf_models.py makes";
  int compared = 0;
  for (const std::string& name : TinyCheckpoint::names()) {
    const fs::path theirs = fs::path(folder) / "tiny" / (name + ".gguf");
    if (!fs::exists(theirs)) continue;
    const TinyCheckpoint tiny(name);
    std::ofstream(tiny.path() / "config.json")
        << content_of(fs::path(folder) / "tiny" / (name + ".json"));
    const TempFolder to;
    try {
      write(tiny.path(), to / "m.gguf", "f32");
    } catch (const std::runtime_error&) {
      continue;  // FoldersComeBackAsTheyWere has which
    }
    const Gguf got = Gguf::open(to / "m.gguf"), wanted = Gguf::open(theirs);
    // Of what also sees, hearth writes the language model as what it is by itself.
    if (got.text("general.architecture") != wanted.text("general.architecture")) continue;
    ASSERT_EQ(got.tensors().size(), wanted.tensors().size()) << name;
    for (const GgufTensor& t : wanted.tensors()) {
      const GgufTensor* const ours = got.find_tensor(t.name);
      ASSERT_NE(ours, nullptr) << name << " " << t.name;
      EXPECT_EQ(ours->shape, t.shape) << name << " " << t.name;
      EXPECT_EQ(ours->type, t.type) << name << " " << t.name;
      EXPECT_TRUE(std::ranges::equal(got.bytes(*ours), wanted.bytes(t))) << name << " " << t.name;
    }
    const std::string keys = std::string(*wanted.text("general.architecture")) + ".";
    for (const auto& [key, value] : wanted.metadata()) {
      if (!key.starts_with(keys)) continue;
      const GgufValue* const ours = got.find(key);
      ASSERT_NE(ours, nullptr) << name << " " << key;
      EXPECT_EQ(ours->kind, value.kind) << name << " " << key;
      EXPECT_TRUE(std::ranges::equal(ours->bytes, value.bytes)) << name << " " << key;
    }
    ++compared;
  }
  EXPECT_GE(compared, 10);
}

TEST(GgufOut, TheModelThatShipsKeepsItsTokenizer) {
  const TempFolder folder;
  const fs::path from = source_dir() / "models/tiny-phi", to = folder / "m.gguf";
  const Written w = write(from, to, "f16");
  EXPECT_EQ(w.types.at("F16"), 38u);
  const Tokenizer wanted = Tokenizer::load(from), got = Tokenizer::load(to);
  for (const char* text :
       {"Once upon a time, Lily's cat said: \"Hi!\"\n", "1234 <|endoftext|>", ""})
    EXPECT_EQ(got.encode(text), wanted.encode(text)) << text;
  const std::vector<int> ids = wanted.encode("Once upon a time there was");
  const auto a = load_model(from, {.dtype = float32}), b = load_model(to, {.dtype = float32});
  EXPECT_LT(difference(logits(*b, ids), logits(*a, ids)), 1e-5f);
  EXPECT_EQ(b->facts.eos, a->facts.eos);
}

TEST(GgufOut, WeightsThatCannotBePackedAreErrorsThatNameTheTensor) {
  const TempFolder folder;
  const TinyCheckpoint tiny("llama");
  const fs::path to = folder.write("m.gguf", "before");
  const auto with = [&](float value) {
    GgufModel model = read_gguf_model(tiny.path());
    for (auto& t : model.tensors)
      if (t.name == "blk.1.ffn_up.weight") {
        const array w = t.values.dense();
        const array at = equal(reshape(arange(0, int(w.size()), 1), w.shape()), array(77));
        t.values = where(at, array(value), w);
      }
    return model;
  };
  const auto error = [&](float value, const char* mixture) {
    return error_of([&] { write_gguf(to, with(value), *find_gguf_mixture(mixture)); });
  };
  EXPECT_THAT(error(NAN, "f16"), HasSubstr("\"blk.1.ffn_up.weight\": a weight is NaN or infinite"));
  EXPECT_THAT(error(-INFINITY, "bf16"), HasSubstr("\"blk.1.ffn_up.weight\": a weight is NaN"));
  EXPECT_THAT(error(-1e6f, "q8_0"),
              AllOf(HasSubstr("a weight is 1e+06, beyond 65504"), HasSubstr("bf16 or f32")));
  EXPECT_NO_THROW(write_gguf(folder / "b.gguf", with(1e6f), *find_gguf_mixture("bf16")));
  size_t calls = 0;
  write_gguf(to, read_gguf_model(tiny.path()), *find_gguf_mixture("q8_0"), nullptr,
             [&](size_t done, size_t all) {
               EXPECT_LE(done, all);
               return ++calls < 3;
             });
  EXPECT_EQ(calls, 3u);
  EXPECT_EQ(content_of(to), "before");
}

TEST(GgufOut, TakesImportance) {
  const TempFolder folder;
  Importance importance;
  importance.chunks = 2, importance.chunk_tokens = 8;
  importance.texts = {"a text"};
  for (const int64_t i : {0, 1}) {
    std::vector<float> sums(32);
    for (size_t c = 0; c < sums.size(); ++c) sums[c] = c < 16 ? 1e4f : 1e-4f;
    importance.tensors[concat("blk.", i, ".attn_v.weight")] = {sums, {2}};
  }
  const fs::path to = folder / "m.gguf";
  const Written w = write(tiny(), to, "q4_0", &importance);
  EXPECT_EQ(w.without_importance, 10u);
  const Gguf file = Gguf::open(to);
  write(tiny(), folder / "plain.gguf", "q4_0");
  const Gguf without = Gguf::open(folder / "plain.gguf");
  const auto content = [](const Gguf& of, const char* name) {
    const auto bytes = of.bytes(*of.find_tensor(name));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  EXPECT_NE(content(file, "blk.1.attn_v.weight"), content(without, "blk.1.attn_v.weight"));
  EXPECT_EQ(content(file, "blk.1.attn_k.weight"), content(without, "blk.1.attn_k.weight"));
  EXPECT_EQ(file.integer("quantize.imatrix.chunks_count"), 2);
  EXPECT_EQ(file.text("quantize.imatrix.dataset"), "a text");
  importance.tensors["blk.0.attn_k.weight"] = {std::vector<float>(31, 1.0f), {1}};
  EXPECT_THAT(error_of([&] { write(tiny(), to, "q4_0", &importance); }),
              AllOf(HasSubstr("blk.0.attn_k.weight has 32 columns"), HasSubstr("another model")));
}

}  // namespace
}  // namespace hearth::llm
