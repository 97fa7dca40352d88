#include "hearth/lab/show/standing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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
    case Finding::no_turns: return "they took no turns, so drift is in it";
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
  constexpr std::string_view kNames[] = {"not comparable", "no verdict", "no verdict",
                                         "undecided",      "undecided",  "undecided",
                                         "equivalent",     "faster",     "slower"};
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
