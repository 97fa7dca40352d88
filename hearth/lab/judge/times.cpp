#include "hearth/lab/judge/times.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "hearth/lab/judge/stats.h"

namespace hearth::lab {

namespace {

/// Their percentile, or why there is none.
Reading<double> of(const std::vector<double>& values, double share, const std::string& missing) {
  if (values.empty()) return Reading<double>::missing(missing);
  return percentile(values, share);
}

/// What is seen within turns: the first execution against those after it, streamed against not.
void compare_turns(Times& times, const Job& what, const EngineResult& engine, int job) {
  constexpr double kWaited = 0.02;  // seconds between executions: others ran, or it was stopped
  struct Turn {
    std::optional<double> first;  // after it had waited
    double plain = 0, streamed = 0;
    int plains = 0, streams = 0;
  };
  std::map<int, Turn> turns;
  double tokens = 0, streamed_s = 0, end = 0;
  for (const Repetition& r : engine.repetitions) {
    const bool waited = r.start_s - std::exchange(end, r.start_s + r.total_s) > kWaited;
    if (r.job != job || r.warmup) continue;
    const bool begins = !turns.contains(r.round);
    Turn& t = turns[r.round];
    if (r.settling) {
      if (begins && waited) t.first = r.total_s;
    } else if (r.streamed) {
      t.streamed += r.total_s, ++t.streams;
      tokens += double(what.batch) * r.new_tokens, streamed_s += r.total_s;
    } else {
      t.plain += r.total_s, ++t.plains;
    }
  }
  std::vector<double> wakes, ratios;
  for (const auto& [round, t] : turns) {
    if (t.first && t.plains) wakes.push_back(*t.first - t.plain / t.plains);
    if (t.streams && t.plains)
      ratios.push_back(std::log(t.streamed / t.streams / (t.plain / t.plains)));
  }
  times.wake_s = of(wakes, 0.5, "no first execution of a turn was kept apart");
  if (streamed_s > 0 && tokens > 0)
    times.streamed_per_s = tokens / streamed_s;
  else
    times.streamed_per_s = Reading<double>::missing("no repetition streamed tokens");
  times.streamed_ratio = Reading<double>::missing("too few turns have executions of both kinds");
  if (ratios.size() < 3) return;
  const PairedRatio r = paired_ratio(ratios);
  times.streamed_ratio = r.low > 1 || r.high < 1
                             ? Reading<double>(r.ratio)
                             : Reading<double>::missing("no difference is seen");
}

}  // namespace

Times times_of(const Result& result, const EngineResult& engine, int job) {
  const Job& what = result.jobs.at(size_t(job));
  Times times;
  for (const Repetition* r : engine.totals(job)) times.totals.push_back(r->total_s / r->calls);
  std::vector<double> first, prefill, decode, between;
  for (const Repetition& r : engine.repetitions) {
    if (r.job != job || !r.counts() || r.token_s.empty()) continue;
    first.push_back(r.token_s[0]);
    // Tokens that came at one moment were held back: they have no rate.
    if (first.back() > 0) prefill.push_back(what.batch * r.prompt_tokens / first.back());
    if (const double time = r.token_s.back() - r.token_s[0]; time > 0)
      decode.push_back(what.batch * double(r.token_s.size() - 1) / time);
    for (size_t i = 1; i < r.token_s.size(); ++i)
      between.push_back(r.token_s[i] - r.token_s[i - 1]);
  }
  const std::string none = what.kind == JobKind::op        ? "an operation has no tokens"
                           : what.kind == JobKind::command ? "a command has no tokens"
                           : first.empty()                 ? "no token was timed by itself"
                           : what.new_tokens < 2           ? "the job has one new token"
                                                           : "its tokens came all at one moment";
  times.first_token_s = of(first, 0.5, none);
  times.prefill_per_s = of(prefill, 0.5, none);
  times.decode_per_s = of(decode, 0.5, none);
  times.between_s = of(between, 0.5, none);
  times.between_95_s = of(between, 0.95, none);
  times.between_99_s = of(between, 0.99, none);
  compare_turns(times, what, engine, job);
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

namespace {

struct Unit {
  double size;
  std::string_view name;
};
Unit unit_of(double s) {
  return s >= 1 ? Unit{1, "s"} : s >= 1e-3 ? Unit{1e-3, "ms"} : Unit{1e-6, "us"};
}

}  // namespace

std::string with_unit(double s) {
  const auto [size, name] = unit_of(s * 1.0005);  // 0.9996 s rounds up to 1 s, not to 1e+03 ms
  const double x = s / size;
  return x < 1000 ? fmt::format("{:.3g} {}", x, name) : fmt::format("{:.0f} {}", x, name);
}

std::string with_spread(double s, double spread) {
  const auto [size, name] = unit_of(s * 1.0005);
  if (s >= 1e6 * size)
    return fmt::format("{:.3g} {} +- {:.2g} {}", s / size, name, spread / size, name);
  const double smaller = spread > 0 ? spread / size : s / size / 10;
  const int digits =
      smaller > 0 ? int(std::clamp(1 - std::floor(std::log10(smaller)), 0.0, 6.0)) : 0;
  return fmt::format("{:.{}f} {} +- {:.{}f} {}", s / size, digits, name, spread / size, digits,
                     name);
}

std::string in_percent(double share) {
  const double percent = 100 * share;
  return std::abs(percent) < 9.95 ? fmt::format("{:.1f} %", percent)
                                  : fmt::format("{:.0f} %", percent);
}

}  // namespace hearth::lab
