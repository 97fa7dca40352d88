#include "hearth/llm/token_stream.h"

#include <algorithm>
#include <chrono>

#include "hearth/llm/finite.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {
namespace {

const std::vector<std::vector<int>>& checked(const std::vector<std::vector<int>>& prompts,
                                             const LanguageModel::Facts& facts) {
  check(!prompts.empty(), "generate: there is no prompt");
  for (const auto& prompt : prompts) {
    check(!prompt.empty(), "generate: the prompt has no tokens");
    for (int id : prompt)
      check(id >= 0 && id < facts.vocab_size, "generate: token ", id,
            " is not in the vocabulary of ", facts.vocab_size);
    check(prompt.size() <= size_t(facts.context_length), "generate: the prompt has ", prompt.size(),
          " tokens, the model's context is ", facts.context_length, "; shorten the prompt");
    check(prompt.size() == prompts[0].size(), "generate: rows of ", prompts[0].size(), " and ",
          prompt.size(), " tokens; wanted one length");
  }
  return prompts;
}

}  // namespace

array prefill(LanguageModel& model, KvCache& cache, std::span<const std::vector<int>> prompts,
              int chunk) {
  check(chunk > 0, "prefill: chunks of ", chunk, " tokens; wanted at least 1");
  const int rows = int(prompts.size());
  const size_t length = prompts[0].size();
  for (int row = 0; row < rows; ++row) cache.expect(row, cache.length(row) + int(length));
  for (size_t at = 0;; at += size_t(chunk)) {
    const int n = int(std::min(length - at, size_t(chunk)));
    std::vector<int> ids;
    for (const auto& row : prompts)
      ids.insert(ids.end(), row.begin() + long(at), row.begin() + long(at) + n);
    const array tokens(ids.begin(), Shape{rows, n}, int32);
    const array logits = model.forward({tokens, {}, true}, cache);  // (rows, 1, vocab)
    logits.eval();
    if (at + size_t(n) == length) return reshape(logits, {rows, logits.shape(2)});
  }
}

array prefill(LanguageModel& model, KvCache& cache, std::span<const int> prompt, int chunk) {
  const std::vector<int> row(prompt.begin(), prompt.end());
  return prefill(model, cache, {&row, 1}, chunk);
}

TokenStream::TokenStream(LanguageModel& model, const std::vector<std::vector<int>>& prompts,
                         const SamplingOptions& sampling, int most, int prefill_chunk,
                         const std::vector<int>& end_ids)
    : model_(model),
      texts_(checked(prompts, model.facts)),
      prefill_chunk_(prefill_chunk),
      sampler_(sampling, model.facts.vocab_size, prompts, end_ids),
      cache_(model.make_cache(int(prompts.size()))),
      most_(most),
      logprobs_(sampling.logprobs) {
  check(most > 0, "generate: ", most, " tokens asked; wanted at least 1");
  // The last token needs no room: its logits are never asked for.
  most_ = std::min(most, model.facts.context_length - int(prompts[0].size()) + 1);
}

void TokenStream::begin() {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const array logits = prefill(model_, cache_, texts_, prefill_chunk_);
  prefill_s_ = std::chrono::duration<double>(Clock::now() - start).count();
  ahead_.push_back(sampler_(logits));
  eval(ahead_.front());
  find_likely(logits, ahead_.front());
  decoder_.emplace(model_, cache_, sampler_, ahead_.front());
  started_ = 1;
}

// The next ids, everything before them read anew.
array TokenStream::read_again() {
  auto texts = texts_;
  for (const array& ids : ahead_) {
    const auto next = ids.to_vector<int>();
    for (size_t row = 0; row < next.size(); ++row) texts[row].push_back(std::max(next[row], 0));
  }
  cache_.clear();
  const array logits = prefill(model_, cache_, texts, prefill_chunk_);
  const array ids = sampler_(logits);
  eval(ids);
  find_likely(logits, ids);
  decoder_.emplace(model_, cache_, sampler_, ids);
  return ids;
}

// Of the model's own logits, before any step of sampling.
void TokenStream::find_likely(const array& logits, const array& ids) {
  if (logprobs_ == 0) return;
  const int rows = logits.shape(0), vocab = logits.shape(1), n = std::min(logprobs_, vocab);
  const array x = astype(logits, float32);
  const array all = subtract(x, logsumexp(x, 1, true));
  const array order = slice(argsort(negative(all), 1), {0, 0}, {rows, n});
  const array chosen = maximum(expand_dims(ids, 1), array(0));
  const array which = concatenate({chosen, view(order, int32)}, 1);
  const auto id = which.to_vector<int>();
  const auto logprob = take_along_axis(all, which, 1).to_vector<float>();
  likely_.assign(size_t(rows), {});
  for (int row = 0; row < rows; ++row)
    for (size_t i = 0; i <= size_t(n); ++i) {
      const size_t at = size_t(row) * size_t(n + 1) + i;
      likely_[size_t(row)].push_back({id[at], logprob[at]});
    }
}

std::vector<int> TokenStream::next() {
  if (!decoder_) begin();
  // A device decodes ahead of what the host has read; the CPU has nothing to gain.
  // Nor has it where the logits of each step are looked at.
  const size_t lead = default_device() == Device(Device::cpu) || logprobs_ > 0 ? 0 : 2;
  while (ahead_.size() <= lead && started_ < most_) {
    const bool outgrown =
        model_.facts.first_context > 0 && cache_.length(0) == model_.facts.first_context;
    ahead_.push_back(outgrown ? read_again() : decoder_->step());
    if (!outgrown) find_likely(decoder_->logits(), ahead_.back());
    ++started_;
  }
  if (ahead_.empty()) return {};
  std::vector<int> ids = ahead_.front().to_vector<int>();
  ahead_.pop_front();
  for (size_t row = 0; row < ids.size(); ++row) {
    if (ids[row] < 0) fail_not_finite(model_, texts_[row], "generate");
    texts_[row].push_back(ids[row]);
  }
  return ids;
}

}  // namespace hearth::llm
