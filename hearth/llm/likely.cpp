#include "hearth/llm/likely.h"

#include <algorithm>

#include "hearth/ops/ops.h"

namespace hearth::llm {

std::vector<std::vector<Likely>> likely_of(const array& logits, const array& ids,
                                           std::span<const int> wanted) {
  std::vector<std::vector<Likely>> all(wanted.size());
  std::vector<int> rows;
  int most = 0;
  for (size_t row = 0; row < wanted.size(); ++row)
    if (wanted[row] > 0) rows.push_back(int(row)), most = std::max(most, wanted[row]);
  if (rows.empty()) return all;
  const int vocab = logits.shape(1), count = int(rows.size());
  most = std::min(most, vocab);
  const array which(rows.begin(), Shape{count}, int32);
  const array x = astype(take(logits, which, 0), float32);
  const array logprobs = subtract(x, logsumexp(x, 1, true));
  const array order = slice(argsort(negative(logprobs), 1), {0, 0}, {count, most});
  const array chosen = maximum(expand_dims(take(ids, which, 0), 1), array(0));
  const array named = concatenate({chosen, view(order, int32)}, 1);
  const auto id = named.to_vector<int>();
  const auto logprob = take_along_axis(logprobs, named, 1).to_vector<float>();
  for (size_t i = 0; i < rows.size(); ++i) {
    auto& likely = all[size_t(rows[i])];
    const int n = std::min(most, wanted[size_t(rows[i])]);
    for (size_t k = 0, at = i * size_t(most + 1); k <= size_t(n); ++k)
      likely.push_back({id[at + k], logprob[at + k]});
  }
  return all;
}

}  // namespace hearth::llm
