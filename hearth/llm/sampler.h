// From logits to the next token: a chain of steps, each from logits to logits.
#pragma once
#include <functional>
#include <vector>

#include "hearth/core/array.h"

namespace hearth::llm {

struct SamplingOptions {
  float temperature = 0;         // 0: the most likely token
  int top_k = 0;                 // only the k most likely; 0: all
  float top_p = 1;               // only the most likely that together have this probability
  float min_p = 0;               // only those with at least this share of the most likely one's
  float repetition_penalty = 1;  // above 1: tokens seen before are made less likely
  uint64_t seed = 0;
};

/// Draws one token a call for each row, in the order of Hugging Face's processors: penalty,
/// temperature, top-k, top-p, min-p. The same seed and logits give the same tokens. All of it is
/// arrays, so that it runs where the logits are and can be recorded.
class Sampler {
 public:
  /// `prompts`: the ids before, of each row, for the penalty. Throws on values without a meaning,
  /// naming the option.
  Sampler(const SamplingOptions& options, int vocab, const std::vector<std::vector<int>>& prompts);
  /// Throws as the constructor does.
  static void check_options(const SamplingOptions& options);
  /// logits (batch, vocab) -> tokens int32 (batch), which become part of the state; -1 for a row
  /// whose logits hold NaN or +infinity, or are all -infinity.
  array operator()(const array& logits);
  /// What changes from call to call: the key of the random numbers, the ids seen.
  const Arrays& state() const { return state_; }
  void set_state(const Arrays& state) { state_ = state; }

 private:
  using Warp = std::function<array(const array& logits)>;  // (batch, vocab) float32 -> the same
  SamplingOptions options_;
  std::vector<Warp> chain_;
  Arrays state_;  // the key if it draws, then the ids seen, bool (batch, vocab), if it penalizes
};

}  // namespace hearth::llm
