#include "hearth/lab/judge/hypotheses.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "hearth/base/error.h"
#include "hearth/lab/judge/interventions.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"

namespace hearth::lab {
namespace {

constexpr std::array kCauses{Regime::bandwidth, Regime::compute, Regime::launch,
                             Regime::host,      Regime::clock,   Regime::kernels};

struct Change {
  const char* option;  // of the engine, or "batch" of the job
  std::string from, to;
  Reading<double> bytes;     // of a weight, after over before
  double before_s, after_s;  // a step: of all rows
};

// The geometric mean, as of all ratios.
double step_time(const EngineResult& engine, int job) {
  auto times = unit_times(engine, job);
  for (double& time : times) time = std::log(time);
  return times.empty() ? 0 : std::exp(mean(times));
}

std::string option_of(const EngineResult& engine, const char* key) {
  const auto found = engine.options.find(key);
  if (found != engine.options.end()) return found->second;
  if (key == std::string_view("dtype")) return engine.dtype;
  if (key == std::string_view("threads") && engine.threads.value)
    return std::to_string(*engine.threads.value);
  return "";
}

Reading<double> bytes_factor(const EngineResult& before, const EngineResult& after) {
  if (!before.bytes_per_weight.value || !after.bytes_per_weight.value)
    return Reading<double>::missing("the bytes of a weight are not known");
  return *after.bytes_per_weight.value / *before.bytes_per_weight.value;
}

// Engines of the same program and device that differ in one option, jobs that differ in the batch.
std::vector<Change> changes_of(const Result& result, const EngineResult& engine, int job) {
  std::vector<Change> changes;
  const double before = step_time(engine, job);
  if (before <= 0) return changes;
  for (const EngineResult& other : result.engines) {
    if (&other == &engine || other.name != engine.name || other.program != engine.program ||
        other.device != engine.device)
      continue;
    auto left = engine.options, right = other.options;
    for (const char* option : {"threads", "dtype", "compile"}) {
      auto l = left, r = right;
      l.erase(option), r.erase(option);
      const std::string from = option_of(engine, option), to = option_of(other, option);
      if (const double after = step_time(other, job); l == r && from != to && after > 0)
        changes.push_back({option, from, to, bytes_factor(engine, other), before, after});
    }
  }
  const Job& mine = result.jobs[size_t(job)];
  for (size_t i = 0; i < result.jobs.size(); ++i) {
    const Job& other = result.jobs[i];
    if (int(i) == job || other.batch == mine.batch || !of_a_model(other.kind) ||
        other.new_tokens != mine.new_tokens || other.prompt_tokens != mine.prompt_tokens ||
        (other.kind == JobKind::prefill) != (mine.kind == JobKind::prefill))
      continue;
    if (const double after = step_time(engine, int(i)); after > 0)
      changes.push_back(
          {"batch", std::to_string(mine.batch), std::to_string(other.batch), 1.0, before, after});
  }
  return changes;
}

struct Proposal {
  const char *option, *does, *prediction;
};

// What to try where nothing of it is in the result, by the cause it would separate from the others.
std::vector<Proposal> proposals(Regime cause) {
  switch (cause) {
    case Regime::bandwidth:
      return {{"dtype", "halve the bytes of a weight", "half the time"},
              {"batch", "two rows at once", "the same time a step"}};
    case Regime::compute:
      return {{"batch", "two rows at once", "twice the time a step"},
              {"threads", "half the threads", "twice the time"}};
    case Regime::launch:
      return {{"batch", "two rows at once", "the same time a step"},
              {"compile", "fewer and larger launches", "less time, the device active for more"}};
    case Regime::host:
      return {{"batch", "two rows at once", "the same time a step"},
              {"threads", "half the threads", "the same time"}};
    case Regime::clock:
      return {{"keepalive", "a light load beside it keeps the clock up",
               "time falls as the clock rises"},
              {"pause", "pauses of 0, 0.2, 1 and 2 s before it", "the same time after each"}};
    default:
      return {{"keepalive", "a light load beside it keeps the clock up",
               "less time if the clock is the cause, the same if it is an effect"},
              {"pause", "pauses of 0, 0.2, 1 and 2 s before it",
               "the same time, unless memory or clock fall asleep"},
              {"dtype", "halve the bytes of a weight", "half the time if memory binds"},
              {"batch", "two rows at once", "the same time a step unless arithmetic binds"}};
  }
}

// What was written down before, and what was seen then.
Hypothesis hypothesis_of(const Intervention& i) {
  const Observed seen = judge(i);
  Hypothesis h;
  h.engine = i.engine;
  h.cause = fmt::format("{} is {}", i.engine, i.cause);
  h.intervention = i.change;
  h.prediction = i.prediction;
  h.predicted = i.predicted;
  h.predicted_at = i.predicted_at;
  h.interval = seen.ratio;
  h.observed = seen.ratio ? Reading<double>(seen.ratio->ratio)
               : i.measured_at.empty()
                   ? Reading<double>::missing("not run")
                   : Reading<double>::missing(i.fault.empty() ? "no pairs were measured" : i.fault);
  h.decisive = !i.unlike.empty();
  h.verdict = seen.verdict;
  return h;
}

}  // namespace

std::string in_words(double factor) {
  if (factor > 1 / 1.02 && factor < 1.02) return "the same time";
  return fmt::format("{:.2f} times the time", factor);
}

namespace {

// Fewer and larger launches. What they cost is waiting, and goes: as far as the device waited, or
// further, since the kernels become others too. So any less time holds.
Reading<Prediction> predicted_of_compiling(Regime cause, const std::string& from,
                                           const Busy& busy) {
  using P = Reading<Prediction>;
  if (!from.empty() && from != "0")
    return P::missing("what the steps cost that are not compiled does not follow");
  if (cause == Regime::bandwidth || cause == Regime::compute) return Prediction(1);
  if (cause != Regime::launch) return P::missing("the cause predicts nothing for a compiler");
  constexpr double kLess = 1 / kTolerance, kAny = 0.01;
  const double active = busy.active_fraction.value.value_or(kLess);
  return Prediction(std::clamp(active, kAny, kLess), kAny, kLess);
}

}  // namespace

Reading<Prediction> predicted(Regime cause, std::string_view change, const std::string& from,
                              const std::string& to, const Reading<double>& bytes,
                              const Busy& busy) {
  using P = Reading<Prediction>;
  const double before = std::atof(from.c_str()), after = std::atof(to.c_str());
  if (change == "keepalive") {
    if (cause != Regime::clock) return Prediction(1);
    if (!busy.clock_mhz.value || !busy.clock_max_mhz.value)
      return P::missing("the clocks are not known");
    return Prediction(*busy.clock_mhz.value / *busy.clock_max_mhz.value);
  }
  if (change == "pause") return Prediction(1);
  if (change == "compile") return predicted_of_compiling(cause, from, busy);
  if (change == "batch") {
    if (cause == Regime::compute) return Prediction(after / before);
    if (cause == Regime::clock || cause == Regime::kernels)
      return P::missing("the cause predicts nothing for more rows");
    return Prediction(1);
  }
  if (change == "dtype") {
    if (cause == Regime::launch || cause == Regime::host) return Prediction(1);
    if (cause == Regime::bandwidth)
      return bytes.value ? P(Prediction(*bytes.value)) : P::missing(bytes.reason);
    return P::missing("the cause predicts nothing for another dtype");
  }
  // threads
  if (cause == Regime::bandwidth || cause == Regime::launch || cause == Regime::host)
    return Prediction(1);
  if ((cause == Regime::compute || cause == Regime::kernels) && before > 0 && after > 0)
    return Prediction(before / after);
  return P::missing("the cause predicts nothing for other threads");
}

std::vector<std::string> causes_unlike(double least, double most, std::string_view change,
                                       const std::string& from, const std::string& to,
                                       const Reading<double>& bytes, const Busy& busy) {
  std::vector<std::string> unlike;
  for (const Regime cause : kCauses) {
    const auto other = predicted(cause, change, from, to, bytes, busy);
    if (other.value && (other.value->factor < least || other.value->factor > most))
      unlike.emplace_back(to_string(cause));
  }
  return unlike;
}

std::vector<Hypothesis> hypotheses_of(const Result& result, const EngineResult& engine, int job,
                                      const Phase& main, const Busy& busy) {
  std::vector<Hypothesis> all;
  const std::string cause = main.regime == Regime::unknown
                                ? "the cause is not known"
                                : fmt::format("{} is {}", engine.label, to_string(main.regime));
  std::string tried;
  for (const Intervention& i : result.interventions) {
    if (i.engine != engine.label || i.job != job) continue;
    all.push_back(hypothesis_of(i));
    tried += concat(" ", i.change);
  }
  for (const Change& change : changes_of(result, engine, job)) {
    Hypothesis h;
    h.engine = engine.label;
    h.cause = cause;
    const auto named = [](const std::string& value) { return value.empty() ? "none" : value; };
    h.intervention =
        fmt::format("{} from {} to {}", change.option, named(change.from), named(change.to));
    const auto told =
        main.regime == Regime::unknown
            ? Reading<Prediction>::missing("nothing follows from an unknown cause")
            : predicted(main.regime, change.option, change.from, change.to, change.bytes, busy);
    const double observed = change.after_s / change.before_s;
    h.observed = observed;
    if (told.value) {
      const auto& [factor, least, most] = *told.value;
      h.predicted = factor;
      h.prediction = in_words(factor);
      h.verdict = observed > least && observed < most ? "held" : "failed";
      h.decisive =
          !causes_unlike(least, most, change.option, change.from, change.to, change.bytes, busy)
               .empty();
    } else {
      h.predicted = Reading<double>::missing(told.reason);
      h.prediction = told.reason;
      h.verdict = "not tested";
    }
    tried += concat(" ", change.option);
    all.push_back(std::move(h));
  }
  for (const Proposal& proposal : proposals(main.regime)) {
    if (tried.find(proposal.option) != tried.npos) continue;
    Hypothesis h;
    h.engine = engine.label;
    h.cause = cause;
    h.intervention = fmt::format("{}: {}", proposal.option, proposal.does);
    h.prediction = proposal.prediction;
    h.predicted = h.observed = Reading<double>::missing("not run");
    h.verdict = "not tested";
    all.push_back(std::move(h));
  }
  return all;
}

}  // namespace hearth::lab
