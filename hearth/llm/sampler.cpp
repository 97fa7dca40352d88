#include "hearth/llm/sampler.h"

#include <cmath>
#include <limits>

#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

const float kNever = -std::numeric_limits<float>::infinity();

// A lower temperature is 0, as vLLM has it: it would tell apart logits that differ by less than
// their own error, and a tiny one divides them beyond float.
constexpr float kColdest = 1e-5f;
// The same of a penalty, which multiplies and divides.
constexpr float kMostPenalty = 1e6f;

// Logits of tokens seen are divided by the penalty when positive and multiplied when negative
// (Keskar et al. 2019, CTRL, section 4.1).
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

// The smallest set of most likely tokens whose probability reaches p (Holtzman et al. 2020): a
// token stays while those before it have less than p, which the sum without the token says exactly.
array top_p(const array& logits, float p) {
  const array order = argsort(negative(logits), 1);
  const array likely = take_along_axis(softmax(logits, 1), order, 1);
  const array before = cumsum(likely, 1, /*reverse=*/false, /*inclusive=*/false);
  const array chosen =
      where(less(before, array(p)), take_along_axis(logits, order, 1), array(kNever));
  return put_along_axis(logits, order, chosen, 1);
}

array min_p(const array& logits, float p) {
  return keep(greater_equal(logits, add(max(logits, 1, true), array(std::log(p)))), logits);
}

}  // namespace

void Sampler::check_options(const SamplingOptions& o) {
  check(o.temperature >= 0 && std::isfinite(o.temperature), "temp: ", o.temperature,
        ", wanted 0 or more");
  check(o.top_k >= 0, "top-k: ", o.top_k, ", wanted 0 (all) or more");
  check(o.top_p > 0 && o.top_p <= 1, "top-p: ", o.top_p, ", wanted above 0, at most 1");
  check(o.min_p >= 0 && o.min_p <= 1, "min-p: ", o.min_p, ", wanted 0 to 1");
  check(o.repetition_penalty >= 1 / kMostPenalty && o.repetition_penalty <= kMostPenalty,
        "repetition-penalty: ", o.repetition_penalty, ", wanted above 0, from ", 1 / kMostPenalty,
        " to ", kMostPenalty);
}

Sampler::Sampler(const SamplingOptions& o, int vocab, const std::vector<std::vector<int>>& prompts)
    : options_(o) {
  check_options(o);
  if (o.temperature < kColdest) options_.temperature = 0;
  const int batch = int(prompts.size());
  if (options_.temperature > 0) state_.push_back(copy(random::key(o.seed)));
  if (o.repetition_penalty != 1) {
    std::vector<bool> seen(size_t(batch) * size_t(vocab), false);
    for (int b = 0; b < batch; ++b)
      for (int id : prompts[size_t(b)]) seen[size_t(b) * size_t(vocab) + size_t(id)] = true;
    state_.push_back(array(seen.begin(), Shape{batch, vocab}, bool_));
  }
  if (options_.temperature == 0)
    return;  // the most likely token: nothing below can change which it is
  chain_.push_back([t = o.temperature](const array& x) { return divide(x, array(t)); });
  if (o.top_k > 0) chain_.push_back([k = o.top_k](const array& x) { return top_k(x, k); });
  if (o.top_p < 1) chain_.push_back([p = o.top_p](const array& x) { return top_p(x, p); });
  if (o.min_p > 0) chain_.push_back([p = o.min_p](const array& x) { return min_p(x, p); });
}

array Sampler::operator()(const array& logits) {
  array x = logits;
  if (options_.repetition_penalty != 1)
    x = penalize(astype(x, float32), state_.back(), options_.repetition_penalty);
  array ids(0), best(0);  // best: NaN or +infinity if one logit is, -infinity if all are
  if (options_.temperature == 0) {
    ids = argmax(x, -1);  // the first NaN, if there is one
    best = squeeze(take_along_axis(x, expand_dims(ids, 1), 1), 1);
  } else {
    best = max(logits, -1);
    x = astype(x, float32);
    for (const Warp& warp : chain_) x = warp(x);
    const auto [next, mine] = random::split(state_[0]);
    state_[0] = next;
    ids = random::categorical(x, -1, mine);
  }
  // A row without a number to choose by: argmax and draws would name some token all the same.
  ids = where(isfinite(best), view(ids, int32), array(-1));
  if (options_.repetition_penalty != 1) {
    const array here = equal(arange(0, logits.shape(1), 1), expand_dims(ids, 1));
    state_.back() = logical_or(state_.back(), here);
  }
  return ids;
}

}  // namespace hearth::llm
