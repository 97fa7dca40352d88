// The loop of generation: a prompt is fed, then tokens come, a step at a time.
#pragma once
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "hearth/llm/decoder.h"

namespace hearth::llm {

/// Feeds prompts of one length, a row each, in chunks; logits (rows, vocab) of the last position,
/// computed.
array prefill(LanguageModel& model, KvCache& cache, std::span<const std::vector<int>> prompts,
              int chunk = 512);
array prefill(LanguageModel& model, KvCache& cache, std::span<const int> prompt, int chunk = 512);

/// A token and the logarithm of its probability.
struct Likely {
  int id;
  float logprob;
};

/// The tokens that follow each of several prompts of one length. A device is a few steps ahead of
/// what was read.
class TokenStream {
 public:
  /// At most `most` tokens of each row, at least 1; `end_ids` are what sampling.min_tokens holds
  /// back. Throws for no prompts, empty ones, ids outside the vocabulary, different lengths, and
  /// prompts that the context has no room for.
  TokenStream(LanguageModel& model, const std::vector<std::vector<int>>& prompts,
              const SamplingOptions& sampling, int most, int prefill_chunk = 512,
              const std::vector<int>& end_ids = {});
  /// Waits for the next token of each row; empty after the last. The first call feeds the prompts.
  /// Throws std::runtime_error for logits that are not finite.
  std::vector<int> next();
  /// With sampling.logprobs: of what next() gave last, for each row, the token and then the most
  /// likely ones, with the logarithms of the probabilities that the model gave them.
  const std::vector<std::vector<Likely>>& likely() const { return likely_; }
  /// From the first call to the prompts' logits.
  double prefill_s() const { return prefill_s_; }

 private:
  void begin();
  void find_likely(const array& logits, const array& ids);
  array read_again();

  LanguageModel& model_;
  std::vector<std::vector<int>> texts_;  // of each row, the prompt and what was read
  const int prefill_chunk_;
  Sampler sampler_;
  KvCache cache_;
  std::optional<Decoder> decoder_;
  std::deque<array> ahead_;  // started, not read
  int most_, started_ = 0;
  const int logprobs_;
  std::vector<std::vector<Likely>> likely_;
  double prefill_s_ = 0;
};

}  // namespace hearth::llm
