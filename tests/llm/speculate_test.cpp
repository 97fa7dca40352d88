// Speculation changes how many steps a text takes, never the text: with every family, every kind of
// state, every dtype, every way to draft, and wherever a text can end.
#include "hearth/llm/speculate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <fstream>
#include <map>

#include "hearth/llm/generate.h"
#include "hearth/ops/ops.h"
#include "tests/llm/tiny_checkpoint.h"
#include "tests/on_device.h"
#include "tests/shared.h"

namespace hearth::llm {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::TempFolder;
using testing::TinyCheckpoint;
using Ids = std::vector<int>;

std::unique_ptr<LanguageModel> load(const std::filesystem::path& folder, Dtype dtype = float32) {
  return load_model(folder, {.dtype = dtype});
}
/// The same shape with other weights.
std::unique_ptr<LanguageModel> stranger(const std::filesystem::path& folder,
                                        Dtype dtype = float32) {
  return load_model(folder, {.dtype = dtype, .random_weights = true, .seed = 9});
}
const std::filesystem::path kTinyPhi = testing::source_path("models/tiny-phi");
LanguageModel& tiny_phi() {
  static const auto model = load(kTinyPhi);
  return *model;
}
/// A text that repeats itself.
Ids refrain(int n) {
  const Ids line{464, 3797, 3332, 319, 262, 2603, 13, 632, 373, 257, 845, 922};
  Ids ids;
  for (int i = 0; i < n; ++i) ids.push_back(line[size_t(i) % line.size()]);
  return ids;
}
Generated told(LanguageModel& model, const Ids& prompt, const GenerateOptions& options,
               const DraftOptions& draft = {}) {
  GenerateOptions drafting = options;
  drafting.draft = draft;
  return generate(model, prompt, drafting);
}
/// Each id's ids and logarithms.
std::vector<std::pair<int, float>> flat(const Generated& out) {
  std::vector<std::pair<int, float>> all;
  for (const auto& token : out.logprobs)
    for (const Likely& likely : token) all.emplace_back(likely.id, likely.logprob);
  return all;
}

class SpeculationOf : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Tiny, SpeculationOf, ::testing::ValuesIn(TinyCheckpoint::names()),
                         [](const auto& info) { return info.param; });

TEST_P(SpeculationOf, AFamilyGivesTheTextThatItGivesWithout) {
  HEARTH_CPU_ONLY("tokens are drafted there");
  const TinyCheckpoint checkpoint(GetParam());
  GenerateOptions greedy;
  greedy.max_tokens = 24;
  GenerateOptions drawn = greedy;
  drawn.sampling = {.temperature = 0.8f, .top_k = 40, .repetition_penalty = 1.2f, .seed = 5};
  for (const Dtype dtype : {float32, float16, bfloat16}) {
    const auto model = load(checkpoint.path(), dtype), other = stranger(checkpoint.path(), dtype);
    // Of another dtype it agrees now and then.
    const auto near = load(checkpoint.path(), dtype == bfloat16 ? float32 : bfloat16);
    for (const auto& options : {greedy, drawn}) {
      const Ids wanted = told(*model, checkpoint.prompts[0].ids, options).ids;
      for (LanguageModel* draft : {model.get(), other.get(), near.get()}) {
        const auto out = told(*model, checkpoint.prompts[0].ids, options,
                              {.ngram = draft == near.get() ? 3 : 0, .model = draft, .most = 12});
        EXPECT_EQ(out.ids, wanted) << dtype << (draft == model.get() ? ", itself" : "");
        EXPECT_GT(out.drafts.drafted, 0);
        if (draft == model.get() && options.sampling.temperature == 0) {
          EXPECT_EQ(out.drafts.accepted, out.drafts.drafted) << dtype;
        }
      }
    }
  }
}

// Frequencies that depend on the length, and texts that are read again when they outgrow their
// first context.
TEST(Speculation, GoesOnBeyondTheFirstContext) {
  HEARTH_CPU_ONLY("tokens are drafted there");
  for (const char* name : {"phi3", "phi3_short", "llama_dynamic"}) {
    const TinyCheckpoint checkpoint(name);
    const auto model = load(checkpoint.path());
    const auto& facts = model->facts;
    const Ids prompt(checkpoint.prompts[0].ids.begin(), checkpoint.prompts[0].ids.begin() + 10);
    GenerateOptions options;
    options.max_tokens = std::min(facts.context_length, 200) - 10;
    const Ids wanted = told(*model, prompt, options).ids;
    const auto out = told(*model, prompt, options, {.model = model.get()});
    EXPECT_EQ(out.ids, wanted) << name;
    EXPECT_GT(out.drafts.accepted, 20) << name;
  }
}

// A window's memory goes around while tokens are drafted and taken back.
TEST(Speculation, GoesOnWhereAWindowWentAround) {
  HEARTH_CPU_ONLY("tokens are drafted there");
  for (const char* name : {"mistral", "gemma2", "gpt_oss"}) {
    const TempFolder folder;
    auto config = nlohmann::json::parse(
        testing::content_of(testing::source_dir() / "tests/data/models" / name / "config.json"));
    config["max_position_embeddings"] = 4096;
    config["sliding_window"] = 20;
    folder.write("config.json", config.dump());
    const auto model = stranger(folder.path());
    const auto near =
        load_model(folder.path(), {.dtype = bfloat16, .random_weights = true, .seed = 9});
    Ids prompt;
    for (int i = 0; i < 1400; ++i) prompt.push_back(3 + i * 7919 % 100);
    GenerateOptions options;
    options.max_tokens = 300;
    const Ids wanted = told(*model, prompt, options).ids;
    for (LanguageModel* draft : {model.get(), near.get()})
      EXPECT_EQ(told(*model, prompt, options, {.model = draft}).ids, wanted) << name;
    EXPECT_EQ(told(*model, prompt, options, {.ngram = 3}).ids, wanted) << name;
  }
}

TEST(Speculation, EndsWhereTheTextEnds) {
  HEARTH_CPU_ONLY("tokens are drafted there");
  LanguageModel& model = tiny_phi();
  const Ids prompt = refrain(40);
  GenerateOptions options;
  options.max_tokens = 60;
  const Ids all = told(model, prompt, options).ids;
  const DraftOptions draft{.model = &model};
  for (int most = 1; most <= 30; ++most) {  // in the middle of what was accepted
    options.max_tokens = most;
    const auto out = told(model, prompt, options, draft);
    EXPECT_EQ(out.ids, Ids(all.begin(), all.begin() + most));
    EXPECT_EQ(out.stopped_by, "length");
  }
  options.max_tokens = 60;
  for (size_t i = 0; i < 40; ++i) {
    options.stop_ids = {all[i]};
    const auto wanted = told(model, prompt, options), out = told(model, prompt, options, draft);
    EXPECT_EQ(out.ids, wanted.ids);
    EXPECT_EQ(out.stopped_by, "token");
    options.sampling.min_tokens = 25;
    EXPECT_EQ(told(model, prompt, options, draft).ids, told(model, prompt, options).ids);
    options.sampling.min_tokens = 0;
  }
  // The context's last positions.
  options.stop_ids = {};
  for (int n : {480, 500, 505, 508, 511, 512}) {
    const auto wanted = told(model, refrain(n), options),
               out = told(model, refrain(n), options, draft);
    EXPECT_EQ(out.ids, wanted.ids);
    EXPECT_EQ(out.ids.size(), size_t(std::min(60, 513 - n)));
    EXPECT_EQ(told(model, refrain(n), options, {.ngram = 3}).ids, wanted.ids);
  }
}

TEST(Speculation, KeepsEveryRuleOfSampling) {
  HEARTH_CPU_ONLY("tokens are drafted there");
  LanguageModel& model = tiny_phi();
  const auto near = load(kTinyPhi, float16);
  const SamplingOptions rules[] = {
      {.temperature = 1, .top_p = 0.9f, .seed = 1},
      {.temperature = 0.7f, .min_p = 0.05f, .typical_p = 0.9f, .xtc_probability = 0.5f, .seed = 2},
      {.temperature = 1, .frequency_penalty = 0.5f, .presence_penalty = 0.3f, .seed = 3},
      {.repetition_penalty = 1.3f, .penalty_window = 20},
      {.temperature = 0.9f, .dry_multiplier = 0.8f, .seed = 4},
      {.no_repeat_ngram = 3},
      {.temperature = 1, .mirostat_tau = 3, .seed = 5},
      {.temperature = 1, .logit_bias = {{11, 4.0f}}, .order = "llama.cpp", .seed = 6},
      {.temperature = 0.5f, .logprobs = 3, .seed = 7},
      {.logprobs = 2},
  };
  for (const SamplingOptions& sampling : rules) {
    GenerateOptions options;
    options.max_tokens = 60;
    options.sampling = sampling;
    const auto wanted = told(model, refrain(30), options);
    for (LanguageModel* draft : {&model, near.get()}) {
      const auto out = told(model, refrain(30), options, {.ngram = 2, .model = draft});
      EXPECT_EQ(out.ids, wanted.ids);
      EXPECT_EQ(flat(out), flat(wanted));
      EXPECT_GT(out.drafts.accepted, 0);
    }
  }
}

TEST(Speculation, TakesFewStepsForATextThatGoesInCircles) {
  HEARTH_CPU_ONLY("tokens are drafted there");
  const TinyCheckpoint checkpoint("starcoder2");  // it soon goes in circles
  const auto model = load(checkpoint.path());
  GenerateOptions options;
  options.max_tokens = 80;
  const auto out = told(*model, checkpoint.prompts[0].ids, options, {.ngram = 3, .most = 16});
  EXPECT_EQ(out.ids, told(*model, checkpoint.prompts[0].ids, options).ids);
  EXPECT_GT(out.drafts.accepted, out.drafts.steps);
}

TEST(Speculation, HasLittleFromAStranger) {
  HEARTH_CPU_ONLY("tokens are drafted there");
  GenerateOptions options;
  options.max_tokens = 60;
  const auto other = stranger(kTinyPhi);
  const auto out = told(tiny_phi(), refrain(30), options, {.model = other.get()});
  EXPECT_EQ(out.ids, told(tiny_phi(), refrain(30), options).ids);
  EXPECT_GT(out.drafts.drafted, 0);
  EXPECT_LT(10 * out.drafts.accepted, out.drafts.drafted);
}

// What a row leaves to be gone on from, wherever it ends in what was accepted.
TEST(Speculation, LeavesTheStateThatIsLeftWithout) {
  HEARTH_CPU_ONLY("tokens are drafted there");
  for (const char* name : {"llama", "gemma2", "lfm2", "qwen3_next", "nemotron_h", "deepseek_v3"}) {
    const TinyCheckpoint checkpoint(name);
    const auto model = load(checkpoint.path());
    const Ids& prompt = checkpoint.prompts[0].ids;
    GenerateOptions options;
    options.max_tokens = 30;
    options.keep_state = true;
    const Ids all = told(*model, prompt, options).ids;
    for (const size_t end : {size_t(30), size_t(11), size_t(16), size_t(18)}) {
      options.max_tokens = int(end);
      if (end == 16) options.max_tokens = 30, options.stop_ids = {all[end]};
      const auto with = told(*model, prompt, options, {.model = model.get(), .most = 6});
      const auto without = told(*model, prompt, options);
      EXPECT_EQ(with.ids, without.ids);
      ASSERT_TRUE(with.state && without.state) << name << ", " << end;
      EXPECT_EQ(with.state->length, without.state->length) << name << ", " << end;
      for (size_t i = 0; i < with.state->layers.size(); ++i)
        for (size_t p = 0; p < with.state->layers[i].size(); ++p)
          EXPECT_EQ(astype(with.state->layers[i][p], float32).to_vector<float>(),
                    astype(without.state->layers[i][p], float32).to_vector<float>())
              << name << ", " << end << ", layer " << i;
      options.stop_ids.clear();
    }
  }
}

TEST(Speculation, OfARowGoesOnWhenOthersCameAndWent) {
  HEARTH_CPU_ONLY("tokens are drafted there");
  for (const char* name : {"llama", "lfm2"}) {
    const TinyCheckpoint checkpoint(name);
    const auto model = load(checkpoint.path());
    const Ids &a = checkpoint.prompts[0].ids, &b = checkpoint.prompts[1].ids;
    GenerateOptions options;
    options.max_tokens = 60;
    const Ids wanted = told(*model, a, options).ids;
    options.max_tokens = 9;
    const Ids guest = told(*model, b, options).ids;
    Batcher batcher(*model);
    std::map<Batcher::Id, Ids> got;
    const auto first =
        batcher.add({.prompt = a, .max_tokens = 60, .draft = {.model = model.get(), .most = 4}});
    DraftCounts before, after, end;
    Batcher::Id second = 0;
    while (!batcher.idle())
      for (const auto& event : batcher.step()) {
        got[event.row].push_back(event.token.id);
        if (event.row == first) end = event.drafts;
        if (event.row == first && got[first].size() == 20) {
          before = event.drafts;
          second = batcher.add({.prompt = b, .max_tokens = 9});
        }
        if (event.row == second && event.end != Batcher::End::none) after = end;
      }
    EXPECT_EQ(got[first], wanted) << name;
    EXPECT_EQ(got[second], guest) << name;
    EXPECT_GT(before.accepted, 0);
    EXPECT_GT(end.accepted, after.accepted);
  }
}

// What drafted tokens would need is not there: the row goes on with one token a step.
TEST(Speculation, GoesOnWithoutWhereMemoryIsShort) {
  if (default_device() != Device(Device::cpu)) GTEST_SKIP() << "limits the memory of the host";
  for (const bool by_model : {false, true}) {
    LanguageModel& model = tiny_phi();
    const auto drafter = load(kTinyPhi);
    const Ids prompt = refrain(190);
    GenerateOptions options;
    options.max_tokens = 60;  // up to 250 of the 256 that there is room for
    const Ids wanted = told(model, prompt, options).ids;
    options.draft = by_model ? DraftOptions{.model = drafter.get(), .most = 12}
                             : DraftOptions{.ngram = 3, .most = 12};
    Ids got;
    size_t before = 0;
    const auto out = generate(model, prompt, options, [&](int id, std::string_view) {
      got.push_back(id);
      if (got.size() == 20) {
        clear_cache();
        before = set_memory_limit(get_active_memory() + (size_t(4) << 20));
      }
      return true;
    });
    set_memory_limit(before);
    EXPECT_EQ(got, wanted) << by_model;
    EXPECT_GT(out.drafts.drafted, 0);
  }
}

TEST(Speculation, FailsAsWithoutWhereLogitsAreNotFinite) {
  HEARTH_CPU_ONLY("tokens are drafted there");
  const auto model = load(kTinyPhi);
  for (const auto& [name, p] : model->parameters())
    if (name == "lm_head.bias") *p = full(p->shape(), array(NAN));
  GenerateOptions options;
  EXPECT_THAT(error_of([&] {
                told(*model, {1, 2}, options, {.ngram = 2});
              }),
              HasSubstr("not finite"));
}

// ---- What can be taken back ----

array forward(LanguageModel& model, KvCache& cache, const std::vector<Ids>& rows, bool drafted) {
  size_t longest = 0;
  std::vector<int> lengths;
  for (const Ids& row : rows)
    longest = std::max(longest, row.size()), lengths.push_back(int(row.size()));
  Ids all;
  for (const Ids& row : rows) {
    all.insert(all.end(), row.begin(), row.end());
    all.insert(all.end(), longest - row.size(), 1);
  }
  const array tokens(all.begin(), Shape{int(rows.size()), int(longest)}, int32);
  const array logits = model.forward({tokens, lengths, false, drafted}, cache);
  logits.eval();
  return logits;
}
std::vector<float> floats(const array& x) { return astype(x, float32).to_vector<float>(); }

TEST_P(SpeculationOf, WhatIsTakenBackLeavesNoTrace) {
  HEARTH_CPU_ONLY("tokens are drafted there");
  const TinyCheckpoint checkpoint(GetParam());
  const auto model = load(checkpoint.path(), bfloat16);
  const Ids& text = checkpoint.prompts[0].ids;
  const auto part = [&](int from, int to) { return Ids(text.begin() + from, text.begin() + to); };
  const auto wanted = [&](int n) {  // of one token after n
    KvCache cache = model->make_cache();
    forward(*model, cache, {part(0, 9)}, true);
    for (int i = 9; i < n; ++i) forward(*model, cache, {part(i, i + 1)}, false);
    return floats(forward(*model, cache, {part(n, n + 1)}, false));
  };
  for (int left = 1; left <= 6; ++left) {
    KvCache cache = model->make_cache();
    cache.keep_back(kMostDrafted);
    forward(*model, cache, {part(0, 9)}, true);
    forward(*model, cache, {{text[9], 7, 8, 9, 10, 11}}, true);  // the first is right
    cache.truncate(0, 10);
    forward(*model, cache, {part(10, 16)}, true);
    cache.truncate(0, 10 + left);
    EXPECT_EQ(floats(forward(*model, cache, {part(10 + left, 11 + left)}, false)),
              wanted(10 + left));
  }
  // Rows of a batch take back their own.
  KvCache cache = model->make_cache(2);
  cache.keep_back(kMostDrafted);
  forward(*model, cache, {part(0, 9), part(0, 9)}, true);
  forward(*model, cache, {part(9, 15), part(9, 12)}, true);
  cache.truncate(0, 11);
  EXPECT_TRUE(cache.can_truncate(1, 10));
  const auto both = floats(forward(*model, cache, {part(11, 12), part(12, 13)}, false));
  const size_t vocab = both.size() / 2;
  EXPECT_EQ(std::vector<float>(both.begin(), both.begin() + long(vocab)), wanted(11));
  EXPECT_EQ(std::vector<float>(both.begin() + long(vocab), both.end()), wanted(12));
}

TEST(Speculation, MoreThanAProductsRowsAreNotDrafted) {
  KvCache cache = tiny_phi().make_cache(2);
  EXPECT_THAT(error_of<std::invalid_argument>([&] {
                forward(tiny_phi(), cache, {refrain(17), refrain(17)}, true);
              }),
              HasSubstr("2 rows of 17 drafted tokens; wanted at most 32 together"));
}

// ---- Drafts ----

TEST(NgramDrafter, SaysWhatFollowedTheLongestLatestSequence) {
  NgramDrafter draft(3);
  EXPECT_EQ(draft(Ids{1, 2, 3}, 4), Ids{});
  EXPECT_EQ(draft(Ids{1, 2, 3, 9, 2, 3}, 2), (Ids{9, 2}));
  EXPECT_EQ(draft(Ids{1, 2, 3, 9, 2, 3, 7, 2, 3}, 3), (Ids{7, 2, 3}));        // the latest
  EXPECT_EQ(draft(Ids{1, 2, 3, 9, 2, 3, 7, 2, 3, 1, 2, 3}, 2), (Ids{9, 2}));  // the longest
  NgramDrafter again(2);
  EXPECT_EQ(again(Ids{5, 6, 5, 6}, 5), (Ids{5, 6, 5, 6, 5}));  // beyond the end
  NgramDrafter one(1);
  EXPECT_EQ(one(Ids{4, 8, 4}, 1), Ids{8});
  EXPECT_EQ(NgramDrafter(3)(Ids{1}, 4), Ids{});
}

// A token alone says too little of what follows it, unless it is all that is looked for.
TEST(NgramDrafter, LooksForTwoTokensAtLeast) {
  const Ids text{7, 1, 2, 7};
  EXPECT_TRUE(NgramDrafter(3)(text, 4).empty());
  EXPECT_EQ(NgramDrafter(1)(text, 2), (Ids{1, 2}));
}

TEST(NgramDrafter, TakesTimeThatGrowsWithTheText) {
  for (int period : {1, 2, 1000, 300000}) {
    Ids text;
    NgramDrafter draft(kLongestNgram);
    const std::clock_t start = std::clock();
    for (int i = 0; i < 300000; ++i) {
      text.push_back(i % period);
      if (i % 3 == 0) draft(text, 8);
    }
    EXPECT_LT(std::clock() - start, 20 * CLOCKS_PER_SEC);
  }
}

TEST(ModelDrafter, ReadsOnlyWhatIsNew) {
  ModelDrafter draft(tiny_phi());
  Ids text = refrain(20);
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(draft(text, 4), ModelDrafter(tiny_phi())(text, 4)) << i;
    text.push_back(i % 3 == 0 ? 100 + i : ModelDrafter(tiny_phi())(text, 1)[0]);
  }
  EXPECT_EQ(draft(refrain(512), 4).size(), 1u);  // all that its context holds
  EXPECT_EQ(ModelDrafter(tiny_phi())(refrain(513), 4), Ids{});
  EXPECT_EQ(ModelDrafter(tiny_phi())(Ids{1, 5000}, 4), Ids{});  // what it does not know
}

TEST(DraftPace, GrowsWithWhatIsAcceptedAndRestsWhereItCostsMore) {
  DraftPace pace(8);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(pace.next(), 0);
    pace.took(0, 0, 1);
  }
  EXPECT_EQ(pace.next(), 4);
  pace.took(4, 4, 1.5);
  EXPECT_EQ(pace.next(), 6);
  pace.took(6, 6, 1.5), pace.took(8, 8, 1.5);
  EXPECT_EQ(pace.next(), 8);
  pace.took(8, 2, 1.5);
  EXPECT_EQ(pace.next(), 7);
  for (int i = 0; i < 12; ++i) pace.took(7, 0, 1.5);
  EXPECT_EQ(pace.next(), 1);  // 16 steps, 37 tokens in 24 s: they gained
  for (int i = 0; i < 16; ++i) pace.took(1, 0, 1.5);
  int rest = 0;
  for (; pace.next() == 0 && rest < 1000; ++rest) pace.took(0, 0, 1);
  EXPECT_EQ(rest, 32);
  for (int i = 0; i < 16; ++i) pace.took(1, 0, 1.5);
  for (rest = 0; pace.next() == 0 && rest < 1000; ++rest) pace.took(0, 0, 1);
  EXPECT_EQ(rest, 64);
  for (int i = 0; i < 16; ++i) pace.took(1, 1, 1.5);
  EXPECT_GT(pace.next(), 0);
  for (int i = 0; i < 160; ++i) pace.took(0, 0, 1.2);  // nothing to draft is no failure
  EXPECT_GT(pace.next(), 0);
}

TEST(DraftOptions, WithoutAMeaningAreRefused) {
  const auto refused = [](const DraftOptions& options) {
    return error_of<std::invalid_argument>([&] { check_options(options); });
  };
  EXPECT_THAT(refused({.ngram = -1}), HasSubstr("draft-ngram: -1 tokens; wanted 1 to 8"));
  EXPECT_THAT(refused({.ngram = 9}), HasSubstr("draft-ngram: 9 tokens"));
  EXPECT_THAT(refused({.most = 0}), HasSubstr("draft-max: 0 tokens; wanted 1 to 31"));
  EXPECT_THAT(refused({.most = 32}), HasSubstr("draft-max: 32 tokens"));
}

TEST(DraftOptions, TheDraftModelsTokensAreTheModels) {
  const auto other = load(TinyCheckpoint("llama").path());
  LanguageModel& model = tiny_phi();
  const Tokenizer own = Tokenizer::load(kTinyPhi);
  EXPECT_NO_THROW(check_same_tokens(model, &own, model, &own));
  EXPECT_NO_THROW(check_same_tokens(model, nullptr, model, &own));
  EXPECT_THAT(
      error_of<std::invalid_argument>([&] { check_same_tokens(model, &own, *other, nullptr); }),
      HasSubstr(concat("draft-model: it has a vocabulary of ", other->facts.vocab_size,
                       " tokens, the model one of 4096")));
  const auto of = [](const char* words) {
    return Tokenizer::from_json(
        concat(R"({"model": {"type": "WordLevel", "unk_token": "a", "vocab": {)", words, "}}}"));
  };
  const Tokenizer ab = of(R"("a": 0, "b": 1)");
  const auto differ = [&](const char* words) {
    const Tokenizer draft = of(words);
    return error_of<std::invalid_argument>([&] { check_same_tokens(model, &ab, *other, &draft); });
  };
  EXPECT_NO_THROW(check_same_tokens(model, &ab, *other, &ab));  // rows beyond the tokens
  EXPECT_THAT(
      differ(R"("a": 0, "c": 1)"),
      HasSubstr("draft-model: token 1 is 'c' there and 'b' in the model, of 2 and 2 tokens"));
  EXPECT_THAT(differ(R"("a": 0, "b": 1, "c": 2)"),
              HasSubstr("token 2 is 'c' there and none in the model, of 3 and 2 tokens"));
}

}  // namespace
}  // namespace hearth::llm
