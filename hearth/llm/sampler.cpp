#include "hearth/llm/sampler.h"

#include <cmath>
#include <limits>

#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

const float kNever = -std::numeric_limits<float>::infinity();

// Logits of tokens seen are divided by the penalty when positive and multiplied when negative
// (Keskar et al. 2019, CTRL, section 4.1).
array penalize(const array& logits, const std::vector<int>& seen, float penalty) {
  if (seen.empty()) return logits;
  const array ids(seen.begin(), Shape{int(seen.size())}, int32);
  const array old = take_along_axis(logits, ids, 0);
  const array changed =
      where(less(old, array(0.0f)), multiply(old, array(penalty)), divide(old, array(penalty)));
  return put_along_axis(logits, ids, changed, 0);
}

array keep(const array& kept, const array& logits) { return where(kept, logits, array(kNever)); }

array top_k(const array& logits, int k) {
  const int vocab = logits.shape(0);
  if (k >= vocab) return logits;
  const array sorted = sort(logits, 0);
  return keep(greater_equal(logits, slice(sorted, {vocab - k}, {vocab - k + 1})), logits);
}

// The smallest set of most likely tokens whose probability reaches p (Holtzman et al. 2020): a
// token stays while those before it have less than p.
array top_p(const array& logits, float p) {
  const array order = argsort(negative(logits), 0);
  const array likely = take_along_axis(softmax(logits, 0), order, 0);
  const array before = subtract(cumsum(likely, 0), likely);
  const array chosen =
      where(less(before, array(p)), take_along_axis(logits, order, 0), array(kNever));
  return put_along_axis(logits, order, chosen, 0);
}

array min_p(const array& logits, float p) {
  return keep(greater_equal(logits, add(max(logits), array(std::log(p)))), logits);
}

}  // namespace

Sampler::Sampler(const SamplingOptions& o) : options_(o), key_(random::key(o.seed)) {
  check(o.temperature >= 0 && std::isfinite(o.temperature), "temp: ", o.temperature,
        ", wanted 0 or more");
  check(o.top_k >= 0, "top-k: ", o.top_k, ", wanted 0 (all) or more");
  check(o.top_p > 0 && o.top_p <= 1, "top-p: ", o.top_p, ", wanted above 0, at most 1");
  check(o.min_p >= 0 && o.min_p <= 1, "min-p: ", o.min_p, ", wanted 0 to 1");
  check(o.repetition_penalty > 0 && std::isfinite(o.repetition_penalty),
        "repetition-penalty: ", o.repetition_penalty, ", wanted above 0");
  if (o.temperature == 0) return;  // the most likely token: nothing below can change which it is
  chain_.push_back([t = o.temperature](const array& x) { return divide(x, array(t)); });
  if (o.top_k > 0) chain_.push_back([k = o.top_k](const array& x) { return top_k(x, k); });
  if (o.top_p < 1) chain_.push_back([p = o.top_p](const array& x) { return top_p(x, p); });
  if (o.min_p > 0) chain_.push_back([p = o.min_p](const array& x) { return min_p(x, p); });
}

int Sampler::operator()(const array& logits, const std::vector<int>& seen) {
  array x = logits;
  if (options_.repetition_penalty != 1)
    x = penalize(astype(x, float32), seen, options_.repetition_penalty);
  if (options_.temperature == 0) return argmax(x).item<int>();
  x = astype(x, float32);
  for (const Warp& warp : chain_) x = warp(x);
  const auto [next, mine] = random::split(key_);
  key_ = next;
  return random::categorical(x, -1, mine).item<int>();
}

}  // namespace hearth::llm
