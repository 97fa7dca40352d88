#include "hearth/lab/judge/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "hearth/base/error.h"
#include "hearth/lab/judge/busy.h"
#include "hearth/lab/judge/command_use.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/judge/windows.h"

namespace hearth::lab {

namespace {

/// Mean time per unit of each round that was measured.
std::map<int, double> round_times(const EngineResult& e, int job) {
  std::map<int, std::pair<double, double>> sums;  // time, units
  for (const Repetition* r : e.totals(job)) {
    sums[r->round].first += r->total_s;
    sums[r->round].second += units_of(*r);
  }
  std::map<int, double> times;
  for (const auto& [round, sum] : sums) times[round] = sum.first / sum.second;
  return times;
}

/// What an engine made of a job: of the first repetition that was measured, or of what stands in
/// its place.
struct Output {
  int prompt_tokens = -1, new_tokens = -1;
  std::optional<double> checksum;
};

Output output_of(const EngineResult& e, int job) {
  Output out;
  for (const Repetition& r : e.repetitions) {
    if (r.job != job) continue;
    if (const auto it = r.own.find("checksum"); it != r.own.end()) out.checksum = it->second;
    if (!r.counts()) continue;
    out.prompt_tokens = r.prompt_tokens;
    out.new_tokens = r.new_tokens;
  }
  for (const Published& p : e.published)
    if (p.job == job) out.prompt_tokens = p.prompt_tokens, out.new_tokens = p.new_tokens;
  return out;
}

// By how much each prefers its own token where their ids part: "; there ..." or "".
std::string margins(const EngineResult& a, const EngineResult& b, int job, const Divergence& at) {
  std::string text;
  for (const auto& [one, other] : {std::pair(&a, &b), std::pair(&b, &a)})
    for (const Margin& m : one->margins)
      if (m.other == other->label && m.job == job && m.row == at.row && m.index == at.index &&
          m.logits.value)
        text += fmt::format("{} {} prefers its own by {:.2g}", text.empty() ? "; there" : ",",
                            one->label, *m.logits.value);
  return text.empty() ? text : text + " in the logits";
}

// What a reader must know of the machine, the weights and the engines, and the result lacks.
std::vector<std::string> missing_facts(const Result& result, const EngineResult& a,
                                       const EngineResult& b, JobKind kind_of_job) {
  std::vector<std::string> missing;
  const auto look = [&](const std::string& name, const auto& list, auto&& is) {
    const auto it = std::ranges::find_if(list, is);
    if (it == list.end())
      missing.push_back(name + ": not in the result");
    else if (!it->value.value)
      missing.push_back(concat(name, ": ", it->value.reason));
  };
  const auto kind = [](const EngineResult& e) { return e.device.substr(0, e.device.find(':')); };
  std::vector<const char*> names = {"processor", "cores", "os", "governor", "power_source"};
  if (of_a_model(kind_of_job)) names.push_back("weights_sha256");
  if (kind(a) == "cuda" || kind(b) == "cuda") names.insert(names.end(), {"gpus", "gpu_driver"});
  for (const char* name : names)
    look(name, result.environment, [&](const Fact& f) { return f.name == name; });
  if (kind_of_job == JobKind::command) return missing;  // held against no limit, and any program
  for (const std::string& device : std::set<std::string>{kind(a), kind(b)})
    for (const char* name : {"nominal_bandwidth", "read_bandwidth"})
      look(concat(name, " of ", device), result.ceilings,
           [&](const Ceiling& c) { return c.name == name && c.device == device; });
  for (const EngineResult* e : {&a, &b})
    if (e->version.empty() && !e->commit.value)
      missing.push_back("version of " + e->label + ": the engine gives none");
  return missing;
}

// Three digits after the point, fewer of what is large.
std::string digits(double times) {
  return times < 10    ? fmt::format("{:.3f}", times)
         : times < 100 ? fmt::format("{:.1f}", times)
                       : fmt::format("{:.0f}", times);
}

// "" unless its times rose or fell all along, by more than 1 % in all.
std::string unstable(const EngineResult& e, int job) {
  constexpr size_t kMost = 400;  // rounds that are looked at, of more every second, third, ...
  std::map<int, double> starts;
  for (const Repetition* r : e.totals(job)) starts.emplace(r->round, r->start_s);
  std::vector<double> at, logs;
  size_t i = 0;
  for (const auto& [round, time] : round_times(e, job))
    if (i++ % (starts.size() / kMost + 1) == 0) {
      at.push_back(starts.at(round));
      logs.push_back(std::log(time));
    }
  if (at.size() < 2 || std::ranges::count(at, at[0]) == std::ssize(at)) return "";
  const Slope slope = theil_sen(at, logs);
  const double grown = std::expm1(slope.value * (at.back() - at.front()));
  if ((slope.low <= 0 && slope.high >= 0) || std::abs(grown) < 0.01) return "";
  return fmt::format("unstable: the times of {} {} by {:.1f} % from the first round to the last",
                     e.label, grown > 0 ? "rose" : "fell", 100 * std::abs(grown));
}

// "" unless the processor's clock is another after the run than before.
std::string clock_changed(const Result& result) {
  double before = 0, after = 0;
  for (const Ceiling& c : result.ceilings) {
    if (c.name == "clock" && c.value.value) before = *c.value.value;
    if (c.name == "clock_after" && c.value.value) after = *c.value.value;
  }
  if (before <= 0 || after <= 0 || std::abs(after / before - 1) < 0.03) return "";
  return fmt::format("unstable: the processor's clock was {:.0f} MHz before and {:.0f} MHz after",
                     before, after);
}

}  // namespace

std::optional<Divergence> first_divergence(const std::vector<std::vector<int>>& a,
                                           const std::vector<std::vector<int>>& b) {
  std::optional<Divergence> first;
  for (size_t row = 0; row < std::min(a.size(), b.size()); ++row)
    for (size_t i = 0; i < std::min(a[row].size(), b[row].size()); ++i)
      if (a[row][i] != b[row][i]) {
        if (!first || int(i) < first->index) first = Divergence{int(row), int(i)};
        break;
      }
  return first;
}

Comparability comparability(const Result& result, const EngineResult& a, const EngineResult& b,
                            int job) {
  const Job& what = result.jobs.at(size_t(job));
  Comparability gate;
  gate.drift_controlled = result.plan.order.starts_with("ABBA");
  for (const EngineResult* e : {&a, &b}) {
    std::set<int> starts;
    for (const Repetition* r : e->totals(job)) starts.insert(r->start);
    gate.one_process |= starts.size() == 1 && e->totals(job).size() > 1;
  }
  gate.environment = missing_facts(result, a, b, what.kind);
  const auto differ = [&](auto&&... parts) { gate.differences.push_back(concat(parts...)); };
  const auto unknown = [&](auto&&... parts) { gate.unknown.push_back(concat(parts...)); };
  for (const std::string& note : {unstable(a, job), unstable(b, job), clock_changed(result)})
    if (!note.empty()) gate.notes.push_back(note);
  const Output of_a = output_of(a, job), of_b = output_of(b, job);
  for (const EngineResult* e : {&a, &b})
    if (const auto why = under_sampled(result, *e, job);
        !why.empty() && what.kind != JobKind::command)  // whose reasons the system accounts for
      gate.notes.push_back(concat("telemetry of ", e->label, " is ", why));
  for (const EngineResult* e : {&a, &b})
    if (const std::string why = crowded(busy_of(result, *e, job)); !why.empty())
      gate.notes.push_back(concat(why, " while ", e->label, " ran: its times are not its own"));
  if (of_a.new_tokens != of_b.new_tokens && of_a.new_tokens >= 0 && of_b.new_tokens >= 0)
    differ("new tokens: ", of_a.new_tokens, " against ", of_b.new_tokens);
  if (of_a.prompt_tokens != of_b.prompt_tokens && of_a.prompt_tokens >= 0 &&
      of_b.prompt_tokens >= 0)
    differ("prompt tokens: ", of_a.prompt_tokens, " against ", of_b.prompt_tokens);
  if (what.kind == JobKind::command) {
    for (const EngineResult* e : {&a, &b})
      if (const std::string why = lost_in_shell(*e, job); !why.empty()) differ(why);
    return gate;
  }
  if (what.kind == JobKind::op) {  // no weights, no sampling
    // A sum of values around 0 cancels: it may be off by a share of what was added up.
    const double cancelled = what.op == "sum" && !what.shape.empty() ? 1e-4 * what.shape[0] : 0;
    if (!of_a.checksum || !of_b.checksum)
      unknown("the operation's result");
    else if (const double x = *of_a.checksum, y = *of_b.checksum;
             !(std::abs(x - y) <= 0.01 * std::max(std::abs(x), std::abs(y)) + cancelled))
      differ("the operation's result: mean absolute value ", fmt::format("{:.6g}", x), " against ",
             fmt::format("{:.6g}", y));
    return gate;
  }
  for (const EngineResult* e : {&a, &b}) {
    if (e->dtype.empty()) unknown("dtype of ", e->label);
    if (!e->bytes_per_weight.value) unknown("bytes per weight of ", e->label);
    // Of plain weights the dtype says it.
    if (e->activations.empty() && e->bytes_per_weight.value && *e->bytes_per_weight.value < 1.9)
      unknown("what ", e->label, " makes of activations for its packed weights");
    if (e->sampling == Sampling::unknown) unknown("sampling of ", e->label);
    if (!e->same_prompt_ids.value)
      unknown("prompt ids of ", e->label);
    else if (!*e->same_prompt_ids.value)
      unknown("prompt ids of ", e->label, ": it was given the text");
  }
  if (!a.dtype.empty() && !b.dtype.empty() && a.dtype != b.dtype)
    differ("dtype: ", a.dtype, " against ", b.dtype);
  if (const auto x = a.bytes_per_weight.value, y = b.bytes_per_weight.value;
      x && y && std::abs(*x - *y) > 0.02 * std::max(*x, *y))
    differ("bytes per weight: ", fmt::format("{:.3g} against {:.3g}", *x, *y),
           std::min(*x, *y) < 1.9
               ? fmt::format(", which are {:.3g} and {:.3g} bits", 8 * *x, 8 * *y)
               : "");
  if (!a.activations.empty() && !b.activations.empty() && a.activations != b.activations)
    differ("activations: ", a.activations, " against ", b.activations);
  if (a.sampling != b.sampling && a.sampling != Sampling::unknown &&
      b.sampling != Sampling::unknown)
    differ("sampling: ", to_string(a.sampling), " against ", to_string(b.sampling));
  const auto *ids_of_a = a.ids(job), *ids_of_b = b.ids(job);
  if (!ids_of_a || !ids_of_b) {
    unknown("whether both made the same tokens");
  } else if (const auto at = first_divergence(*ids_of_a, *ids_of_b)) {
    const std::string where =
        concat("ids differ from new token ", at->index + 1, " on",
               what.batch > 1 ? concat(" in row ", at->row + 1) : "", margins(a, b, job, *at));
    if (at->index >= kSoonestByRounding || what.random_weights)
      gate.notes.push_back(where);
    else
      differ(where, ", too early for rounding");
  }
  return gate;
}

Comparison compare(const Result& result, std::string_view a, std::string_view b, int job) {
  const EngineResult *of_a = result.engine(a), *of_b = result.engine(b);
  for (const auto& [label, engine] : {std::pair(a, of_a), std::pair(b, of_b)}) {
    if (engine) continue;
    std::string all;
    for (const EngineResult& e : result.engines) all += concat(all.empty() ? "" : ", ", e.label);
    check(false, "compare: there is no engine '", label, "' in the result; it has ", all);
  }
  check(a != b, "compare: ", a,
        " and itself; name two engines (`hearth lab run --aa` measures one ",
        "twice, for the noise)");
  check_job(result, job, "compare");
  return {std::string(a), std::string(b), job, comparability(result, *of_a, *of_b, job),
          estimate(*of_a, *of_b, job)};
}

std::string Comparison::verdict() const {
  if (!time || !gate.comparable() || !gate.drift_controlled) return "";
  if (!time->busy.empty()) return "undecided: the machine was busy";
  return std::string(to_string(time->time.verdict));
}

std::string environment_line(const Comparability& gate) {
  std::string text;
  for (const std::string& fact : gate.environment)
    text +=
        (text.empty() ? "  not known of the machine: " : ", ") + fact.substr(0, fact.find(": "));
  return text.empty() ? text : text + "\n";
}

std::vector<std::string> all_unknown(const Comparability& gate) {
  auto all = gate.unknown;
  all.insert(all.end(), gate.environment.begin(), gate.environment.end());
  return all;
}

std::string to_text(const Comparison& c, const Job& job) {
  const std::string per = concat("per ", unit_of(job.kind));
  if (!c.time) return fmt::format("{} and {}: no pairs were measured", c.a, c.b);
  const PairedRatio& t = c.time->time;
  const bool slower = t.ratio < 1;
  const std::string of = t.starts == 1 && c.time->pairs > 1
                             ? fmt::format("{} pairs of one start", c.time->pairs)
                         : c.time->pairs == t.starts
                             ? fmt::format("{} starts of each", t.starts)
                             : fmt::format("{} starts of each, {} pairs", t.starts, c.time->pairs);
  const std::string left_out = c.time->disturbed > 0 && c.time->busy.empty()
                                   ? fmt::format("; {} disturbed left out", c.time->disturbed)
                                   : "";
  const std::string interval =
      fmt::format("95 % interval {} to {}, {}{}", digits(slower ? 1 / t.high : t.low),
                  digits(slower ? 1 / t.low : t.high), of, left_out);
  const std::string times = digits(slower ? 1 / t.ratio : t.ratio);
  if (!c.gate.comparable() || !c.gate.drift_controlled)
    return fmt::format("{} took {} times the time of {} {} ({}); {}", slower ? c.a : c.b, times,
                       slower ? c.b : c.a, per, interval,
                       c.gate.comparable() ? "no verdict, they took no turns" : "not comparable");
  if (!c.time->busy.empty())
    return fmt::format(
        "{} and {}: undecided: the machine was busy: {} ({} took {} times the time "
        "of {} {}, {})",
        c.a, c.b, c.time->busy, slower ? c.a : c.b, times, slower ? c.b : c.a, per, interval);
  switch (t.verdict) {
    case Verdict::equivalent:
      return fmt::format("{} and {} are equivalent {}: within {:.0f} % ({})", c.a, c.b, per,
                         kMargin * 100, interval);
    case Verdict::faster:
    case Verdict::slower:
      return fmt::format("{} is {} times {} than {} {} ({})", c.a, times, to_string(t.verdict), c.b,
                         per, interval);
    case Verdict::undecided: break;
  }
  return t.starts < kFewestStarts
             ? fmt::format("{} and {}: undecided; {} start{} of each, at least {} are needed ({})",
                           c.a, c.b, t.starts, t.starts == 1 ? "" : "s", kFewestStarts, interval)
             : fmt::format("{} and {}: undecided {} ({})", c.a, c.b, per, interval);
}

}  // namespace hearth::lab
