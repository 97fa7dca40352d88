#include "hearth/llm/generate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "hearth/llm/perplexity.h"
#include "hearth/llm/sampler.h"
#include "hearth/llm/sequence_breakers.h"
#include "hearth/llm/stop_texts.h"
#include "hearth/ops/ops.h"
#include "tests/memory_before.h"
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

// What was held back for a stop text that did not come is text after all.
TEST(Generate, GivesBackWhatWasHeldAtTheEnd) {
  Story story;
  GenerateOptions options;
  options.max_tokens = 20;
  const std::string text = story.tell(options).text;
  options.stop_texts = {text.substr(text.size() - 4) + "@@"};
  std::string streamed;
  const auto out = story.tell(options, [&](int, std::string_view piece) {
    streamed += piece;
    return true;
  });
  EXPECT_EQ(out.text, text);
  EXPECT_EQ(streamed, text);
  EXPECT_EQ(out.stopped_by, "length");
}

// As rows of one batch: each prompt has the answer that it has alone, in its place.
TEST(Generate, AnswersSeveralPromptsAsEachAlone) {
  Story story;
  GenerateOptions options;
  options.max_tokens = 24;
  options.stop_texts = {"and"};
  options.stop_ids = story.model->facts.eos;
  options.sampling = {.temperature = 0.9f, .repetition_penalty = 1.1f, .logprobs = 1, .seed = 4};
  std::vector<std::vector<int>> prompts;
  for (int i = 0; i < 70; ++i)
    prompts.push_back(
        story.tokenizer.encode(std::string(size_t(i % 7), ' ') + "The cat " + std::to_string(i)));
  prompts[5] = {};                               // an error of its own
  prompts[6] = std::vector<int>(600, 7);         // longer than the context
  prompts[40] = story.tokenizer.encode(" Tom");  // two that are alike
  prompts[41] = prompts[40];
  std::vector<int> ended(prompts.size(), 0);
  std::vector<size_t> tokens(prompts.size(), 0);
  const auto all = generate_each(
      *story.model, prompts, options,
      [&](size_t i, const Generated& out) {
        out.stopped_by.empty() ? void(tokens[i] = out.ids.size()) : void(++ended[i]);
        return true;
      },
      &story.tokenizer);
  ASSERT_EQ(all.size(), prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(ended[i], 1) << i;
    EXPECT_EQ(bool(all[i].error), i == 5 || i == 6) << i;
    if (all[i].error) {
      EXPECT_EQ(all[i].stopped_by, "error");
      continue;
    }
    const auto alone = generate(*story.model, prompts[i], options, {}, &story.tokenizer);
    EXPECT_EQ(all[i].ids, alone.ids) << i;
    EXPECT_EQ(all[i].text, alone.text) << i;
    EXPECT_EQ(all[i].stopped_by, alone.stopped_by) << i;
    EXPECT_EQ(all[i].prompt_tokens, int(prompts[i].size()));
    EXPECT_EQ(all[i].logprobs.size(), all[i].ids.size());
    EXPECT_EQ(tokens[i], all[i].ids.size());
    EXPECT_GT(all[i].time_to_first_token_s, 0);
  }
  EXPECT_EQ(all[40].ids, all[41].ids);
  // One that is told to end ends all, and what was not begun has no answer.
  int calls = 0;
  const auto few = generate_each(
      *story.model, prompts, options, [&](size_t, const Generated&) { return ++calls < 40; },
      &story.tokenizer);
  ASSERT_EQ(few.size(), prompts.size());
  EXPECT_EQ(few.back().stopped_by, "caller");
  EXPECT_TRUE(few.back().ids.empty());
  EXPECT_FALSE(few[0].ids.empty());
  EXPECT_TRUE(generate_each(*story.model, {}, options, {}, &story.tokenizer).empty());
}

// DRY's breakers are texts: any token that holds one, or begins and goes on with one.
TEST(Generate, FindsTheTokensOfSequenceBreakers) {
  const Tokenizer tokenizer = Tokenizer::load(kTinyPhi);
  const auto found = sequence_breakers(tokenizer, {"\n", " cat."});
  ASSERT_GE(found.size(), 2u);
  EXPECT_TRUE(found[0].tail.empty());
  size_t holding = 0;
  for (int id = 0; id < tokenizer.vocab_size(); ++id)
    holding += tokenizer.decode({&id, 1}).find('\n') != std::string::npos;
  EXPECT_GT(holding, 0u);
  EXPECT_EQ(found[0].heads.size(), holding);  // none has all of " cat."
  // However a text that holds it is cut into tokens, one of them ends in it.
  for (const char* text : {"the cat. Then", "a cat.", "the\n\ncat", "x\n"}) {
    const auto ids = tokenizer.encode(text);
    const auto begins = [&](size_t at) {
      return std::ranges::any_of(found, [&](const SequenceBreaker& b) {
        const auto rest = std::span(ids).subspan(at + 1);
        return std::ranges::find(b.heads, ids[at]) != b.heads.end() &&
               rest.size() >= b.tail.size() &&
               std::ranges::equal(rest.first(b.tail.size()), b.tail);
      });
    };
    bool any = false;
    for (size_t i = 0; i < ids.size(); ++i) any |= begins(i);
    EXPECT_TRUE(any) << text;
  }
  // And they count when text is generated.
  Story story;
  GenerateOptions options;
  options.max_tokens = 60;
  options.sampling = {.dry_multiplier = 3, .dry_allowed_length = 1};
  const auto usual = story.tell(options).ids;
  options.sampling.dry_sequence_breakers = {};
  const auto none = story.tell(options).ids;
  options.sampling.dry_sequence_breakers = {" "};  // every word's beginning
  const auto all = story.tell(options).ids;
  options.sampling.dry_multiplier = 0;
  EXPECT_NE(none, all);
  EXPECT_NE(story.tell(options).ids, usual);
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

TEST(Generate, SaysWhatEndedIt) {
  Story story;
  const auto& [model, tokenizer] = story;
  GenerateOptions options;
  options.max_tokens = 6;
  const auto ids = tokenizer.encode("Once upon a time");
  const Generated whole = story.tell(options);
  EXPECT_EQ(whole.stopped_by, "length");
  EXPECT_EQ(whole.prompt_tokens, int(ids.size()));
  EXPECT_GT(whole.prefill_s, 0);
  EXPECT_NEAR(whole.prefill_tokens_per_s(), double(ids.size()) / whole.prefill_s, 1e-6);
  EXPECT_NEAR(whole.decode_tokens_per_s(), 5 / whole.decode_s, 1e-6);
  int calls = 0;
  const Generated ended = story.tell(options, [&](int, std::string_view) { return ++calls < 3; });
  EXPECT_EQ(ended.stopped_by, "caller");
  EXPECT_EQ(ended.ids, std::vector<int>(whole.ids.begin(), whole.ids.begin() + 3));
  EXPECT_EQ(ended.text, tokenizer.decode(ended.ids, true));
  options.stop_ids = {whole.ids[0]};  // nothing at all
  const Generated none = story.tell(options);
  EXPECT_EQ(none.stopped_by, "token");
  EXPECT_TRUE(none.ids.empty());
  EXPECT_EQ(none.text, "");
  EXPECT_EQ(none.time_to_first_token_s, 0);
  EXPECT_EQ(none.decode_tokens_per_s(), 0);
  options = {};
  options.max_tokens = 1;
  const Generated one = generate(*model, ids, options);
  EXPECT_EQ(one.text, "");
  EXPECT_EQ(one.decode_tokens_per_s(), 0);
  options.stop_texts = {"x"};
  EXPECT_THROW(generate(*model, ids, options), std::invalid_argument);
}

// What StopTexts lets through of pieces that come one by one, up to a stop text.
std::pair<std::string, bool> through(const std::vector<std::string>& stops,
                                     const std::vector<std::string>& pieces) {
  StopTexts texts(stops);
  std::string out;
  bool hit = false;
  for (const std::string& piece : pieces) {
    out += texts.push(piece, hit);
    if (hit) return {out, true};
  }
  return {out + texts.rest(), false};
}

TEST(StopTexts, TheEarlierOfTwoInOnePieceCounts) {
  for (const auto& stops : {std::vector<std::string>{"END", "stop"}, {"stop", "END"}}) {
    EXPECT_EQ(through(stops, {"a stop and END."}), std::pair(std::string("a "), true));
    EXPECT_EQ(through(stops, {"an END and stop."}), std::pair(std::string("an "), true));
  }
}

TEST(StopTexts, AreFoundLetterByLetterAndGivenBackIfTheyAreNone) {
  const auto letters = [](const std::string& text) {
    std::vector<std::string> all;
    for (char c : text) all.push_back({c});
    return all;
  };
  EXPECT_EQ(through({"Once"}, letters("So. Once more")), std::pair(std::string("So. "), true));
  EXPECT_EQ(through({"aab"}, letters("aaab")), std::pair(std::string("a"), true));
  EXPECT_EQ(through({"ababc"}, letters("abababc!")), std::pair(std::string("ab"), true));
  EXPECT_EQ(through({"xyz", "yq"}, letters("wxyq")), std::pair(std::string("wx"), true));
  EXPECT_EQ(through({"Once"}, letters("One Onc On")), std::pair(std::string("One Onc On"), false));
  EXPECT_EQ(through({"\n\n"}, letters("a\nb\n")), std::pair(std::string("a\nb\n"), false));
  EXPECT_THROW(StopTexts({"a", ""}), std::invalid_argument);
}

TEST(StopTexts, HoldBackOnlyWhatMayBegin) {
  StopTexts texts({"abc"});
  bool hit = false;
  EXPECT_EQ(texts.push("xa", hit), "x");
  EXPECT_EQ(texts.push("bx", hit), "abx");
  EXPECT_EQ(texts.push("ab", hit), "");
  EXPECT_FALSE(hit);
  EXPECT_EQ(texts.rest(), "ab");
  EXPECT_EQ(texts.rest(), "");
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
    return std::pair(memory_before(), backend(device.type)->memory(device.index).active);
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

// Probabilities that float holds exactly: the set that reaches p has no token more.
TEST(Sampler, TopPAtItsEdge) {
  const auto kept = [](float p, std::vector<float> logits) {
    Sampler sampler({.temperature = 1, .top_p = p}, int(logits.size()), {{}});
    const array row(logits.begin(), Shape{1, int(logits.size())}, float32);
    std::set<int> out;
    for (int i = 0; i < 400; ++i) out.insert(sampler(row).item<int>());
    return out.size();
  };
  const std::vector<float> two{0, 0}, four{1, 1, 1, 1};
  EXPECT_EQ(kept(0.5f, two), 1u);
  EXPECT_EQ(kept(std::nextafter(0.5f, 1.0f), two), 2u);
  EXPECT_EQ(kept(1e-38f, two), 1u);
  EXPECT_EQ(kept(0.25f, four), 1u);
  EXPECT_EQ(kept(0.5f, four), 2u);
  EXPECT_EQ(kept(0.75f, four), 3u);
  EXPECT_EQ(kept(std::nextafter(1.0f, 0.0f), four), 4u);
  // 0.7 and 0.2: the sum of both less the second is not 0.7 to the bit.
  const float first = std::log(0.7f), second = std::log(0.2f), third = std::log(0.1f);
  const array row({first, second, third}, {1, 3});
  const float p = softmax(row, 1).to_vector<float>()[0];
  EXPECT_EQ(kept(p, {first, second, third}), 1u);
}

TEST(Sampler, ATemperatureNextToZeroIsGreedy) {
  const array logits({-3.0f, 5.0f, 5.0f, 60000.0f, -60000.0f, 60000.0f}, {1, 6});
  for (float t : {0.0f, 1e-45f, 1e-38f, 1e-30f, 1e-10f, 1e-6f})
    for (uint64_t seed : {0, 1, 2, 3}) {
      Sampler sampler({.temperature = t, .seed = seed}, 6, {{}});
      EXPECT_EQ(sampler(logits).item<int>(), 3) << t;  // of equals the first, as without
    }
  Sampler hot({.temperature = 3e38f}, 6, {{}});
  std::set<int> drawn;
  for (int i = 0; i < 200; ++i) drawn.insert(hot(logits).item<int>());
  EXPECT_EQ(drawn.size(), 6u);
}

TEST(Sampler, APenaltyMakesNegativeLogitsLessLikelyToo) {
  const array logits({-1.0f, -1.5f, -9.0f}, {1, 3});
  Sampler none({}, 3, {{0}}), penalty({.repetition_penalty = 2}, 3, {{0}}),
      reward({.repetition_penalty = 0.1f}, 3, {{2}});
  EXPECT_EQ(none(logits).item<int>(), 0);
  EXPECT_EQ(penalty(logits).item<int>(), 1);  // -2 against -1.5
  EXPECT_EQ(reward(logits).item<int>(), 2);   // -0.9
  // Each row has its own tokens.
  Sampler rows({.repetition_penalty = 2}, 3, {{0}, {1}});
  EXPECT_EQ(rows(concatenate({logits, logits}, 0)).to_vector<int>(), (std::vector<int>{1, 0}));
}

TEST(Sampler, ARowWithoutANumberIsMarked) {
  const float inf = INFINITY;
  const std::pair<std::vector<float>, int> rows[] = {
      {{1, 2, 0}, 1},       {{1, NAN, 0}, -1},        {{NAN, NAN, NAN}, -1}, {{inf, 0, 0}, -1},
      {{-inf, 3, -inf}, 1}, {{-inf, -inf, -inf}, -1}, {{NAN, 1, 0}, -1}};
  for (const SamplingOptions& options : {SamplingOptions{},
                                         {.temperature = 0.1f},
                                         {.temperature = 0.1f, .top_k = 1},
                                         {.temperature = 0.1f, .top_p = 0.5f, .min_p = 0.5f},
                                         {.repetition_penalty = 2}})
    for (const Dtype dtype : {float32, float16, bfloat16})
      for (const auto& [row, wanted] : rows) {
        Sampler sampler(options, 3, {{}});
        const array logits(row.begin(), Shape{1, 3}, float32);
        EXPECT_EQ(sampler(astype(logits, dtype)).item<int>(), wanted);
      }
}

TEST(Sampler, KeepsAllOfSeveralThatAreEqualAtTheEdge) {
  const auto kept = [](const SamplingOptions& o) {
    Sampler sampler(o, 4, {{}});
    const array logits({2.0f, 1.0f, 1.0f, 0.0f}, {1, 4});
    std::set<int> out;
    for (int i = 0; i < 500; ++i) out.insert(sampler(logits).item<int>());
    return out;
  };
  EXPECT_EQ(kept({.temperature = 1, .top_k = 1}), (std::set<int>{0}));
  EXPECT_EQ(kept({.temperature = 1, .top_k = 2}), (std::set<int>{0, 1, 2}));  // two are second
  EXPECT_EQ(kept({.temperature = 1, .top_k = 4}).size(), 4u);
  EXPECT_EQ(kept({.temperature = 1, .top_k = 5}).size(), 4u);
  EXPECT_EQ(kept({.temperature = 1, .min_p = 1}), (std::set<int>{0}));
  EXPECT_EQ(kept({.temperature = 1, .min_p = 0.36f}), (std::set<int>{0, 1, 2}));  // e^-1 is 0.368
  EXPECT_EQ(kept({.temperature = 1, .min_p = 0.38f}), (std::set<int>{0}));
  // The temperature comes first: at 2 the second has e^-0.5, 0.607.
  EXPECT_EQ(kept({.temperature = 2, .min_p = 0.6f}), (std::set<int>{0, 1, 2}));
}

TEST(Perplexity, EndsWhenItIsToldToAndIsOfWhatItSaw) {
  const auto model = load_model(kTinyPhi);
  std::vector<int> ids;
  for (int i = 0; i < 700; ++i) ids.push_back(1 + i * 13 % 4000);
  std::vector<size_t> seen;
  const auto all = perplexity(*model, ids, 300, [&](size_t done, size_t of) {
    EXPECT_EQ(of, ids.size());
    seen.push_back(done);
    return true;
  });
  EXPECT_EQ(all.tokens, 697u);  // each of three windows but its first
  EXPECT_EQ(seen, (std::vector<size_t>{128, 256, 300, 428, 556, 600, 700}));
  const auto part = perplexity(*model, ids, 300, [](size_t done, size_t) { return done < 256; });
  EXPECT_EQ(part.tokens, 256u);
  const auto same = perplexity(*model, std::span(ids).first(257), 300);
  EXPECT_EQ(part.value, same.value);
  EXPECT_EQ(part.standard_error, same.standard_error);
}

TEST(Sampler, RefusesOptionsWithoutMeaning) {
  for (const SamplingOptions& bad : {SamplingOptions{.temperature = -1},
                                     {.temperature = NAN},
                                     {.top_k = -1},
                                     {.top_p = 0},
                                     {.top_p = 1.5f},
                                     {.min_p = 2},
                                     {.repetition_penalty = 0},
                                     {.repetition_penalty = 1e-38f},
                                     {.repetition_penalty = NAN},
                                     {.top_p = NAN},
                                     {.min_p = NAN},
                                     {.min_p = -0.1f}})
    EXPECT_THROW(Sampler(bad, 4, {{}}), std::invalid_argument);
}

}  // namespace
}  // namespace hearth::llm
