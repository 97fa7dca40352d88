#include "hearth/lab/judge/trend.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <random>
#include <set>

#include "hearth/base/error.h"
#include "hearth/lab/judge/times.h"

namespace hearth::lab {

namespace {

constexpr size_t kShortestSegment = 3;
constexpr int kPermutations = 399;
constexpr double kLevel = 0.05;
constexpr size_t kMostValues = 400;  // that are looked at, the latest; time grows with the square

/// Facts that are another at each look.
bool volatile_fact(std::string_view name) {
  return name == "memory_available_bytes" || name == "model_config";
}

std::vector<double> logs_of(std::span<const double> seconds) {
  std::vector<double> logs;
  for (const double s : seconds) logs.push_back(std::log(s));
  return logs;
}

/// Where to cut a segment so that its two parts differ most, and by how much: twice the mean
/// distance between the parts, less the mean distances within, times mn / (m + n).
struct Cut {
  size_t at = 0;
  double gain = -1;
};
Cut best_cut(std::span<const double> x) {
  const size_t n = x.size();
  double left = 0, right = 0, across = 0;  // sums of |x_i - x_j| over pairs
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < i; ++j) right += std::abs(x[i] - x[j]);
  Cut best;
  for (size_t cut = 1; cut < n; ++cut) {  // x[cut - 1] goes from the right part to the left
    double to_left = 0, to_right = 0;
    for (size_t j = 0; j + 1 < cut; ++j) to_left += std::abs(x[cut - 1] - x[j]);
    for (size_t j = cut; j < n; ++j) to_right += std::abs(x[cut - 1] - x[j]);
    left += to_left;
    right -= to_right;
    across += to_right - to_left;
    if (cut < kShortestSegment || n - cut < kShortestSegment) continue;
    const double m = double(cut), k = double(n - cut);
    const double gain =
        m * k / (m + k) *
        (2 * across / (m * k) - left / (m * (m - 1) / 2) - right / (k * (k - 1) / 2));
    if (gain > best.gain) best = {cut, gain};
  }
  return best;
}

/// Whether chance makes as large a gain in fewer than 5 % of all orders.
bool significant(std::span<const double> x, const Cut& cut, std::mt19937& random) {
  std::vector<double> shuffled(x.begin(), x.end());
  int as_large = 1;  // the order that there is
  for (int i = 0; i < kPermutations; ++i) {
    for (size_t k = shuffled.size() - 1; k > 0; --k)  // the standard's shuffle may differ
      std::swap(shuffled[k], shuffled[random() % (k + 1)]);
    as_large += best_cut(shuffled).gain >= cut.gain * (1 - 1e-12);
    if (as_large > kLevel * (kPermutations + 1)) return false;
  }
  return true;
}

void divide(std::span<const double> x, size_t from, std::mt19937& random,
            std::vector<size_t>& found) {
  if (x.size() < 2 * kShortestSegment) return;
  const Cut cut = best_cut(x);
  if (cut.gain <= 0 || !significant(x, cut, random)) return;
  found.push_back(from + cut.at);
  divide(x.subspan(0, cut.at), from, random, found);
  divide(x.subspan(cut.at), from + cut.at, random, found);
}

/// b's mean over a's, of logarithms, by Welch's interval.
void ratio_of(std::span<const double> a, std::span<const double> b, double& ratio, double& low,
              double& high) {
  const double difference = mean(b) - mean(a);
  ratio = low = high = std::exp(difference);
  const double va = stddev(a) * stddev(a) / double(a.size()),
               vb = stddev(b) * stddev(b) / double(b.size());
  if (a.size() < 2 || b.size() < 2) return;
  const double freedom = va + vb > 0
                             ? (va + vb) * (va + vb) /
                                   (va * va / double(a.size() - 1) + vb * vb / double(b.size() - 1))
                             : double(a.size() + b.size() - 2);
  const double half = t_quantile(0.975, std::max(1, int(freedom))) * std::sqrt(va + vb);
  low = std::exp(difference - half), high = std::exp(difference + half);
}

std::vector<std::string> differences(const HistoryRun& before, const HistoryRun& after,
                                     const std::string& engine) {
  std::vector<std::string> all;
  std::set<std::string> names;
  for (const HistoryRun* run : {&before, &after})
    for (const auto& [name, value] : run->facts) names.insert(name);
  for (const std::string& name : names) {
    const bool of_another = (name.starts_with("version of ") || name.starts_with("commit of ")) &&
                            !name.ends_with(" of " + engine);
    if (of_another || volatile_fact(name)) continue;
    const auto value = [&](const HistoryRun& run) {
      const auto it = run.facts.find(name);
      return it == run.facts.end() ? std::string("unknown") : it->second;
    };
    if (value(before) != value(after))
      all.push_back(concat(name, ": ", value(before), " -> ", value(after)));
  }
  return all;
}

/// Is it the machine that the facts are of?
bool same_machine(const HistoryRun& run, const HistoryRun& other) {
  for (const char* name : {"processor", "cores", "gpus"}) {
    const auto a = run.facts.find(name), b = other.facts.find(name);
    const bool known = a != run.facts.end() && b != other.facts.end();
    if (known && a->second != b->second) return false;
  }
  return true;
}

}  // namespace

std::string job_name(const Job& job) {
  const std::string model = std::filesystem::path(job.model).filename().string();
  std::string name(to_string(job.kind));
  if (job.kind == JobKind::command) return name + (job.op.empty() ? "" : " " + job.op);
  if (job.kind == JobKind::op) {
    name = job.op;
    for (size_t i = 0; i < job.shape.size(); ++i) name += concat(i ? "x" : " ", job.shape[i]);
    return concat(name, " ", job.dtype);
  }
  name += concat(" ", model, " ", job.prompt_tokens, "+", job.new_tokens);
  if (job.batch > 1) name += concat(" x", job.batch);
  return job.random_weights ? name + ", random weights" : name;
}

HistoryRun run_of(const Result& result) {
  HistoryRun run;
  run.created = result.created;
  run.source = result.source;
  run.facts["hearth"] = result.made_by;
  for (const Fact& fact : result.environment)
    if (fact.value.value && !volatile_fact(fact.name)) run.facts[fact.name] = *fact.value.value;
  for (const EngineResult& e : result.engines) {
    if (!e.version.empty()) run.facts["version of " + e.label] = e.version;
    if (e.commit.value) run.facts["commit of " + e.label] = *e.commit.value;
    for (int job = 0; job < int(result.jobs.size()); ++job) {
      std::map<int, std::pair<double, double>> rounds;  // time and units
      for (const Repetition* r : e.totals(job)) {
        rounds[r->round].first += r->total_s;
        rounds[r->round].second += units_of(*r);
      }
      const Job& what = result.jobs[size_t(job)];
      HistoryPoint point{e.label, job_name(what), std::string(unit_of(what.kind)), {}};
      for (const auto& [round, sum] : rounds) point.seconds.push_back(sum.first / sum.second);
      if (rounds.empty()) point.seconds = unit_times(e, job);  // a published mean
      if (!point.seconds.empty()) run.points.push_back(std::move(point));
    }
  }
  ensure(!run.points.empty(), "history: the result has no times");
  ensure(!run.created.empty(), "history: the result does not say when it was measured");
  return run;
}

std::vector<size_t> changes(std::span<const double> values) {
  for (const double x : values) check(std::isfinite(x), "changes: a value that is not finite");
  const size_t left_out = values.size() > kMostValues ? values.size() - kMostValues : 0;
  std::mt19937 random(1);
  std::vector<size_t> found;
  divide(values.subspan(left_out), left_out, random, found);
  std::ranges::sort(found);
  return found;
}

Trend trend_of(std::span<const HistoryRun> runs, const std::string& engine,
               const std::string& job) {
  Trend trend{engine, job, "", {}, {}};
  std::vector<const HistoryRun*> of;
  std::vector<double> means;
  for (const HistoryRun& run : runs)
    for (const HistoryPoint& p : run.points) {
      if (p.engine != engine || p.job != job) continue;
      trend.unit = p.unit;
      const auto logs = logs_of(p.seconds);
      const double centre = mean(logs);
      const double half = logs.size() < 2 ? 0
                                          : t_quantile(0.975, int(logs.size()) - 1) * stddev(logs) /
                                                std::sqrt(double(logs.size()));
      trend.points.push_back({run.id, run.created, std::exp(centre), std::exp(centre - half),
                              std::exp(centre + half), int(logs.size())});
      of.push_back(&run);
      means.push_back(centre);
    }
  const auto cuts = changes(means);
  for (size_t i = 0; i < cuts.size(); ++i) {
    const size_t begin = i ? cuts[i - 1] : 0,
                 end = i + 1 < cuts.size() ? cuts[i + 1] : means.size();
    TrendChange change;
    change.at = cuts[i];
    const std::span<const double> all(means);
    ratio_of(all.subspan(begin, cuts[i] - begin), all.subspan(cuts[i], end - cuts[i]), change.ratio,
             change.low, change.high);
    change.with = differences(*of[cuts[i] - 1], *of[cuts[i]], engine);
    trend.changes.push_back(std::move(change));
  }
  return trend;
}

std::vector<AgainstHistory> against(const Result& result, std::span<const HistoryRun> runs) {
  const HistoryRun now = run_of(result);
  std::vector<HistoryRun> before;
  for (const HistoryRun& run : runs)
    if (run.created <= now.created && same_machine(run, now) && key_of(run) != key_of(now))
      before.push_back(run);
  std::vector<AgainstHistory> all;
  for (const HistoryPoint& p : now.points) {
    AgainstHistory one{p.engine, p.job, p.unit};
    one.now_s = std::exp(mean(logs_of(p.seconds)));
    const Trend trend = trend_of(before, p.engine, p.job);
    std::vector<double> logs;
    for (size_t i = trend.changes.empty() ? 0 : trend.changes.back().at; i < trend.points.size();
         ++i)
      logs.push_back(std::log(trend.points[i].value));
    one.runs = int(logs.size());
    if (logs.empty()) {
      one.why = "no earlier run of it on this machine";
      all.push_back(std::move(one));
      continue;
    }
    one.before_s = std::exp(mean(logs));
    one.ratio = one.low = one.high = one.now_s / one.before_s;
    if (one.runs < kFewestRuns) {
      one.why = concat(one.runs, one.runs == 1 ? " earlier run" : " earlier runs", ", at least ",
                       kFewestRuns, " are needed");
      all.push_back(std::move(one));
      continue;
    }
    // A run scatters about the mean of those before by their spread, and that mean by a part of it.
    const double half =
        t_quantile(0.975, one.runs - 1) * stddev(logs) * std::sqrt(1 + 1 / double(one.runs));
    one.low = one.ratio * std::exp(-half), one.high = one.ratio * std::exp(half);
    if (one.low >= 1 / (1 + kMargin) && one.high <= 1 + kMargin)
      one.verdict = Verdict::equivalent;
    else if (one.low > 1)
      one.verdict = Verdict::slower;
    else if (one.high < 1)
      one.verdict = Verdict::faster;
    else
      one.why = "earlier runs scatter by as much";
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace hearth::lab
