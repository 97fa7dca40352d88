#include "hearth/lab/show/explain_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/lab/judge/busy.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/show/standing.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {
namespace {

using nlohmann::json;

std::string percent(double fraction) { return fmt::format("{:.0f} %", 100 * fraction); }

std::string interval(const TimeRatio& ratio) {
  if (ratio.n < 2) return "no interval: one run";
  return fmt::format("95 % interval {:.2f} to {:.2f}", ratio.low, ratio.high);
}

// A's time over B's; a ratio below 1 is turned round.
struct Told {
  const Side *slow, *fast;
  TimeRatio ratio;
};
Told told(const Explanation& e, const TimeRatio& ratio) {
  if (ratio.value >= 1) return {&e.a, &e.b, ratio};
  return {&e.b, &e.a, inverse(ratio)};
}

std::string who(const Explanation& e, const Result& result, const Headline& head, size_t width) {
  const Told total = told(e, e.total), unit = told(e, e.per_unit);
  std::string text =
      folded(decided(head.finding) ? head.sentence()
                                   : concat(head.verdict(), ": ", head.why_none, "."),
             std::min<size_t>(width, 80)) +
      "\n\n";
  text += fmt::format("{} took {:.2f} times the time of {} in total ({}),\n", total.slow->label,
                      total.ratio.value, total.fast->label, interval(total.ratio));
  text += fmt::format("and {}{:.2f} times per {} ({}).\n",
                      unit.slow == total.slow ? "" : unit.slow->label + " ", unit.ratio.value,
                      e.unit, interval(unit.ratio));
  for (const Side* side : {&e.a, &e.b})
    text += fmt::format("  {}{:>10.4g} s in all{:>10.4g} ms per {}\n",
                        padded(shortened(side->label, 24), 24), side->total_s,
                        side->per_unit_s * 1e3, e.unit);
  if (e.pairs && e.gate.comparable()) {
    const Comparison again{e.a.label, e.b.label, e.job, e.gate, e.pairs};
    text += "Verdict: " + to_text(again, result.jobs[size_t(e.job)]) + ".\n";
  }
  return text;
}

std::string gate(const Explanation& e) {
  std::string text =
      e.gate.comparable() ? "Comparable: yes.\n" : "Comparable: NO, so neither is called faster.\n";
  for (const auto& difference : e.gate.differences) text += "  differs: " + difference + "\n";
  for (const auto& unknown : e.gate.unknown) text += "  unknown: " + unknown + "\n";
  text += environment_line(e.gate);
  for (const auto& note : e.gate.notes) text += "  note: " + note + "\n";
  return text;
}

std::string attribution(const Explanation& e) {
  const Attribution& t = e.attribution;
  if (!e.parts.empty()) {
    double more = 0;
    for (const TimePart& part : e.parts) more += part.more_s();
    std::string text =
        fmt::format("Where the time went, per run of {}, and of {}:\n", e.a.label, e.b.label);
    for (const TimePart& part : e.parts)
      text += fmt::format("  {:<13}{:>9} {:>9} {:>6}\n", part.name, with_unit(part.a_s),
                          with_unit(part.b_s), more == 0 ? "" : percent(part.more_s() / more));
    return text;
  }
  std::string text = fmt::format("Where the time went: ln({:.3f}) = {:+.3f} per {} of {}\n",
                                 std::exp(t.log_ratio), t.log_ratio, e.unit, e.a.label);
  const auto line = [&](const char* name, const Reading<double>& term, const std::string& from) {
    if (term.value)
      text += fmt::format("  {:<13}{:+.3f} {:>6}  {}\n", name, *term.value,
                          t.log_ratio == 0 ? "" : percent(*term.value / t.log_ratio), from);
    else
      text += fmt::format("  {:<13}unknown  {}\n", name, term.reason);
  };
  const auto pair = [&](const Reading<double>& a, const Reading<double>& b, double scale,
                        const char* unit) {
    if (!a.value || !b.value) return std::string();
    return fmt::format("{:.0f} against {:.0f} {}", *a.value * scale, *b.value * scale, unit);
  };
  line("clock", t.clock, pair(e.a.busy.clock_mhz, e.b.busy.clock_mhz, 1, "MHz"));
  line("cycles", t.cycles, "what the other two leave");
  line("utilisation", t.utilisation,
       pair(e.a.busy.active_fraction, e.b.busy.active_fraction, 100, "% active"));
  if (t.cycles.value)
    text += "  This is bookkeeping: the terms sum up exactly, and none of them is a cause.\n";
  return text;
}

std::string limits(const Side& side) {
  std::string text;
  for (const Phase& phase : side.phases) {
    text += fmt::format("  {}, {}: {}", side.label, phase.name, to_string(phase.regime));
    if (!phase.because.empty()) text += " (" + phase.because + ")";
    if (phase.gb_s.value)
      text += fmt::format(
          "\n    {:.3g} GB/s{}, {:.3g} GFLOP/s{}", *phase.gb_s.value,
          phase.bandwidth_share.value ? " = " + percent(*phase.bandwidth_share.value) : "",
          *phase.gflop_s.value,
          phase.compute_share.value ? " = " + percent(*phase.compute_share.value) : "");
    else
      text += "\n    its work is not known: " + phase.work.reason;
    if (phase.floor_s.value)
      text += fmt::format("\n    at least {:.3g} ms of {:.3g} ms = {} ({})",
                          *phase.floor_s.value * 1e3, phase.time_s * 1e3,
                          percent(*phase.floor_s.value / phase.time_s), phase.floor_from);
    text += "\n";
    if (!phase.under_sampled.empty()) text += "    " + phase.under_sampled + "\n";
  }
  for (const auto& [what, share] : side.busy.held_back)
    text += fmt::format("    held back by {} for {} of the time\n", what, percent(share));
  for (const StateShares& list : side.busy.states) {
    std::string shares;
    for (const auto& [state, share] : list.states)
      if (share >= 0.005) shares += fmt::format(", {} {}", state, percent(share));
    if (!shares.empty()) text += fmt::format("    {}: {}\n", list.list, shares.substr(2));
  }
  if (const std::string asked = asked_for(side.busy); !asked.empty()) text += "    " + asked + "\n";
  for (const auto& one : side.busy.discrepancies)
    text += fmt::format("    its sources disagree: {}\n", one);
  return text;
}

// Nothing where no power is known.
std::string energy(const Explanation& e) {
  std::string text;
  for (const Side* side : {&e.a, &e.b})
    if (side->joules_per_unit.value)
      text += fmt::format("  {}: {:.3g} J per {} ({:.0f} W{})\n", side->label,
                          *side->joules_per_unit.value, e.unit, *side->busy.power_w.value,
                          side->idle_power_w.value ? fmt::format("; {:.0f} W with nothing to do",
                                                                 *side->idle_power_w.value)
                                                   : "");
  return text.empty() ? text : "Energy:\n" + text;
}

std::string interventions(const Explanation& e) {
  std::string text, tested, open, cause;
  for (const Hypothesis& h : e.hypotheses) {
    if (h.observed.value) {
      if (h.cause != cause) tested += fmt::format("Interventions, if {}:\n", cause = h.cause);
      tested += fmt::format(
          "  {}: predicted{} {}; observed {:.2f}{}: {}{}\n", h.intervention,
          h.predicted_at.empty() ? "" : " " + h.predicted_at, h.prediction, *h.observed.value,
          h.interval ? fmt::format(" (95 % interval {:.2f} to {:.2f}, {} starts)", h.interval->low,
                                   h.interval->high, h.interval->starts)
                     : "",
          h.verdict, h.verdict == "held" && !h.decisive ? ", as any cause would have it" : "");
    } else {
      open += fmt::format("  {}. Predicted{}: {}{}\n", h.intervention,
                          h.predicted_at.empty() ? "" : " " + h.predicted_at, h.prediction,
                          h.predicted.value ? "; " + h.observed.reason : "");
    }
  }
  text += tested;
  if (!open.empty()) text += "To find the cause, try on " + e.a.label + ":\n" + open;
  return text;
}

template <class T>
json value_of(const Reading<T>& reading) {
  if (reading.value) return {{"value", *reading.value}};
  return {{"value", nullptr}, {"reason", reading.reason}};
}

json json_of(const TimeRatio& r) {
  json out = {{"value", r.value}, {"n", r.n}, {"paired", r.paired}};
  if (r.n >= 2) out["low"] = r.low, out["high"] = r.high;
  return out;
}

json json_of(const Side& side) {
  json phases = json::array();
  for (const Phase& p : side.phases) {
    json work = {{"value", nullptr}, {"reason", p.work.reason}};
    if (p.work.value)
      work = {{"bytes", p.work.value->bytes}, {"operations", p.work.value->operations}};
    phases.push_back({{"name", p.name},
                      {"time_s", p.time_s},
                      {"work", work},
                      {"gb_s", value_of(p.gb_s)},
                      {"gflop_s", value_of(p.gflop_s)},
                      {"bandwidth_share", value_of(p.bandwidth_share)},
                      {"compute_share", value_of(p.compute_share)},
                      {"active_fraction", value_of(p.active_fraction)},
                      {"clock_mhz", value_of(p.clock_mhz)},
                      {"telemetry_s", p.telemetry_s},
                      {"under_sampled", p.under_sampled.empty() ? json() : json(p.under_sampled)},
                      {"launches", value_of(p.launches)},
                      {"launch_share", value_of(p.launch_share)},
                      {"floor_s", value_of(p.floor_s)},
                      {"floor_from", p.floor_from},
                      {"regime", to_string(p.regime)},
                      {"because", p.because}});
  }
  json held = json::object();
  for (const auto& [what, share] : side.busy.held_back) held[what] = share;
  json states = json::object();
  for (const StateShares& list : side.busy.states)
    for (const auto& [state, share] : list.states)
      states[list.list].push_back({{"state", state}, {"fraction", share}});
  return {
      {"label", side.label},
      {"device", side.device},
      {"per_unit_s", side.per_unit_s},
      {"total_s", side.total_s},
      {"active_fraction", value_of(side.busy.active_fraction)},
      {"clock_mhz", value_of(side.busy.clock_mhz)},
      {"clock_max_mhz", value_of(side.busy.clock_max_mhz)},
      {"clock_source", side.busy.clock_from},
      {"process_active_cores", value_of(side.busy.host_cores)},
      {"others_active_fraction", value_of(side.busy.others)},
      {"power_w", value_of(side.busy.power_w)},
      {"idle_power_w", value_of(side.idle_power_w)},
      {"joules_per_unit", value_of(side.joules_per_unit)},
      {"held_back", held},
      {"limits", side.busy.limits},
      {"states", states},
      {"discrepancies", side.busy.discrepancies},
      {"telemetry_s", side.busy.seconds},
      {"telemetry_samples", side.busy.samples},
      {"under_sampled", side.busy.under_sampled.empty() ? json() : json(side.busy.under_sampled)},
      {"phases", phases}};
}

}  // namespace

std::string to_text(const Explanation& e, const Result& result, size_t width) {
  const Headline head = headline(result, e);
  std::string text =
      fmt::format("{}\n{}\n{}", who(e, result, head, width), gate(e), attribution(e));
  if (e.parts.empty())
    text += concat("\nAgainst the machine's limits:\n", limits(e.a), limits(e.b));
  for (const Side* side : {&e.a, &e.b})
    if (e.parts.empty() && side->busy.samples > 0 && side->busy.seconds < 5)
      text += fmt::format("  {}: only {:.1f} s of telemetry; 5 s are wanted\n", side->label,
                          side->busy.seconds);
  text += energy(e) + '\n';
  text += interventions(e);
  text += e.certainty == "not established"
              ? fmt::format("\nCause: {}.\n", e.cause)
              : fmt::format("\nCause ({}): {}.\n", e.certainty, e.cause);
  if (!head.advice.words.empty()) text += "\n" + head.advice.words + "\n";
  text = folded(printable(text), width);
  if (!head.advice.command.empty()) text += folded_command(head.advice.command, width) + "\n";
  return text;
}

json to_json(const Explanation& e) {
  const Attribution& t = e.attribution;
  const auto term = [&](const Reading<double>& reading) {
    json out = value_of(reading);
    if (reading.value && t.log_ratio != 0) out["share"] = *reading.value / t.log_ratio;
    return out;
  };
  json hypotheses = json::array();
  for (const Hypothesis& h : e.hypotheses) {
    hypotheses.push_back({{"engine", h.engine},
                          {"cause", h.cause},
                          {"intervention", h.intervention},
                          {"prediction", h.prediction},
                          {"predicted", value_of(h.predicted)},
                          {"observed", value_of(h.observed)},
                          {"decisive", h.decisive},
                          {"verdict", h.verdict}});
    json& last = hypotheses.back();
    if (h.interval) last["interval"] = {h.interval->low, h.interval->high};
    if (!h.predicted_at.empty()) last["predicted_at"] = h.predicted_at;
  }
  json parts = json::array();
  for (const TimePart& part : e.parts)
    parts.push_back({{"name", part.name}, {"a_s", part.a_s}, {"b_s", part.b_s}});
  return {{"job", e.job + 1},
          {"unit", e.unit},
          {"a", json_of(e.a)},
          {"b", json_of(e.b)},
          {"comparable", e.gate.comparable()},
          {"comparability",
           {{"differences", e.gate.differences},
            {"unknown", all_unknown(e.gate)},
            {"notes", e.gate.notes}}},
          {"ratio", {{"total", json_of(e.total)}, {"per_unit", json_of(e.per_unit)}}},
          {"attribution",
           {{"log_ratio", t.log_ratio},
            {"cycles", term(t.cycles)},
            {"clock", term(t.clock)},
            {"utilisation", term(t.utilisation)}}},
          {"parts", parts},
          {"hypotheses", hypotheses},
          {"certainty", e.certainty},
          {"cause", e.cause}};
}

}  // namespace hearth::lab
