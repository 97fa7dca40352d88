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

/// Draws one token a call, in the order of Hugging Face's processors: penalty, temperature, top-k,
/// top-p, min-p. The same seed and logits give the same tokens.
class Sampler {
 public:
  /// Throws on values without a meaning, naming the option.
  explicit Sampler(const SamplingOptions& options);
  /// logits (vocab) -> the token; `seen`: the ids so far, prompt and answer.
  int operator()(const array& logits, const std::vector<int>& seen);

 private:
  using Warp = std::function<array(const array& logits)>;  // (vocab) float32 -> the same
  SamplingOptions options_;
  std::vector<Warp> chain_;
  array key_;
};

}  // namespace hearth::llm
