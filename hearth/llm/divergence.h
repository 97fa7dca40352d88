// How far a model's predictions are from another's, over a text: the Kullback-Leibler divergence.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <span>

#include "hearth/llm/perplexity.h"

namespace hearth::llm {

/// Over windows that do not overlap, of which the second half is predicted; `first` stands in the
/// place of each window's first token, as llama.cpp has it. A rest behind the last window is left
/// out.
struct Windows {
  std::vector<int> ids;
  int length = 512;
  std::optional<int> first;

  size_t count() const { return ids.size() / size_t(length); }
};

struct Divergence {
  Perplexity base, model;             // of the same tokens
  double log_ratio, log_ratio_error;  // ln(model's perplexity / the base's)
  double mean, error, median, most;   // of the divergence from base to model, nats a token
  double same, same_error;            // the share of tokens of which both think the same likeliest
};

/// Both read the same windows. `progress(done, all)`, in tokens, ends it with false: the result is
/// then of what was seen. Throws std::runtime_error for logits that are not finite, and where there
/// are no windows or the vocabularies differ.
Divergence divergence(LanguageModel& base, LanguageModel& model, const Windows& windows,
                      const std::function<bool(size_t done, size_t all)>& progress = {});

/// What the base predicts, in a file, as llama.cpp's llama-perplexity --kl-divergence-base writes
/// it: 16 bits for each token's logarithm. Gives its perplexity; where progress ended it nothing is
/// written, and the perplexity is of no tokens.
Perplexity write_base(const std::filesystem::path& file, LanguageModel& base,
                      const Windows& windows,
                      const std::function<bool(size_t done, size_t all)>& progress = {});
/// The same of such a file's windows; `first` as above.
Divergence divergence_from(const std::filesystem::path& file, LanguageModel& model,
                           std::optional<int> first,
                           const std::function<bool(size_t done, size_t all)>& progress = {});

}  // namespace hearth::llm
