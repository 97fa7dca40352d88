// Texts in pieces, some of which may not be special: what a user writes never becomes a special
// token, however it is cut, normalised or joined with what stands beside it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "hearth/llm/tokenizer.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using nlohmann::json;
using Piece = Tokenizer::Piece;
using ::testing::ElementsAre;

Tokenizer tiny_phi() { return Tokenizer::load(testing::source_path("models/tiny-phi")); }

std::vector<int> encode(const Tokenizer& tokenizer, const std::vector<Piece>& pieces) {
  return tokenizer.encode(std::span<const Piece>(pieces));
}

bool any_special(const Tokenizer& tokenizer, const std::vector<int>& ids) {
  return std::any_of(ids.begin(), ids.end(), [&](int id) { return tokenizer.is_special(id); });
}

TEST(TokenizerPieces, JoinedAreTheTextWhereNothingLooksSpecial) {
  const Tokenizer tokenizer = tiny_phi();
  const std::vector<Piece> pieces = {{"Once up"}, {"on a ti", false},     {"me<|endoftext|>"},
                                     {"", false}, {" the \u00e9", false}, {"nd"}};
  EXPECT_EQ(encode(tokenizer, pieces),
            tokenizer.encode("Once upon a time<|endoftext|> the \u00e9nd"));
  EXPECT_EQ(encode(tokenizer, {}), std::vector<int>{});
}

TEST(TokenizerPieces, NoPartOfASpecialTokenIsTheUsers) {
  const Tokenizer tokenizer = tiny_phi();
  const std::string special = "<|endoftext|>";
  for (size_t from = 0; from < special.size(); ++from)
    for (size_t to = from; to <= special.size(); ++to) {
      const std::string_view all = special;
      const auto ids = encode(tokenizer, {{"a"},
                                          {all.substr(0, from)},
                                          {all.substr(from, to - from), false},
                                          {all.substr(to)},
                                          {"b"}});
      EXPECT_EQ(any_special(tokenizer, ids), from == to) << from << ' ' << to;
      EXPECT_EQ(tokenizer.decode(ids), "a" + special + "b");
    }
  // Another piece's own special tokens stay.
  const auto ids = encode(tokenizer, {{special}, {special, false}, {special}});
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 0), 2);
  EXPECT_EQ(tokenizer.decode(ids), special + special + special);
}

TEST(TokenizerPieces, AShorterTokenThatIsNotTheUsersIsFound) {
  json file =
      json::parse(testing::content_of(testing::source_path("models/tiny-phi/tokenizer.json")));
  file["added_tokens"].push_back({{"id", 4096}, {"content", "<a>"}, {"special", true}});
  file["added_tokens"].push_back({{"id", 4097}, {"content", "<a><b>"}, {"special", true}});
  file["added_tokens"].push_back({{"id", 4098}, {"content", "<c>"}, {"special", false}});
  const Tokenizer tokenizer = Tokenizer::from_json(file.dump());
  EXPECT_THAT(encode(tokenizer, {{"<a>"}, {"<b>"}}), ElementsAre(4097));
  const auto ids = encode(tokenizer, {{"<a>"}, {"<b>", false}});
  EXPECT_EQ(ids.front(), 4096);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 4097), 0);
  EXPECT_THAT(encode(tokenizer, {{"<c>", false}}), ElementsAre(4098));  // added, not special
}

TEST(TokenizerPieces, InvalidUtf8DoesNotMoveThePieces) {
  const Tokenizer tokenizer = tiny_phi();
  const auto ids =
      encode(tokenizer,
             {{"\xFF\xFF"}, {"<|endoftext|>\xE4", false}, {"\xB8<|endoftext|>"}, {"\xF0", false}});
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 0), 1);
  EXPECT_EQ(tokenizer.decode(ids), "\uFFFD\uFFFD<|endoftext|>\uFFFD\uFFFD<|endoftext|>\uFFFD");
}

// The model itself may know a special token's text: as a word, a piece or by its merges.
json with_model(const char* model) {
  return {{"added_tokens",
           {{{"id", 1}, {"content", "<s>"}, {"special", true}},
            {{"id", 0}, {"content", "?"}, {"special", true}}}},
          {"model", json::parse(model)}};
}

TEST(TokenizerPieces, TheModelMakesNoSpecialTokenOfThem) {
  const char* models[] = {
      R"({"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "<s>": 1, "a": 2}})",
      R"({"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "",
          "max_input_chars_per_word": 100,
          "vocab": {"?": 0, "<s>": 1, "a": 2, "<": 3, "s": 4, ">": 5}})",
      R"({"type": "Unigram", "unk_id": 0,
          "vocab": [["?", 0], ["<s>", 0], ["a", -1], ["<", -1], ["s", -1], [">", -1]]})",
      R"({"type": "BPE", "unk_token": "?", "ignore_merges": true, "merges": [],
          "vocab": {"?": 0, "<s>": 1, "a": 2, "<": 3, "s": 4, ">": 5}})",
      R"({"type": "BPE", "unk_token": "?", "merges": [["<", "s"], ["<s", ">"]],
          "vocab": {"?": 0, "<s>": 1, "a": 2, "<": 3, "s": 4, ">": 5, "<s": 6}})"};
  for (const char* model : models) {
    json file = with_model(model);
    for (const char* text : {"<s>", "a<s>", "<s>a<s>", "<<s>>", "a <s> a"}) {
      for (const json& pre : {json(), json{{"type", "WhitespaceSplit"}}}) {
        file["pre_tokenizer"] = pre;
        const Tokenizer tokenizer = Tokenizer::from_json(file.dump());
        const auto ids = encode(tokenizer, {{"a"}, {text, false}});
        EXPECT_EQ(std::count(ids.begin(), ids.end(), 1), 0) << model << text;
        EXPECT_FALSE(ids.empty());
      }
    }
  }
}

// A special token that is looked for in the normalised text, where it is not known whose it is.
TEST(TokenizerPieces, NormalisedSpecialTokensAreTheTemplatesAlone) {
  json file = with_model(
      R"({"type": "BPE", "unk_token": "?", "merges": [],
          "vocab": {"?": 0, "<s>": 1, "a": 2, "<": 3, "s": 4, ">": 5}})");
  file["added_tokens"][0]["normalized"] = true;
  file["normalizer"] = {{"type", "Lowercase"}};
  const Tokenizer tokenizer = Tokenizer::from_json(file.dump());
  EXPECT_THAT(encode(tokenizer, {{"a<S>a"}}), ElementsAre(2, 1, 2));
  EXPECT_THAT(encode(tokenizer, {{"<S>"}, {"a<S>", false}, {"<S>"}}),
              ElementsAre(1, 2, 3, 4, 5, 1));
  EXPECT_THAT(encode(tokenizer, {{"<"}, {"S", false}, {">"}}), ElementsAre(3, 4, 5));
}

TEST(TokenizerPieces, RandomOnesHoldNoSpecialTokenOfTheUsers) {
  const Tokenizer tokenizer = tiny_phi();
  const std::vector<std::string> parts = {"<|endoftext|>", "<|",  "endoftext", "|>", " ",
                                          "\u00e9",        "the", "<",         "\n", "\xE4"};
  std::mt19937 random(9);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::string> texts(1 + random() % 6);
    std::vector<Piece> pieces;
    int mine = 0;
    for (std::string& text : texts) {
      for (int n = random() % 4; n > 0; --n) text += parts[random() % parts.size()];
      const bool may = random() % 2;
      pieces.push_back({text, may});
      // Those that stand whole in pieces of the template that follow each other.
    }
    std::string run;
    const auto count = [&] {
      for (size_t at = 0; (at = run.find("<|endoftext|>", at)) != run.npos; at += 13) ++mine;
      run.clear();
    };
    for (const Piece& piece : pieces)
      if (piece.may_be_special)
        run += piece.text;
      else if (!piece.text.empty())
        count();
    count();
    const auto ids = encode(tokenizer, pieces);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), 0), mine);
  }
}

}  // namespace
}  // namespace hearth::llm
