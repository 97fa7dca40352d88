#include "hearth/llm/speculate.h"

#include <algorithm>
#include <chrono>

#include "hearth/base/error.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

// The size goes up by two and down by one, as transformers' assisted generation has it.
void DraftPace::took(int drafted, int accepted, double seconds) {
  constexpr size_t kRemembered = 9;
  constexpr int kWindow = 16;
  constexpr double kNoise = 1.02;
  if (ordinary_left_ > 0) {
    ordinary_s_.push_back(seconds);
    if (ordinary_s_.size() > kRemembered) ordinary_s_.pop_front();
    --ordinary_left_;
    return;
  }
  if (drafted > 0)
    size_ = accepted == drafted ? std::min(most_, size_ + 2) : std::max(1, size_ - 1);
  window_.verified += drafted > 0;
  window_.tokens += accepted + 1;
  window_.seconds += seconds;
  if (++window_.steps < kWindow) return;
  std::vector<double> times(ordinary_s_.begin(), ordinary_s_.end());
  std::ranges::nth_element(times, times.begin() + long(times.size() / 2));
  const double ordinary = times[times.size() / 2];
  if (window_.verified > 0 && window_.seconds > kNoise * ordinary * window_.tokens) {
    rest();
  } else if (window_.verified > 0) {
    pause_ = kPause;
  }
  window_ = {};
}

void DraftPace::rest() {
  ordinary_left_ = pause_;
  pause_ = std::min(2 * pause_, kLongestPause);
  ordinary_s_.clear();
}

Speculator::Speculator(LanguageModel& model, const DraftOptions& options)
    : model_(model), pace_(options.most) {
  check_options(options);
  check(default_device() == Device(Device::cpu),
        "draft: tokens are drafted on the CPU only, not on ", default_device(),
        "; leave the draft options out, or use --device cpu");
  if (options.ngram > 0) ngrams_.emplace(options.ngram);
  if (options.model) drafter_.emplace(*options.model);
}

std::vector<int> Speculator::draft(std::span<const int> text, int most) {
  std::vector<int> ids;
  if (ngrams_) ids = (*ngrams_)(text, most);
  if (ids.empty() && drafter_) ids = (*drafter_)(text, most);
  const auto unknown =
      std::ranges::find_if(ids, [&](int id) { return id < 0 || id >= model_.facts.vocab_size; });
  ids.erase(unknown, ids.end());
  return ids;
}

std::vector<Speculator::Drawn> Speculator::step(KvCache& cache, std::span<const int> text, int most,
                                                const Draw& draw) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const int length = cache.length(0), first = model_.facts.first_context;
  int room = std::min({pace_.next(), most - 1, cache.context_length() - length - 1});
  if (first > length) room = std::min(room, first - length - 1);  // there the text is read again
  std::vector<int> ids;
  try {
    if (room > 0) ids = draft(text, room);
    if (!ids.empty()) cache.reserve(int(ids.size()) + 1);
  } catch (const std::exception&) {  // no memory for it: an ordinary step needs less
    ids.clear();
    pace_.rest();
  }
  if (ids.empty()) {
    cache.keep_back(0);
    return {};
  }
  const int drafted = int(ids.size());
  ids.insert(ids.begin(), text.back());
  cache.keep_back(drafted);
  const array tokens(ids.begin(), Shape{1, drafted + 1}, int32);
  const array logits = model_.forward({tokens, {}, false, true}, cache);  // (1, drafted + 1, vocab)
  const int vocab = logits.shape(2);
  std::vector<Drawn> out;
  for (int i = 0, id; i <= drafted; ++i) {
    const array row = reshape(slice(logits, {0, i, 0}, {1, i + 1, vocab}), {1, vocab});
    out.push_back({draw(row), row});
    id = out.back().id.item<int>();
    if (i == drafted || id != ids[size_t(i) + 1]) break;
  }
  const int accepted = int(out.size()) - 1;
  cache.truncate(0, length + accepted + 1);
  ++counts_.steps, counts_.drafted += drafted, counts_.accepted += accepted;
  pace_.took(drafted, accepted, std::chrono::duration<double>(Clock::now() - start).count());
  return out;
}

}  // namespace hearth::llm
