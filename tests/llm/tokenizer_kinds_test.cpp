// tokenizer.model, tekken.json and tiktoken files: what they hold, damaged and hostile ones; and
// texts that are long and hard for each kind of model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "hearth/llm/tokenizer.h"
#include "hearth/llm/tokenizer/base64.h"
#include "hearth/llm/tokenizer/unicode.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string error_of(std::string_view bytes, const std::string& name = "dir/tokenizer.model",
                     TokenizerConfig config = {}) {
  try {
    Tokenizer::from_json(bytes, name, std::move(config));
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

// Fields of a protocol buffer.
std::string number(int field, unsigned value) {
  std::string bytes;
  for (unsigned part : {unsigned(field) << 3, value}) {
    for (; part >= 0x80; part >>= 7) bytes += char(part | 0x80);
    bytes += char(part);
  }
  return bytes;
}
std::string text(int field, const std::string& value) {
  std::string bytes = number(field, unsigned(value.size()));
  bytes[0] = char(bytes[0] | 2);  // its length follows
  return bytes + value;
}
std::string real(int field, float value) {
  std::string bytes(1, char(field << 3 | 5));
  bytes.resize(5);
  std::memcpy(bytes.data() + 1, &value, 4);
  return bytes;
}
std::string piece(const std::string& name, float score, int type = 1) {
  return text(1, text(1, name) + real(2, score) + number(3, unsigned(type)));
}
// <unk> <s> </s> and pieces of a BPE (2) or unigram (1) model.
std::string model(const std::string& more, int type = 2, const std::string& normalizer = "") {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + more +
         text(2, number(3, unsigned(type))) + text(3, normalizer);
}
const std::string kPieces =
    piece("\u2581", -3) + piece("a", -4) + piece("b", -5) + piece("ab", -1) + piece("\u2581a", -2);

TEST(TokenizerModel, ReadsSentencepiece) {
  const Tokenizer bpe = Tokenizer::from_json(model(kPieces), "tokenizer.model");
  EXPECT_THAT(bpe.encode("ab"), ElementsAre(3, 6));  // ab before _a
  EXPECT_THAT(bpe.encode(" a  zz b "), ElementsAre(7, 3, 0, 3, 5));
  EXPECT_THAT(bpe.encode("<s>a"), ElementsAre(1, 7));
  EXPECT_EQ(bpe.decode(std::vector{1, 7, 3, 6, 0, 2}), "<s> a ab \u2047 </s>");
  EXPECT_EQ(bpe.decode(std::vector{1, 7, 3, 6, 0, 2}, true), "a ab");
  // Where spaces are squeezed all in front go, else the one that was added.
  EXPECT_EQ(bpe.decode(std::vector{3, 3, 7, 3, 7}), "a  a");
  const Tokenizer keeps = Tokenizer::from_json(model(kPieces, 2, number(4, 0)), "tokenizer.model");
  EXPECT_EQ(keeps.decode(std::vector{3, 3, 7}), "  a");
  EXPECT_EQ(bpe.bos_id(), 1);
  EXPECT_EQ(bpe.eos_id(), 2);
  EXPECT_TRUE(bpe.is_special(1));
  EXPECT_FALSE(bpe.is_special(3));
  TokenizerConfig config;
  config.add_bos_token = true;
  EXPECT_THAT(Tokenizer::from_json(model(kPieces), "x.model", config).encode("a"),
              ElementsAre(1, 7));
  const Tokenizer unigram = Tokenizer::from_json(model(kPieces, 1), "tokenizer.model");
  EXPECT_THAT(unigram.encode("ab"), ElementsAre(3, 6));  // -4 is above -2 - 5
}

TEST(TokenizerModel, RefusesWhatItCannotDo) {
  EXPECT_THAT(error_of(model(kPieces, 3)), HasSubstr("model type 'word' is not one of"));
  EXPECT_THAT(error_of(model(kPieces, 99)), HasSubstr("model type '?'"));
  EXPECT_THAT(error_of(model(piece("x", 0, 5))), HasSubstr("piece 3 is of the type unused"));
  EXPECT_THAT(error_of(model(piece("x", 0, 9))), HasSubstr("piece 3: its type 9"));
  EXPECT_THAT(error_of(model(piece("", 0))), HasSubstr("piece 3 is empty"));
  EXPECT_THAT(error_of(model(piece("\xFF", 0))), HasSubstr("not UTF-8"));
  EXPECT_THAT(error_of(model(piece("a", std::nanf("")))), HasSubstr("score is not finite"));
  EXPECT_THAT(error_of(model(kPieces + piece("a", 0))), HasSubstr("'a' has two ids"));
  EXPECT_THAT(error_of(piece("a", 0)), HasSubstr("no piece for the unknown"));
  EXPECT_THAT(error_of(model(kPieces, 2, text(2, "abc"))), HasSubstr("precompiled_charsmap"));
  EXPECT_THAT(error_of("\n"), AllOf(HasSubstr("dir/tokenizer.model"), HasSubstr("damaged")));
  EXPECT_THAT(error_of("\n\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), HasSubstr("damaged"));
  EXPECT_NE(error_of(std::string(2000, '\n')), "");
}

TEST(TokenizerModel, CutShortOrChangedAtAnyByte) {
  const std::string whole =
      testing::content_of(testing::source_path("tests/data/tokenizers/spm_unigram_plain.model"));
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = whole;
    if (i % 3 == 0) bytes.resize(random() % bytes.size());
    for (int n = i % 3; n > 0; --n) bytes[random() % bytes.size()] = char(random());
    try {
      const Tokenizer tokenizer = Tokenizer::from_json(bytes, "x.model");
      tokenizer.decode(tokenizer.encode("Once upon a <s> \u00e9\u4e16"));
    } catch (const std::runtime_error&) {
    }
  }
}

std::string tekken(const std::string& patch = "{}") {
  json file = {
      {"config",
       {{"pattern", R"([^\s]+|\s)"}, {"default_vocab_size", 8}, {"default_num_special_tokens", 4}}},
      {"vocab", json::array()},
      {"special_tokens",
       {{{"rank", 0}, {"token_str", "<unk>"}},
        {{"rank", 1}, {"token_str", "<s>"}},
        {{"rank", 2}, {"token_str", "</s>"}}}}};
  for (const char* token :
       {"YQ==", "Yg==", "IA==", "YWI=", "YmI="})  // a, b, space, ab; bb is cut off
    file["vocab"].push_back({{"rank", file["vocab"].size()}, {"token_bytes", token}});
  file.merge_patch(json::parse(patch));
  return file.dump();
}

TEST(Tekken, CountsItsSpecialTokensFirst) {
  const Tokenizer tokenizer = Tokenizer::from_json(tekken(), "tekken.json");
  EXPECT_THAT(tokenizer.encode("abb a"), ElementsAre(1, 7, 5, 6, 4));
  EXPECT_THAT(tokenizer.encode("a</s>", false), ElementsAre(4, 2));
  EXPECT_EQ(tokenizer.vocab_size(), 8);
  EXPECT_EQ(tokenizer.id_to_token(3), "<SPECIAL_3>");
  EXPECT_EQ(tokenizer.decode(std::vector{1, 7, 6, 2}), "<s>ab </s>");
  EXPECT_EQ(tokenizer.bos_id(), 1);
}

TEST(Tekken, SaysWhatIsWrong) {
  const auto error = [](const char* patch) { return error_of(tekken(patch), "tekken.json"); };
  EXPECT_EQ(error("{}"), "");
  EXPECT_THAT(error(R"({"config": null})"), HasSubstr("config: wanted an object"));
  EXPECT_THAT(error(R"({"config": {"pattern": 1}})"), HasSubstr("pattern"));
  EXPECT_THAT(error(R"({"config": {"pattern": "("}})"), HasSubstr("regular expression '('"));
  EXPECT_THAT(error(R"({"config": {"default_vocab_size": -1}})"), HasSubstr("default_vocab_size"));
  EXPECT_THAT(error(R"({"config": {"default_num_special_tokens": 9}})"), HasSubstr("is above"));
  EXPECT_THAT(error(R"({"config": {"default_vocab_size": 2000000000,
                                   "default_num_special_tokens": 1999999999}})"),
              HasSubstr("out of proportion"));
  EXPECT_THAT(error(R"({"vocab": [{"rank": 0, "token_bytes": "*"}]})"), HasSubstr("not base64"));
  EXPECT_THAT(error(R"({"vocab": [{"rank": 2147483647, "token_bytes": "YQ=="}]})"),
              HasSubstr("2147483647"));
  EXPECT_THAT(error(R"({"special_tokens": [{"rank": 4, "token_str": "x"}]})"),
              HasSubstr("the rank 4 of 4"));
}

TEST(Tiktoken, IsCutByTheExpressionOfItsConfiguration) {
  const std::string ranks = "YQ== 0\nYg== 1\nIA== 2\nYWI= 3\nYmI= 4\n";
  TokenizerConfig config;
  config.split_pattern = R"(\S+|\s)";
  config.added_tokens = {{7, "<|end|>"}};
  const Tokenizer tokenizer = Tokenizer::from_json(ranks, "my.tiktoken", config);
  EXPECT_THAT(tokenizer.encode("abb bb<|end|>"), ElementsAre(3, 1, 2, 4, 7));
  EXPECT_EQ(tokenizer.decode(std::vector{3, 1, 2, 4, 7}), "abb bb<|end|>");
  EXPECT_EQ(tokenizer.decode(std::vector{3, 7}, true), "ab");
  // The names of known files stand for theirs.
  EXPECT_THAT(Tokenizer::from_json(ranks, "dir/gpt2.tiktoken").encode("ab"), ElementsAre(3));
  EXPECT_THAT(error_of(ranks, "my.tiktoken"), HasSubstr("pat_str"));
  EXPECT_THAT(error_of("YQ== 0\nYg==\n", "gpt2.tiktoken"), HasSubstr("line 2"));
  EXPECT_THAT(error_of("YQ== x\n", "gpt2.tiktoken"), HasSubstr("line 1"));
  EXPECT_THAT(error_of("YQ== -1\n", "gpt2.tiktoken"), HasSubstr("line 1"));
  EXPECT_THAT(error_of("YQ== 99999999999\n", "gpt2.tiktoken"), HasSubstr("line 1"));
  EXPECT_THAT(error_of("YQ== 2000000000\n", "gpt2.tiktoken"), HasSubstr("out of proportion"));
  EXPECT_THAT(error_of("YQ== 0\nYQ== 1\n", "gpt2.tiktoken"), HasSubstr("two ids"));
  EXPECT_THAT(error_of("", "gpt2.tiktoken"), HasSubstr("empty"));
  EXPECT_THAT(error_of("a text of some other kind\n", "gpt2.tiktoken"), HasSubstr("not a tokeniz"));
}

TEST(TokenizerFolderOfOtherKinds, IsRead) {
  const testing::TempFolder folder;
  EXPECT_FALSE(Tokenizer::file_in(folder.path()));
  EXPECT_FALSE(Tokenizer::file_in(folder.path() / "no such folder"));
  std::ofstream(folder.path() / "tokenizer.model", std::ios::binary) << model(kPieces);
  EXPECT_TRUE(Tokenizer::file_in(folder.path()));
  EXPECT_THAT(Tokenizer::load(folder.path()).encode("ab"), ElementsAre(3, 6));
  std::ofstream(folder.path() / "tekken.json") << tekken();  // goes before
  EXPECT_THAT(Tokenizer::load(folder.path()).encode("ab"), ElementsAre(1, 7));
}

TEST(Base64, IsReadWithAndWithoutItsPadding) {
  EXPECT_EQ(from_base64(""), "");
  EXPECT_EQ(from_base64("YQ=="), "a");
  EXPECT_EQ(from_base64("YQ"), "a");
  EXPECT_EQ(from_base64("+/+/"), "\xFB\xFF\xBF");
  EXPECT_EQ(from_base64("Y"), std::nullopt);
  EXPECT_EQ(from_base64("Y Q="), std::nullopt);
}

// Texts that a careless step takes the square of their length for.
TEST(TokenizerKinds, LongTextsTakeTimeInProportion) {
  std::vector<std::pair<std::string, Tokenizer>> all;
  std::ifstream in(testing::source_path("tests/data/tokenizers/variants.jsonl"));
  std::vector<json> models;
  for (std::string line; std::getline(in, line);) {
    json variant = json::parse(line);
    if (variant.contains("model")) models.push_back(variant["model"]);
    if (variant["name"].get<std::string>().starts_with("random")) continue;
    json& description = variant["tokenizer"];
    description["model"] = models[description["model"].get<size_t>()];
    all.emplace_back(variant["name"], Tokenizer::from_json(description.dump()));
  }
  for (const char* name : {"spm_bpe", "spm_unigram"})
    all.emplace_back(name, Tokenizer::load(testing::source_path(
                               (std::string("tests/data/tokenizers/") + name + ".model").c_str())));
  std::vector<std::string> texts;
  for (const char* unit : {"a", " ", "\u00e9", "th", "\u2581", "\u0301\u0323", "\u4e16", "<s> ",
                           "a b", "\U0001F468\u200D", "<", "\n", "'s"}) {
    texts.emplace_back();
    while (texts.back().size() < 30'000) texts.back() += unit;
  }
  for (const auto& [name, tokenizer] : all)
    for (const std::string& text : texts) {
      const std::clock_t before = std::clock();  // of this process: others may run
      const auto ids = tokenizer.encode(text);
      const std::string decoded = tokenizer.decode(ids);
      StreamDecoder stream(tokenizer);
      std::string streamed;
      for (const int id : ids) streamed += stream.push(id);
      EXPECT_TRUE(streamed + stream.finish() == decoded) << name << text.substr(0, 8);
      EXPECT_LT(double(std::clock() - before) / CLOCKS_PER_SEC, 5)
          << name << ' ' << text.substr(0, 8);
    }
}

// The marks of a character in the wrong order: they are sorted, not bubbled.
TEST(Unicode, NormalFormsOfALongRunOfMarksTakeTimeInProportion) {
  std::string text = "a";
  for (int i = 0; i < 200'000; ++i) text += "\u0301";
  for (int i = 0; i < 200'000; ++i) text += "\u0323";
  const std::clock_t before = std::clock();
  std::string composed;
  append_normalized(composed, text, NormalForm::nfc);
  EXPECT_TRUE(composed.starts_with("\u1ea1\u0323\u0323"));  // the dot below goes first
  EXPECT_EQ(composed.size(), text.size() - 1 - 2 + 3);
  EXPECT_LT(double(std::clock() - before) / CLOCKS_PER_SEC, 5);
}

// Hugging Face's tables of marks and punctuation are those of Unicode 8 and 9.
TEST(Unicode, IsOfTheAgeOfHuggingFaces) {
  EXPECT_TRUE(is_punctuation(0x2E42) && is_punctuation('$') && !is_punctuation(0x2E43));
  EXPECT_TRUE(is_nonspacing_mark(0x301) && !is_nonspacing_mark(0x8E1) && !is_mark(0x8CA));
  EXPECT_TRUE(is_number(0x663) && is_number(0x10D40));  // of Unicode 16
  std::string text;
  append_lowercase(text, 0x1C89);
  append_lowercase(text, 0x130);
  EXPECT_EQ(text,
            "\u1C8A"
            "i\u0307");
  std::string form;
  append_normalized(form, "\u32FF", NormalForm::nfkc);
  EXPECT_EQ(form, "\u32FF");
}

TEST(Unicode, NormalForms) {
  const auto form = [](std::string_view text, NormalForm form) {
    std::string out;
    append_normalized(out, text, form);
    return out;
  };
  EXPECT_EQ(form("e\u0301 A\u030a \u212b \ufb01 x", NormalForm::nfc),
            "\u00e9 \u00c5 \u00c5 \ufb01 x");
  EXPECT_EQ(form("\u00e9\u1112\u1161\u11ab", NormalForm::nfc), "\u00e9\ud55c");
  EXPECT_EQ(form("\u00e9 \ud55c", NormalForm::nfd), "e\u0301 \u1112\u1161\u11ab");
  EXPECT_EQ(form("\ufb01 \u2460\u00bd \uff21", NormalForm::nfkc), "fi 11\u20442 A");
  EXPECT_EQ(form("\u01c5\u00e9", NormalForm::nfkd), "Dz\u030ce\u0301");
  EXPECT_EQ(form("", NormalForm::nfc), "");
}

}  // namespace
}  // namespace hearth::llm
