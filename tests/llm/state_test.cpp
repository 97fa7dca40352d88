// A row's state: taken, put, cut back, and what a prompt shares with what was read before.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "hearth/llm/beginning.h"
#include "hearth/llm/chat.h"
#include "hearth/llm/prefill.h"
#include "hearth/ops/ops.h"
#include "tests/llm/tiny_checkpoint.h"
#include "tests/shared.h"

namespace hearth::llm {
namespace {

using testing::TinyCheckpoint;
using Ids = std::vector<int>;
using Logits = std::vector<float>;

Ids prompt_of(size_t length, int vocab, unsigned seed = 1) {
  Ids ids;
  for (size_t i = 0; i < length; ++i) {
    seed = seed * 1664525 + 1013904223;
    ids.push_back(int((seed >> 8) % unsigned(vocab - 3)) + 3);
  }
  return ids;
}

/// Feeds ids[from:to] at once to the rows of the cache, all the same; logits of the last.
Logits feed(LanguageModel& model, KvCache& cache, const Ids& ids, size_t from, size_t to) {
  Ids all;
  for (int row = 0; row < cache.batch(); ++row)
    all.insert(all.end(), ids.begin() + long(from), ids.begin() + long(to));
  const array tokens(all.begin(), Shape{cache.batch(), int(to - from)}, int32);
  return model.forward({tokens, {}, true}, cache).to_vector<float>();
}
Logits row_of(const Logits& all, int rows, int row) {
  const auto vocab = long(all.size()) / rows;
  return {all.begin() + row * vocab, all.begin() + (row + 1) * vocab};
}

/// The largest difference, relative to the largest of `wanted`.
float error(const Logits& got, const Logits& wanted) {
  float difference = 0, largest = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    difference = std::max(difference, std::abs(got[i] - wanted[i]));
    largest = std::max(largest, std::abs(wanted[i]));
  }
  return difference / largest;
}
/// On the CPU to the bit; elsewhere a batch may add up in another order.
void expect_same(const Logits& got, const Logits& wanted, const std::string& where) {
  ASSERT_EQ(got.size(), wanted.size()) << where;
  if (default_device() == Device(Device::cpu))
    EXPECT_TRUE(got == wanted) << where << ", off by " << error(got, wanted);
  else
    EXPECT_LT(error(got, wanted), 1e-4f) << where;
}

Ids greedy(LanguageModel& model, const Ids& prompt, int tokens) {
  GenerateOptions options;
  options.max_tokens = tokens;
  return generate(model, prompt, options).ids;
}

class States : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "tiny-phi") {
      model_ = load_model(testing::source_path("models/tiny-phi"), {.dtype = float32});
    } else {
      checkpoint_.emplace(GetParam());
      model_ = load_model(checkpoint_->path());
    }
    ids_ = prompt_of(60, model_->facts.vocab_size);
  }
  bool recurrent() const {
    for (const StateShape& layer : model_->cache_shape().layers)
      if (layer.kind == StateShape::fixed) return true;
    return false;
  }

  std::optional<TinyCheckpoint> checkpoint_;
  std::unique_ptr<LanguageModel> model_;
  Ids ids_;
};
std::vector<std::string> names() {
  auto all = TinyCheckpoint::names();
  all.insert(all.begin(), "tiny-phi");
  return all;
}
INSTANTIATE_TEST_SUITE_P(Tiny, States, ::testing::ValuesIn(names()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// Into a cache of its own, into one with other rows, and into a row that held something else.
TEST_P(States, ARowThatIsTakenAndPutGoesOnWithTheSameBits) {
  KvCache cache = model_->make_cache();
  feed(*model_, cache, ids_, 0, 40);
  const RowState state = cache.take(0);
  EXPECT_EQ(state.length, 40);
  KvCache three = model_->make_cache(3);
  feed(*model_, three, prompt_of(50, model_->facts.vocab_size, 7), 0, 47);
  three.put(1, state);
  EXPECT_EQ(three.length(0), 47);
  EXPECT_EQ(three.offsets().to_vector<int>(), (Ids{47, 40, 47}));
  const RowState both[] = {state, state};
  KvCache two = model_->make_cache(both), one = model_->make_cache();
  one.put(0, state);
  for (size_t at = 40; at < 44; ++at) {
    const Logits wanted = feed(*model_, cache, ids_, at, at + 1);
    expect_same(feed(*model_, one, ids_, at, at + 1), wanted, "alone");
    expect_same(row_of(feed(*model_, two, ids_, at, at + 1), 2, 1), wanted, "of two");
    expect_same(row_of(feed(*model_, three, ids_, at, at + 1), 3, 1), wanted, "put among three");
  }
  // What was taken stays what it was.
  KvCache again = model_->make_cache(std::span(&state, 1));
  KvCache whole = model_->make_cache();
  feed(*model_, whole, ids_, 0, 40);
  expect_same(feed(*model_, again, ids_, 40, 41), feed(*model_, whole, ids_, 40, 41), "again");
}

TEST_P(States, ARowThatIsCutBackIsWhatItWas) {
  KvCache cache = model_->make_cache();
  feed(*model_, cache, ids_, 0, 20);
  cache.mark(0);
  const int growths = cache.growths();
  feed(*model_, cache, prompt_of(60, model_->facts.vocab_size, 9), 20, 27);
  const RowState longer = cache.take(0);
  ASSERT_TRUE(cache.can_truncate(0, 20));
  EXPECT_EQ(cache.can_truncate(0, 19), !recurrent());
  EXPECT_TRUE(cache.can_truncate(0, 27));
  EXPECT_FALSE(cache.can_truncate(0, 28));
  EXPECT_FALSE(cache.can_truncate(0, -1));
  cache.truncate(0, 20);
  EXPECT_GT(cache.growths(), growths);
  EXPECT_EQ(cache.length(0), 20);
  EXPECT_EQ(cache.read_as(0), 27);
  KvCache fresh = model_->make_cache();
  feed(*model_, fresh, ids_, 0, 20);
  const auto first = first_tokens(model_->cache_shape(), longer, 20);
  ASSERT_TRUE(first);
  KvCache of_state = model_->make_cache(std::span(&*first, 1));
  for (const auto& [from, to] : {std::pair<size_t, size_t>{20, 40}, {40, 41}, {41, 42}}) {
    const Logits wanted = feed(*model_, fresh, ids_, from, to);
    expect_same(feed(*model_, cache, ids_, from, to), wanted, "the cache");
    expect_same(feed(*model_, of_state, ids_, from, to), wanted, "the state");
  }
  EXPECT_EQ(first_tokens(model_->cache_shape(), longer, 19).has_value(), !recurrent());
  if (recurrent()) {
    EXPECT_THROW(cache.truncate(0, 41), std::invalid_argument);
  }
  cache.truncate(0, 0);
  feed(*model_, cache, ids_, 0, 20);
  KvCache anew = model_->make_cache();
  feed(*model_, anew, ids_, 0, 20);
  expect_same(feed(*model_, cache, ids_, 20, 21), feed(*model_, anew, ids_, 20, 21), "anew");
}

TEST_P(States, ARowIsClearedAlone) {
  KvCache cache = model_->make_cache(2), whole = model_->make_cache(2);
  feed(*model_, cache, ids_, 0, 20), feed(*model_, whole, ids_, 0, 20);
  cache.clear(0);
  EXPECT_EQ(cache.offsets().to_vector<int>(), (Ids{0, 20}));
  KvCache fresh = model_->make_cache();
  const Logits both = feed(*model_, cache, ids_, 20, 21);
  expect_same(row_of(both, 2, 0), feed(*model_, fresh, ids_, 20, 21), "the cleared row");
  expect_same(row_of(both, 2, 1), row_of(feed(*model_, whole, ids_, 20, 21), 2, 1), "the other");
}

// A conversation goes on where the last answer ended, whatever kind of state there is.
TEST_P(States, WhatFollowsAnAnswerIsReadAlone) {
  Beginning held;
  GenerateOptions options;
  options.max_tokens = 6;
  Ids prompt(ids_.begin(), ids_.begin() + 30);
  for (int turn = 0; turn < 3; ++turn) {
    const Generated out = generate_after(held, false, *model_, prompt, options);
    // All that was fed: the last token of the answer was not.
    EXPECT_EQ(out.reused_tokens, turn == 0 ? 0 : int(prompt.size()) - 6) << "turn " << turn;
    EXPECT_EQ(out.ids, greedy(*model_, prompt, 6)) << "turn " << turn;
    ASSERT_EQ(held.ids.size(), size_t(held.row.length));
    EXPECT_EQ(held.row.length, int(prompt.size()) + 5);
    EXPECT_EQ(held.prompt, 30) << "what decoding wrote stands before the rest";
    prompt.insert(prompt.end(), out.ids.begin(), out.ids.end());
    for (int i = 0; i < 5; ++i) prompt.push_back(5 + turn * 7 + i);
  }
}

TEST_P(States, ABeginningIsSharedAsFarAsItGoes) {
  Beginning held;
  GenerateOptions options;
  options.max_tokens = 4;
  const Ids first(ids_.begin(), ids_.begin() + 40);
  generate_after(held, false, *model_, first, options);
  const Beginning kept = held;
  Ids other = first;
  other[25] = other[25] == 9 ? 10 : 9;
  Generated out = generate_after(held, false, *model_, other, options);
  EXPECT_EQ(out.reused_tokens, recurrent() ? 0 : 25);
  EXPECT_EQ(out.ids, greedy(*model_, other, 4));
  // The same once more: the last token is read for its logits.
  held = kept;
  out = generate_after(held, false, *model_, first, options);
  EXPECT_EQ(out.reused_tokens, recurrent() ? 0 : 39);
  EXPECT_EQ(out.ids, greedy(*model_, first, 4));
  // Another beginning, and nothing at all.
  held = kept;
  other[0] = other[0] == 9 ? 10 : 9;
  out = generate_after(held, false, *model_, other, options);
  EXPECT_EQ(out.reused_tokens, 0);
  EXPECT_EQ(out.ids, greedy(*model_, other, 4));
  // Too short for whole chunks: nothing has the bits of a fresh run.
  held = kept;
  EXPECT_EQ(generate_after(held, true, *model_, first, options).reused_tokens, 0);
  // A failure leaves nothing that is half of something.
  held = kept;
  EXPECT_THROW(generate_after(held, false, *model_, Ids{-1}, options), std::invalid_argument);
  EXPECT_EQ(held.row.length, 0);
}

/// The checkpoint with a context of 4,096.
std::unique_ptr<LanguageModel> with_long_context(const std::string& name) {
  const TinyCheckpoint checkpoint(name);
  auto config = nlohmann::json::parse(testing::content_of(checkpoint.path() / "config.json"));
  auto& text = config.contains("text_config") ? config["text_config"] : config;
  text["max_position_embeddings"] = 4096;
  std::ofstream(checkpoint.path() / "config.json") << config;
  return load_model(checkpoint.path());
}

// Longer than the ring of a window, which then has gone around.
class LongStates : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Tiny, LongStates,
                         ::testing::Values("llama", "gemma3_text", "gemma4_text", "gpt_oss",
                                           "mistral", "qwen3_5", "lfm2", "nemotron_h",
                                           "deepseek_v3"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(LongStates, GoOnWithTheSameBits) {
  const auto model = with_long_context(GetParam());
  const Ids ids = prompt_of(1500, model->facts.vocab_size);
  const auto read = [&](KvCache& cache, size_t from, size_t to) {
    return prefill(*model, cache, std::span(ids).subspan(from, to - from)).to_vector<float>();
  };
  KvCache cache = model->make_cache();
  read(cache, 0, 1300);
  const RowState state = cache.take(0);
  KvCache again = model->make_cache(std::span(&state, 1));
  const std::string what = GetParam();
  expect_same(read(again, 1300, 1340), read(cache, 1300, 1340), what + " put");
  for (size_t at = 1340; at < 1344; ++at)
    expect_same(feed(*model, again, ids, at, at + 1), feed(*model, cache, ids, at, at + 1), what);
}

// What is cut off lay over what the window needs, unless that is known to be gone.
TEST_P(LongStates, AreCutBackOnlyWhereTheWindowIsWhole) {
  const auto model = with_long_context(GetParam());
  const Ids ids = prompt_of(1500, model->facts.vocab_size);
  const auto read = [&](KvCache& cache, size_t from, size_t to) {
    return prefill(*model, cache, std::span(ids).subspan(from, to - from)).to_vector<float>();
  };
  int cut = 0, refused = 0;
  for (const int length : {1299, 1290, 1200, 1024, 900, 800, 700, 520, 300, 20}) {
    KvCache cache = model->make_cache();
    read(cache, 0, 1024);
    cache.mark(0);
    read(cache, 1024, 1300);
    const RowState state = cache.take(0);
    const auto first = first_tokens(model->cache_shape(), state, length);
    // A state keeps no more than the cache does.
    EXPECT_TRUE(!first || cache.can_truncate(0, length)) << length;
    if (!cache.can_truncate(0, length)) {
      ++refused;
      continue;
    }
    ++cut;
    cache.truncate(0, length);
    KvCache fresh = model->make_cache();
    read(fresh, 0, size_t(length));
    const auto wanted = read(fresh, size_t(length), 1310);
    const auto got = read(cache, size_t(length), 1310);
    // These positions were read in other pieces the first time.
    EXPECT_LT(error(got, wanted), 1e-5f) << GetParam() << " at " << length;
    if (!first) continue;
    KvCache of_state = model->make_cache(std::span(&*first, 1));
    expect_same(read(of_state, size_t(length), 1310), got, concat("the state at ", length));
  }
  EXPECT_GT(cut, 0) << GetParam();
  const std::string name = GetParam();
  EXPECT_TRUE(name != "llama" || refused == 0);
  EXPECT_TRUE(name != "mistral" || refused > 0 || default_device() != Device(Device::cpu));
}

// Of whole chunks that a prompt's reading wrote; the rest is read as a fresh run would.
TEST_P(LongStates, HaveTheBitsOfAFreshRunWhereTheyAreAskedFor) {
  const auto model = with_long_context(GetParam());
  GenerateOptions options;
  options.max_tokens = 5;
  options.sampling.logprobs = 3;
  Ids prompt = prompt_of(1100, model->facts.vocab_size);
  Beginning held;
  generate_after(held, true, *model, prompt, options);
  EXPECT_EQ(held.prompt, 1100);
  prompt.resize(1060);
  for (const int id : prompt_of(100, model->facts.vocab_size, 5)) prompt.push_back(id);
  const Beginning kept = held;
  Generated out = generate_after(held, true, *model, prompt, options);
  EXPECT_EQ(out.reused_tokens, 1024);
  EXPECT_EQ(held.prompt, 1160);
  const Generated fresh = generate(*model, prompt, options);
  EXPECT_EQ(out.ids, fresh.ids);
  ASSERT_EQ(out.logprobs.size(), fresh.logprobs.size());
  for (size_t i = 0; i < fresh.logprobs.size(); ++i)
    for (size_t k = 0; k < fresh.logprobs[i].size(); ++k)
      EXPECT_EQ(out.logprobs[i][k].logprob, fresh.logprobs[i][k].logprob) << i << " " << k;
  // Fewer than 33 tokens are no piece of their own.
  prompt.resize(1024 + 20);
  held = kept;
  EXPECT_LE(generate_after(held, true, *model, prompt, options).reused_tokens, 512);
}

// A recurrent state cannot be cut back, but for its mark at a whole chunk.
TEST(MarkedStates, SparePromptsThatEndOtherwise) {
  for (const char* name : {"qwen3_5", "lfm2", "granitemoehybrid"}) {
    const auto model = with_long_context(name);
    GenerateOptions options;
    options.max_tokens = 5;
    Ids prompt = prompt_of(700, model->facts.vocab_size);
    Beginning held;
    generate_after(held, false, *model, prompt, options);
    EXPECT_EQ(held.row.mark, 512) << name;
    prompt.resize(600);
    prompt.push_back(7), prompt.push_back(8);
    const Generated out = generate_after(held, false, *model, prompt, options);
    EXPECT_EQ(out.reused_tokens, 512) << name;
    EXPECT_EQ(out.ids, greedy(*model, prompt, 5)) << name;
    EXPECT_EQ(held.row.mark, 512) << name;
  }
}

// Of rows on the two sides of a length that decides between frequencies, one knows nothing of use
// for the other.
TEST(RopesByLength, KeepWhatTheyReadToTheirSide) {
  for (const char* name : {"phi3", "phi3_short", "llama_dynamic"}) {
    const TinyCheckpoint checkpoint(name);
    auto config = nlohmann::json::parse(testing::content_of(checkpoint.path() / "config.json"));
    const bool dynamic = name == std::string("llama_dynamic");
    if (dynamic) config["max_position_embeddings"] = 32;
    if (config.contains("original_max_position_embeddings"))
      config["original_max_position_embeddings"] = 32;
    if (config.contains("rope_parameters"))
      config["rope_parameters"]["original_max_position_embeddings"] = 32;
    std::ofstream(checkpoint.path() / "config.json") << config;
    const auto model = load_model(checkpoint.path());
    const int limit = dynamic ? model->facts.dynamic_from : model->facts.first_context;
    ASSERT_GT(limit, 0) << name;
    const Ids ids = prompt_of(size_t(limit) + 30, model->facts.vocab_size);
    const auto first = [&](int n) { return Ids(ids.begin(), ids.begin() + n); };
    GenerateOptions options;
    options.max_tokens = 3;
    const auto reused = [&](int before, int after) {
      Beginning held;
      generate_after(held, false, *model, first(before), options);
      const Generated out = generate_after(held, false, *model, first(after), options);
      EXPECT_EQ(out.ids, greedy(*model, first(after), 3)) << name << " " << before << " " << after;
      return out.reused_tokens;
    };
    EXPECT_GT(reused(limit - 14, limit - 8), 0) << name;
    EXPECT_EQ(reused(limit - 14, limit + 8), 0) << name;
    EXPECT_EQ(reused(limit + 8, limit - 8), 0) << name;
    // A prompt on this side whose answer went over to the other.
    EXPECT_EQ(reused(limit - 1, limit - 8), 0) << name;
    EXPECT_EQ(reused(limit + 5, limit + 9) > 0, !dynamic) << name;
  }
}

TEST(RowStates, OfAnotherModelAreRefusedAndChangeNothing) {
  const TinyCheckpoint of_llama("llama"), of_mla("deepseek_v3"), of_qwen("qwen3_5");
  const auto llama = load_model(of_llama.path()), mla = load_model(of_mla.path());
  const auto qwen = load_model(of_qwen.path());
  const auto halves = load_model(of_llama.path(), {.dtype = float16});
  const Ids ids = prompt_of(40, 131);
  KvCache cache = llama->make_cache(), other = llama->make_cache();
  feed(*llama, cache, ids, 0, 30), feed(*llama, other, ids, 0, 30);
  const RowState good = cache.take(0);
  const auto refuse = [&](const RowState& state, const char* why) {
    const auto error = testing::error_of<std::invalid_argument>([&] { cache.put(0, state); });
    EXPECT_NE(error.find(why), error.npos) << error;
  };
  for (const auto& [model, why] :
       {std::pair{mla.get(), "parts"}, {qwen.get(), "layers"}, {halves.get(), "float16"}}) {
    KvCache foreign = model->make_cache();
    feed(*model, foreign, ids, 0, 20);
    refuse(foreign.take(0), why);
  }
  RowState bad = good;
  bad.length = 31, bad.read_as = 31;
  refuse(bad, "wanted from 31 to 31 positions");
  bad = good;
  bad.length = bad.read_as = 4000;
  refuse(bad, "the context is 128");
  bad = good;
  bad.mark = 10;
  refuse(bad, "0 layers");
  bad = good;
  bad.layers[1][0] = reshape(bad.layers[1][0], {-1});
  refuse(bad, "layer 1");
  EXPECT_THROW(cache.put(1, good), std::invalid_argument);
  EXPECT_THROW(cache.take(-1), std::invalid_argument);
  expect_same(feed(*llama, cache, ids, 30, 31), feed(*llama, other, ids, 30, 31), "unchanged");
}

// Each turn reads what is new; what comes is what a whole reading would give.
TEST(Chat, ReadsOnlyWhatIsNewInEachTurn) {
  const auto folder = testing::source_path("models/tiny-phi");
  const auto model = load_model(folder, {.dtype = float32});
  const auto form = ChatTemplate::parse(
      "{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}<assistant>", "form");
  const auto turns = [&](bool keep, bool deterministic) {
    Chat chat(*model, Tokenizer::load(folder), form);
    chat.deterministic = deterministic;
    GenerateOptions options;
    options.max_tokens = 12;
    std::vector<Generated> all;
    for (const char* text : {"Once upon a time there was a cat.", "And then?", "The end?"}) {
      if (!keep) chat.held = {};
      chat.messages.push_back({"user", text});
      all.push_back(chat.answer(options, {}).generated);
    }
    return all;
  };
  const auto kept = turns(true, false), fresh = turns(false, false), same = turns(true, true);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(kept[i].ids, fresh[i].ids) << "turn " << i;
    EXPECT_EQ(same[i].ids, fresh[i].ids) << "turn " << i;
    EXPECT_EQ(fresh[i].reused_tokens, 0);
    if (i > 0) {
      EXPECT_GT(kept[i].reused_tokens, fresh[i - 1].prompt_tokens - 8) << "turn " << i;
    }
  }
}

// A window's memory is a ring with room for a whole step, more than the window itself.
TEST(KvCache, TakesTheMemoryThatItIsSaidToTake) {
  const CacheShape shape{{{.kind = StateShape::positions, .parts = {{2, 8}, {2, 4}}, .window = 500},
                          {.kind = StateShape::positions, .parts = {{2, 8}}},
                          {.kind = StateShape::fixed, .parts = {{3, 5}}, .dtype = float32},
                          {.kind = StateShape::alias, .source = 0}},
                         4096,
                         float16};
  for (const int step : {1, 300, 600, 3000, 4096}) {
    KvCache cache(shape, 3);
    cache.reserve(step);
    EXPECT_EQ(KvCache::nbytes_of(shape, 3, step, step), cache.nbytes()) << step;
  }
}

TEST(KvCache, ThatMemoryHasNoRoomForIsRefusedBeforeItIsAllocated) {
  const StateShape layer{.kind = StateShape::positions, .parts = {{4096, 4096}, {4096, 4096}}};
  KvCache cache({{layer, layer}, 1 << 20, float32});
  const auto error = testing::error_of<std::runtime_error>([&] { cache.reserve(1 << 20); });
  EXPECT_NE(error.find("GB are free"), error.npos) << error;
  EXPECT_EQ(cache.capacity(), 0);
}

}  // namespace
}  // namespace hearth::llm
