// What each step of sampling leaves, and that draws depend on seed and position alone.
#include "hearth/llm/sampler.h"
#include "hearth/llm/sampling_steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "hearth/ops/ops.h"

namespace hearth::llm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Floats = std::vector<float>;

array row(const Floats& values) {
  return array(values.begin(), Shape{1, int(values.size())}, float32);
}
// Logits of these probabilities.
array likely(Floats p) {
  for (float& x : p) x = std::log(x);
  return row(p);
}
std::vector<int> kept(const array& logits) {
  std::vector<int> ids;
  const auto values = logits.to_vector<float>();
  for (size_t i = 0; i < values.size(); ++i)
    if (std::isfinite(values[i])) ids.push_back(int(i));
  return ids;
}
int greedy(const SamplingOptions& o, const std::vector<int>& seen, const Floats& logits,
           const std::vector<int>& ends = {}) {
  Sampler sampler(o, int(logits.size()), {seen}, ends);
  return sampler(row(logits)).item<int>();
}
std::vector<int> draws(const SamplingOptions& o, const Floats& logits, int n) {
  Sampler sampler(o, int(logits.size()), {{}});
  std::vector<int> all;
  for (int i = 0; i < n; ++i) all.push_back(sampler(row(logits)).item<int>());
  return all;
}

TEST(Sampling, StepsLeaveWhatTheirDefinitionsSay) {
  EXPECT_THAT(kept(sampling::top_k(row({1, 3, 2, 0}), 2)), ElementsAre(1, 2));
  EXPECT_THAT(kept(sampling::top_p(likely({0.5f, 0.3f, 0.15f, 0.05f}), 0.6f)), ElementsAre(0, 1));
  EXPECT_THAT(kept(sampling::min_p(likely({0.5f, 0.3f, 0.15f, 0.05f}), 0.25f)),
              ElementsAre(0, 1, 2));
  // Entropy 1.14; surprises 0.69, 1.20, 1.90, 3.00: distances 0.45, 0.06, 0.76, 1.86.
  const array p = likely({0.5f, 0.3f, 0.15f, 0.05f});
  EXPECT_THAT(kept(sampling::typical_p(p, 0.25f)), ElementsAre(1));
  EXPECT_THAT(kept(sampling::typical_p(p, 0.5f)), ElementsAre(0, 1));
  EXPECT_THAT(kept(sampling::typical_p(p, 0.9f)), ElementsAre(0, 1, 2));
  // Mean 2, deviation sqrt(2): 4 - 1.41 = 2.59.
  EXPECT_THAT(kept(sampling::top_n_sigma(row({4, 3, 2, 1, 0}), 1)), ElementsAre(0, 1));
  // What is out already does not widen it.
  const float out = -std::numeric_limits<float>::infinity();
  EXPECT_THAT(kept(sampling::top_n_sigma(row({4, 3, 2, 1, 0, out, out}), 1)), ElementsAre(0, 1));
  EXPECT_THAT(kept(sampling::typical_p(row({0, 0, out}), 0.4f)), ElementsAre(0));
  // At the edge: exactly a quarter of the best one's probability is enough.
  EXPECT_THAT(kept(sampling::min_p(row({0, std::log(0.25f), -2}), 0.25f)), ElementsAre(0, 1));
  // The deviation is that of these logits, 1.247, not that of others like them (of n - 1: 1.395).
  EXPECT_THAT(kept(sampling::top_n_sigma(row({4, 2.7f, 1.8f, 1, 0.5f}), 1)), ElementsAre(0));
}

TEST(Sampling, XtcLeavesTheBestChoicesOut) {
  const array p = likely({0.4f, 0.3f, 0.2f, 0.1f});
  EXPECT_THAT(kept(sampling::xtc(p, row({0.1f}), 0.5f, 0.15f)), ElementsAre(2, 3));
  EXPECT_THAT(kept(sampling::xtc(p, row({0.6f}), 0.5f, 0.15f)), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(kept(sampling::xtc(p, row({0.1f}), 0.5f, 0.35f)), ElementsAre(0, 1, 2, 3));
  std::set<int> seen;
  for (int id : draws({.temperature = 1, .xtc_probability = 1, .xtc_threshold = 0.15f},
                      {std::log(0.4f), std::log(0.3f), std::log(0.2f), std::log(0.1f)}, 100))
    seen.insert(id);
  EXPECT_THAT(seen, ElementsAre(2, 3));
}

// Whether the best go and what is drawn are two chances: one that served both would draw token 0,
// which goes where its number is small, more often than its share.
TEST(Sampling, XtcsChanceIsItsOwn) {
  std::vector<int> count(3, 0);
  for (const int id :
       draws({.temperature = 1, .xtc_probability = 0.5f, .xtc_threshold = 0.3f, .seed = 7},
             {std::log(0.4f), std::log(0.35f), std::log(0.25f)}, 4000))
    ++count[size_t(id)];
  EXPECT_NEAR(count[0] / 4000.0, 0.5 * 0.4, 0.03);
  EXPECT_NEAR(count[1] / 4000.0, 0.5 * 0.35 + 0.5 * 0.35 / 0.6, 0.04);
}

TEST(Sampling, MirostatBeginsAtTwiceItsSurprise) {
  Floats logits = {std::log(0.5f)};  // 1 bit, and eight tokens of 4 bits
  for (int i = 0; i < 8; ++i) logits.push_back(std::log(1 / 16.0f));
  const auto others = [&](float tau) {
    int n = 0;
    for (uint64_t seed = 0; seed < 100; ++seed)
      n += draws({.temperature = 1, .mirostat_tau = tau, .seed = seed}, logits, 1)[0] != 0;
    return n;
  };
  EXPECT_EQ(others(1.9f), 0);
  EXPECT_NEAR(others(2.1f), 50, 20);
}

TEST(Sampling, PenaltiesCountWithinTheirWindow) {
  EXPECT_EQ(greedy({.repetition_penalty = 4}, {0}, {2, 1}), 1);
  EXPECT_EQ(greedy({.repetition_penalty = 4, .penalty_window = 1}, {0, 2}, {2, 1, 0}), 0);
  EXPECT_EQ(greedy({.repetition_penalty = 4, .penalty_window = 2}, {0, 2}, {2, 1, 0}), 1);
  // llama.cpp's frequency counts the prompt, vLLM's does not.
  EXPECT_EQ(greedy({.frequency_penalty = 1, .order = "llama.cpp"}, {0, 0}, {2, 1}), 1);
  EXPECT_EQ(greedy({.frequency_penalty = 1, .order = "vllm"}, {0, 0}, {2, 1}), 0);
  // Each time counts: 2 - 2 * 0.4 is above 1, 2 - 3 * 0.4 is not.
  const SamplingOptions frequency{.frequency_penalty = 0.4f, .order = "llama.cpp"};
  EXPECT_EQ(greedy(frequency, {0, 0}, {2, 1}), 0);
  EXPECT_EQ(greedy(frequency, {0, 0, 0}, {2, 1}), 1);
  const SamplingOptions presence{.presence_penalty = 0.6f, .order = "llama.cpp"};
  EXPECT_EQ(greedy(presence, {0, 0, 0}, {2, 1}), 0);
  // What is drawn counts from then on.
  Sampler sampler({.presence_penalty = 5}, 3, {{}});
  std::vector<int> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(sampler(row({3, 2, 1})).item<int>());
  EXPECT_THAT(ids, ElementsAre(0, 1, 2));
}

TEST(Sampling, DryHoldsBackWhatContinuesASequence) {
  // "1 2 3 ... 1 2": 3 would come again.
  const std::vector<int> again = {1, 2, 3, 4, 1, 2};
  const Floats logits = {0, 0, 0, 2, 1.5f};
  EXPECT_EQ(greedy({}, again, logits), 3);
  EXPECT_EQ(greedy({.dry_multiplier = 0.8f}, again, logits), 4);
  EXPECT_EQ(greedy({.dry_multiplier = 0.8f, .dry_allowed_length = 3}, again, logits), 3);
  EXPECT_EQ(greedy({.dry_multiplier = 0.8f, .dry_window = 3}, again, logits), 3);
  EXPECT_EQ(greedy({.dry_multiplier = 0.8f}, {1, 3, 4, 5 % 5, 1}, logits),
            3);  // one alone: allowed
  // Before the window there is nothing: 1 alone came before 3 there.
  EXPECT_EQ(greedy({.dry_multiplier = 0.8f, .dry_window = 4}, {1, 3, 1, 1}, logits), 3);
  // The longer, the stronger: length 3 costs 0.8 * 1.75.
  EXPECT_EQ(greedy({.dry_multiplier = 0.8f}, again, {0, 0, 0, 2, 1}), 3);
  EXPECT_EQ(greedy({.dry_multiplier = 0.8f}, {0, 1, 2, 3, 4, 0, 1, 2}, {0, 0, 0, 2, 1}), 4);
}

// Which repeats count: llama.cpp's rules, with breakers of one token and of several.
TEST(Sampling, DryEndsItsSequencesAtBreakers) {
  const std::vector<int> again = {1, 2, 3, 4, 1, 2};
  const Floats logits = {0, 0, 0, 2, 1.5f};
  const auto with = [&](std::vector<SequenceBreaker> breakers, std::vector<int> seen) {
    return greedy({.dry_multiplier = 0.8f, .dry_breakers = std::move(breakers)}, seen, logits);
  };
  EXPECT_EQ(with({}, again), 4);
  EXPECT_EQ(with({{{0}, {}}}, again), 4);      // stands nowhere
  EXPECT_EQ(with({{{4}, {}}}, again), 4);      // before the sequence of 2
  EXPECT_EQ(with({{{1}, {}}}, again), 3);      // 2 alone is left of it
  EXPECT_EQ(with({{{0, 2}, {}}}, again), 3);   // the text ends with one
  EXPECT_EQ(with({{{3}, {}}}, again), 3);      // what continues it is a breaker itself
  EXPECT_EQ(with({{{4}, {1}}}, again), 3);     // of two tokens: ends with the 1
  EXPECT_EQ(with({{{4}, {1, 2}}}, again), 3);  // of three: ends with the 2
  EXPECT_EQ(with({{{4}, {2}}}, again), 4);     // 4 is not followed by 2
  EXPECT_EQ(with({{{3, 0}, {4}}}, again), 4);
  EXPECT_EQ(with({{{0}, {3}}, {{1}, {}}}, again), 3);  // any of several
  // A sequence that is as long after the breaker counts as long.
  EXPECT_EQ(with({{{0}, {}}}, {0, 1, 2, 3, 4, 0, 1, 2}), 4);
}

TEST(Sampling, NoSequenceComesTwice) {
  const Floats logits = {0, 0, 0, 2, 1};
  EXPECT_EQ(greedy({.no_repeat_ngram = 3}, {1, 2, 3, 4, 1, 2}, logits), 4);
  EXPECT_EQ(greedy({.no_repeat_ngram = 3}, {1, 2, 3, 4, 0, 2}, logits), 3);
  EXPECT_EQ(greedy({.no_repeat_ngram = 1}, {3}, logits), 4);
  EXPECT_EQ(greedy({.no_repeat_ngram = 2}, {}, logits), 3);
  // Where all is banned, nothing is.
  EXPECT_EQ(greedy({.no_repeat_ngram = 1}, {0, 1, 2, 3, 4}, logits), 3);
}

TEST(Sampling, EndsWaitAndBiasesCount) {
  Sampler sampler({.min_tokens = 2}, 3, {{}}, {2});
  std::vector<int> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(sampler(row({0, 1, 5})).item<int>());
  EXPECT_THAT(ids, ElementsAre(1, 1, 2, 2));
  EXPECT_EQ(greedy({.logit_bias = {{0, 9.0f}}}, {}, {0, 1, 5}), 0);
  EXPECT_EQ(greedy({.logit_bias = {{2, -std::numeric_limits<float>::infinity()}}}, {}, {0, 1, 5}),
            1);
  EXPECT_THROW(greedy({.logit_bias = {{3, 1.0f}}}, {}, {0, 1, 5}), std::invalid_argument);
}

// The same options in another order: top-p before or after a high temperature.
TEST(Sampling, OrdersAreThoseOfTheirEngines) {
  const Floats logits = {4, 2, 0, -2};
  const auto seen = [&](const char* order) {
    std::set<int> all;
    for (int id : draws({.temperature = 50, .top_p = 0.8f, .order = order}, logits, 300))
      all.insert(id);
    return all;
  };
  EXPECT_THAT(seen("llama.cpp"), ElementsAre(0));
  EXPECT_THAT(seen("mlx"), ElementsAre(0));
  EXPECT_THAT(seen("hf"), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(seen("vllm"), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(seen("top-p,temp"), ElementsAre(0));
  EXPECT_EQ(sampling_order("llama.cpp").penalty_window, 64);
  EXPECT_EQ(sampling_order("mlx").penalty_window, 20);
  for (const char* wrong : {"", "gguf", "temp,temp", "top-p,", "temp,nope"}) {
    EXPECT_THROW(sampling_order(wrong), std::invalid_argument) << wrong;
  }
  for (const char* preset : {"hf", "llama.cpp", "mlx", "vllm"})
    EXPECT_EQ(sampling_order(preset).steps.size(), 13u) << "a step is missing in " << preset;
}

TEST(Sampling, ADrawDependsOnSeedAndPositionAlone) {
  const int vocab = 50;
  const array logits = random::normal({1, vocab}, float32, random::key(1));
  const SamplingOptions o{.temperature = 1, .seed = 5};
  Sampler alone(o, vocab, {{}}), first({.temperature = 1, .seed = 4}, vocab, {{}, {}, {}});
  std::vector<int> a, b, c;
  for (int i = 0; i < 20; ++i) {
    a.push_back(alone(logits).item<int>());
    const auto three = first(broadcast_to(logits, {3, vocab})).to_vector<int>();
    b.push_back(three[1]);
    c.push_back(three[0]);
  }
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
  EXPECT_GT(std::set<int>(a.begin(), a.end()).size(), 3u);
  // The position counts, whatever was drawn before.
  Sampler later(o, vocab, {{}});
  for (int i = 0; i < 7; ++i) later(zeros({1, vocab}, float32));
  EXPECT_EQ(later(logits).item<int>(), a[7]);
}

TEST(Sampling, DrawsFollowTheDistribution) {
  std::vector<int> count(3, 0);
  for (int id :
       draws({.temperature = 1, .seed = 3}, {std::log(0.5f), std::log(0.3f), std::log(0.2f)}, 4000))
    ++count[size_t(id)];
  EXPECT_NEAR(count[0] / 4000.0, 0.5, 0.04);
  EXPECT_NEAR(count[1] / 4000.0, 0.3, 0.04);
  EXPECT_NEAR(count[2] / 4000.0, 0.2, 0.04);
}

// Mirostat followed by hand: what is drawn is never more surprising than mu, and the surprise that
// moves mu settles at tau.
TEST(Sampling, MirostatKeepsToItsSurprise) {
  Floats logits;
  for (int i = 0; i < 500; ++i) logits.push_back(-std::log(float(i + 1)));
  const auto sum_of = [&](auto&& in) {
    double z = 0;
    for (float x : logits)
      if (in(x)) z += std::exp(double(x));
    return z;
  };
  const double all = sum_of([](float) { return true; });
  for (const float tau : {2.0f, 4.0f}) {
    const float eta = 0.1f;
    double mu = 2 * tau, sum = 0;
    const auto ids = draws({.temperature = 1, .mirostat_tau = tau, .seed = 2}, logits, 800);
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto bits = [&](float x, double z) {
        return (std::log(z) - double(x)) / std::log(2.0);
      };
      const float drawn = logits[size_t(ids[i])];
      EXPECT_TRUE(ids[i] == 0 || bits(drawn, all) <= mu + 1e-3) << i;
      const double left = sum_of([&](float x) { return x == logits[0] || bits(x, all) <= mu; });
      const double surprise = bits(drawn, left);
      mu -= eta * (surprise - tau);
      if (i >= 300) sum += surprise;
    }
    EXPECT_NEAR(sum / 500, tau, 0.2) << tau;
  }
}

TEST(Sampling, RefusesWhatHasNoMeaning) {
  for (const SamplingOptions& bad :
       {SamplingOptions{.typical_p = 0}, SamplingOptions{.top_n_sigma = -1},
        SamplingOptions{.xtc_probability = 2}, SamplingOptions{.penalty_window = -2},
        SamplingOptions{.dry_base = 0}, SamplingOptions{.dry_allowed_length = 0},
        SamplingOptions{.no_repeat_ngram = -1}, SamplingOptions{.mirostat_tau = NAN},
        SamplingOptions{.min_tokens = -1}, SamplingOptions{.logit_bias = {{-1, 0.0f}}},
        SamplingOptions{.logit_bias = {{0, NAN}}}, SamplingOptions{.logprobs = 1000},
        SamplingOptions{.order = "x"}})
    EXPECT_THROW(check_options(bad), std::invalid_argument);
}

}  // namespace
}  // namespace hearth::llm
