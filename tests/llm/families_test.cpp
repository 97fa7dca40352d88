// Every family that hearth knows against transformers' own classes, on the tiny random checkpoints
// of tests/data/models: logits, greedy continuations, and the ways of feeding the same tokens.
#include <gtest/gtest.h>

#include <cmath>

#include "hearth/backend/pool.h"
#include "hearth/core/eval.h"
#include "hearth/llm/decoder.h"
#include "hearth/llm/generate.h"
#include "hearth/llm/prefill.h"
#include "hearth/ops/ops.h"
#include "tests/llm/tiny_checkpoint.h"
#include "tests/on_device.h"

namespace hearth::llm {
namespace {

using testing::TinyCheckpoint;

/// Skips, with the reason, what hearth does not know; never anything else.
class Families : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    checkpoint_.emplace(GetParam());
    const auto known = known_models();
    const std::string type = checkpoint_->model_type();
    if (std::find(known.begin(), known.end(), type) == known.end())
      GTEST_SKIP() << "hearth has no model_type '" << type << "'";
    model_ = load_model(checkpoint_->path());
    vocab_ = size_t(model_->facts.vocab_size);
  }

  using Logits = std::vector<float>;
  /// Of one position, from those of all.
  Logits row(const Logits& all, size_t i) const {
    return {all.begin() + long(i * vocab_), all.begin() + long((i + 1) * vocab_)};
  }
  /// Of every position, fed at once.
  Logits whole(const std::vector<int>& ids) {
    auto cache = model_->make_cache();
    const array tokens(ids.begin(), Shape{1, int(ids.size())}, int32);
    return model_->forward({tokens, {}, false}, cache).to_vector<float>();
  }
  /// Of the last position, fed at once.
  Logits last(const std::vector<int>& ids) { return row(whole(ids), ids.size() - 1); }

  std::optional<TinyCheckpoint> checkpoint_;
  std::unique_ptr<LanguageModel> model_;
  size_t vocab_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Tiny, Families, ::testing::ValuesIn(TinyCheckpoint::names()),
                         [](const auto& info) { return info.param; });

/// The largest difference, relative to the largest of `wanted`; infinite for NaN.
float error(const std::vector<float>& got, const std::vector<float>& wanted) {
  EXPECT_EQ(got.size(), wanted.size());
  float difference = 0, largest = 0;
  for (size_t i = 0; i < std::min(got.size(), wanted.size()); ++i) {
    if (!std::isfinite(got[i])) return INFINITY;
    difference = std::max(difference, std::abs(got[i] - wanted[i]));
    largest = std::max(largest, std::abs(wanted[i]));
  }
  return difference / largest;
}

TEST_P(Families, LogitsAreThoseOfTransformers) {
  for (const auto& prompt : checkpoint_->prompts) {
    const auto all = whole(prompt.ids);
    ASSERT_EQ(all.size(), prompt.ids.size() * vocab_);
    for (size_t i = 0; i < checkpoint_->positions.size(); ++i) {
      const size_t position = size_t(checkpoint_->positions[i]);
      EXPECT_LT(error(row(all, position), prompt.logits[i]), 1e-4f) << "position " << position;
    }
  }
}

TEST_P(Families, GreedyContinuationsAreThoseOfTransformers) {
  for (const auto& prompt : checkpoint_->prompts) {
    GenerateOptions options;
    options.max_tokens = int(prompt.greedy.size());
    EXPECT_EQ(generate(*model_, prompt.ids, options).ids, prompt.greedy);
  }
}

TEST_P(Families, CachedChunkedAndWholeAgree) {
  for (const auto& prompt : checkpoint_->prompts) {
    const auto wanted = last(prompt.ids);
    for (int chunk : {1, 3, 7, 39}) {
      auto cache = model_->make_cache();
      EXPECT_LT(error(prefill(*model_, cache, prompt.ids, chunk).to_vector<float>(), wanted), 1e-5f)
          << "in chunks of " << chunk;
    }
  }
}

// A step that was recorded goes on as one piece: what it starts is the recording, and the copy of
// its ids. Nothing of it is on the CPU where another device decodes.
TEST_P(Families, AStepIsRecordedWhole) {
  const uint64_t fallbacks = eval_counters().fallbacks;
  for (const Dtype dtype : {float32, bfloat16}) {
    const auto model = load_model(checkpoint_->path(), {.dtype = dtype});
    auto cache = model->make_cache();
    prefill(*model, cache, checkpoint_->prompts[0].ids, 16);
    RowSamplers greedy(std::make_unique<Sampler>(SamplingOptions{}, int(vocab_),
                                                 std::vector<std::vector<int>>{{}}));
    Decoder steps(*model, cache, greedy, array({4}, {1}, int32));
    for (int i = 0; i < 2; ++i) steps.step().eval();
    const EvalCounters before = eval_counters();
    for (int i = 0; i < 3; ++i) steps.step().eval();
    EXPECT_EQ(eval_counters().kernels - before.kernels, 3u) << dtype;
    EXPECT_EQ(eval_counters().fallbacks, fallbacks) << fallback_report();
  }
}

// Rows of unequal length in one batch, padded on the right, and then steps of one token.
TEST_P(Families, ABatchOfUnequalPromptsEqualsOneByOne) {
  std::vector<std::vector<int>> rows{checkpoint_->prompts[0].ids, checkpoint_->prompts[1].ids};
  rows[1].resize(17);
  std::vector<int> padded = rows[0];
  padded.insert(padded.end(), rows[1].begin(), rows[1].end());
  padded.resize(2 * rows[0].size(), 5);
  auto cache = model_->make_cache(2);
  array logits = model_->forward({array(padded.begin(), Shape{2, int(rows[0].size())}, int32),
                                  {int(rows[0].size()), int(rows[1].size())},
                                  true},
                                 cache);
  for (int step = 0; step < 6; ++step) {
    const auto all = logits.to_vector<float>();
    for (size_t b : {0, 1})
      EXPECT_LT(error(row(all, b), last(rows[b])), testing::on_device() ? 5e-5f : 1e-5f)
          << "row " << b << ", step " << step;
    const std::vector<int> next{11 + step, 31 + step};
    for (size_t b : {0, 1}) rows[b].push_back(next[b]);
    logits = model_->forward({array(next.begin(), Shape{2, 1}, int32), {}, true}, cache);
  }
}

// Steps of up to 32 tokens: logits, and the states that they leave.
TEST_P(Families, StepsOfAFewTokensGiveTheBitsOfOneByOne) {
  HEARTH_CPU_ONLY(testing::kBits);
  std::vector<int> ids = checkpoint_->prompts[0].ids;
  ids.insert(ids.end(), checkpoint_->prompts[1].ids.begin(), checkpoint_->prompts[1].ids.end());
  for (const Dtype dtype : {float32, float16, bfloat16}) {
    const auto model = load_model(checkpoint_->path(), {.dtype = dtype});
    // Frequencies that follow from the length are those of a whole chunk, unless it is drafted.
    const bool by_length = model->facts.first_context > 0 || model->facts.dynamic_from > 0;
    const auto in_steps_of = [&](size_t n, bool drafted) {
      KvCache cache = model->make_cache();
      std::pair<Logits, Logits> all;  // logits, states
      for (size_t at = 0; at < ids.size(); at += n) {
        const int count = int(std::min(n, ids.size() - at));
        const array tokens(ids.begin() + long(at), Shape{1, count}, int32);
        const auto logits =
            astype(model->forward({tokens, {}, false, drafted}, cache), float32).to_vector<float>();
        all.first.insert(all.first.end(), logits.begin(), logits.end());
      }
      for (const Arrays& parts : cache.take(0).layers)
        for (const array& part : parts) {
          const auto state = astype(part, float32).to_vector<float>();
          all.second.insert(all.second.end(), state.begin(), state.end());
        }
      return all;
    };
    const auto one_by_one = in_steps_of(1, false);
    for (const size_t n : {2, 7, 13, 32}) {
      EXPECT_TRUE(in_steps_of(n, true) == one_by_one) << dtype << ", drafted, " << n;
      if (by_length) continue;
      EXPECT_TRUE(in_steps_of(n, false) == one_by_one) << dtype << ", " << n;
    }
  }
}

TEST_P(Families, SameBitsForAnyNumberOfThreads) {
  const int before = cpu::threads();
  std::vector<float> first;
  for (int threads : {1, 3}) {
    cpu::set_threads(threads);
    const auto logits = whole(checkpoint_->prompts[0].ids);
    if (first.empty()) first = logits;
    EXPECT_EQ(logits, first);
  }
  cpu::set_threads(before);
}

// No part may leave the dtype, or meet another. How near the logits are says little here: a
// choice of experts that flips changes them all.
TEST_P(Families, RunsInHalves) {
  for (Dtype dtype : {float16, bfloat16}) {
    LoadOptions load;
    load.dtype = dtype;
    const auto model = load_model(checkpoint_->path(), load);
    GenerateOptions options;
    options.max_tokens = 4;
    EXPECT_EQ(generate(*model, checkpoint_->prompts[0].ids, options).ids.size(), 4u);
    auto cache = model->make_cache();
    const array logits = prefill(*model, cache, checkpoint_->prompts[0].ids, 16);
    EXPECT_EQ(logits.dtype(), dtype);
    const auto values = logits.to_vector<float>();
    EXPECT_LT(error(values, checkpoint_->prompts[0].logits.back()), 1.0f) << dtype;
  }
}

TEST(LanguageModel, WhatExpertsAreChosenByStaysInFloat32WhereTheFamilySaysSo) {
  for (const auto& [name, exact] : {std::pair{"deepseek_v3", true}, {"qwen3_moe", false}}) {
    const TinyCheckpoint checkpoint(name);
    for (bool random : {false, true}) {
      LoadOptions options;
      options.dtype = bfloat16;
      options.random_weights = random;
      const auto model = load_model(checkpoint.path(), options);
      size_t kept = 0;
      for (const auto& [key, p] : model->parameters()) {
        const bool chooses = key.ends_with(".moe.gate.weight") || key.ends_with("correction_bias");
        EXPECT_EQ(p->dtype(), exact && chooses ? float32 : bfloat16) << name << ": " << key;
        kept += p->dtype() == float32;
      }
      EXPECT_EQ(kept, exact ? 4u : 0u);
    }
  }
}

// Of experts' weights only those chosen are read.
TEST(LanguageModel, BytesATokenAreOfTheExpertsChosen) {
  for (const char* name : {"mixtral", "gemma4_moe", "qwen3_moe"}) {
    const TinyCheckpoint checkpoint(name);
    const auto model = load_model(checkpoint.path());
    const double chosen = name == std::string("mixtral") ? 2.0 / 5 : 3.0 / 6;
    double wanted = 0;
    for (const auto& [key, p] : model->parameters()) {
      if (key.ends_with("embed_tokens.weight") && model->parameters().contains("lm_head.weight"))
        continue;
      wanted += double(p->nbytes()) * (key.find(".experts.") == key.npos ? 1 : chosen);
    }
    EXPECT_NEAR(double(model->facts.bytes_per_token), wanted, 200) << name;
    EXPECT_LT(model->facts.bytes_per_token, model->facts.weights_bytes) << name;
  }
}

}  // namespace
}  // namespace hearth::llm
