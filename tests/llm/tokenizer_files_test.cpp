// Damaged, hostile and unknown tokenizer.json and tokenizer_config.json: a sentence that says what
// is wrong, never a crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/llm/tokenizer.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A small tokenizer that is right: a, b, ab.
json right() {
  return json::parse(R"({
    "added_tokens": [{"id": 3, "content": "<s>", "special": true}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
    "post_processor": null,
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
  })");
}

// What loading `text` throws; empty if nothing.
std::string error_of(const std::string& text) {
  try {
    Tokenizer::from_json(text, "some/tokenizer.json");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

// The same for right() with the JSON merge patch `patch`.
std::string error_with(const std::string& patch) {
  json file = right();
  file.merge_patch(json::parse(patch));
  return error_of(file.dump());
}

#define EXPECT_ERROR(call, part) \
  EXPECT_THAT((call), AllOf(HasSubstr("tokenizer: some/tokenizer.json: "), HasSubstr(part)))

TEST(TokenizerFiles, TheSmallOneIsRight) {
  EXPECT_EQ(error_of(right().dump()), "");
  EXPECT_EQ(Tokenizer::from_json(right().dump()).encode("aab<s>b"), (std::vector{0, 2, 3, 1}));
}

TEST(TokenizerFiles, CutShortAtAnyByte) {
  const std::string text = right().dump();
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_NE(error_of(text.substr(0, size)), "") << size;
}

TEST(TokenizerFiles, NotWhatIsExpectedAtAnyPlace) {
  // Every value in turn becomes one of another type: an error, or a tokenizer; never a crash.
  const json flat = right().flatten();
  for (const auto& [path, old] : flat.items())
    for (const json& other : {json(), json(-1), json(1.5), json("x"), json::array(), json::object(),
                              json(true), json(uint64_t{1} << 63)}) {
      json file = right();
      file[json::json_pointer(path)] = other;
      error_of(file.dump());
    }
  for (const char* key : {"model", "vocab", "merges"})
    EXPECT_ERROR(error_of("[]"), "object") << key;
  EXPECT_ERROR(error_with(R"({"model": null})"), "model: wanted an object, got nothing");
  EXPECT_ERROR(error_with(R"({"model": {"vocab": null}})"), "vocab");
  EXPECT_ERROR(error_with(R"({"model": {"merges": 5}})"), "merges: wanted an array, got number");
  EXPECT_ERROR(error_with(R"({"added_tokens": {"a": 1}})"),
               "added_tokens: wanted an array, got object");
  EXPECT_ERROR(error_with(R"({"pre_tokenizer": {"use_regex": "yes"}})"),
               "use_regex: wanted true or false, got string");
}

TEST(TokenizerFiles, Ids) {
  EXPECT_ERROR(error_with(R"({"model": {"vocab": {"c": -1}}})"), "the id -1 is not between");
  EXPECT_ERROR(error_with(R"({"model": {"vocab": {"c": 2147483648}}})"), "2147483648");
  EXPECT_ERROR(error_with(R"({"model": {"vocab": {"c": 2147483647}}})"), "out of proportion");
  EXPECT_ERROR(error_with(R"({"model": {"vocab": {"c": 18446744073709551615}}})"), "not between");
  EXPECT_ERROR(error_with(R"({"model": {"vocab": {"c": 1e99}}})"), "fraction");
  EXPECT_ERROR(error_with(R"({"model": {"vocab": {"c": "5"}}})"),
               "wanted an integer as id, got string");
  EXPECT_ERROR(error_with(R"({"model": {"vocab": {"c": [[[]]]}}})"),
               "wanted an integer as id, got array");
  EXPECT_ERROR(error_with(R"({"model": {"vocab": {"c": 1}}})"), "'b' and 'c' have the same id 1");
  EXPECT_ERROR(error_with(R"({"added_tokens": [{"id": 1, "content": "<s>"}]})"), "same id 1");
  EXPECT_ERROR(error_with(R"({"added_tokens": [{"id": 3, "content": "a"}]})"),
               "'a' has the id 3 but 0 in the model's vocab");
  EXPECT_ERROR(error_with(R"({"added_tokens": [{"id": 3, "content": "c"},
                                               {"id": 4, "content": "c"}]})"),
               "'c' has the id 4 but 3 before");
}

// The model has its own vocabulary: an added token is none of its words, bytes or pieces.
TEST(TokenizerFiles, AddedTokensAreNotTheModels) {
  json file = right();
  file["model"]["unk_token"] = "b";
  file["added_tokens"].push_back({{"id", 4}, {"content", "_"}, {"single_word", true}});
  const Tokenizer tokenizer = Tokenizer::from_json(file.dump());
  EXPECT_EQ(tokenizer.encode("a _ a"), (std::vector{0, 1, 4, 1, 0}));
  EXPECT_EQ(tokenizer.encode("a_a"), (std::vector{0, 1, 0}));
  for (const char* pre : {R"({"type": "Whitespace"})", R"({"type": "WhitespaceSplit"})"}) {
    file["pre_tokenizer"] = json::parse(pre);
    EXPECT_EQ(Tokenizer::from_json(file.dump()).encode("a_a _"), (std::vector{0, 1, 0, 4})) << pre;
  }
}

TEST(TokenizerFiles, Merges) {
  EXPECT_ERROR(error_with(R"({"model": {"merges": [["a", "c"]]}})"), "needs the token 'c'");
  EXPECT_ERROR(error_with(R"({"model": {"merges": [["b", "a"]]}})"), "needs the token 'ba'");
  EXPECT_ERROR(error_with(R"({"model": {"merges": ["a b", "b"]}})"), "merge 1 'b' is not two");
  EXPECT_ERROR(error_with(R"({"model": {"merges": ["a b c"]}})"), "is not two tokens");
  EXPECT_ERROR(error_with(R"({"model": {"merges": [["a"]]}})"), "has 1 parts, not 2");
  EXPECT_ERROR(error_with(R"({"model": {"merges": [["a", 1]]}})"), "wanted a string, got number");
  // Merges that lead back to where they came from, by way of the empty token.
  EXPECT_EQ(error_with(R"({"model": {"vocab": {"": 4}, "merges": [["", "a"], ["a", ""]]}})"), "");
}

// merges.txt begins with "#version: 0.2": among merges that are texts such a line is passed over
// and has no rank, as by Hugging Face's tokenizers.
TEST(TokenizerFiles, MergesMayHoldTheirVersion) {
  EXPECT_EQ(error_with(R"({"model": {"merges": ["#version: 0.2", "a b", "#version"]}})"), "");
  EXPECT_ERROR(error_with(R"({"model": {"merges": ["#version: 0.2", "a b", "b"]}})"),
               "merge 1 'b'");
  EXPECT_ERROR(error_with(R"({"model": {"merges": ["# a comment"]}})"), "is not two tokens");
  EXPECT_ERROR(error_with(R"({"model": {"merges": [["#version:", "0.2"]]}})"), "needs the token");
}

TEST(TokenizerFiles, DeepNesting) {
  const auto nested = [](const char* open, const char* close, int depth) {
    std::string text;
    for (int i = 0; i < depth; ++i) text += open;
    text += "null";
    for (int i = 0; i < depth; ++i) text += close;
    return text;
  };
  EXPECT_NE(error_of(nested("[", "]", 1'000'000)), "");
  EXPECT_NE(error_of(nested("{\"model\":", "}", 1'000'000)), "");
  // Spliced in as text: to print such a value nlohmann recurses, which would be our own crash.
  const auto with = [](const std::string& instead_of, const std::string& value) {
    std::string text = right().dump();
    return error_of(text.replace(text.find(instead_of), instead_of.size(), value));
  };
  EXPECT_ERROR(with("{\"add_prefix_space\":false,\"type\":\"ByteLevel\"}",
                    nested(R"({"type":"Sequence","pretokenizers":[)", "]}", 100'000)),
               "16 levels");
  EXPECT_ERROR(
      with("\"post_processor\":null",
           "\"post_processor\":" + nested(R"({"type":"Sequence","processors":[)", "]}", 100'000)),
      "16 levels");
  EXPECT_ERROR(with("\"a\":0", "\"a\":" + nested("[", "]", 100'000)), "as id, got array");
}

TEST(TokenizerFiles, KindsThatAreNotKnown) {
  EXPECT_ERROR(error_with(R"({"model": {"type": "Odd"}})"),
               "model: type 'Odd' is not one of BPE, Unigram, WordLevel, WordPiece");
  EXPECT_ERROR(error_with(R"({"normalizer": {"type": "Odd"}})"), "normalizer: type 'Odd' is not");
  EXPECT_ERROR(error_with(R"({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"},
                              {"type": "Odd"}]}})"),
               "normalizer: type 'Odd' is not");
  EXPECT_ERROR(error_with(R"({"pre_tokenizer": {"type": "UnicodeScripts"}})"),
               "pre_tokenizer: type 'UnicodeScripts' is not one of");
  EXPECT_ERROR(error_with(R"({"decoder": {"type": "CTC"}})"), "decoder: type 'CTC' is not one of");
  EXPECT_ERROR(error_with(R"({"post_processor": {"type": "Odd"}})"), "type 'Odd' is not one of");
  EXPECT_ERROR(error_with(R"({"model": {"dropout": 0.1}})"), "dropout");
  EXPECT_ERROR(error_with(R"({"model": {"unk_token": "?"}})"), "unk_token '?'");
}

// What each kind of part needs is asked for by name.
TEST(TokenizerFiles, PartsThatLackWhatTheyNeed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"normalizer": {"type": "Prepend"}})", "normalizer Prepend: prepend"},
      {R"({"normalizer": {"type": "Replace", "content": ""}})", "normalizer Replace: wanted an"},
      {R"({"normalizer": {"type": "Replace", "pattern": {"String": "a"}}})", "Replace: content"},
      {R"({"normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}})",
       "regular expression '('"},
      {R"({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "*"}})", "not base64"},
      {R"({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}})", "too few"},
      {R"({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "////////AAAA"}})",
       "4294967295 bytes of table in 5"},
      {R"({"normalizer": {"type": "Strip", "strip_left": 1}})", "Strip: strip_left"},
      {R"({"pre_tokenizer": {"type": "Metaspace", "replacement": "ab"}})", "not one character"},
      {R"({"pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "x"}})",
       "prepend_scheme 'x' is not one of first, never, always"},
      {R"({"pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first",
                             "add_prefix_space": false}})",
       "add_prefix_space is false"},
      {R"({"pre_tokenizer": {"type": "CharDelimiterSplit", "delimiter": ""}})", "one character"},
      {R"({"pre_tokenizer": {"type": "Punctuation", "behavior": "Odd"}})", "behavior 'Odd'"},
      {R"({"pre_tokenizer": {"type": "FixedLength", "length": 0}})", "length is 0"},
      {R"({"decoder": {"type": "Strip", "content": "ab", "start": 1, "stop": 0}})",
       "one character"},
      {R"({"decoder": {"type": "Strip", "content": "a", "start": -1, "stop": 0}})", "the id -1"},
      {R"({"decoder": {"type": "WordPiece", "prefix": 1}})", "wanted a string"},
      {R"({"model": {"type": "Unigram"}})", "vocab: wanted an array, got object"},
      {R"({"model": {"type": "Unigram", "vocab": [["a"]]}})", "is not a token and its score"},
      {R"({"model": {"type": "Unigram", "vocab": [["a", -1.5]], "unk_id": 1}, "added_tokens": []})",
       "unk_id 1 of 1 tokens"},
      {R"({"model": {"type": "WordPiece", "max_input_chars_per_word": "x"}})",
       "max_input_chars_per_word"},
  };
  for (const auto& [patch, part] : cases) EXPECT_ERROR(error_with(patch), part) << patch;
}

// A word that no token is for, where the model has none for the unknown.
TEST(TokenizerFiles, TextThatTheModelCannotWrite) {
  for (const char* model :
       {R"({"type": "WordLevel", "unk_token": "?"})", R"({"type": "WordPiece", "unk_token": "?"})",
        R"({"type": "Unigram", "vocab": [["a", -1], ["b", -1], ["ab", -1]],
                                "merges": null})"}) {
    json file = right();
    file["pre_tokenizer"] = nullptr;
    file["model"].merge_patch(json::parse(model));
    const Tokenizer tokenizer = Tokenizer::from_json(file.dump());
    EXPECT_EQ(tokenizer.encode("ab"), std::vector{2}) << model;
    EXPECT_THAT(testing::error_of<std::runtime_error>([&] { tokenizer.encode("xyz"); }),
                HasSubstr("the text has 'x"))
        << model;
  }
}

// A table that makes a page of every character, twice: an error, not all memory.
TEST(TokenizerFiles, NormalizersThatMakeTooMuch) {
  json file = right();
  const json longer = {
      {"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(100'000, 'a')}};
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", {longer, longer}}};
  const Tokenizer tokenizer = Tokenizer::from_json(file.dump());
  EXPECT_THAT(testing::error_of<std::runtime_error>([&] { tokenizer.encode("aaaa"); }),
              HasSubstr("no real one does"));
}

TEST(TokenizerFiles, Expressions) {
  const auto with = [](const std::string& expression) {
    json file = right();
    file["pre_tokenizer"] = {
        {"type", "Split"}, {"behavior", "Isolated"}, {"pattern", {{"Regex", expression}}}};
    return file.dump();
  };
  EXPECT_ERROR(error_of(with("(a")), "regular expression '(a'");
  EXPECT_ERROR(error_of(with("a\\X")), "regular expression 'a\\X': \\X is not supported");
  EXPECT_ERROR(error_of(with("\\C")), "regular expression");
  EXPECT_EQ(error_of(with("[]a]|[^]]|[[:alpha:]\\s]|\\h")), "");
  // One that would search for ages gives up with an error.
  const Tokenizer slow = Tokenizer::from_json(with("(a+a+)+(?=[yz])"));
  EXPECT_THROW(slow.encode(std::string(400, 'a')), std::runtime_error);
  EXPECT_EQ(slow.encode("b"), std::vector{1});
}

TEST(TokenizerFiles, Templates) {
  const auto with = [](const std::string& single) {
    return error_with(R"({"post_processor": {"type": "TemplateProcessing", "single": )" + single +
                      R"(, "special_tokens": {"<s>": {"id": "<s>", "ids": [3]},
                                              "bad": {"id": "bad", "ids": [99]}}}})");
  };
  const std::string text = R"({"Sequence": {"id": "A"}})",
                    token = R"({"SpecialToken": {"id": "<s>"}})";
  EXPECT_EQ(with("[" + token + "," + text + "]"), "");
  EXPECT_ERROR(with("[" + token + "]"), "has no place");
  EXPECT_ERROR(with("[" + text + "," + text + "]"), "not just once");
  EXPECT_ERROR(with(R"([{"SpecialToken": {"id": "none"}},)" + text + "]"), "none");
  EXPECT_ERROR(with(R"([{"SpecialToken": {"id": "bad"}},)" + text + "]"),
               "the id 99 names no token");
}

class TokenizerFolder : public ::testing::Test {
 protected:
  TokenizerFolder() { std::filesystem::create_directories(folder_); }
  ~TokenizerFolder() override { std::filesystem::remove_all(folder_); }
  void write(const char* name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::string error() const {
    try {
      Tokenizer::load(folder_);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }
  std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) /
      (std::string("hearth_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(TokenizerFolder, WithoutTheFileSaysHowToMakeIt) {
  EXPECT_THAT(error(), AllOf(HasSubstr((folder_ / "tokenizer.json").string()),
                             HasSubstr("AutoTokenizer.from_pretrained")));
}

TEST_F(TokenizerFolder, GivesTheConfiguration) {
  write("tokenizer.json", right().dump());
  EXPECT_EQ(Tokenizer::load(folder_).bos_id(), std::nullopt);
  write("tokenizer_config.json",
        R"({"bos_token": {"content": "<s>"}, "eos_token": "ab", "pad_token": null,
            "unk_token": "gone", "add_bos_token": true, "chat_template": "{{ messages }}"})");
  const Tokenizer tokenizer = Tokenizer::load(folder_ / "tokenizer.json");
  EXPECT_EQ(tokenizer.bos_id(), 3);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_EQ(tokenizer.config().pad_token, "");
  EXPECT_EQ(tokenizer.config().unk_token, "gone");
  EXPECT_EQ(tokenizer.config().add_bos_token, true);
  EXPECT_EQ(tokenizer.config().add_eos_token, std::nullopt);
  EXPECT_EQ(tokenizer.config().chat_template, "{{ messages }}");
}

TEST_F(TokenizerFolder, GivesTheDefaultOfSeveralChatTemplates) {
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "tools", "template": "t"},
                              {"name": "default", "template": "d"}]})");
  EXPECT_EQ(TokenizerConfig::load(folder_).chat_template, "d");
  write("chat_template.jinja", "from a file of its own");
  EXPECT_EQ(TokenizerConfig::load(folder_).chat_template, "from a file of its own");
}

TEST_F(TokenizerFolder, WithABadConfigurationNamesTheFile) {
  write("tokenizer.json", right().dump());
  for (const char* text : {"{", "[]", R"({"bos_token": 1})", R"({"eos_token": {}})",
                           R"({"add_bos_token": 1})", R"({"chat_template": [1]})"}) {
    write("tokenizer_config.json", text);
    EXPECT_THAT(error(), HasSubstr((folder_ / "tokenizer_config.json").string())) << text;
  }
}

}  // namespace
}  // namespace hearth::llm
