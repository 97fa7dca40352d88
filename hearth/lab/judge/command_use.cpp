#include "hearth/lab/judge/command_use.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "hearth/base/error.h"
#include "hearth/lab/judge/times.h"

namespace hearth::lab {

std::vector<double> accounted(const EngineResult& engine, int job, std::string_view key) {
  std::vector<double> all;
  for (const Repetition* r : engine.totals(job))
    if (const auto it = r->own.find(std::string(key)); it != r->own.end())
      all.push_back(it->second);
  return all;
}

CommandUse use_of(const EngineResult& engine, int job) {
  CommandUse use;
  const auto mean_of = [&](std::string_view key) -> std::optional<double> {
    const auto all = accounted(engine, job, key);
    return all.empty() ? std::nullopt : std::optional(mean(all));
  };
  if (const auto total = total_of(engine, job)) use.total_s = total->mean_s;
  use.user_s = mean_of("user_s");
  use.system_s = mean_of("system_s");
  use.faults = mean_of("minor_faults");
  use.major_faults = mean_of("major_faults");
  use.voluntary = mean_of("voluntary_switches");
  use.involuntary = mean_of("involuntary_switches");
  use.energy_j = mean_of("energy_j");
  use.shell_s = mean_of("shell_s");
  if (const auto peaks = accounted(engine, job, "peak_memory_bytes"); !peaks.empty())
    use.peak_bytes = std::ranges::max(peaks);
  return use;
}

std::vector<std::string> metrics_of(const EngineResult& engine, int job) {
  std::vector<std::string> keys;
  for (const Repetition* r : engine.totals(job))
    for (const auto& [key, value] : r->own)
      if (key.find('(') != key.npos && std::ranges::find(keys, key) == keys.end())
        keys.push_back(key);
  return keys;
}

std::optional<PairedRatio> metric_ratio(const EngineResult& a, const EngineResult& b, int job,
                                        const std::string& metric) {
  const auto rounds_of = [&](const EngineResult& e) {
    std::map<int, std::vector<double>> logs;
    for (const Repetition* r : e.totals(job))
      if (const auto it = r->own.find(metric); it != r->own.end() && it->second > 0)
        logs[r->round].push_back(std::log(it->second));
    return logs;
  };
  const auto of_a = rounds_of(a), of_b = rounds_of(b);
  std::vector<double> ratios;
  for (const auto& [round, logs] : of_a)
    if (const auto it = of_b.find(round); it != of_b.end())
      ratios.push_back(mean(it->second) - mean(logs));
  return ratios.empty() ? std::nullopt : std::optional(paired_ratio(ratios));
}

std::string lost_in_shell(const EngineResult& engine, int job) {
  constexpr double kLeast = 0.5;  // of the shell's own start, which scatters by as much
  const CommandUse use = use_of(engine, job);
  if (!use.shell_s || median(unit_times(engine, job)) >= kLeast * *use.shell_s) return "";
  return fmt::format("{} is lost in the {} that its shell takes to start; -N starts it without one",
                     engine.label, with_unit(*use.shell_s));
}

std::vector<TimePart> time_parts(const EngineResult& a, const EngineResult& b, int job) {
  const CommandUse x = use_of(a, job), y = use_of(b, job);
  if (!x.user_s || !y.user_s || !x.system_s || !y.system_s) return {};
  // Of a program that keeps one processor busy at most, what is left of the time is waiting.
  const auto waiting = [](const CommandUse& u) {
    return std::max(0.0, u.total_s - *u.user_s - *u.system_s);
  };
  return {{"user time", *x.user_s, *y.user_s},
          {"system time", *x.system_s, *y.system_s},
          {"waiting", waiting(x), waiting(y)}};
}

std::string why_slower(const EngineResult& slow, const EngineResult& fast, int job) {
  const CommandUse a = use_of(slow, job), b = use_of(fast, job);
  const double more = a.total_s - b.total_s;
  std::vector<TimePart> parts = time_parts(slow, fast, job);
  if (more <= 0) return "";
  std::ranges::sort(parts, std::greater(), &TimePart::more_s);
  std::string text;
  double explained = 0;
  for (const TimePart& part : parts) {
    if (explained >= more / 2 || part.more_s() < more / 5) break;
    explained += part.more_s();
    if (!text.empty()) text += ", ";
    const double times = part.b_s > 0 ? part.a_s / part.b_s : 1000;
    text += times < 100 ? fmt::format("{:.3g} times the {} ({}, not {})", times, part.name,
                                      with_unit(part.a_s), with_unit(part.b_s))
                        : fmt::format("{} more of {}", with_unit(part.more_s()), part.name);
    if (part.name == "system time" && a.faults && b.faults && *a.faults > 2 * *b.faults)
      text += fmt::format(", {:.0f} times the page faults", *a.faults / std::max(*b.faults, 1.0));
  }
  return explained >= more / 2 ? text : "";
}

}  // namespace hearth::lab
