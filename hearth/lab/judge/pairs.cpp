#include "hearth/lab/judge/pairs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "hearth/lab/judge/times.h"

namespace hearth::lab {
namespace {

/// What an engine did in a round.
struct Turn {
  int start = 0;
  double time_s = 0, units = 0;
  // Of the repetitions of which it is known: their time, that of all processors, and who had it.
  double known_s = 0, processors_s = 0, others_s = 0, quota_s = 0, throttled_s = 0;
  int processors = 1;
};

std::map<int, Turn> turns_of(const EngineResult& e, int job, Per per) {
  std::map<int, Turn> turns;
  for (const Repetition* r : e.totals(job)) {
    Turn& t = turns[r->round];
    t.start = r->start;
    t.time_s += r->total_s;
    t.units += per == Per::unit ? units_of(*r) : r->calls;
    if (!r->disturbance) continue;
    const Disturbance& d = *r->disturbance;
    if (d.others_s || d.stolen_s) {
      t.processors = d.processors;
      t.known_s += r->total_s;
      t.processors_s += r->total_s * d.processors;
      t.others_s += d.others_s.value_or(0) + d.stolen_s.value_or(0);
    }
    if (d.throttled_s) t.quota_s += r->total_s, t.throttled_s += *d.throttled_s;
  }
  return turns;
}

/// The share that others had, and how much of it may be the grain of the system's ticks.
struct Share {
  std::optional<double> value;
  double grain = 0;
};
Share disturbance_of(const Turn& t) {
  constexpr double kTick = 0.01;  // seconds, of each processor
  Share share;
  if (t.known_s > 0) share = {std::clamp(t.others_s / t.processors_s, 0.0, 1.0), kTick / t.known_s};
  if (t.quota_s > 0)
    if (const double stopped = t.throttled_s / t.quota_s; stopped > share.value.value_or(0))
      share = {stopped, 0};
  return share;
}

}  // namespace

std::vector<Pair> pairs_of(const EngineResult& a, const EngineResult& b, int job, Per per) {
  const auto of_a = turns_of(a, job, per), of_b = turns_of(b, job, per);
  std::vector<Pair> pairs;
  double known_s = 0, others_s = 0;
  for (const auto& [round, x] : of_a) {
    const auto it = of_b.find(round);
    if (it == of_b.end()) continue;
    const Turn& y = it->second;
    Pair p{round, x.start, y.start, std::log(y.time_s / y.units / (x.time_s / x.units)), {}, true};
    for (const Turn* t : {&x, &y}) {
      const Share share = disturbance_of(*t);
      if (!share.value) continue;
      p.disturbed = std::max(p.disturbed.value_or(0), *share.value);
      p.quiet &= *share.value <= kFew + share.grain;
    }
    if (p.quiet)
      for (const Turn* t : {&x, &y}) known_s += t->processors_s, others_s += t->others_s;
    pairs.push_back(p);
  }
  // Turns that are short against a tick do not show it one by one; together they do.
  if (known_s > 0 && others_s > kFew * known_s)
    for (Pair& p : pairs) {
      p.quiet = false;
      p.disturbed = std::max(p.disturbed.value_or(0), others_s / known_s);
    }
  return pairs;
}

std::vector<double> log_ratios(const EngineResult& a, const EngineResult& b, int job) {
  std::vector<double> logs;
  for (const Pair& p : pairs_of(a, b, job)) logs.push_back(p.log_ratio);
  return logs;
}

namespace {

/// The mean of the pairs of each start of A with a start of B.
std::vector<double> by_starts(const std::vector<Pair>& pairs, bool quiet_alone) {
  std::map<std::pair<int, int>, std::pair<double, int>> sums;
  for (const Pair& p : pairs) {
    if (quiet_alone && !p.quiet) continue;
    auto& [sum, n] = sums[{p.start_a, p.start_b}];
    sum += p.log_ratio, ++n;
  }
  std::vector<double> means;
  for (const auto& [starts, sum] : sums) means.push_back(sum.first / sum.second);
  return means;
}

}  // namespace

std::optional<Estimate> estimate(const EngineResult& a, const EngineResult& b, int job, Per per) {
  const std::vector<Pair> pairs = pairs_of(a, b, job, per);
  if (pairs.empty()) return std::nullopt;
  Estimate e;
  e.pairs = int(pairs.size());
  e.disturbed = int(std::ranges::count(pairs, false, &Pair::quiet));
  std::vector<double> all = by_starts(pairs, false), quiet = by_starts(pairs, true);
  // Which pairs were disturbed is known from the system, not from their times: to leave them out
  // prefers neither engine.
  if (e.disturbed > 0 && quiet.size() >= size_t(kFewestStarts)) {
    e.pairs -= e.disturbed;
    all = std::move(quiet);
  } else if (e.disturbed > 0) {
    double sum = 0;
    for (const Pair& p : pairs)
      if (!p.quiet) sum += p.disturbed.value_or(0);
    e.busy = fmt::format("others took {:.0f} % of the processors in {} of {} pairs",
                         100 * sum / e.disturbed, e.disturbed, pairs.size());
  }
  e.time = paired_ratio(all);
  if (!e.busy.empty()) e.time.verdict = Verdict::undecided;
  // One start of each shows how pairs within it differ: an interval, but no verdict.
  if (all.size() == 1 && e.pairs > 1) {
    std::vector<double> within;
    for (const Pair& p : pairs) within.push_back(p.log_ratio);
    e.time = paired_ratio(within);
    e.time.starts = 1;
    e.time.verdict = Verdict::undecided;
  }
  return e;
}

}  // namespace hearth::lab
