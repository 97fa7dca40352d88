// The batcher's rules: what it refuses, whose turn it is, where rows end, and that an end or an
// error is one row's own.
#include "hearth/llm/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <climits>
#include <map>

#include "hearth/llm/generate.h"
#include "hearth/llm/prefill.h"
#include "hearth/ops/ops.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using End = Batcher::End;

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

TEST_F(Batches, ARowEndsItselfAtAnyToken) {
  for (const int at : {1, 2, 4}) {
    Batcher batcher(model());
    std::vector<int> got;
    Batcher::Id own = 0;
    own = batcher.add({.prompt = prompt(9), .until = [&](const NewToken& token) {
                         got.push_back(token.id);
                         if (int(got.size()) == at) {
                           EXPECT_TRUE(batcher.cancel(own));
                         }
                         return false;
                       }});
    while (!batcher.idle()) batcher.step();
    EXPECT_EQ(got, ids(prompt(9), at));
  }
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
  for (int piece = 1;; ++piece) {
    int of_first = 0, of_second = 0;
    for (const auto& event : batcher.step()) (event.row == first ? of_first : of_second) += 1;
    EXPECT_EQ(of_first, 1) << piece;
    // 384 and 16 tokens: the rest belongs to the sixth piece.
    EXPECT_EQ(of_second > 0, piece == 6) << piece;
    if (piece == 6) break;
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

// Where a group cannot grow the youngest row waits until another ends, and goes on where it was.
TEST_F(Batches, AGroupWithoutRoomToGrowLetsItsYoungestRowWait) {
  if (default_device() != Device(Device::cpu)) GTEST_SKIP() << "limits the memory of the host";
  const int tokens = 512;
  const size_t row = model().state_bytes({&tokens, 1});
  Batcher batcher(model(), {.chunks_per_step = 9});
  std::map<Batcher::Id, std::vector<int>> got;
  std::map<Batcher::Id, std::string> errors;
  const auto old = batcher.add({.prompt = prompt(200), .max_tokens = 120});
  const SamplingOptions drawn{.temperature = 1, .repetition_penalty = 1.2f, .seed = 5};
  const auto young = batcher.add(
      {.prompt = prompt(180), .sampling = drawn, .max_tokens = 120, .keep_state = true});
  int waited = 0, read = 0;
  std::unique_ptr<MemoryLimit> limit;
  while (!batcher.idle()) {
    for (const auto& event : batcher.step())
      if (event.error)
        errors[event.row] = error_of([&] { std::rethrow_exception(event.error); });
      else
        got[event.row].push_back(event.token.id), read = event.read_tokens;
    waited += batcher.waiting() > 0;
    if (!limit && got[young].size() > 10) limit = std::make_unique<MemoryLimit>(3 * row / 2);
  }
  limit.reset();
  EXPECT_EQ(errors.size(), 0u) << errors.begin()->second;
  EXPECT_EQ(got[old], ids(prompt(200), 120));
  GenerateOptions options;
  options.max_tokens = 120;
  options.sampling = drawn;
  EXPECT_EQ(got[young], generate(model(), prompt(180), options).ids);
  EXPECT_GT(waited, 5);
  EXPECT_EQ(read, 180);  // decoding wrote the rest
}

// Where there is no room to copy rows that are to be decoded together, they are decoded apart.
TEST_F(Batches, GroupsThatHaveNoRoomToBeJoinedStayApart) {
  if (default_device() != Device(Device::cpu)) GTEST_SKIP() << "limits the memory of the host";
  const int tokens = 256;
  const size_t row = model().state_bytes({&tokens, 1});
  Batcher batcher(model());
  std::unique_ptr<MemoryLimit> limit;
  std::map<Batcher::Id, std::vector<int>> got;
  const auto first = batcher.add({.prompt = prompt(100), .max_tokens = 40});
  const auto second = batcher.add({.prompt = prompt(90), .max_tokens = 25, .until = [&](auto&) {
                                     if (!limit) limit = std::make_unique<MemoryLimit>(3 * row / 4);
                                     return false;
                                   }});
  while (!batcher.idle())
    for (const auto& event : batcher.step()) {
      ASSERT_FALSE(event.error) << error_of([&] { std::rethrow_exception(event.error); });
      got[event.row].push_back(event.token.id);
    }
  limit.reset();
  EXPECT_EQ(got[first], ids(prompt(100), 40));
  EXPECT_EQ(got[second], ids(prompt(90), 25));
}

// Rows with the same options but other ends: each waits for its own.
TEST_F(Batches, RowsWithOtherEndsWaitForTheirOwn) {
  Batcher batcher(model(), {.chunks_per_step = 9});
  std::map<Batcher::Id, std::vector<int>> got, alone;
  for (const int n : {40, 61, 75}) {
    GenerateOptions options;
    options.max_tokens = 12;
    options.sampling.min_tokens = 6;
    options.stop_ids = {ids(prompt(n), 1)[0]};
    const auto row = batcher.add({.prompt = prompt(n),
                                  .sampling = options.sampling,
                                  .stop_ids = options.stop_ids,
                                  .max_tokens = options.max_tokens});
    alone[row] = generate(model(), prompt(n), options).ids;
    EXPECT_GE(alone[row].size(), 6u);
    EXPECT_NE(alone[row][0], options.stop_ids[0]);
  }
  while (!batcher.idle())
    for (const auto& event : batcher.step())
      if (event.end != End::stop_id) got[event.row].push_back(event.token.id);
  EXPECT_EQ(got, alone);
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
