#include "hearth/llm/sampling_steps.h"

#include <cmath>
#include <limits>

#include "hearth/ops/ops.h"

namespace hearth::llm::sampling {

namespace {

const float kNever = -std::numeric_limits<float>::infinity();

// Of the tokens in `order`, the smallest number of first ones whose probability reaches p: a token
// stays while those before it have less than p, which the sum without the token says exactly.
array first_with(const array& logits, const array& order, float p) {
  const array likely = take_along_axis(softmax(logits, 1), order, 1);
  const array before = cumsum(likely, 1, /*reverse=*/false, /*inclusive=*/false);
  const array chosen =
      where(less(before, array(p)), take_along_axis(logits, order, 1), array(kNever));
  return put_along_axis(logits, order, chosen, 1);
}

}  // namespace

array penalize(const array& logits, const array& seen, float penalty) {
  const array changed = where(less(logits, array(0.0f)), multiply(logits, array(penalty)),
                              divide(logits, array(penalty)));
  return where(seen, changed, logits);
}

array keep(const array& kept, const array& logits) { return where(kept, logits, array(kNever)); }

array top_k(const array& logits, int k) {
  const int vocab = logits.shape(1);
  if (k >= vocab) return logits;
  const array sorted = sort(logits, 1);
  const array least = slice(sorted, {0, vocab - k}, {logits.shape(0), vocab - k + 1});
  return keep(greater_equal(logits, least), logits);
}

// Holtzman et al. 2020.
array top_p(const array& logits, float p) {
  return first_with(logits, argsort(negative(logits), 1), p);
}

array min_p(const array& logits, float p) {
  return keep(greater_equal(logits, add(max(logits, 1, true), array(std::log(p)))), logits);
}

// Those whose surprise is nearest to the expected one (Meister et al. 2022).
array typical_p(const array& logits, float p) {
  const array log_p = subtract(logits, logsumexp(logits, 1, true));
  const array likely = exp(log_p);
  const array parts = where(greater(likely, array(0.0f)), multiply(likely, log_p), array(0.0f));
  const array entropy = negative(sum(parts, 1, true));
  const array distance = abs(subtract(negative(log_p), entropy));
  return first_with(logits, argsort(distance, 1), p);
}

// Tang et al. 2024. Tokens that are out already do not count for the deviation.
array top_n_sigma(const array& logits, float n) {
  const array in = greater(logits, array(kNever));
  const array count = sum(astype(in, float32), 1, true);
  const array mean = divide(sum(where(in, logits, array(0.0f)), 1, true), count);
  const array off = where(in, subtract(logits, mean), array(0.0f));
  const array deviation = sqrt(divide(sum(multiply(off, off), 1, true), count));
  const array least = subtract(max(logits, 1, true), multiply(array(n), deviation));
  return keep(greater_equal(logits, least), logits);
}

array xtc(const array& logits, const array& chance, float probability, float threshold) {
  const array likely = softmax(logits, 1);
  const array above = greater_equal(likely, array(threshold));
  // The least likely of them stays, so one alone stays too.
  const array last = min(where(above, likely, array(2.0f)), 1, true);
  const array out =
      logical_and(logical_and(above, greater(likely, last)), less(chance, array(probability)));
  return where(out, array(kNever), logits);
}

}  // namespace hearth::llm::sampling
