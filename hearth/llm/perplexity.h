// How well a model predicts a text.
#pragma once
#include <functional>
#include <span>

#include "hearth/llm/model.h"

namespace hearth::llm {

struct Perplexity {
  double value;           // exp(mean negative log-likelihood)
  double standard_error;  // of value, by the spread of the tokens' log-likelihoods
  double mean_nll;        // nats per token
  size_t tokens;          // predicted: all but the first of each window
};

/// Over windows of `window` tokens that do not overlap, each seen without what came before it.
/// `progress(done, all)`, in tokens, is called every few; false ends it: the result is then of what
/// was seen. Throws for fewer than two tokens, and for logits that are not finite.
Perplexity perplexity(LanguageModel& model, std::span<const int> ids, int window,
                      const std::function<bool(size_t done, size_t all)>& progress = {});

}  // namespace hearth::llm
