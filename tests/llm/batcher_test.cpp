// Rows that come, go and are decoded together: each is, bit for bit, what a plain loop over the
// model makes of it alone.
#include "hearth/llm/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "hearth/backend/pool.h"
#include "hearth/llm/generate.h"
#include "hearth/llm/prefill.h"
#include "hearth/llm/row_samplers.h"
#include "hearth/ops/ops.h"
#include "tests/llm/tiny_checkpoint.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using End = Batcher::End;

constexpr int kChunk = 64;

/// A row, and what happens to it.
struct Case {
  Batcher::Request request;
  int joins = 0;         // at this step
  int cancelled = -1;    // after so many tokens
  int caller_ends = -1;  // the same, by `until`
};

struct Answer {
  std::vector<int> ids;
  std::vector<std::vector<std::pair<int, float>>> likely;
  End end = End::none;
  bool operator==(const Answer&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Answer& a) {
  out << "end " << int(a.end) << ", ids";
  for (const int id : a.ids) out << ' ' << id;
  return out;
}

std::vector<std::pair<int, float>> pairs(const std::vector<Likely>& likely) {
  std::vector<std::pair<int, float>> all;
  for (const auto& [id, logprob] : likely) all.emplace_back(id, logprob);
  return all;
}

/// The token and the n most likely ones, by their names alone.
std::vector<std::pair<int, float>> most_likely(const array& logits, int id, int n) {
  if (n == 0) return {};
  const array x = astype(logits, float32);
  const auto all = subtract(x, logsumexp(x, 1, true)).to_vector<float>();
  std::vector<int> order(all.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = int(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return all[size_t(a)] > all[size_t(b)]; });
  std::vector<std::pair<int, float>> likely{{id, all[size_t(id)]}};
  for (size_t i = 0; i < size_t(n); ++i) likely.emplace_back(order[i], all[size_t(order[i])]);
  return likely;
}

/// What a loop without a batcher makes of it: one row, nothing recorded.
Answer alone(LanguageModel& model, const Case& c) {
  const auto& [prompt, sampling, stop_ids, max_tokens, until, begun, keep] = c.request;
  std::vector<int> text = prompt;
  KvCache cache = model.make_cache();
  Sampler sampler(sampling, model.facts.vocab_size, {prompt}, stop_ids);
  const auto feed = [&](int from, int to) {
    const array tokens(text.begin() + from, Shape{1, to - from}, int32);
    const array logits = model.forward({tokens, {}, true}, cache);
    logits.eval();
    return reshape(logits, {1, model.facts.vocab_size});
  };
  const auto read = [&] {
    const int total = int(text.size());
    cache.clear();
    cache.expect(0, total);
    for (int at = 0;;) {
      const int end = piece_end(at, total, kChunk);
      const array logits = feed(at, end);
      if (end == total) return logits;
      at = end;
    }
  };
  Answer answer;
  for (array logits = read();;) {
    const int id = sampler(logits).item<int>();
    if (std::ranges::find(stop_ids, id) != stop_ids.end()) {
      answer.end = End::stop_id;
      return answer;
    }
    text.push_back(id);
    answer.ids.push_back(id);
    answer.likely.push_back(most_likely(logits, id, sampling.logprobs));
    const int count = int(answer.ids.size());
    if (count == c.cancelled) return answer;
    if (count == c.caller_ends)
      answer.end = End::caller;
    else if (count == max_tokens || int(text.size()) > model.facts.context_length)
      answer.end = End::length;
    if (answer.end != End::none) return answer;
    const int length = cache.length(0);
    logits = length == model.facts.first_context ? read() : feed(length, length + 1);
  }
}

std::vector<Answer> together(LanguageModel& model, const std::vector<Case>& cases,
                             const BatcherOptions& options) {
  Batcher batcher(model, options);
  std::vector<Answer> answers(cases.size());
  std::map<Batcher::Id, size_t> rows;
  size_t left = cases.size();
  for (int step = 0; left > 0 && step < 5000; ++step) {
    for (size_t i = 0; i < cases.size(); ++i) {
      if (cases[i].joins != step) continue;
      Batcher::Request request = cases[i].request;
      if (const int n = cases[i].caller_ends; n >= 0)
        request.until = [count = 0, n](const NewToken&) mutable { return ++count == n; };
      rows[batcher.add(std::move(request))] = i;
    }
    for (const auto& event : batcher.step()) {
      const size_t row = rows.at(event.row);
      Answer& answer = answers[row];
      const int cancelled = cases[row].cancelled;
      if (event.error) std::rethrow_exception(event.error);
      if (int(answer.ids.size()) == cancelled) continue;  // of the step after which it was
      EXPECT_EQ(answer.end, End::none) << "a token after the end of row " << row;
      if (event.end != End::stop_id) {
        answer.ids.push_back(event.token.id);
        answer.likely.push_back(pairs(event.token.likely));
      }
      if (int(answer.ids.size()) == cancelled) {
        batcher.cancel(event.row);
        EXPECT_FALSE(batcher.cancel(event.row));
        --left;
      } else {
        answer.end = event.end;
        left -= event.end != End::none;
      }
    }
  }
  EXPECT_TRUE(batcher.idle());
  return answers;
}

/// Numbers that only look random.
struct Lots {
  uint32_t state;
  int below(int n) {
    state = state * 1664525u + 1013904223u;
    return int(uint64_t(state) * uint64_t(n) >> 32);
  }
};

const std::vector<SamplingOptions>& ways_to_choose() {
  static const std::vector<SamplingOptions> all{
      {},
      {.temperature = 0.8f},
      {.temperature = 1, .top_k = 20, .top_p = 0.9f},
      {.logprobs = 3},
      {.temperature = 0.7f, .min_p = 0.05f, .repetition_penalty = 1.2f},
      {.frequency_penalty = 0.5f, .presence_penalty = 0.3f},
      {.temperature = 1, .mirostat_tau = 3},
      {.temperature = 0.9f, .xtc_probability = 0.5f, .min_tokens = 5, .logprobs = 1},
      {.dry_multiplier = 0.8f, .no_repeat_ngram = 3},
      {.temperature = 1.1f, .typical_p = 0.9f, .order = "llama.cpp"},
      {.temperature = 1, .top_n_sigma = 1.5f, .logit_bias = {{3, 2.0f}, {5, -INFINITY}}},
      {.temperature = 0.8f, .logprobs = 2},
  };
  return all;
}

std::vector<Case> make_cases(int rows, const LanguageModel::Facts& facts, uint32_t seed) {
  Lots lots{seed};
  std::vector<Case> cases;
  for (int i = 0; i < rows; ++i) {
    Case c;
    const int kinds[] = {1, 5, 33, 64, 65, 96, 97, 110};
    const int n = std::min(kinds[lots.below(8)] + lots.below(4), facts.context_length - 3);
    for (int k = 0; k < n; ++k) c.request.prompt.push_back(lots.below(facts.vocab_size));
    c.request.sampling = ways_to_choose()[size_t(lots.below(int(ways_to_choose().size())))];
    c.request.sampling.seed = uint64_t(lots.below(1000));
    c.request.max_tokens = 1 + lots.below(24);
    for (int k = lots.below(3); k > 0; --k)
      c.request.stop_ids.push_back(lots.below(facts.vocab_size));
    c.joins = lots.below(2) ? 0 : lots.below(20);
    if (lots.below(6) == 0) c.cancelled = 1 + lots.below(8);
    if (lots.below(6) == 0) c.caller_ends = 1 + lots.below(8);
    cases.push_back(std::move(c));
  }
  return cases;
}

void expect_as_alone(LanguageModel& model, int rows, uint32_t seed, const std::string& what) {
  const auto cases = make_cases(rows, model.facts, seed);
  const auto answers =
      together(model, cases, {.most_rows = std::max(rows, 32), .prefill_chunk = kChunk});
  for (size_t i = 0; i < cases.size(); ++i)
    EXPECT_EQ(answers[i], alone(model, cases[i])) << what << ", row " << i << " of " << rows;
}

TEST(Batcher, RowsAreWhatTheyAreAlone) {
  const int before = cpu::threads();
  for (const Dtype dtype : {float32, float16, bfloat16}) {
    const auto model = load_model(testing::source_path("models/tiny-phi"), {.dtype = dtype});
    uint32_t seed = dtype == float32 ? 1 : dtype == float16 ? 2 : 3;
    for (const int rows : {1, 2, 7, 32, 40}) {
      const int threads = 1 + int(++seed % 2);
      cpu::set_threads(threads);
      expect_as_alone(*model, rows, seed, concat(dtype, ", ", threads, " threads"));
    }
  }
  cpu::set_threads(before);
}

/// Every family: windows and rings, recurrent states, latents, experts, ropes that grow.
class BatcherOfFamilies : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Tiny, BatcherOfFamilies,
                         ::testing::ValuesIn(testing::TinyCheckpoint::names()),
                         [](const auto& info) { return info.param; });

TEST_P(BatcherOfFamilies, RowsAreWhatTheyAreAlone) {
  const testing::TinyCheckpoint checkpoint(GetParam());
  const Dtype half = GetParam().size() % 2 ? float16 : bfloat16;
  for (const Dtype dtype : {float32, half}) {
    const auto model = load_model(checkpoint.path(), {.dtype = dtype});
    expect_as_alone(*model, 8, 77, concat(dtype));
  }
}

// Rings that go around, of another capacity than alone, and a cache that grows midway.
TEST(Batcher, RowsKeepTheirBitsWhereMemoryIsLaidOutOtherwise) {
  testing::TempFolder folder;
  folder.write("config.json", R"({"model_type": "mistral", "hidden_size": 32,
      "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
      "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 61, "sliding_window": 100,
      "max_position_embeddings": 4096})");
  for (const Dtype dtype : {float32, bfloat16}) {
    const auto model = load_model(folder.path(), {.dtype = dtype, .random_weights = true});
    for (auto& [name, p] : model->parameters())
      if (name.ends_with("proj.weight")) *p = multiply(*p, array(8.0f, dtype));
    std::vector<Case> cases;
    Lots lots{5};
    for (const int n : {1400, 30, 700, 508, 250, 3}) {
      Case c;
      for (int k = 0; k < n; ++k) c.request.prompt.push_back(1 + lots.below(60));
      c.request.max_tokens = n == 30 ? 600 : 40;
      c.request.sampling = {.temperature = 1, .seed = uint64_t(n)};
      c.joins = n == 250 ? 6 : n == 508 ? 25 : 0;
      cases.push_back(std::move(c));
    }
    const auto answers = together(*model, cases, {.prefill_chunk = kChunk});
    for (size_t i = 0; i < cases.size(); ++i)
      EXPECT_EQ(answers[i], alone(*model, cases[i])) << dtype << ", row " << i;
  }
}

class Batches : public ::testing::Test {
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
  static std::vector<int> ids(const std::vector<int>& prompt, int most) {
    GenerateOptions options;
    options.max_tokens = most;
    return generate(model(), prompt, options).ids;
  }
  static std::string refused(Batcher::Request request) {
    Batcher batcher(model());
    const std::string said =
        error_of<std::invalid_argument>([&] { batcher.add(std::move(request)); });
    EXPECT_TRUE(batcher.idle());
    return said;
  }
};

TEST_F(Batches, WhatHasNoAnswerIsRefusedAndDisturbsNoOne) {
  EXPECT_EQ(refused({{}}), "generate: the prompt has no tokens");
  EXPECT_EQ(refused({{0, 4096}}), "generate: token 4096 is not in the vocabulary of 4096");
  EXPECT_EQ(refused({{-1}}), "generate: token -1 is not in the vocabulary of 4096");
  EXPECT_EQ(refused({prompt(513)}),
            "generate: the prompt has 513 tokens, the model's context is 512; shorten the prompt");
  EXPECT_EQ(refused({.prompt = {1}, .max_tokens = 0}),
            "generate: 0 tokens asked; wanted at least 1");
  EXPECT_THAT(refused({{1}, {.temperature = -1}}), HasSubstr("temp: -1"));
  EXPECT_THAT(refused({{1}, {.logit_bias = {{4096, 1.0f}}}}), HasSubstr("no token 4096"));
  EXPECT_THAT(refused({{1}, {.order = "nonsense"}}), HasSubstr("'nonsense'"));
  EXPECT_THAT(refused({.prompt = {1, 2}, .begun = RowState{.length = 2, .read_as = 2}}),
              HasSubstr("a state of 2 tokens for a prompt of 2"));
  EXPECT_THAT(refused({.prompt = {1, 2}, .begun = RowState{.length = 1, .read_as = 1}}),
              HasSubstr("layers"));
  for (const int chunk : {0, -64, 63})
    EXPECT_THAT(
        error_of<std::invalid_argument>([&] { Batcher(model(), {.prefill_chunk = chunk}); }),
        HasSubstr("wanted a multiple of 64"));

  Batcher batcher(model());
  std::vector<int> got;
  batcher.add({.prompt = prompt(9), .max_tokens = 12});
  while (!batcher.idle()) {
    for (const auto& event : batcher.step()) got.push_back(event.token.id);
    EXPECT_THROW(batcher.add({{-1}}), std::invalid_argument);
  }
  EXPECT_EQ(got, ids(prompt(9), 12));
  EXPECT_FALSE(batcher.cancel(1));
  EXPECT_FALSE(batcher.cancel(99));
  EXPECT_TRUE(batcher.step().empty());
}

// The last token needs no room in the context: nothing is asked of it.
TEST_F(Batches, EndWhereTheContextIsFull) {
  EXPECT_EQ(ids(prompt(512), 5).size(), 1u);
  EXPECT_EQ(ids(prompt(510), 5).size(), 3u);
  EXPECT_EQ(ids(prompt(508), 5).size(), 5u);
  EXPECT_EQ(ids(prompt(4), 3).size(), 3u);
  EXPECT_EQ(ids({0, 4095}, 1).size(), 1u);
  EXPECT_EQ(ids(prompt(500), INT_MAX).size(), 13u);
}

TEST_F(Batches, ALongPromptDoesNotStopTheOthers) {
  Batcher batcher(model(), {.prefill_chunk = 64});
  const auto first = batcher.add({.prompt = prompt(3), .max_tokens = 60});
  batcher.step();
  const auto second = batcher.add({.prompt = prompt(400), .max_tokens = 4});
  for (int piece = 1; piece <= 7; ++piece) {
    int of_first = 0, of_second = 0;
    for (const auto& event : batcher.step()) (event.row == first ? of_first : of_second) += 1;
    EXPECT_EQ(of_first, 1) << piece;
    // 384 and 16 tokens: the rest belongs to the sixth piece.
    EXPECT_EQ(of_second, piece < 6 ? 0 : piece == 6 ? 2 : 1) << piece;
  }
  EXPECT_TRUE(batcher.cancel(first));
  EXPECT_TRUE(batcher.cancel(second));
  EXPECT_TRUE(batcher.idle());
}

TEST_F(Batches, RowsWaitForTheirTurn) {
  Batcher batcher(model(), {.most_rows = 2, .chunks_per_step = 9});
  std::map<Batcher::Id, std::vector<int>> got;
  for (int i = 0; i < 5; ++i) batcher.add({.prompt = prompt(3 + i), .max_tokens = 4 + i});
  const auto waits = batcher.add({.prompt = prompt(2)});
  EXPECT_TRUE(batcher.cancel(waits));
  while (!batcher.idle()) {
    std::map<Batcher::Id, int> now;
    for (const auto& event : batcher.step())
      got[event.row].push_back(event.token.id), now[event.row] = 1;
    EXPECT_LE(now.size(), 2u);
  }
  ASSERT_EQ(got.size(), 5u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(got[Batcher::Id(i + 1)], ids(prompt(3 + i), 4 + i)) << i;
}

TEST_F(Batches, ARowJoinsInTheStepInWhichAnotherEnds) {
  for (const int most : {3, 4, 5}) {
    Batcher batcher(model());
    std::map<Batcher::Id, std::vector<int>> got;
    const auto first = batcher.add({.prompt = prompt(5), .max_tokens = most});
    const auto second = batcher.add({.prompt = prompt(8), .max_tokens = 12});
    bool joined = false;
    while (!batcher.idle())
      for (const auto& event : batcher.step()) {
        got[event.row].push_back(event.token.id);
        if (got[first].size() != size_t(most) - 1 || std::exchange(joined, true)) continue;
        batcher.add({.prompt = prompt(6), .max_tokens = 7});
      }
    EXPECT_EQ(got[first], ids(prompt(5), most));
    EXPECT_EQ(got[second], ids(prompt(8), 12));
    EXPECT_EQ(got[second + 1], ids(prompt(6), 7));
  }
}

// A rule of the caller's may throw, end other rows and add new ones.
TEST_F(Batches, WhatACallerDoesInItsRuleStaysItsOwn) {
  Batcher batcher(model());
  std::map<Batcher::Id, std::vector<int>> got;
  std::map<Batcher::Id, std::string> errors;
  const auto throws = batcher.add({.prompt = prompt(5), .until = [](const NewToken&) -> bool {
                                     throw std::logic_error("of the caller's");
                                   }});
  const auto quiet = batcher.add({.prompt = prompt(9), .max_tokens = 20});
  Batcher::Id ends = 0;
  ends = batcher.add({.prompt = prompt(7), .until = [&, count = 0](const NewToken&) mutable {
                        if (++count < 4) return false;
                        EXPECT_THROW(batcher.step(), std::invalid_argument);
                        batcher.add({.prompt = prompt(11), .max_tokens = 3});
                        EXPECT_TRUE(batcher.cancel(ends));
                        return false;
                      }});
  while (!batcher.idle())
    for (const auto& event : batcher.step()) {
      if (event.error) {
        errors[event.row] =
            error_of<std::logic_error>([&] { std::rethrow_exception(event.error); });
        EXPECT_EQ(event.end, End::error);
      } else {
        got[event.row].push_back(event.token.id);
      }
    }
  EXPECT_EQ(errors, (std::map<Batcher::Id, std::string>{{throws, "of the caller's"}}));
  EXPECT_EQ(got[quiet], ids(prompt(9), 20));
  EXPECT_EQ(got[ends], ids(prompt(7), 3));
  EXPECT_EQ(got[ends + 1], ids(prompt(11), 3));
}

// One token whose embedding is no number: only rows that meet it end, and say so.
TEST(Batcher, ARowThatIsNotFiniteEndsAlone) {
  const auto model = load_model(testing::source_path("models/tiny-phi"), {.dtype = float32});
  const auto fresh = load_model(testing::source_path("models/tiny-phi"), {.dtype = float32});
  for (auto& [name, p] : model->parameters())
    if (name.ends_with("embed_tokens.weight"))
      *p = slice_update(*p, full({1, p->shape(1)}, array(NAN)), Shape{77, 0},
                        Shape{78, p->shape(1)});
  Batcher batcher(*model);
  std::map<Batcher::Id, std::vector<int>> got;
  std::map<Batcher::Id, std::string> errors;
  const auto good = batcher.add({.prompt = {1, 2, 3}, .max_tokens = 10});
  const auto bad = batcher.add({.prompt = {1, 77, 3}, .max_tokens = 10});
  // Chosen at once, and fed in the step after: that one breaks.
  const auto late =
      batcher.add({.prompt = {4, 5}, .sampling = {.logit_bias = {{77, 1e6f}}}, .max_tokens = 10});
  while (!batcher.idle())
    for (const auto& event : batcher.step()) {
      if (event.error)
        errors[event.row] =
            error_of<std::runtime_error>([&] { std::rethrow_exception(event.error); });
      else
        got[event.row].push_back(event.token.id);
    }
  GenerateOptions options;
  options.max_tokens = 10;
  EXPECT_EQ(got[good], generate(*fresh, std::vector<int>{1, 2, 3}, options).ids);
  EXPECT_TRUE(got[bad].empty());
  EXPECT_EQ(got[late], std::vector<int>{77});
  EXPECT_EQ(errors.size(), 2u);
  for (const auto row : {bad, late}) {
    EXPECT_THAT(errors[row], HasSubstr("generate: the logits after 3 tokens are not finite"));
    EXPECT_THAT(errors[row], HasSubstr("the embedding"));
  }
}

/// No more than what is held now and `more` bytes, while it lives.
struct MemoryLimit {
  explicit MemoryLimit(size_t more)
      : before((clear_cache(), set_memory_limit(get_active_memory() + more))) {}
  ~MemoryLimit() { set_memory_limit(before); }
  size_t before;
};

TEST_F(Batches, RowsWaitForMemoryAndOneThatNeverFitsIsRefused) {
  if (default_device() != Device(Device::cpu)) GTEST_SKIP() << "limits the memory of the host";
  const int tokens = 300;
  const size_t row = model().state_bytes({&tokens, 1});
  const auto alone = ids(prompt(250), 50);
  {
    const MemoryLimit limit(row / 2);
    Batcher batcher(model());
    EXPECT_THAT(error_of<std::runtime_error>(
                    [&] { batcher.add({.prompt = prompt(250), .max_tokens = 50}); }),
                HasSubstr("a row of 300 tokens needs"));
  }
  const MemoryLimit limit(10 * row);
  Batcher batcher(model(), {.most_rows = 20, .chunks_per_step = 20});
  std::map<Batcher::Id, std::vector<int>> got;
  for (int i = 0; i < 9; ++i) batcher.add({.prompt = prompt(250), .max_tokens = 50});
  size_t most = 0;
  while (!batcher.idle()) {
    std::map<Batcher::Id, int> now;
    for (const auto& event : batcher.step()) {
      ASSERT_FALSE(event.error) << error_of([&] { std::rethrow_exception(event.error); });
      got[event.row].push_back(event.token.id), now[event.row] = 1;
    }
    most = std::max(most, now.size());
  }
  EXPECT_GT(most, 1u);
  EXPECT_LT(most, 9u);
  ASSERT_EQ(got.size(), 9u);
  for (const auto& [id, answer] : got) EXPECT_EQ(answer, alone) << id;
}

// Where a group cannot grow the youngest row ends, and the others go on.
TEST_F(Batches, AGroupWithoutRoomToGrowLosesItsYoungestRow) {
  if (default_device() != Device(Device::cpu)) GTEST_SKIP() << "limits the memory of the host";
  const int tokens = 512;
  const size_t row = model().state_bytes({&tokens, 1});
  Batcher batcher(model(), {.chunks_per_step = 9});
  std::map<Batcher::Id, std::vector<int>> got;
  std::map<Batcher::Id, std::string> errors;
  const auto old = batcher.add({.prompt = prompt(200), .max_tokens = 120});
  const auto young = batcher.add({.prompt = prompt(180), .max_tokens = 120});
  std::unique_ptr<MemoryLimit> limit;
  while (!batcher.idle()) {
    for (const auto& event : batcher.step())
      if (event.error)
        errors[event.row] = error_of([&] { std::rethrow_exception(event.error); });
      else
        got[event.row].push_back(event.token.id);
    if (!limit && got[young].size() > 10) limit = std::make_unique<MemoryLimit>(3 * row / 2);
  }
  EXPECT_EQ(got[old], ids(prompt(200), 120));
  EXPECT_LT(got[young].size(), 120u);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_THAT(errors[young], HasSubstr("context: room for 512 tokens in each of 2 rows needs"));
}

// What was read before is not read again, and what is kept can go on.
TEST_F(Batches, AStateIsKeptAndGoneOnFrom) {
  for (const int length : {64, 128}) {
    GenerateOptions options;
    options.max_tokens = 6;
    options.keep_state = true;
    const auto text = prompt(200);
    const auto read = generate(model(), std::span(text).first(size_t(length)), options);
    ASSERT_TRUE(read.state);
    EXPECT_EQ(read.state->length, length + 5);  // the sixth was not fed
    EXPECT_EQ(read.read_tokens, length);
    auto cache = model().make_cache(std::span(&*read.state, 1));
    cache.truncate(0, length);
    options.begun = cache.take(0);
    const auto on = generate(model(), text, options);
    EXPECT_EQ(on.reused_tokens, length);
    EXPECT_EQ(on.ids, ids(text, 6));
  }
}

TEST(RowSamplers, RowsDrawOnWhereTheyAreMovedTo) {
  constexpr int kVocab = 50;
  const auto logits_of = [](int row, int step) {
    std::vector<float> all;
    Lots lots{uint32_t(row * 131 + step * 7 + 1)};
    for (int i = 0; i < kVocab; ++i) all.push_back(float(lots.below(1000)) / 200);
    return array(all.begin(), Shape{1, kVocab}, float32);
  };
  constexpr int kRows = 24, kSteps = 30;
  const auto fresh = [&](int row) {
    SamplingOptions options = ways_to_choose()[size_t(row) % ways_to_choose().size()];
    options.seed = uint64_t(row);
    return std::make_unique<Sampler>(options, kVocab, std::vector<std::vector<int>>{{row, 3, row}});
  };
  std::vector<std::vector<int>> wanted(kRows), got(kRows);
  for (int row = 0; row < kRows; ++row) {
    const auto sampler = fresh(row);
    for (int step = 0; step < kSteps; ++step)
      wanted[size_t(row)].push_back((*sampler)(logits_of(row, step)).item<int>());
  }
  // Each alone for some steps, then all together, in another order every third step.
  std::vector<std::unique_ptr<RowSamplers>> owners;
  std::vector<RowSamplers::Row> places;
  std::vector<int> order;
  for (int row = 0; row < kRows; ++row) {
    owners.push_back(std::make_unique<RowSamplers>(fresh(row)));
    places.push_back({owners.back().get(), 0});
    order.push_back(row);
    for (int step = 0; step < 3; ++step)
      got[size_t(row)].push_back((*owners.back())(logits_of(row, step)).item<int>());
  }
  Lots lots{9};
  for (int step = 3; step < kSteps; ++step) {
    if (step % 3 == 0) {
      for (int i = kRows - 1; i > 0; --i) {
        const auto other = size_t(lots.below(i + 1));
        std::swap(places[size_t(i)], places[other]), std::swap(order[size_t(i)], order[other]);
      }
      auto joined = std::make_unique<RowSamplers>(places);
      for (int i = 0; i < kRows; ++i) places[size_t(i)] = {joined.get(), i};
      owners.clear();
      owners.push_back(std::move(joined));
    }
    Arrays logits;
    for (const int row : order) logits.push_back(logits_of(row, step));
    const auto ids = (*owners[0])(concatenate(logits, 0)).to_vector<int>();
    for (size_t i = 0; i < kRows; ++i) got[size_t(order[i])].push_back(ids[i]);
  }
  EXPECT_EQ(got, wanted);
}

// Pieces follow from the text's length alone.
TEST(Prefill, PiecesEndOnTheGridAndLeaveNoFewTokens) {
  for (const int chunk : {64, 128, 512})
    for (int total = 1; total < 1300; ++total)
      for (int at = 0, end; at < total; at = end) {
        end = piece_end(at, total, chunk);
        ASSERT_TRUE(end == total || (end % chunk == 0 && total - end > 32)) << at << " " << total;
        ASSERT_GT(end, at);
        ASSERT_LE(end - at, chunk + 32);
        ASSERT_TRUE(end - at > 32 || (at == 0 && end == total)) << at << " of " << total;
      }
  EXPECT_EQ(piece_end(100, 1000, 64), 128);  // from within
  EXPECT_EQ(piece_end(INT_MAX - 10, INT_MAX, 64), INT_MAX);
}

}  // namespace
}  // namespace hearth::llm
