#include "hearth/llm/divergence.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "hearth/backend/pool.h"
#include "hearth/base/error.h"
#include "hearth/core/eval.h"
#include "hearth/io/foreign.h"
#include "hearth/io/mapped_file.h"
#include "hearth/io/output_file.h"
#include "hearth/llm/finite.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

constexpr int kAtOnce = 128;  // positions whose logits are held at once
constexpr float kFloor =
    16;  // what is e^-16 as likely as the likeliest, or less, is stored as that
constexpr std::string_view kMagic = "_logits_";

using Progress = std::function<bool(size_t, size_t)>;

struct Moments {
  double sum = 0, squares = 0;
  size_t count = 0;
  void add(double v) { sum += v, squares += v * v, ++count; }
  double mean() const { return count ? sum / double(count) : 0; }
  double error() const {  // of the mean
    if (count < 2) return 0;
    const double variance = (squares - sum * mean()) / double(count - 1);
    return std::sqrt(std::max(variance, 0.0) / double(count));
  }
};

Perplexity perplexity_of(const Moments& nll) {
  const double value = std::exp(nll.mean());
  return {value, value * nll.error(), nll.mean(), nll.count};
}

void check_windows(const LanguageModel& model, const Windows& w, std::string_view who) {
  check(w.length > 3 && w.length <= model.facts.context_length, who, ": windows of ", w.length,
        " tokens; wanted 4 to the model's context, ", model.facts.context_length);
  ensure(w.count() > 0, who, ": ", w.ids.size(), " tokens are less than a window of ", w.length,
         ": give a longer text or a smaller window");
  for (const int id : w.ids)
    ensure(id >= 0 && id < model.facts.vocab_size, who, ": token ", id,
           " is not one of the model's ", model.facts.vocab_size);
}

/// The first position that is predicted from, and how many of a window are.
int predicted_from(int length) { return length / 2; }
int predicted(int length) { return length - 1 - predicted_from(length); }

/// A model reading one window after the other.
class Reading {
 public:
  Reading(LanguageModel& model, const Windows& windows) : model_(model), windows_(windows) {}

  /// The half of window `i` that is only read.
  void begin(size_t i) {
    const auto all = std::span(windows_.ids).subspan(i * size_t(windows_.length));
    ids_.assign(all.begin(), all.begin() + windows_.length);
    if (windows_.first) ids_[0] = *windows_.first;
    cache_.emplace(model_.make_cache());
    at_ = 0;
    for (const int half = predicted_from(windows_.length); at_ < half;) {
      const int n = std::min(half - at_, 512);
      eval({forward(n, true)});
    }
  }
  /// What it makes of the next n positions: (n, vocab), float32.
  array next(int n) {
    const array x = astype(squeeze(forward(n, false), 0), float32);
    check_finite(model_, x, std::span(ids_).first(size_t(at_)), "perplexity");
    return x;
  }

 private:
  array forward(int n, bool last_only) {
    const array tokens(ids_.begin() + at_, Shape{1, n}, int32);
    at_ += n;
    return model_.forward({tokens, {}, last_only}, *cache_);
  }

  LanguageModel& model_;
  const Windows& windows_;
  std::vector<int> ids_;
  std::optional<KvCache> cache_;
  int at_ = 0;
};

array logarithms(const array& logits) {
  return subtract(logits, expand_dims(logsumexp(logits, -1), -1));
}

/// -log p of what came, of logarithms (n, vocab).
array surprise(const array& x, std::span<const int> targets) {
  const array index(targets.begin(), Shape{int(targets.size()), 1}, int32);
  return negative(squeeze(take_along_axis(x, index, -1), -1));
}

/// What was found so far.
class Sums {
 public:
  /// Of positions: logarithms (n, vocab) of both, and what came. `floored`: what is below the floor
  /// was stored as the floor and does not count.
  void add(const array& base, const array& model, std::span<const int> targets, bool floored) {
    array each = multiply(exp(base), subtract(base, model));
    if (floored) each = where(greater(base, array(-kFloor)), each, array(0.0f));
    const array same = equal(argmax(base, -1), argmax(model, -1));
    const Arrays all{surprise(base, targets), surprise(model, targets), sum(each, -1),
                     astype(same, float32)};
    eval(all);
    const auto of_base = all[0].to_vector<float>(), of_model = all[1].to_vector<float>(),
               kl = all[2].to_vector<float>(), equal = all[3].to_vector<float>();
    for (size_t i = 0; i < kl.size(); ++i) {
      base_.add(of_base[i]), model_.add(of_model[i]);
      ratio_.add(double(of_model[i]) - double(of_base[i]));
      divergence_.add(kl[i]);
      same_.add(equal[i]);
      values_.push_back(kl[i]);
    }
  }
  size_t count() const { return base_.count; }
  Divergence result() {
    std::sort(values_.begin(), values_.end());
    const size_t n = values_.size();
    const double median =
        n == 0 ? 0 : 0.5 * (double(values_[(n - 1) / 2]) + double(values_[n / 2]));
    return {
        perplexity_of(base_), perplexity_of(model_), ratio_.mean(), ratio_.error(),
        divergence_.mean(),   divergence_.error(),   median,        n ? double(values_.back()) : 0,
        same_.mean(),         same_.error()};
  }

 private:
  Moments base_, model_, ratio_, divergence_, same_;
  std::vector<float> values_;
};

/// each(window, position, n, targets) for all that are predicted, until `progress` says no.
template <class Begin, class Each>
bool over_windows(const Windows& w, const Progress& progress, const Begin& begin,
                  const Each& each) {
  for (size_t i = 0; i < w.count(); ++i) {
    begin(i);
    const int first = predicted_from(w.length), count = predicted(w.length);
    for (int at = 0; at < count; at += kAtOnce) {
      const int n = std::min(kAtOnce, count - at);
      const size_t next = i * size_t(w.length) + size_t(first + at) + 1;
      each(i, at, n, std::span(w.ids).subspan(next, size_t(n)));
    }
    const size_t done = (i + 1) * size_t(w.length);
    if (progress && !progress(done, w.count() * size_t(w.length))) return i + 1 == w.count();
  }
  return true;
}

/// A stored position: the step and the least of the logarithms, then a code for each token.
size_t stored_words(int vocab) { return 4 + size_t(vocab + 1) / 2 * 2; }

void store(const float* logits, int vocab, uint16_t* to) {
  float most = logits[0], least = logits[0];
  for (int i = 1; i < vocab; ++i)
    most = std::max(most, logits[i]), least = std::min(least, logits[i]);
  least = std::max(least, most - kFloor);
  double sum = 0;
  for (int i = 0; i < vocab; ++i) sum += double(std::exp(logits[i] - most));
  const float step = (most - least) / 65535.0f;
  const float ends[] = {step, least - most - float(std::log(sum))};
  std::memcpy(to, ends, sizeof ends);
  const float inverse = step != 0 ? 1 / step : 0;
  for (int i = 0; i < vocab; ++i)
    to[4 + i] =
        logits[i] > least ? uint16_t(std::rint(inverse * (logits[i] - least))) : uint16_t(0);
}
void restore(const uint16_t* from, int vocab, float* to) {
  float ends[2];
  std::memcpy(ends, from, sizeof ends);
  for (int i = 0; i < vocab; ++i) to[i] = ends[0] * float(from[4 + i]) + ends[1];
}

}  // namespace

Divergence divergence(LanguageModel& base, LanguageModel& model, const Windows& windows,
                      const Progress& progress) {
  check_windows(base, windows, "divergence"), check_windows(model, windows, "divergence");
  ensure(base.facts.vocab_size == model.facts.vocab_size, "divergence: vocabularies of ",
         base.facts.vocab_size, " and ", model.facts.vocab_size, " tokens");
  Reading from(base, windows), to(model, windows);
  Sums sums;
  over_windows(
      windows, progress, [&](size_t i) { from.begin(i), to.begin(i); },
      [&](size_t, int, int n, std::span<const int> targets) {
        sums.add(logarithms(from.next(n)), logarithms(to.next(n)), targets, false);
      });
  return sums.result();
}

Perplexity write_base(const std::filesystem::path& file, LanguageModel& base,
                      const Windows& windows, const Progress& progress) {
  check_windows(base, windows, "perplexity");
  OutputFile out(file);
  const int vocab = base.facts.vocab_size;
  const int32_t sizes[] = {windows.length, vocab, int32_t(windows.count())};
  out.write(kMagic);
  out.write(std::as_bytes(std::span(sizes)));
  out.write(std::as_bytes(std::span(windows.ids).first(windows.count() * size_t(windows.length))));
  Reading from(base, windows);
  Moments nll;
  const bool whole = over_windows(
      windows, progress, [&](size_t i) { from.begin(i); },
      [&](size_t, int, int n, std::span<const int> targets) {
        const array logits = row_major(from.next(n));
        for (const float v : surprise(logarithms(logits), targets).to_vector<float>()) nll.add(v);
        const auto* values = reinterpret_cast<const float*>(bytes_of(logits).data());
        std::vector<uint16_t> stored(stored_words(vocab) * size_t(n), 0);
        cpu::parallel_for(n, [&](int64_t i) {
          store(values + i * vocab, vocab, stored.data() + size_t(i) * stored_words(vocab));
        });
        out.write(std::as_bytes(std::span(stored)));
      });
  if (!whole) return perplexity_of({});
  out.commit();
  return perplexity_of(nll);
}

Divergence divergence_from(const std::filesystem::path& file, LanguageModel& model,
                           std::optional<int> first, const Progress& progress) {
  const std::string where = file.string();
  const auto mapped = MappedFile::open(file);
  const auto bytes = mapped->bytes();
  int32_t sizes[3] = {};
  constexpr size_t kHeader = kMagic.size() + sizeof sizes;
  ensure(bytes.size() >= kHeader && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0,
         where, ": not what --kl-divergence-base writes: it does not begin with ", kMagic);
  std::memcpy(sizes, bytes.data() + kMagic.size(), sizeof sizes);
  const int32_t length = sizes[0], vocab = sizes[1], count = sizes[2];
  ensure(length > 3 && vocab > 0 && count > 0, where, ": ", count, " windows of ", length,
         " tokens of ", vocab);
  ensure(vocab == model.facts.vocab_size, where, ": of a vocabulary of ", vocab,
         " tokens, the model's has ", model.facts.vocab_size);
  const size_t ids = size_t(count) * size_t(length), row = stored_words(vocab) * 2,
               rows = size_t(count) * size_t(predicted(length)), rest = bytes.size() - kHeader;
  ensure(ids <= rest / 4 && rows <= (rest - ids * 4) / row, where, ": ", bytes.size(),
         " bytes are too few for ", count, " windows of ", length, " tokens: it is cut short");
  Windows windows{std::vector<int>(ids), length, first};
  std::memcpy(windows.ids.data(), bytes.data() + kHeader, ids * 4);
  check_windows(model, windows, where);
  const std::byte* const stored = bytes.data() + kHeader + ids * 4;
  Reading to(model, windows);
  Sums sums;
  over_windows(
      windows, progress, [&](size_t i) { to.begin(i); },
      [&](size_t i, int at, int n, std::span<const int> targets) {
        std::vector<float> base(size_t(n) * size_t(vocab));
        cpu::parallel_for(n, [&](int64_t k) {
          std::vector<uint16_t> words(stored_words(vocab));
          const size_t place = i * size_t(predicted(length)) + size_t(at + k);
          std::memcpy(words.data(), stored + place * row, row);
          restore(words.data(), vocab, base.data() + size_t(k) * size_t(vocab));
        });
        const array of_base(base.begin(), Shape{n, vocab}, float32);
        sums.add(of_base, logarithms(to.next(n)), targets, true);
      });
  return sums.result();
}

}  // namespace hearth::llm
