#include "hearth/llm/prefill.h"

#include <algorithm>

#include "hearth/ops/ops.h"

namespace hearth::llm {

array prefill(LanguageModel& model, KvCache& cache, std::span<const int> prompt, int chunk) {
  check(chunk > 0, "prefill: chunks of ", chunk, " tokens; wanted at least 1");
  check(!prompt.empty(), "prefill: the prompt has no tokens");
  cache.expect(0, cache.length(0) + int(prompt.size()));
  for (size_t at = 0;; at += size_t(chunk)) {
    const auto piece = prompt.subspan(at, std::min(prompt.size() - at, size_t(chunk)));
    const array tokens(piece.begin(), Shape{1, int(piece.size())}, int32);
    const array logits = model.forward({tokens, {}, true}, cache);  // (1, 1, vocab)
    logits.eval();
    if (at + piece.size() == prompt.size()) return reshape(logits, {1, logits.shape(2)});
  }
}

int piece_end(int at, int total, int chunk) {
  const int64_t end = (int64_t(at) / chunk + 1) * chunk;
  return total - end <= kFewRows ? total : int(end);
}

}  // namespace hearth::llm
