#include "hearth/lab/show/standing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "hearth/base/error.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/show/advice.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {
namespace {

// A sentence that has labels in it, with the names that are read.
std::string named(std::string text, const Explanation& e) {
  for (const Side* side : {&e.a, &e.b}) {
    const std::string name = name_of(side->label);
    if (name == side->label) continue;
    for (size_t at = 0; (at = text.find(side->label, at)) != text.npos; at += name.size())
      text.replace(at, side->label.size(), name);
  }
  return shortened(one_line(text), 300);
}

constexpr double kNear = 0.6, kByCaches = 1.1;  // of what memory gives, as in judge/roofline.cpp

Finding finding_of(const Explanation& e) {
  if (!e.gate.comparable()) return Finding::not_comparable;
  if (!e.pairs) return Finding::no_pairs;
  if (!e.gate.drift_controlled) return Finding::no_turns;
  if (!e.pairs->busy.empty()) return Finding::busy;
  switch (e.pairs->time.verdict) {
    case Verdict::equivalent: return Finding::equivalent;
    case Verdict::faster: return Finding::faster;
    case Verdict::slower: return Finding::slower;
    case Verdict::undecided: break;
  }
  return e.pairs->time.starts < kFewestStarts ? Finding::few_starts : Finding::undecided;
}

// A's time over B's. Of one start of each the interval is that of its pairs, and has no verdict.
TimeRatio ratio_of(const Explanation& e) {
  TimeRatio ratio = e.per_unit;
  if (e.pairs) ratio.n = std::max(ratio.n, e.pairs->pairs);
  return ratio;
}

// Why there is no verdict, in a clause.
std::string why_none(const Explanation& e, Finding finding, const Result& result) {
  const auto published = [&](const Side& side) {
    const EngineResult* engine = result.engine(side.label);
    return engine && engine->totals(e.job).empty();
  };
  switch (finding) {
    case Finding::not_comparable: return named(e.gate.differences.front(), e);
    case Finding::no_pairs:
      return published(e.a) || published(e.b) ? "only means are known, no single runs"
                                              : "no round has times of both";
    case Finding::no_turns:
      return concat("they took no turns, so drift is in it",
                    e.gate.one_process ? "; and all runs of one are of one process" : "");
    case Finding::busy: return "the machine was busy: " + e.pairs->busy;
    case Finding::few_starts:
      return fmt::format("{} start{} of each; at least {} are needed", e.pairs->time.starts,
                         e.pairs->time.starts == 1 ? "" : "s", kFewestStarts);
    default: return "the interval holds 1";
  }
}

// The part of the attribution that makes more than half of it, in a multiple.
std::string main_part(const Explanation& e, bool a_slow, std::string_view slow,
                      std::string_view fast) {
  const Attribution& t = e.attribution;
  const double sign = a_slow ? 1 : -1, most = 0.5 * std::abs(t.log_ratio);
  const Side &s = a_slow ? e.a : e.b, &f = a_slow ? e.b : e.a;
  const auto term = [&](const Reading<double>& part) {
    return part.value ? sign * *part.value : -HUGE_VAL;
  };
  const double cycles = term(t.cycles), clock = term(t.clock), waits = term(t.utilisation);
  if (std::max({cycles, clock, waits}) <= most) return "";
  if (cycles >= clock && cycles >= waits)
    return fmt::format("{} needs {} times the cycles", slow, digits(std::exp(cycles)));
  if (clock >= waits)
    return fmt::format("{} runs at {:.0f} MHz, {} at {:.0f} MHz", slow, *s.busy.clock_mhz.value,
                       fast, *f.busy.clock_mhz.value);
  return fmt::format("{}'s device works {:.0f} % of the time, that of {} {:.0f} %", slow,
                     100 * *s.busy.active_fraction.value, fast,
                     100 * *f.busy.active_fraction.value);
}

std::string interval_of(const TimeRatio& ratio) {
  return ratio.n > 1 ? fmt::format(" ({} to {})", digits(ratio.low), digits(ratio.high)) : "";
}

Regime regime_of(const Side& side) {
  return side.phases.empty() ? Regime::unknown : side.phases[0].regime;
}

std::string certainty_of(const Explanation& e) {
  if (e.certainty == "refuted") return named(concat("It is ", e.cause, "."), e);
  return named(e.cause.starts_with("not established")
                   ? concat("The cause is ", e.cause, ".")
                   : fmt::format("The cause is {}: {}.", e.certainty, e.cause),
               e);
}

std::string capital(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = char(text[0] - 'a' + 'A');
  return text;
}

std::string verb_of(const Job& job) {
  switch (job.kind) {
    case JobKind::command: return "runs";
    case JobKind::op: return "computes " + one_line(job.op);
    case JobKind::prefill: return "reads the prompt";
    default: return "answers";
  }
}

}  // namespace

std::string_view to_string(Finding finding) {
  constexpr std::string_view kNames[] = {
      "not comparable", "no verdict", "no verdict", "undecided", "undecided",
      "undecided",      "equivalent", "faster",     "slower",    "depends on the job"};
  return kNames[size_t(finding)];
}

std::string digits(double x) {
  return x < 0.00995   ? fmt::format("{:.2g}", x)
         : x < 9.995   ? fmt::format("{:.2f}", x)
         : x < 99.95   ? fmt::format("{:.1f}", x)
         : x < 99999.5 ? fmt::format("{:.0f}", x)
                       : fmt::format("{:.3g}", x);
}

std::string times_text(const TimeRatio& ratio) {
  return digits(ratio.value) + " times" + interval_of(ratio);
}

TimeRatio inverse(const TimeRatio& ratio) {
  return {1 / ratio.value, 1 / ratio.high, 1 / ratio.low, ratio.n, ratio.paired};
}

std::string name_of(std::string_view label) { return shortened(one_line(label), 44); }

std::string Headline::verdict() const { return capital(std::string(to_string(finding))); }

std::string Headline::reason() const { return (of_one ? why_none : capital(why_none)) + "."; }

Tone Standing::tone() const {
  if (first || finding == Finding::equivalent) return Tone::plain;
  return finding == Finding::faster   ? Tone::good
         : finding == Finding::slower ? Tone::bad
                                      : Tone::doubtful;
}

Reason why_of(const Explanation& e) {
  if (e.certainty == "supported by an intervention") return {named(e.cause, e)};
  if (!e.parts.empty()) return {e.certainty == "measured" ? named(e.cause, e) : ""};
  if (e.certainty == "refuted") return {};
  const bool a_slow = e.per_unit.value >= 1;
  const Side &s = a_slow ? e.a : e.b, &f = a_slow ? e.b : e.a;
  const std::string slow = name_of(s.label), fast = name_of(f.label);
  if (!s.phases.empty() && !f.phases.empty() && s.phases[0].name == f.phases[0].name) {
    const auto p = s.phases[0].bandwidth_share.value, q = f.phases[0].bandwidth_share.value;
    if (p && q && *q >= kNear && *p < *q)
      return {*q > kByCaches
                  ? fmt::format("{} reads from the caches, faster than memory gives; {} reads at "
                                "{:.0f} % of it",
                                fast, slow, 100 * *p)
                  : fmt::format("{} reads memory at {:.0f} % of what this machine gives; {} at "
                                "{:.0f} %",
                                fast, 100 * *q, slow, 100 * *p)};
  }
  const Regime of_s = regime_of(s), of_f = regime_of(f);
  if (of_s != Regime::unknown && of_f != Regime::unknown && of_s != of_f)
    return {fmt::format("{} is {} and {} is {}", slow, to_string(of_s), fast, to_string(of_f))};
  if (const std::string part = main_part(e, a_slow, slow, fast); !part.empty())
    return {part, false};
  if (of_s == Regime::unknown || of_f == Regime::unknown) return {};
  return {fmt::format("both are {}", to_string(of_s)), false};
}

std::vector<Standing> standings(const Result& result, int job) {
  std::vector<Standing> all;
  const EngineResult* first = nullptr;
  for (size_t i = 0; i < result.engines.size(); ++i) {
    const EngineResult& engine = result.engines[i];
    const auto times = unit_times(engine, job);
    if (times.empty()) continue;
    Standing s;
    s.engine = i;
    s.time_s = mean(times);
    s.first = !first;
    if (!first) {
      first = &engine;
      all.push_back(std::move(s));
      continue;
    }
    for (const std::string& metric : metrics_of(engine, job))
      if (const auto m = metric_ratio(*first, engine, job, metric))
        s.metrics.push_back(fmt::format("{}: {} times ({} to {}) as much", metric, digits(m->ratio),
                                        digits(m->low), digits(m->high)));
    try {
      const Explanation e = explain(result, first->label, engine.label, job);
      s.ratio = inverse(ratio_of(e));
      s.finding = finding_of(e);
      if (s.finding == Finding::faster || s.finding == Finding::slower)  // the first one is
        s.finding = s.finding == Finding::faster ? Finding::slower : Finding::faster;
      if (!std::isfinite(s.ratio.value)) continue;
      if (!decided(s.finding))
        s.why = why_none(e, s.finding, result);
      else if (s.finding != Finding::equivalent)
        s.why = why_of(e).clause;
    } catch (const std::invalid_argument&) {  // times whose ratio is beyond all numbers
      continue;
    }
    all.push_back(std::move(s));
  }
  std::ranges::stable_sort(all, {}, &Standing::time_s);
  return all;
}

namespace {

/// How another engine stands to the first one in a job.
struct InJob {
  int job;
  Standing standing;
};

/// "1.20 to 2.90", or "1.20" where that is all.
std::string range_of(const std::vector<double>& ratios) {
  const auto [least, most] = std::ranges::minmax(ratios);
  const std::string low = digits(least), high = digits(most);
  return low == high ? low : low + " to " + high;
}

/// Three of the jobs by name, of the rest how many.
std::string names_of(const Result& result, const std::vector<int>& jobs) {
  constexpr size_t kNamed = 3;
  std::string text;
  for (size_t i = 0; i < std::min(jobs.size(), kNamed); ++i)
    text += concat(i ? "; " : "", "job ", jobs[i] + 1, ", ",
                   shortened(name_of_job(result.jobs[size_t(jobs[i])], false), 44));
  return jobs.size() > kNamed ? concat(text, "; and ", jobs.size() - kNamed, " more") : text;
}

Headline over_jobs_of(const Result& result, const std::string& a, const std::string& b,
                      const std::vector<InJob>& all) {
  struct Group {
    std::vector<int> jobs;
    std::vector<double> ratios;
  } a_ahead, b_ahead, equal, open;
  std::string why;  // no verdict in the first of the open ones
  double logs = 0;  // of B's time over A's
  for (const auto& [job, s] : all) {
    logs += std::log(s.ratio.value);
    Group& group = s.finding == Finding::slower       ? a_ahead
                   : s.finding == Finding::faster     ? b_ahead
                   : s.finding == Finding::equivalent ? equal
                                                      : open;
    if (&group == &open && open.jobs.empty()) why = s.why;
    group.jobs.push_back(job);
    group.ratios.push_back(&group == &b_ahead ? 1 / s.ratio.value : s.ratio.value);
  }
  const bool a_wins = a_ahead.jobs.size() != b_ahead.jobs.size()
                          ? a_ahead.jobs.size() > b_ahead.jobs.size()
                          : logs >= 0;
  const Group &won = a_wins ? a_ahead : b_ahead, &lost = a_wins ? b_ahead : a_ahead;
  const std::string winner = name_of(a_wins ? a : b), loser = name_of(a_wins ? b : a);
  const size_t n = all.size();
  Headline h;
  const auto add = [&](const std::string& words, const std::vector<int>& jobs) {
    if (!jobs.empty())
      h.cause += concat(h.cause.empty() ? "" : " ", words, ": ", names_of(result, jobs), ".");
  };
  if (won.jobs.empty()) {
    h.finding = equal.jobs.size() == n ? Finding::equivalent : Finding::undecided;
    if (open.jobs.size() == n && std::ranges::all_of(all, [&](const InJob& one) {
          return to_string(one.standing.finding) == to_string(all[0].standing.finding);
        }))
      h.finding = all[0].standing.finding;
    std::vector<double> ratios = equal.ratios;
    ratios.insert(ratios.end(), open.ratios.begin(), open.ratios.end());
    if (h.finding == Finding::equivalent) {
      h.who = name_of(a) + " and " + name_of(b);
      h.how_much = fmt::format("are equally fast within {:.0f} % in all {} jobs: the ratios are {}",
                               100 * kMargin, n, range_of(ratios));
      h.cause = "There is nothing to explain: all intervals lie within the margin.";
      return h;
    }
    h.who = name_of(b);
    h.how_much =
        fmt::format("took {} times the time of {} in {} jobs", range_of(ratios), name_of(a), n);
    h.why_none = open.jobs.size() == 1
                     ? why
                     : concat(why, " (the first of ", open.jobs.size(), " jobs without a verdict)");
    h.of_one = h.why_none.starts_with(name_of(a)) || h.why_none.starts_with(name_of(b));
    add("Equivalent in", equal.jobs);
    const int job = open.jobs.front();
    h.advice = headline(result, explain(result, a, b, job)).advice;
    return h;
  }
  h.finding = won.jobs.size() == n ? Finding::faster : Finding::mixed;
  h.who = fmt::format("{} is faster than {}", winner, loser);
  h.how_much =
      fmt::format("in {} jobs, {} times as fast",
                  won.jobs.size() == n ? concat("all ", n) : concat(won.jobs.size(), " of ", n),
                  range_of(won.ratios));
  if (!lost.jobs.empty())
    h.how_much += fmt::format("; {} is faster in {}, {} times", loser, lost.jobs.size(),
                              range_of(lost.ratios));
  if (won.jobs.size() == n) {
    const auto at = [&](auto it) { return won.jobs[size_t(it - won.ratios.begin())]; };
    add("Most in", {at(std::ranges::max_element(won.ratios))});
    add("Least in", {at(std::ranges::min_element(won.ratios))});
  }
  add(loser + " is ahead in", lost.jobs);
  add("Equivalent in", equal.jobs);
  add("No verdict in", open.jobs);
  return h;
}

}  // namespace

std::string name_of_job(const Job& job, bool with_model) {
  if (job.kind == JobKind::command) return job.op.empty() ? "commands" : one_line(job.op);
  if (job.kind == JobKind::op) {
    std::string shape;
    for (const int size : job.shape) shape += concat(shape.empty() ? "" : "x", size);
    return one_line(concat(job.op, " ", shape, " ", job.dtype));
  }
  std::string name(to_string(job.kind));
  if (with_model) name += " " + std::filesystem::path(job.model).filename().string();
  if (job.kind != JobKind::prefill) name += concat(", ", job.new_tokens, " new tokens");
  name += concat(", a prompt of ", job.prompt_tokens);
  return one_line(job.batch > 1 ? concat(name, ", ", job.batch, " rows") : name);
}

std::vector<Headline> over_jobs(const Result& result) {
  std::map<size_t, std::map<size_t, std::vector<InJob>>> pairs;  // by the first one, and the other
  std::map<size_t, size_t> jobs;                                 // of each first one
  for (int job = 0; job < int(result.jobs.size()); ++job) {
    const auto all = standings(result, job);
    const auto first = std::ranges::find(all, true, &Standing::first);
    if (all.size() < 2 || first == all.end()) continue;
    ++jobs[first->engine];
    for (const Standing& s : all)
      if (!s.first) pairs[first->engine][s.engine].push_back({job, s});
  }
  std::vector<Headline> found;
  const auto most = std::ranges::max_element(jobs, {}, [](const auto& one) { return one.second; });
  if (most == jobs.end() || most->second < 2) return found;
  struct Other {
    size_t engine;
    const std::vector<InJob>* jobs;
    double log;  // of its time over the first one's
  };
  std::vector<Other> others;
  for (const auto& [engine, of] : pairs[most->first]) {
    if (of.size() < 2) continue;
    double sum = 0;
    for (const InJob& one : of) sum += std::log(one.standing.ratio.value);
    others.push_back({engine, &of, sum / double(of.size())});
  }
  std::ranges::stable_sort(others, [](const Other& x, const Other& y) {
    return x.jobs->size() != y.jobs->size() ? x.jobs->size() > y.jobs->size() : x.log < y.log;
  });
  for (const Other& other : others)
    found.push_back(over_jobs_of(result, result.engines[most->first].label,
                                 result.engines[other.engine].label, *other.jobs));
  return found;
}

Headline headline(const Result& result, const Explanation& e) {
  const bool a_slow = e.per_unit.value >= 1;
  const Side &s = a_slow ? e.a : e.b, &f = a_slow ? e.b : e.a;
  const std::string slow = name_of(s.label), fast = name_of(f.label);
  const TimeRatio ratio = a_slow ? ratio_of(e) : inverse(ratio_of(e));
  const Job& job = result.jobs[size_t(e.job)];
  Headline h;
  h.finding = finding_of(e);
  if (decided(h.finding) && h.finding != Finding::equivalent) {
    h.finding = Finding::faster;
    h.who = fmt::format("{} {}", fast, verb_of(job));
    h.how_much =
        fmt::format("{} times as fast as {}{}", digits(ratio.value), slow, interval_of(ratio));
    const auto [why, cause] = why_of(e);
    h.cause =
        why == named(e.cause, e) ? fmt::format("The cause is {}.", e.certainty) : certainty_of(e);
    if (!cause)
      h.cause += " What differs: " + why + ".";
    else if (why.starts_with(fast + " "))
      h.because = ", because it" + why.substr(fast.size());
    else if (!why.empty())
      h.because = ", because " + why;
    return h;
  }
  if (h.finding == Finding::equivalent) {
    h.who = fmt::format("{} and {}", name_of(e.a.label), name_of(e.b.label));
    h.how_much = fmt::format("are equally fast within {:.0f} %: the ratio is {}{}", 100 * kMargin,
                             digits(ratio.value), interval_of(ratio));
    h.cause = "There is nothing to explain: the whole interval lies within the margin.";
    return h;
  }
  h.who = slow;
  h.how_much = fmt::format("took {} times the time of {} per {}{}", digits(ratio.value), fast,
                           e.unit, interval_of(ratio));
  h.why_none = why_none(e, h.finding, result);
  h.of_one = h.why_none.starts_with(slow) || h.why_none.starts_with(fast);
  if (h.finding != Finding::busy) {
    const std::string known = why_of(e).clause;
    if (known.empty() || known != named(e.cause, e)) h.cause = certainty_of(e);
    if (!known.empty()) h.cause += concat(h.cause.empty() ? "" : " ", "What differs: ", known, ".");
  }
  h.advice = advice_of(result, e, h.finding);
  return h;
}

}  // namespace hearth::lab
