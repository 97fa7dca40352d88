// The tokenizer against what Hugging Face's tokenizers make of the same files and texts
// (tools/goldens_tokenizer.py; phi-2's goldens are in ../shared).
#include "hearth/llm/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using nlohmann::json;
using testing::source_path;

std::vector<json> read_lines(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::vector<json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  return lines;
}

// Whether `tokenizer` does with a golden case what Hugging Face's did.
void expect_case(const Tokenizer& tokenizer, const json& golden) {
  const auto text = golden["text"].get<std::string>();
  const auto ids = golden["ids"].get<std::vector<int>>();
  const auto decoded = golden["decoded"].get<std::string>();
  SCOPED_TRACE(golden.dump());
  EXPECT_EQ(tokenizer.encode(text), ids);
  EXPECT_EQ(tokenizer.encode(text, false), golden.value("plain_ids", ids));
  EXPECT_EQ(tokenizer.decode(ids), decoded);
  EXPECT_EQ(tokenizer.decode(ids, true), golden.value("decoded_skipping_special", decoded));
  StreamDecoder stream(tokenizer);
  std::string streamed;
  for (const int id : ids) streamed += stream.push(id);
  EXPECT_EQ(streamed + stream.finish(), decoded);
}

Tokenizer tiny_phi() { return Tokenizer::load(source_path("models/tiny-phi")); }

TEST(Tokenizer, DoesWithPhi2WhatHuggingFaceDoes) {
  HEARTH_SHARED_OR_SKIP(folder, "data/phi-2");
  HEARTH_SHARED_OR_SKIP(goldens, "goldens/tokenizers/phi-2.jsonl");
  const Tokenizer tokenizer = Tokenizer::load(folder);
  const auto lines = read_lines(goldens);
  EXPECT_EQ(lines.size(), 100u);
  for (json golden : lines) {
    auto skipping = golden["decoded"].get<std::string>();  // its only special token
    for (size_t at; (at = skipping.find("<|endoftext|>")) != skipping.npos;) skipping.erase(at, 13);
    golden["decoded_skipping_special"] = skipping;
    expect_case(tokenizer, golden);
  }
  EXPECT_EQ(tokenizer.vocab_size(), 50295);
  EXPECT_EQ(tokenizer.bos_id(), 50256);
  EXPECT_EQ(tokenizer.eos_id(), 50256);
}

TEST(Tokenizer, DoesWithTinyPhiWhatHuggingFaceDoes) {
  const Tokenizer tokenizer = tiny_phi();
  const auto lines = read_lines(source_path("tests/data/tokenizer_tiny_phi.jsonl"));
  EXPECT_GT(lines.size(), 60u);
  for (const json& golden : lines) expect_case(tokenizer, golden);
}

TEST(Tokenizer, DoesWithEachFeatureOfTheFormatWhatHuggingFaceDoes) {
  std::ifstream in(source_path("tests/data/tokenizer_variants.json"));
  const json file = json::parse(in);
  EXPECT_GT(file["variants"].size(), 20u);
  for (const json& variant : file["variants"]) {
    SCOPED_TRACE(variant["name"].get<std::string>());
    json description = variant["tokenizer"];
    description["model"] = file["models"][description["model"].get<size_t>()];
    const Tokenizer tokenizer = Tokenizer::from_json(description.dump());
    for (const json& golden : variant["cases"]) expect_case(tokenizer, golden);
    // The older way to write merges.
    for (json& merge : description["model"]["merges"])
      merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
    if (description["model"]["unk_token"].is_null()) {  // a merge of " " cannot be written so
      const Tokenizer older = Tokenizer::from_json(description.dump());
      for (const json& golden : variant["cases"]) expect_case(older, golden);
    }
  }
}

TEST(Tokenizer, RoundTripsTwoMegabytesOfStories) {
  HEARTH_SHARED_OR_SKIP(file, "data/stories.txt.xz");
  FILE* xz = popen(("xz -dc '" + file.string() + "'").c_str(), "r");
  std::string stories(2'000'000, '\0');
  stories.resize(xz ? std::fread(stories.data(), 1, stories.size(), xz) : 0);
  if (xz) pclose(xz);
  if (stories.empty()) GTEST_SKIP() << "needs the program xz";
  ASSERT_EQ(stories.size(), 2'000'000u);
  const Tokenizer tokenizer = tiny_phi();
  const auto ids = tokenizer.encode(stories);
  EXPECT_LT(ids.size(), stories.size() / 3);
  EXPECT_TRUE(tokenizer.decode(ids) == stories);
}

// Random characters from all planes, and runs of the ones that the expression treats specially.
std::string random_text(std::mt19937& random) {
  static const std::vector<std::string> common = {" ",    "  ", "\n", "'s",         "'ll",
                                                  "word", "12", ".",  "\u00e9",     "\u4e16",
                                                  "\t",   "'",  "<|", "\U0001F600", "\u00a0"};
  std::string text;
  for (int n = random() % 40; n > 0; --n) {
    if (random() % 2) {
      text += common[random() % common.size()];
      continue;
    }
    const char32_t limits[] = {0x80, 0x800, 0x10000, 0x110000};
    char32_t code = random() % limits[random() % 4];
    if (code >= 0xD800 && code < 0xE000) code = 0xFFFD;
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else if (code < 0x800) {
      text += {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
    } else if (code < 0x10000) {
      text += {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 63)),
               static_cast<char>(0x80 | (code & 63))};
    } else {
      text += {static_cast<char>(0xF0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 63)),
               static_cast<char>(0x80 | (code >> 6 & 63)), static_cast<char>(0x80 | (code & 63))};
    }
  }
  return text;
}

TEST(Tokenizer, RoundTripsRandomText) {
  std::mt19937 random(1);
  const Tokenizer tokenizer = tiny_phi();
  for (int i = 0; i < 3000; ++i) {
    const std::string text = random_text(random);
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text)), text) << ::testing::PrintToString(text);
  }
}

TEST(Tokenizer, ReadsInvalidUtf8AsPythonDoes) {
  // bytes.decode(errors="replace") of the same bytes
  const std::pair<std::string, std::string> cases[] = {
      {"a\x80z", "a\uFFFDz"},
      {"\xC3", "\uFFFD"},
      {"\xC0\xAF", "\uFFFD\uFFFD"},
      {"\xE4\xB8", "\uFFFD"},
      {"\xE4\xB8z", "\uFFFDz"},
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xE0\x80\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xF0\x9F\x98", "\uFFFD"},
      {"\xF0\x80\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
      {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
      {"\xF5\xFF", "\uFFFD\uFFFD"},
      {"\xF0\x9F\x98\xE4\xB8\x96\xF0", "\uFFFD\u4e16\uFFFD"},
  };
  const Tokenizer tokenizer = tiny_phi();
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(tokenizer.encode(bytes), tokenizer.encode(text)) << ::testing::PrintToString(bytes);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes)), text) << ::testing::PrintToString(bytes);
  }
}

TEST(Tokenizer, KnowsItsTokens) {
  const Tokenizer tokenizer = tiny_phi();
  EXPECT_EQ(tokenizer.vocab_size(), 4096);
  EXPECT_EQ(tokenizer.token_to_id("<|endoftext|>"), 0);
  EXPECT_EQ(tokenizer.token_to_id("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(0), "<|endoftext|>");
  EXPECT_EQ(tokenizer.id_to_token(tokenizer.token_to_id("\u0120the").value()), "\u0120the");
  EXPECT_EQ(tokenizer.id_to_token(4096), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(-1), std::nullopt);
  EXPECT_TRUE(tokenizer.is_special(0));
  EXPECT_FALSE(tokenizer.is_special(1));
  EXPECT_FALSE(tokenizer.is_special(-1));
  EXPECT_EQ(tokenizer.special_ids().size(), 1u);
  EXPECT_EQ(tokenizer.config().bos_token, "<|endoftext|>");
  EXPECT_EQ(tokenizer.bos_id(), 0);
  EXPECT_EQ(tokenizer.eos_id(), 0);
  for (const int id : {-1, 4096, 1 << 30})
    EXPECT_THAT(testing::error_of<std::invalid_argument>([&] {
                  tokenizer.decode(std::vector{0, id});
                }),
                ::testing::HasSubstr("the id " + std::to_string(id) +
                                     " names no token; those of this vocabulary are below 4096"));
  EXPECT_EQ(tokenizer.decode(std::vector{0}, true), "");
}

TEST(Tokenizer, EncodesAPieceOfAMegabyteInGoodTime) {
  const Tokenizer tokenizer = tiny_phi();
  const std::string text(1'000'000, 'a');
  EXPECT_TRUE(tokenizer.decode(tokenizer.encode(text)) == text);
}

// 10 MB that are one word, or one run of spaces, for each expression that models use: the time
// grows with the length, not its square, and no stack or limit ends the search.
TEST(Tokenizer, EncodesTenMegabytesWithoutASpaceInGoodTime) {
  json file = json::parse(testing::content_of(source_path("models/tiny-phi/tokenizer.json")));
  std::vector<json> kinds = {file["pre_tokenizer"]};
  const json patterns = json::parse(testing::content_of(source_path("tests/data/regex_onig.json")));
  for (size_t i = 1; i < 5; ++i)  // Llama 3, Qwen, o200k
    kinds.push_back(
        {{"type", "Sequence"},
         {"pretokenizers",
          {{{"type", "Split"},
            {"behavior", "Isolated"},
            {"pattern", {{"Regex", patterns["cases"][i]["pattern"]}}}},
           {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}});
  for (const json& kind : kinds) {
    file["pre_tokenizer"] = kind;
    const Tokenizer tokenizer = Tokenizer::from_json(file.dump());
    for (const char* unit : {"a", " ", "\u00e9", "ab1", "\n"}) {
      std::string text;
      while (text.size() < (*unit == 'a' ? 10'000'000 : 1'000'000)) text += unit;
      EXPECT_TRUE(tokenizer.decode(tokenizer.encode(text)) == text) << kind << unit;
    }
  }
}

TEST(Tokenizer, TakesHundredsOfThousandsOfAddedTokens) {
  json file = json::parse(testing::content_of(source_path("models/tiny-phi/tokenizer.json")));
  std::string added;
  for (int i = 0; i < 300'000; ++i)
    added += "{\"id\":" + std::to_string(4096 + i) + ",\"content\":\"<extra_id_" +
             std::to_string(i) + ">\",\"special\":true,\"rstrip\":true},";
  std::string text = file.dump();
  const std::string list = "\"added_tokens\":[";
  text.insert(text.find(list) + list.size(), added);
  const std::clock_t before = std::clock();
  const Tokenizer tokenizer = Tokenizer::from_json(text);
  std::vector<int> wanted = {4096 + 299'999, 4096 + 7};
  for (const int id : tokenizer.encode("<extra")) wanted.push_back(id);
  EXPECT_EQ(tokenizer.encode("<extra_id_299999> \n<extra_id_7><extra"), wanted);
  EXPECT_LT(double(std::clock() - before) / CLOCKS_PER_SEC, 20);
}

// Each space is a token that takes the spaces behind it: the run is gone through once.
TEST(Tokenizer, GoesThroughARunOfSpacesOnce) {
  json file = json::parse(testing::content_of(source_path("models/tiny-phi/tokenizer.json")));
  for (const char* side : {"lstrip", "rstrip"}) {
    json one = file;
    one["added_tokens"].push_back({{"id", 4096}, {"content", " "}, {side, true}});
    const Tokenizer tokenizer = Tokenizer::from_json(one.dump());
    const std::clock_t before = std::clock();
    EXPECT_EQ(tokenizer.encode(std::string(300'000, ' ')).size(), 300'000u);
    EXPECT_LT(double(std::clock() - before) / CLOCKS_PER_SEC, 10) << side;
  }
}

TEST(Tokenizer, ForgetsWordsWithoutChangingTheResult) {
  // More different words than the cache of words holds, twice over.
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += " w" + std::to_string(i * 7919 % 100'003) + "x";
  const Tokenizer tokenizer = tiny_phi();
  const auto ids = tokenizer.encode(text);
  EXPECT_TRUE(tokenizer.decode(ids) == text);
  EXPECT_EQ(tokenizer.encode(text), ids);
}

TEST(Tokenizer, EncodesOnManyThreadsAtOnce) {
  const Tokenizer tokenizer = tiny_phi();
  const std::string text = "Once upon a time, there was a little girl named Lily. \u4e16\u754c";
  const auto ids = tokenizer.encode(text);
  std::vector<std::thread> threads;
  std::vector<int> same(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) same[t] += tokenizer.encode(text) == ids;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(same, std::vector(4, 200));
}

// A model may have more rows than its tokenizer has tokens, and give such an id.
TEST(StreamDecoder, PassesOverIdsThatNameNoToken) {
  StreamDecoder stream(tiny_phi());
  EXPECT_EQ(stream.push(4096) + stream.push(-1) + stream.push(0) + stream.finish(),
            "<|endoftext|>");
}

TEST(StreamDecoder, NeverSplitsACharacter) {
  const Tokenizer tokenizer = tiny_phi();
  const std::string text = "a\U0001F600\u4e16b\u00e9\U0001F468\u200D\U0001F469";
  const auto ids = tokenizer.encode(text);
  ASSERT_GT(ids.size(), 8u);  // the characters are spread over several tokens
  StreamDecoder stream(tokenizer);
  std::string joined;
  int silent = 0;
  for (const int id : ids) {
    const std::string piece = stream.push(id);
    EXPECT_EQ(piece.find("\uFFFD"), std::string::npos);
    silent += piece.empty();
    joined += piece;
  }
  EXPECT_EQ(joined, text);
  EXPECT_EQ(stream.finish(), "");
  EXPECT_GT(silent, 3);
}

TEST(StreamDecoder, EndsAnIncompleteCharacterWithOneReplacement) {
  const Tokenizer tokenizer = tiny_phi();
  auto ids = tokenizer.encode("x\U0001F600");
  ids.pop_back();
  StreamDecoder stream(tokenizer);
  std::string joined;
  for (const int id : ids) joined += stream.push(id);
  EXPECT_EQ(joined, "x");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

TEST(StreamDecoder, JoinsToWhatDecodeMakesOfAnyIds) {
  const Tokenizer tokenizer = tiny_phi();
  std::mt19937 random(3);
  for (int i = 0; i < 500; ++i) {
    std::vector<int> ids(random() % 30);
    for (int& id : ids) id = random() % (i % 2 ? 300 : 4096);  // low ids are single bytes
    StreamDecoder stream(tokenizer, i % 3 == 0);
    std::string joined;
    for (const int id : ids) joined += stream.push(id);
    EXPECT_EQ(joined + stream.finish(), tokenizer.decode(ids, i % 3 == 0));
  }
}

}  // namespace
}  // namespace hearth::llm
