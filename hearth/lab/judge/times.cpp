#include "hearth/lab/judge/times.h"

#include <fmt/format.h>

#include <algorithm>

#include "hearth/lab/judge/stats.h"

namespace hearth::lab {

namespace {

/// Their percentile, or why there is none.
Reading<double> of(const std::vector<double>& values, double share, const std::string& missing) {
  if (values.empty()) return Reading<double>::missing(missing);
  return percentile(values, share);
}

}  // namespace

Times times_of(const Result& result, const EngineResult& engine, int job) {
  const Job& what = result.jobs.at(size_t(job));
  Times times;
  for (const Repetition* r : engine.totals(job)) times.totals.push_back(r->total_s / r->calls);
  std::vector<double> first, prefill, decode, between;
  for (const Repetition& r : engine.repetitions) {
    if (r.job != job || r.warmup || r.token_s.empty()) continue;
    first.push_back(r.token_s[0]);
    // Tokens that came at one moment were held back: they have no rate.
    if (first.back() > 0) prefill.push_back(what.batch * r.prompt_tokens / first.back());
    if (const double time = r.token_s.back() - r.token_s[0]; time > 0)
      decode.push_back(what.batch * double(r.token_s.size() - 1) / time);
    for (size_t i = 1; i < r.token_s.size(); ++i)
      between.push_back(r.token_s[i] - r.token_s[i - 1]);
  }
  const std::string none = what.kind == JobKind::op ? "an operation has no tokens"
                           : first.empty()          ? "no token was timed by itself"
                           : what.new_tokens < 2    ? "the job has one new token"
                                                    : "its tokens came all at one moment";
  times.first_token_s = of(first, 0.5, none);
  times.prefill_per_s = of(prefill, 0.5, none);
  times.decode_per_s = of(decode, 0.5, none);
  times.between_s = of(between, 0.5, none);
  times.between_95_s = of(between, 0.95, none);
  times.between_99_s = of(between, 0.99, none);
  return times;
}

double units_of(const Repetition& r) { return double(r.calls) * std::max(1, r.new_tokens); }

std::vector<double> unit_times(const EngineResult& engine, int job) {
  std::vector<double> times;
  for (const Repetition* r : engine.totals(job)) times.push_back(r->total_s / units_of(*r));
  if (times.empty())
    for (const Published& p : engine.published)
      if (p.job == job && p.mean_s > 0) times.push_back(p.mean_s / std::max(1, p.new_tokens));
  return times;
}

std::optional<Total> total_of(const EngineResult& engine, int job) {
  std::vector<double> totals;
  Total total;
  for (const Repetition* r : engine.totals(job)) {
    totals.push_back(r->total_s / std::max(1, r->calls));
    total.new_tokens = r->new_tokens;
  }
  if (!totals.empty()) {
    total.mean_s = mean(totals);
    total.stddev_s = stddev(totals);
    total.n = int(totals.size());
    return total;
  }
  for (const Published& p : engine.published)
    if (p.job == job && p.mean_s > 0) return Total{p.mean_s, p.stddev_s, p.n, p.new_tokens};
  return std::nullopt;
}

std::string with_unit(double s) {
  return s >= 1      ? fmt::format("{:.3g} s", s)
         : s >= 1e-3 ? fmt::format("{:.3g} ms", s * 1e3)
                     : fmt::format("{:.3g} us", s * 1e6);
}

}  // namespace hearth::lab
