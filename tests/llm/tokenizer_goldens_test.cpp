// Tokenizers of every kind against the library that each is of: small ones that are committed, and
// real files where they have been fetched (tools/tokenizer_goldens.py made both).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/llm/tokenizer.h"
#include "tests/shared.h"

namespace hearth::llm {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
using testing::source_path;

// What differs between `tokenizer` and a golden case; nothing if nothing does.
std::string difference(const Tokenizer& tokenizer, const json& golden) {
  const auto text = golden["text"].get<std::string>();
  const auto ids = golden["ids"].get<std::vector<int>>();
  const auto decoded = golden["decoded"].get<std::string>();
  std::string found;
  const auto same = [&](const char* what, const auto& got, const auto& wanted) {
    if (got != wanted)
      found += std::string(what) + ": got " + ::testing::PrintToString(got) + ", wanted " +
               ::testing::PrintToString(wanted) + "\n";
  };
  same("ids", tokenizer.encode(text), ids);
  if (golden.contains("plain_ids"))
    same("plain", tokenizer.encode(text, false), golden["plain_ids"].get<std::vector<int>>());
  same("decoded", tokenizer.decode(ids), decoded);
  if (golden.contains("decoded_skipping_special"))
    same("skipping", tokenizer.decode(ids, true),
         golden["decoded_skipping_special"].get<std::string>());
  StreamDecoder stream(tokenizer);
  std::string streamed;
  for (const int id : ids) streamed += stream.push(id);
  same("streamed", streamed + stream.finish(), decoded);
  return found.empty() ? "" : golden["text"].dump() + "\n" + found;
}

// The same for a file of cases, a line each; `count` becomes their number.
std::string first_difference(const Tokenizer& tokenizer, const fs::path& file, int& count) {
  std::ifstream in(file);
  std::string found;
  int different = 0;
  for (std::string line; std::getline(in, line); ++count) {
    const std::string one = difference(tokenizer, json::parse(line));
    if (one.empty()) continue;
    if (++different == 1) found = one;
  }
  return different ? std::to_string(different) + " lines differ, the first: " + found : "";
}

TEST(TokenizerGoldens, EveryPartAndOptionDoesWhatHuggingFaceDoes) {
  std::ifstream in(source_path("tests/data/tokenizers/variants.jsonl"));
  std::vector<json> models;
  int variants = 0;
  for (std::string line; std::getline(in, line); ++variants) {
    json variant = json::parse(line);
    if (variant.contains("model")) models.push_back(variant["model"]);
    json& description = variant["tokenizer"];
    description["model"] = models[description["model"].get<size_t>()];
    const Tokenizer tokenizer = Tokenizer::from_json(description.dump());
    EXPECT_FALSE(variant["cases"].empty());
    for (const json& golden : variant["cases"])
      EXPECT_EQ(difference(tokenizer, golden), "") << variant["name"];
  }
  EXPECT_GE(variants, 120);
}

TEST(TokenizerGoldens, SmallModelsDoWhatSentencepieceDoes) {
  int models = 0;
  for (const auto& entry : fs::directory_iterator(source_path("tests/data/tokenizers"))) {
    fs::path file = entry.path();
    if (file.extension() != ".model") continue;
    const Tokenizer tokenizer = Tokenizer::load(file);
    int count = 0;
    EXPECT_EQ(first_difference(tokenizer, file.replace_extension(".jsonl"), count), "") << file;
    EXPECT_GT(count, 40) << file;
    ++models;
  }
  EXPECT_GE(models, 7);
}

TEST(TokenizerGoldens, RealFilesDoWhatTheirLibrariesDo) {
  const char* named = std::getenv("HEARTH_TOKENIZERS");
  const auto shared = testing::shared_path("tokenizers");
  if (!named && !shared)
    GTEST_SKIP() << "needs the files that `python tools/tokenizer_goldens.py fetch` brings to "
                    "../shared/tokenizers (or $HEARTH_TOKENIZERS)";
  for (const auto& entry : fs::directory_iterator(named ? fs::path(named) : *shared)) {
    if (!fs::exists(entry.path() / "goldens.jsonl")) continue;
    const Tokenizer tokenizer = Tokenizer::load(entry.path());
    int count = 0;
    EXPECT_EQ(first_difference(tokenizer, entry.path() / "goldens.jsonl", count), "")
        << entry.path();
    EXPECT_GT(count, 8000) << entry.path();
  }
}

}  // namespace
}  // namespace hearth::llm
