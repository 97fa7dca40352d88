// Keys and values in fewer bits, in models: near what they give in whole, the same however they are
// fed, in rings, beside other rows, and saved.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hearth/llm/generate.h"
#include "hearth/llm/state_file.h"
#include "tests/llm/tiny_checkpoint.h"
#include "tests/llm/tiny_logits.h"
#include "tests/on_device.h"

namespace hearth::llm {
namespace {

using ::testing::HasSubstr;
using testing::TinyCheckpoint;

std::unique_ptr<LanguageModel> with_state(const TinyCheckpoint& checkpoint, Packing state) {
  LoadOptions options;
  options.state = state;
  return load_model(checkpoint.path(), options);
}

// Of every kind: grouped heads of 20 elements, windows, latents, layers that use another's.
TEST(PackedState, GivesAlmostTheSameLogitsHoweverItIsFed) {
  HEARTH_CPU_ONLY("packed states are the CPU's");
  for (const char* name :
       {"llama", "gemma2", "deepseek_v3", "gemma4_text", "qwen3_5", "phi3_short"}) {
    const TinyCheckpoint checkpoint(name);
    const auto whole = load_model(checkpoint.path());
    const auto& ids = checkpoint.prompts[0].ids;
    const auto want = logits_of(*whole, ids, ids.size());
    for (const auto& [state, most] : {std::pair(Packing::q8_0, 0.03f), {Packing::q4_0, 0.6f}}) {
      const auto model = with_state(checkpoint, state);
      EXPECT_EQ(model->facts.state, state);
      EXPECT_LT(model->state_bytes(1000, float32), whole->state_bytes(1000, float32));
      const auto got = logits_of(*model, ids, ids.size());
      const auto costs = model->costs(float32);
      const bool experts = costs.active < costs.parameters;  // a choice may flip
      if (!experts) {
        EXPECT_LT(difference(got, want), most) << name;
      }
      EXPECT_GT(difference(got, want), 0) << name << ": the state is not packed";
      // A product of 32 rows or fewer has the bits of single ones; of more, other last bits, by
      // which a code may tip over.
      const auto one = logits_of(*model, ids, 1);
      EXPECT_EQ(logits_of(*model, ids, 7), one) << name;
      if (!experts) {
        EXPECT_LT(difference(got, one), most / 5) << name;
      }
    }
  }
}

TEST(PackedState, IsAsLargeAsItSays) {
  HEARTH_CPU_ONLY("packed states are the CPU's");
  const TinyCheckpoint checkpoint("llama");
  const auto model = with_state(checkpoint, Packing::q8_0);
  KvCache cache = model->make_cache();
  cache.reserve(100);
  const std::vector<int> lengths{100};
  EXPECT_EQ(cache.nbytes(), model->state_bytes(lengths, 100));
  // Heads of 20 elements: a block of 34 bytes, and so many for each of the positions kept.
  EXPECT_EQ(model->state_bytes(1, bfloat16), size_t(model->facts.layers * 2 * 2 * 34));
}

TEST(PackedState, OfRowsTogetherIsThatOfEachAlone) {
  HEARTH_CPU_ONLY("packed states are the CPU's");
  for (const char* name : {"llama", "gemma2"}) {
    const TinyCheckpoint checkpoint(name);
    const auto model = with_state(checkpoint, Packing::q8_0);
    const auto& a = checkpoint.prompts[0].ids;
    const auto& b = checkpoint.prompts[1].ids;
    std::vector<float> alone = logits_of(*model, a, 1), other = logits_of(*model, b, 1);
    // The row is taken out of its cache after some tokens and put beside the other.
    KvCache first = model->make_cache(), both = model->make_cache(2);
    const auto feed = [&](KvCache& cache, const std::vector<int>& tokens, int rows) {
      const array t(tokens.begin(), Shape{rows, int(tokens.size()) / rows}, int32);
      return model->forward({t, {}}, cache).to_vector<float>();
    };
    for (size_t i = 0; i < 20; ++i) feed(first, {a[i]}, 1);
    both.put(0, first.take(0));
    KvCache second = model->make_cache();
    for (size_t i = 0; i < 20; ++i) feed(second, {b[i]}, 1);
    both.put(1, second.take(0));
    for (size_t i = 20; i < a.size(); ++i) {
      const auto logits = feed(both, {a[i], b[i]}, 2);
      const size_t vocab = logits.size() / 2;
      const auto expect = [&](const std::vector<float>& want, size_t row) {
        EXPECT_TRUE(std::equal(want.begin() + long(i * vocab), want.begin() + long((i + 1) * vocab),
                               logits.begin() + long(row * vocab)))
            << name << " " << i;
      };
      expect(alone, 0), expect(other, 1);
    }
  }
}

TEST(PackedState, IsSavedAndReadAgainByItsLikeAlone) {
  HEARTH_CPU_ONLY("packed states are the CPU's");
  const testing::TempFolder folder;
  const TinyCheckpoint checkpoint("gemma2");
  const auto model = with_state(checkpoint, Packing::q8_0), plain = load_model(checkpoint.path());
  const auto begin = [&](LanguageModel& m) {
    Beginning held;
    GenerateOptions options;
    options.max_tokens = 3;
    generate_after(held, false, m, checkpoint.prompts[0].ids, options);
    return held;
  };
  const Beginning saved = begin(*model);
  save_state(folder / "q8", *model, saved);
  const Beginning loaded = load_state(folder / "q8", *model);
  EXPECT_EQ(loaded.ids, saved.ids);
  ASSERT_FALSE(loaded.row.layers[0].empty());
  EXPECT_EQ(loaded.row.layers[0][0].dtype(), uint8);
  EXPECT_TRUE(array_equal(loaded.row.layers[0][0], saved.row.layers[0][0]).item<bool>());
  EXPECT_THAT(testing::error_of([&] { load_state(folder / "q8", *plain); }),
              HasSubstr("give --kv \"q8\""));
  save_state(folder / "plain", *plain, begin(*plain));
  EXPECT_THAT(testing::error_of([&] { load_state(folder / "plain", *model); }),
              HasSubstr("leave --kv out"));
}

}  // namespace
}  // namespace hearth::llm
