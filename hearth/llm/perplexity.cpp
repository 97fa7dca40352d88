#include "hearth/llm/perplexity.h"

#include <cmath>

#include "hearth/llm/finite.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

constexpr int kChunk = 128;  // positions whose logits are held at once

// -log p of targets (n) under logits (n, vocab), in nats.
std::vector<double> nll(const array& logits, std::span<const int> targets) {
  const array x = astype(logits, float32);
  const array index(targets.begin(), Shape{int(targets.size()), 1}, int32);
  const array chosen = squeeze(take_along_axis(x, index, -1), -1);
  return subtract(logsumexp(x, -1), chosen).to_vector<double>();
}

}  // namespace

Perplexity perplexity(LanguageModel& model, std::span<const int> ids, int window,
                      const std::function<bool(size_t, size_t)>& progress) {
  check(ids.size() > 1, "perplexity: ", ids.size(), " tokens; wanted at least 2");
  check(window > 1 && window <= model.facts.context_length, "perplexity: a window of ", window,
        " tokens; wanted 2 to the model's context, ", model.facts.context_length);
  double sum = 0, squares = 0;
  size_t count = 0;
  bool go_on = true;
  for (size_t start = 0; start + 1 < ids.size() && go_on; start += size_t(window)) {
    const auto text = ids.subspan(start, std::min(ids.size() - start, size_t(window)));
    auto cache = model.make_cache();
    for (size_t at = 0; at + 1 < text.size() && go_on; at += kChunk) {
      const int n = int(std::min(text.size() - 1 - at, size_t(kChunk)));
      const array tokens(text.begin() + long(at), Shape{1, n}, int32);
      const array logits = squeeze(model.forward({tokens, {}, false}, cache), 0);  // (n, vocab)
      for (double v : nll(logits, text.subspan(at + 1, size_t(n)))) {
        if (!std::isfinite(v)) fail_not_finite(model, text.first(at + size_t(n)), "perplexity");
        sum += v, squares += v * v;
      }
      count += size_t(n);
      const bool last = at + kChunk + 1 >= text.size();  // its last token predicts nothing
      go_on = !progress || progress(start + (last ? text.size() : at + size_t(n)), ids.size());
    }
  }
  const double mean = sum / double(count);
  const double variance = count > 1 ? (squares - sum * mean) / double(count - 1) : 0;
  // The delta method: the error of exp(m) is exp(m) times that of m.
  const double error = std::exp(mean) * std::sqrt(std::max(variance, 0.0) / double(count));
  return {std::exp(mean), error, mean, count};
}

}  // namespace hearth::llm
