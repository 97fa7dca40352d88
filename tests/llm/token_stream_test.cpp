// The loop of generation at its limits: what it refuses, where it ends, and that chunks of the
// prompt change nothing.
#include "hearth/llm/token_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hearth/llm/generate.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Prompts = std::vector<std::vector<int>>;

class TokenStreamTest : public ::testing::Test {
 protected:
  static LanguageModel& model() {
    static const auto loaded =
        load_model(testing::source_path("models/tiny-phi"), {.dtype = float32});
    return *loaded;
  }
  static std::vector<int> prompt(int n) {
    std::vector<int> ids;
    for (int i = 0; i < n; ++i) ids.push_back(1 + i * 17 % 4000);
    return ids;
  }
  static std::vector<std::vector<int>> all(const Prompts& prompts, int most, int chunk = 512) {
    TokenStream stream(model(), prompts, {}, most, chunk);
    std::vector<std::vector<int>> steps;
    for (auto step = stream.next(); !step.empty(); step = stream.next()) steps.push_back(step);
    EXPECT_TRUE(stream.next().empty());
    return steps;
  }
  static std::string refused(const Prompts& prompts, int most = 1) {
    return error_of<std::invalid_argument>([&] { TokenStream(model(), prompts, {}, most); });
  }
};

TEST_F(TokenStreamTest, RefusesWhatHasNoAnswer) {
  EXPECT_EQ(refused({}), "generate: there is no prompt");
  EXPECT_EQ(refused({{}}), "generate: the prompt has no tokens");
  EXPECT_EQ(refused({{1, 2}, {}}), "generate: the prompt has no tokens");
  EXPECT_EQ(refused({{0, 4096}}), "generate: token 4096 is not in the vocabulary of 4096");
  EXPECT_EQ(refused({{-1}}), "generate: token -1 is not in the vocabulary of 4096");
  EXPECT_EQ(refused({{1, 2}, {1}}), "generate: rows of 2 and 1 tokens; wanted one length");
  EXPECT_EQ(refused({prompt(513)}),
            "generate: the prompt has 513 tokens, the model's context is "
            "512; shorten the prompt");
  EXPECT_EQ(refused({{1}}, 0), "generate: 0 tokens asked; wanted at least 1");
  EXPECT_EQ(all({{0, 4095}}, 1).size(), 1u);
  for (int chunk : {0, -1})
    EXPECT_THAT(error_of<std::invalid_argument>([&] { all({{1}}, 1, chunk); }),
                StartsWith(concat("prefill: chunks of ", chunk, " tokens; wanted at least 1")));
}

// The last token needs no room in the context: nothing is asked of it.
TEST_F(TokenStreamTest, EndsWhereTheContextIsFull) {
  EXPECT_EQ(all({prompt(512)}, 5).size(), 1u);
  EXPECT_EQ(all({prompt(510)}, 5).size(), 3u);
  EXPECT_EQ(all({prompt(508)}, 5).size(), 5u);
  EXPECT_EQ(all({prompt(4)}, 3).size(), 3u);
}

TEST_F(TokenStreamTest, ChunksOfThePromptChangeNothing) {
  const auto whole = all({prompt(37), prompt(37)}, 6);
  for (int chunk : {1, 5, 36, 37, 38}) EXPECT_EQ(all({prompt(37), prompt(37)}, 6, chunk), whole);
  // A row is what it is alone.
  auto other = prompt(37);
  other[3] = 99;
  const auto both = all({prompt(37), other}, 6), alone = all({other}, 6);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(both[i][0], whole[i][0]);
    EXPECT_EQ(both[i][1], alone[i][0]);
  }
}

TEST_F(TokenStreamTest, GenerationSaysWhatEndedIt) {
  const auto tokenizer = Tokenizer::load(testing::source_path("models/tiny-phi"));
  GenerateOptions options;
  options.max_tokens = 6;
  const auto ids = tokenizer.encode("Once upon a time");
  const Generated whole = generate(model(), ids, options, {}, &tokenizer);
  EXPECT_EQ(whole.stopped_by, "length");
  EXPECT_EQ(whole.prompt_tokens, int(ids.size()));
  EXPECT_GT(whole.prefill_s, 0);
  EXPECT_NEAR(whole.prefill_tokens_per_s(), double(ids.size()) / whole.prefill_s, 1e-6);
  EXPECT_NEAR(whole.decode_tokens_per_s(), 5 / whole.decode_s, 1e-6);
  int calls = 0;
  const Generated ended = generate(
      model(), ids, options, [&](int, std::string_view) { return ++calls < 3; }, &tokenizer);
  EXPECT_EQ(ended.stopped_by, "caller");
  EXPECT_EQ(ended.ids, std::vector<int>(whole.ids.begin(), whole.ids.begin() + 3));
  EXPECT_EQ(ended.text, tokenizer.decode(ended.ids, true));
  options.stop_ids = {whole.ids[0]};  // nothing at all
  const Generated none = generate(model(), ids, options, {}, &tokenizer);
  EXPECT_EQ(none.stopped_by, "token");
  EXPECT_TRUE(none.ids.empty());
  EXPECT_EQ(none.text, "");
  EXPECT_EQ(none.time_to_first_token_s, 0);
  EXPECT_EQ(none.decode_tokens_per_s(), 0);
  options = {};
  options.max_tokens = 1;
  const Generated one = generate(model(), ids, options);
  EXPECT_EQ(one.text, "");
  EXPECT_EQ(one.decode_tokens_per_s(), 0);
  options.stop_texts = {"x"};
  EXPECT_THAT(error_of<std::invalid_argument>([&] { generate(model(), ids, options); }),
              HasSubstr("stop texts need a tokenizer"));
}

}  // namespace
}  // namespace hearth::llm
