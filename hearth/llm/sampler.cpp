#include "hearth/llm/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "hearth/llm/sampling_steps.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

using enum SamplingStep;

const float kNever = -std::numeric_limits<float>::infinity();

// A lower temperature is 0, as vLLM has it: it would tell apart logits that differ by less than
// their own error, and a tiny one divides them beyond float.
constexpr float kColdest = 1e-5f;

// How far repeated sequences are looked for, and how much longer than allowed they can be: beyond,
// DRY's penalty could not be told from a ban.
constexpr int kFarthest = 4096, kFarthestNgram = 32768, kLongest = 24;

SamplingOptions settled(SamplingOptions o) {
  check_options(o);
  if (o.temperature < kColdest) o.temperature = 0;
  return o;
}

// The keys of rows with the seeds `seed`, `seed` + 1, ...: each hashed, so that neighbours have
// nothing in common.
array keys_of(uint64_t seed, int rows) {
  Arrays keys;
  for (int r = 0; r < rows; ++r) keys.push_back(random::bits({2}, random::key(seed + uint64_t(r))));
  return stack(keys, 0);
}

array rows_of(const std::vector<std::vector<int>>& prompts, int columns) {
  std::vector<int> ids;
  for (const auto& prompt : prompts) {
    const size_t known = std::min(prompt.size(), size_t(columns));
    ids.insert(ids.end(), size_t(columns) - known, -1);
    ids.insert(ids.end(), prompt.end() - long(known), prompt.end());
  }
  return array(ids.begin(), Shape{int(prompts.size()), columns}, int32);
}

// How often each id stands in ids (batch, n); -1 is none.
array histogram(const array& ids, int vocab) {
  const int batch = ids.shape(0);
  const array at = where(less(ids, array(0)), array(vocab), ids);
  const array all =
      scatter_add_axis(zeros({batch, vocab + 1}, int32), at, ones({batch, ids.shape(1)}, int32), 1);
  return slice(all, {0, 0}, {batch, vocab});
}

// For each token the largest of `values` (batch, n) where ids (batch, n) is it; 0 where none is.
array largest_by_id(const array& ids, const array& values, int vocab) {
  const int batch = ids.shape(0), n = ids.shape(1);
  const array at = where(less(ids, array(0)), array(vocab), ids);
  const array rows = broadcast_to(expand_dims(arange(0, batch, 1), 1), {batch, n});
  const array all = scatter_max(zeros({batch, vocab + 1}, int32), Arrays{rows, at},
                                reshape(values, {batch, n, 1, 1}), {0, 1});
  return slice(all, {0, 0}, {batch, vocab});
}

array mask_of(const std::vector<int>& ids, int vocab) {
  std::vector<bool> is(size_t(vocab), false);
  for (int id : ids)
    if (id >= 0 && id < vocab) is[size_t(id)] = true;
  return array(is.begin(), Shape{vocab}, bool_);
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options, int vocab,
                 const std::vector<std::vector<int>>& prompts, const std::vector<int>& end_ids)
    : options_(settled(options)),
      order_(sampling_order(options.order)),
      batch_(int(prompts.size())),
      vocab_(vocab),
      window_(options.penalty_window < 0 ? order_.penalty_window : options.penalty_window),
      end_ids_(end_ids),
      keys_(keys_of(options.seed, int(prompts.size()))),
      end_mask_(mask_of(end_ids, vocab)) {
  const SamplingOptions& o = options_;
  for (const auto& [id, bias] : o.logit_bias)
    check(id < vocab, "logit-bias: there is no token ", id, " in a vocabulary of ", vocab);
  const bool counted = o.frequency_penalty != 0 || o.presence_penalty != 0;
  const bool repeated = o.repetition_penalty != 1;
  int history = (counted || repeated) ? window_ : 0;
  if (o.dry_multiplier > 0)
    history = std::max(history, o.dry_window > 0 ? std::min(o.dry_window, kFarthest) : kFarthest);
  if (o.no_repeat_ngram > 0) history = std::max(history, kFarthestNgram);
  if (o.temperature > 0 || o.min_tokens > 0) position_ = zeros({batch_}, int32);
  if (window_ == 0 && (repeated || (counted && order_.counts_prompt))) {
    size_t longest = 1;
    for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
    seen_ = histogram(rows_of(prompts, int(longest)), vocab);
  }
  if (window_ == 0 && counted && !order_.counts_prompt) drawn_ = zeros({batch_, vocab}, int32);
  if (history > 0) history_ = rows_of(prompts, std::max(history, 2));
  if (o.mirostat_tau > 0) surprise_ = full({batch_, 1}, 2 * o.mirostat_tau);
  for (const SequenceBreaker& one : o.dry_breakers)
    breaker_masks_.push_back(mask_of(one.heads, vocab));
  for (SamplingStep step : order_.steps) add(step);
  Arrays all = state();
  all.push_back(keys_);
  eval(all);
}

Sampler::Sampler(std::span<const Row> rows)
    : Sampler(rows[0].of->options_, rows[0].of->vocab_, std::vector<std::vector<int>>(rows.size()),
              rows[0].of->end_ids_) {
  const auto joined = [&](const auto& part) {
    Arrays all;
    for (const auto& [of, row] : rows) {
      check(same_rules(*of), "Sampler: rows with different rules cannot be joined");
      const array whole = part(*of);
      Shape start(size_t(whole.ndim()), 0), stop = whole.shape();
      start[0] = row, stop[0] = row + 1;
      all.push_back(slice(whole, start, stop));
    }
    return copy(concatenate(all, 0));
  };
  keys_ = joined([](const Sampler& s) { return s.keys_; });
  Arrays states;
  for (size_t i = 0; i < state().size(); ++i)
    states.push_back(joined([i](const Sampler& s) { return s.state()[i]; }));
  eval(states), eval(keys_);
  set_state(states);
}

bool Sampler::same_rules(const Sampler& other) const {
  SamplingOptions a = options_, b = other.options_;
  a.seed = b.seed = 0;
  a.logprobs = b.logprobs = 0;
  return vocab_ == other.vocab_ && a == b && (a.min_tokens == 0 || end_ids_ == other.end_ids_);
}

// Appends the step to the chain, if its options ask for it. At temperature 0 the most likely token
// is taken, and what leaves others out changes nothing.
void Sampler::add(SamplingStep step) {
  const SamplingOptions& o = options_;
  const bool draws = o.temperature > 0;
  const auto when = [&](bool wanted, Step how) {
    if (wanted) chain_.push_back(std::move(how));
  };
  switch (step) {
    case min_tokens:
      return when(o.min_tokens > 0, [this](const array& x) {
        const array early = less(expand_dims(*position_, 1), array(options_.min_tokens));
        return where(logical_and(early, end_mask_), array(kNever), x);
      });
    case bias: {
      if (o.logit_bias.empty()) return;
      std::vector<float> biases(size_t(vocab_), 0.0f);
      for (const auto& [id, b] : o.logit_bias) biases[size_t(id)] = b;
      const array all(biases.begin(), Shape{vocab_}, float32);
      return chain_.push_back([all](const array& x) { return hearth::add(x, all); });
    }
    case repetition:
      return when(o.repetition_penalty != 1, [this](const array& x) {
        return sampling::penalize(x, greater(counts(true), array(0)), options_.repetition_penalty);
      });
    case frequency:
      return when(o.frequency_penalty != 0 || o.presence_penalty != 0, [this](const array& x) {
        const array n = astype(counts(order_.counts_prompt), float32);
        const array once =
            where(greater(n, array(0.0f)), array(options_.presence_penalty), array(0.0f));
        return subtract(x, hearth::add(multiply(n, array(options_.frequency_penalty)), once));
      });
    case dry:
      return when(o.dry_multiplier > 0, [this](const array& x) {
        const int allowed = options_.dry_allowed_length;
        const int window =
            options_.dry_window > 0 ? std::min(options_.dry_window, kFarthest) : kFarthest;
        array n = repeats(allowed + kLongest, window, true);
        // What ends a sequence by itself continues none.
        for (size_t i = 0; i < breaker_masks_.size(); ++i)
          if (options_.dry_breakers[i].tail.empty()) n = where(breaker_masks_[i], array(0), n);
        const array size =
            multiply(array(options_.dry_multiplier),
                     power(array(options_.dry_base), astype(subtract(n, array(allowed)), float32)));
        return subtract(x, where(greater_equal(n, array(allowed)), size, array(0.0f)));
      });
    case ngram:
      return when(o.no_repeat_ngram > 0, [this](const array& x) {
        const int n = options_.no_repeat_ngram;
        const array banned = n == 1 ? greater(histogram(*history_, vocab_), array(0))
                                    : greater_equal(repeats(n - 1, kFarthestNgram), array(n - 1));
        return where(banned, array(kNever), x);
      });
    case temperature:
      return when(draws, [this](const array& x) { return divide(x, array(options_.temperature)); });
    case top_k:
      return when(draws && o.top_k > 0,
                  [this](const array& x) { return sampling::top_k(x, options_.top_k); });
    case top_p:
      return when(draws && o.top_p < 1,
                  [this](const array& x) { return sampling::top_p(x, options_.top_p); });
    case min_p:
      return when(draws && o.min_p > 0,
                  [this](const array& x) { return sampling::min_p(x, options_.min_p); });
    case typical:
      return when(draws && o.typical_p < 1,
                  [this](const array& x) { return sampling::typical_p(x, options_.typical_p); });
    case top_n_sigma:
      return when(draws && o.top_n_sigma > 0, [this](const array& x) {
        return sampling::top_n_sigma(x, options_.top_n_sigma);
      });
    case xtc:
      return when(draws && o.xtc_probability > 0, [this](const array& x) {
        return sampling::xtc(x, noise(1, 1), options_.xtc_probability, options_.xtc_threshold);
      });
  }
}

// How often each token came, within the window: (batch, vocab).
array Sampler::counts(bool with_prompt) const {
  if (window_ > 0) {
    const int n = history_->shape(1);
    return histogram(slice(*history_, {0, n - window_}, {batch_, n}), vocab_);
  }
  return with_prompt ? *seen_ : *drawn_;
}

// Where a sequence breaker ends in history (batch, n): bool.
array Sampler::breaks(const array& history) const {
  const int n = history.shape(1);
  const array known = greater_equal(history, array(0)), ids = maximum(history, array(0));
  array all = zeros({batch_, n}, bool_);
  for (size_t i = 0; i < breaker_masks_.size(); ++i) {
    array here = logical_and(take(breaker_masks_[i], ids, 0), known);
    for (const int id : options_.dry_breakers[i].tail) {
      const array before =
          concatenate({zeros({batch_, 1}, bool_), slice(here, {0, 0}, {batch_, n - 1})}, 1);
      here = logical_and(before, equal(history, array(id)));
    }
    all = logical_or(all, here);
  }
  return all;
}

// For each token: how long a sequence, at most `longest`, that ends now came before within the
// window and was followed by the token; `broken`: of what follows the last breaker only. (batch,
// vocab) int32.
array Sampler::repeats(int longest, int window, bool broken) const {
  const int all = history_->shape(1), n = std::min(all, window);
  const array history = slice(*history_, {0, all - n}, {batch_, all});
  const int length = std::min(longest, n - 1);
  array run = zeros({batch_, n - 1}, int32);
  if (length < 1) return zeros({batch_, vocab_}, int32);
  // ids[b, k, i] = history[b, i - k], compared with the one that came k before the last.
  const array ks = expand_dims(arange(0, length, 1), 1), is = arange(0, n - 1, 1);
  const array places = maximum(subtract(is, ks), array(0));                // (length, n - 1)
  const array ids = take(history, places, 1);                              // (batch, length, n - 1)
  const array last = take(history, arange(n - 1, n - 1 - length, -1), 1);  // (batch, length)
  array same = logical_and(equal(ids, expand_dims(last, 2)), greater_equal(is, ks));
  same = logical_and(same, expand_dims(greater_equal(last, array(0)), 2));
  if (broken && !breaker_masks_.empty()) {
    const array end = take(breaks(history), arange(n - 1, n - 1 - length, -1), 1);
    same = logical_and(same, logical_not(expand_dims(end, 2)));
  }
  run = sum(cumprod(astype(same, int32), 1), 1);  // (batch, n - 1)
  return largest_by_id(slice(history, {0, 1}, {batch_, n}), run, vocab_);
}

// n numbers in (0, 1) for each row, of its key and position alone; `stream` tells uses apart.
array Sampler::noise(int n, int stream) const {
  const array first = slice(keys_, {0, 0}, {batch_, 1}), second = slice(keys_, {0, 1}, {batch_, 2});
  const array moved = hearth::add(first, expand_dims(astype(*position_, uint32), 1));
  const array other = hearth::add(second, array(uint32_t(stream)));
  const array words = random::bits({n}, concatenate({moved, other}, 1));  // (batch, n)
  constexpr float kUnit = 1.0f / (1 << 23);
  const array whole = astype(right_shift(words, array(uint32_t(9))), float32);
  return multiply(hearth::add(whole, array(0.5f)), array(kUnit));
}

array Sampler::operator()(const array& logits) {
  const bool draws = options_.temperature > 0;
  array x = logits;
  array best = logits;  // NaN or infinity, if one is
  if (draws || !chain_.empty()) best = max(logits, -1);
  if (!chain_.empty()) {
    x = astype(x, float32);
    for (const Step& step : chain_) x = step(x);
    // Where nothing is left, nothing was left out.
    x = where(isfinite(max(x, 1, true)), x, astype(logits, float32));
  }
  array ids(0);
  if (!draws) {
    ids = argmax(x, -1);  // the first NaN, if there is one
    if (chain_.empty()) best = squeeze(take_along_axis(x, expand_dims(ids, 1), 1), 1);
  } else {
    if (surprise_) x = surprising(x);
    const array gumbel = negative(log(negative(log(noise(vocab_, 0)))));
    ids = argmax(hearth::add(x, gumbel), -1);
    if (surprise_) correct(x, ids);
  }
  // A row without a number to choose by: argmax and draws would name some token all the same.
  ids = where(isfinite(best), view(ids, int32), array(-1));
  remember(ids);
  return ids;
}

// Mirostat 2 (Basu et al. 2021): tokens more surprising than mu, in bits, are left out.
array Sampler::surprising(const array& logits) const {
  const array bits = divide(subtract(logsumexp(logits, 1, true), logits), array(std::log(2.0f)));
  const array best = greater_equal(logits, max(logits, 1, true));
  return sampling::keep(logical_or(less_equal(bits, *surprise_), best), logits);
}

// The surprise of what was drawn moves mu.
void Sampler::correct(const array& logits, const array& ids) {
  const array drawn = take_along_axis(logits, expand_dims(view(ids, int32), 1), 1);
  const array bits = divide(subtract(logsumexp(logits, 1, true), drawn), array(std::log(2.0f)));
  const array off = subtract(bits, array(options_.mirostat_tau));
  surprise_ = subtract(*surprise_, multiply(array(options_.mirostat_eta), off));
}

void Sampler::remember(const array& ids) {
  if (position_) position_ = hearth::add(*position_, array(1));
  const array column = expand_dims(ids, 1);
  const array here = astype(equal(arange(0, vocab_, 1), column), int32);
  if (seen_) seen_ = hearth::add(*seen_, here);
  if (drawn_) drawn_ = hearth::add(*drawn_, here);
  if (history_)
    history_ = concatenate({slice(*history_, {0, 1}, {batch_, history_->shape(1)}), column}, 1);
}

Arrays Sampler::state() const {
  Arrays all;
  for (const auto* part : {&position_, &seen_, &drawn_, &history_, &surprise_})
    if (*part) all.push_back(**part);
  return all;
}

void Sampler::set_state(const Arrays& state) {
  size_t at = 0;
  for (auto* part : {&position_, &seen_, &drawn_, &history_, &surprise_})
    if (*part) *part = state[at++];
}

}  // namespace hearth::llm
