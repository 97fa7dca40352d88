#include "hearth/llm/generate.h"

#include <gtest/gtest.h>

#include <set>

#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "tests/shared.h"

namespace hearth::llm {
namespace {

const std::filesystem::path kTinyPhi = testing::source_path("models/tiny-phi");

struct Story {
  std::unique_ptr<LanguageModel> model = load_model(kTinyPhi);
  Tokenizer tokenizer = Tokenizer::load(kTinyPhi);
  Generated tell(const GenerateOptions& options, const Sink& sink = {}) {
    return generate(*model, tokenizer.encode("Once upon a time"), options, sink, &tokenizer);
  }
};

TEST(Generate, StreamsExactlyTheText) {
  Story story;
  GenerateOptions options;
  options.max_tokens = 40;
  std::string streamed;
  std::vector<int> ids;
  const auto out = story.tell(options, [&](int id, std::string_view text) {
    ids.push_back(id);
    streamed += text;
    return true;
  });
  EXPECT_EQ(streamed, out.text);
  EXPECT_EQ(out.text, story.tokenizer.decode(out.ids, true));
  EXPECT_EQ(std::vector<int>(ids.begin(), ids.begin() + 40), out.ids);
  EXPECT_EQ(out.ids.size(), 40u);
  EXPECT_GT(out.decode_tokens_per_s(), 0);
  EXPECT_LE(out.prefill_s, out.time_to_first_token_s);
}

TEST(Generate, StopsBeforeAStopTextThatSpansTokens) {
  Story story;
  GenerateOptions options;
  options.max_tokens = 60;
  const std::string whole = story.tell(options).text;
  const std::string stop = whole.substr(30, 11);  // somewhere in it, across tokens
  options.stop_texts = {"never said", stop};
  const auto out = story.tell(options);
  EXPECT_EQ(out.text, whole.substr(0, whole.find(stop)));
  EXPECT_EQ(out.stopped_by, "text");
}

TEST(Generate, StopsAtTheCallersWishAndAtStopIds) {
  Story story;
  GenerateOptions options;
  options.max_tokens = 30;
  const auto all = story.tell(options).ids;
  int seen = 0;
  EXPECT_EQ(story.tell(options, [&](int, std::string_view) { return ++seen < 5; }).ids.size(), 5u);
  options.stop_ids = {all[7]};
  const auto out = story.tell(options);
  const auto first = std::find(all.begin(), all.end(), all[7]) - all.begin();
  EXPECT_EQ(out.ids, std::vector<int>(all.begin(), all.begin() + first));
  EXPECT_EQ(out.stopped_by, "token");
}

TEST(Generate, ASeedIsReproducible) {
  Story story;
  GenerateOptions options;
  options.max_tokens = 30;
  options.sampling = {.temperature = 1.0f,
                      .top_k = 50,
                      .top_p = 0.95f,
                      .min_p = 0.01f,
                      .repetition_penalty = 1.1f,
                      .seed = 7};
  const auto once = story.tell(options).ids, again = story.tell(options).ids;
  EXPECT_EQ(once, again);
  options.sampling.seed = 8;
  EXPECT_NE(story.tell(options).ids, once);
}

TEST(Generate, ManyTimesWithoutGrowthOfMemory) {
  const auto model = load_model(kTinyPhi);
  const Device device = default_device();
  const auto active = [&] {
    synchronize();
    return std::pair(get_active_memory(), backend(device.type)->memory(device.index).active);
  };
  GenerateOptions options;
  options.max_tokens = 4;
  const std::vector<int> prompt{1, 2, 3};
  std::pair<size_t, size_t> early;
  for (int i = 0; i < 200; ++i) {
    generate(*model, prompt, options);
    if (i == 9) early = active();
  }
  EXPECT_EQ(active(), early);
}

// How often each token of four is drawn.
std::vector<int> draws(const SamplingOptions& options, const std::vector<int>& seen = {}) {
  Sampler sampler(options, 4, {seen});
  const array logits({2.0f, 1.0f, 0.0f, -1.0f},
                     {1, 4});  // probabilities 0.644, 0.237, 0.087, 0.032
  std::vector<int> counts(4);
  for (int i = 0; i < 2000; ++i) ++counts[size_t(sampler(logits).item<int>())];
  return counts;
}

TEST(Sampler, FollowsTheDistribution) {
  const auto plain = draws({.temperature = 1});
  const double wanted[] = {0.6439, 0.2369, 0.0871, 0.0321};
  for (int i = 0; i < 4; ++i)  // four standard deviations
    EXPECT_NEAR(plain[i], 2000 * wanted[i], 4 * std::sqrt(2000 * wanted[i] * (1 - wanted[i])));
  EXPECT_EQ(draws({}), (std::vector<int>{2000, 0, 0, 0}));  // temperature 0
  EXPECT_GT(draws({.temperature = 0.5f})[0], plain[0]);
}

TEST(Sampler, CutsWhereItsOptionsSay) {
  auto kept = [](const SamplingOptions& o) {
    std::set<int> out;
    const auto counts = draws(o);
    for (int i = 0; i < 4; ++i)
      if (counts[size_t(i)]) out.insert(i);
    return out;
  };
  EXPECT_EQ(kept({.temperature = 1, .top_k = 2}), (std::set<int>{0, 1}));
  EXPECT_EQ(kept({.temperature = 1, .top_p = 0.64f}), (std::set<int>{0}));
  EXPECT_EQ(kept({.temperature = 1, .top_p = 0.65f}), (std::set<int>{0, 1}));
  EXPECT_EQ(kept({.temperature = 1, .min_p = 0.1f}), (std::set<int>{0, 1, 2}));
  EXPECT_EQ(kept({.temperature = 1, .min_p = 0.2f}), (std::set<int>{0, 1}));
  // A penalty of 4 takes token 0 from 2 to 0.5, below token 1.
  Sampler greedy({.repetition_penalty = 4}, 4, {{0, 0}});
  const array logits({2.0f, 1.0f, 0.0f, -1.0f}, {1, 4});
  EXPECT_EQ(greedy(logits).item<int>(), 1);
  EXPECT_EQ(greedy(logits).item<int>(), 0);  // now both are seen
}

TEST(Sampler, RefusesOptionsWithoutMeaning) {
  for (const SamplingOptions& bad : {SamplingOptions{.temperature = -1},
                                     {.temperature = NAN},
                                     {.top_k = -1},
                                     {.top_p = 0},
                                     {.top_p = 1.5f},
                                     {.min_p = 2},
                                     {.repetition_penalty = 0}})
    EXPECT_THROW(Sampler(bad, 4, {{}}), std::invalid_argument);
}

}  // namespace
}  // namespace hearth::llm
