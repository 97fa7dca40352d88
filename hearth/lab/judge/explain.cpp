#include "hearth/lab/judge/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hearth/base/error.h"
#include "hearth/lab/judge/busy.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"

namespace hearth::lab {
namespace {

// Means of logarithms with their standard errors: the interval that Welch's test gives.
TimeRatio ratio_of(const Total& a, const Total& b, double units_a, double units_b) {
  const double log = std::log(a.mean_s / units_a) - std::log(b.mean_s / units_b);
  const auto variance = [](const Total& t) {
    const double relative = t.stddev_s / t.mean_s;
    return relative * relative / t.n;
  };
  TimeRatio ratio{
      .value = std::exp(log), .low = 0, .high = INFINITY, .n = std::min(a.n, b.n), .paired = false};
  if (ratio.n < 2) return ratio;
  const double va = variance(a), vb = variance(b), sum = va + vb;
  double half = 0;
  if (sum > 0) {
    const double degrees = sum * sum / (va * va / (a.n - 1) + vb * vb / (b.n - 1));
    half = t_quantile(0.975, std::max(1, int(degrees))) * std::sqrt(sum);
  }
  ratio.low = std::exp(log - half);
  ratio.high = std::exp(log + half);
  return ratio;
}

// compare() has how many times faster A is; here it is A's time over B's.
TimeRatio ratio_of(const Estimate& pairs) {
  const PairedRatio& t = pairs.time;
  return {1 / t.ratio, 1 / t.high, 1 / t.low, t.starts, true};
}

Attribution attribute(const Explanation& e) {
  using Number = Reading<double>;
  Attribution t{
      .log_ratio = std::log(e.per_unit.value), .cycles = {}, .clock = {}, .utilisation = {}};
  const auto kind = [](const Side& side) { return side.device.starts_with("cpu"); };
  if (kind(e.a) != kind(e.b)) {
    t.cycles = t.clock = t.utilisation =
        Number::missing("they run on different kinds of devices, whose cycles do not compare");
    return t;
  }
  const auto minus_log = [](const Side& a, const Side& b, const Reading<double>& of_a,
                            const Reading<double>& of_b) -> Number {
    for (const auto& [side, reading] : {std::pair(&a, &of_a), std::pair(&b, &of_b)}) {
      if (!reading->value) return Number::missing(concat(side->label, ": ", reading->reason));
      if (*reading->value <= 0) return Number::missing(concat(side->label, ": it is zero"));
    }
    return -std::log(*of_a.value / *of_b.value);
  };
  t.clock =
      e.a.busy.clock_from != e.b.busy.clock_from
          ? Number::missing(concat("the clocks are from different channels: ", e.a.busy.clock_from,
                                   " and ", e.b.busy.clock_from))
          : minus_log(e.a, e.b, e.a.busy.clock_mhz, e.b.busy.clock_mhz);
  t.utilisation = minus_log(e.a, e.b, e.a.busy.active_fraction, e.b.busy.active_fraction);
  // What is left is cycles, if nothing else is: T = cycles / (clock * utilisation).
  t.cycles = !t.clock.value         ? Number::missing("the clock's part is unknown")
             : !t.utilisation.value ? Number::missing("the utilisation's part is unknown")
                                    : Number(t.log_ratio - *t.clock.value - *t.utilisation.value);
  return t;
}

Side side_of(const Result& result, const EngineResult& engine, int job) {
  Side side;
  side.label = engine.label;
  side.device = engine.device;
  side.per_unit_s = mean(unit_times(engine, job));
  side.total_s = total_of(engine, job)->mean_s;
  side.busy = busy_of(result, engine, job);
  side.phases = phases_of(result, engine, job, side.busy);
  const Reading<double>& power = side.busy.power_w;
  const int rows = std::max(1, result.jobs[size_t(job)].batch);
  side.joules_per_unit =
      power.value ? Reading<double>(*power.value * side.per_unit_s / rows) : power;
  side.idle_power_w =
      Reading<double>::missing("the result has no idle_power among the machine's limits");
  for (const Ceiling& c : result.ceilings)
    if (c.name == "idle_power" && side.device.starts_with(c.device)) side.idle_power_w = c.value;
  return side;
}

// The largest term of the attribution, or nothing.
std::optional<std::string> largest(const Attribution& t) {
  std::optional<std::string> name;
  double most = 0.5 * std::abs(t.log_ratio);  // less than half of it is no main part
  for (const auto& [what, term] : {std::pair("more cycles", &t.cycles),
                                   {"a lower clock", &t.clock},
                                   {"a device that waits more", &t.utilisation}})
    if (term->value && *term->value * (t.log_ratio < 0 ? -1 : 1) > most) {
      most = std::abs(*term->value);
      name = what;
    }
  return name;
}

void conclude(Explanation& e) {
  const Hypothesis *held = nullptr, *failed = nullptr;
  for (const auto& h : e.hypotheses) {
    if (h.verdict == "held" && h.decisive && !held) held = &h;
    if (h.verdict == "failed" && !failed) failed = &h;
  }
  const auto main = largest(e.attribution);
  const Regime regime = e.a.phases.empty() ? Regime::unknown : e.a.phases[0].regime;
  const std::string bound =
      regime == Regime::unknown ? "" : fmt::format("{} is {}", e.a.label, to_string(regime));
  if (e.pairs && !e.pairs->busy.empty()) {
    e.certainty = "not established";
    e.cause = "not established: the machine was busy, " + e.pairs->busy;
  } else if (!e.gate.comparable()) {
    e.certainty = "not established";
    e.cause = main ? fmt::format(
                         "not established. Of the logarithm of the ratio most is {}, but "
                         "the two did not do the same work, and {} may be an effect of how "
                         "the work was sent as well as a cause",
                         *main, *main)
                   : "not established: the two did not do the same work";
  } else if (failed) {
    e.certainty = "refuted";
    e.cause =
        fmt::format("not that {}: predicted was {}{}; it took {:.2f} times the time", failed->cause,
                    failed->predicted_at.empty() ? failed->intervention + ": " : "",
                    failed->prediction, *failed->observed.value);
  } else if (held) {
    e.certainty = "supported by an intervention";
    e.cause = fmt::format("{}: {} as predicted", held->cause, held->intervention);
  } else if (main || (!bound.empty() && e.pairs)) {
    e.certainty = main ? "attributed" : "measured";
    e.cause = fmt::format("{}{}{}; no intervention has tested it",
                          main ? fmt::format("most of it is {}", *main) : "",
                          main && !bound.empty() ? ", and " : "", bound);
  } else {
    e.certainty = "not established";
    e.cause = "not established: too much is unknown";
  }
}

// A command's processes come and go: what the system accounts to them says where the time went, and
// the machine's clock and activity meanwhile do not.
void account(Explanation& e, const EngineResult& a, const EngineResult& b) {
  e.attribution.clock = e.attribution.utilisation = e.attribution.cycles =
      Reading<double>::missing("a command's time is its user, system and waiting time");
  e.parts = time_parts(a, b, e.job);
  const bool a_slower = e.a.per_unit_s >= e.b.per_unit_s;
  const std::string why = a_slower ? why_slower(a, b, e.job) : why_slower(b, a, e.job);
  if (!e.gate.comparable() || why.empty()) {
    e.certainty = "not established";
    e.cause = e.gate.comparable() ? "not established: nothing that the system accounts makes it up"
                                  : "not established: " + e.gate.differences.front();
    return;
  }
  e.certainty = "measured";
  e.cause = concat(a_slower ? e.a.label : e.b.label, " has ", why);
}

}  // namespace

std::pair<std::string, std::string> first_two(const Result& result, int job) {
  check_job(result, job, "explain");
  std::vector<std::pair<double, std::string>> found;
  for (const EngineResult& engine : result.engines)
    if (const auto times = unit_times(engine, job); !times.empty() && found.size() < 2)
      found.emplace_back(mean(times), engine.label);
  check(found.size() == 2, "explain: ", found.size(), " engines have times of job ", job + 1,
        "; two are needed");
  if (found[0].first < found[1].first) std::swap(found[0], found[1]);
  return {found[0].second, found[1].second};
}

Explanation explain(const Result& result, std::string_view a, std::string_view b, int job) {
  Comparison comparison = compare(result, a, b, job);  // checks the labels and the job
  const EngineResult &of_a = *result.engine(a), &of_b = *result.engine(b);
  for (const EngineResult* engine : {&of_a, &of_b})
    check(total_of(*engine, job).has_value(), "explain: ", engine->label, " has no times of job ",
          job + 1, engine->faults.empty() ? "" : ": " + engine->faults.front());
  const Job& what = result.jobs[size_t(job)];
  Explanation e;
  e.job = job;
  e.unit = unit_of(what.kind);
  e.a = side_of(result, of_a, job);
  e.b = side_of(result, of_b, job);
  e.gate = std::move(comparison.gate);
  for (const Fact& fact : result.environment)  // the one that decides what a limit is
    if (fact.name == "processor" && !fact.value.value)
      e.gate.unknown.push_back("the machine: " + fact.value.reason);
  if (!e.gate.drift_controlled)
    e.gate.unknown.push_back(concat("drift: the order was ",
                                    result.plan.order.empty() ? "unknown" : result.plan.order,
                                    ", not ABBA"));
  e.pairs = comparison.time;
  const Total total_a = *total_of(of_a, job), total_b = *total_of(of_b, job);
  // The same estimator for both: where tokens are equal, both are one number.
  const auto whole = estimate(of_a, of_b, job, Per::execution);
  e.total = whole ? ratio_of(*whole) : ratio_of(total_a, total_b, 1, 1);
  e.per_unit = e.pairs ? ratio_of(*e.pairs)
                       : ratio_of(total_a, total_b, std::max(1, total_a.new_tokens),
                                  std::max(1, total_b.new_tokens));
  e.attribution = attribute(e);
  // What is said of one engine alone reads as if the other were not so.
  for (auto [one, other] : {std::pair(&e.a, &e.b), {&e.b, &e.a}})
    if (!one->phases.empty() && !other->phases.empty() &&
        one->phases[0].regime == Regime::unknown && other->phases[0].regime != Regime::unknown) {
      other->phases[0].because =
          concat("of ", one->label, " it is not known, so of neither: ", one->phases[0].because);
      other->phases[0].regime = Regime::unknown;
    }
  if (!e.a.phases.empty()) e.hypotheses = hypotheses_of(result, of_a, job, e.a.phases[0], e.a.busy);
  conclude(e);
  if (what.kind == JobKind::command) account(e, of_a, of_b);
  return e;
}

}  // namespace hearth::lab
