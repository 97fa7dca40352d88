#include "hearth/lab/judge/windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "hearth/lab/judge/stats.h"

namespace hearth::lab {

std::vector<Window> windows_of(const EngineResult& engine, int job, std::string_view phase) {
  constexpr double kSameTurn = 0.1;         // between repetitions of a round
  std::vector<std::pair<Window, int>> all;  // with their rounds
  for (const Repetition& r : engine.repetitions) {
    if (r.job != job || !r.counts()) continue;
    if (phase.empty())
      all.push_back({{r.start_s, r.start_s + r.total_s}, r.round});
    else if (phase == "prefill" && !r.token_s.empty())
      all.push_back({{r.start_s, r.start_s + r.token_s.front()}, r.round});
    else if (phase == "decode" && r.token_s.size() > 1)
      all.push_back({{r.start_s + r.token_s.front(), r.start_s + r.token_s.back()}, r.round});
  }
  std::ranges::sort(all, {}, [](const auto& one) { return one.first.from; });
  std::vector<Window> windows;
  int round = -1;
  for (const auto& [one, its_round] : all) {
    const double gap = windows.empty() ? INFINITY : one.from - windows.back().to;
    if (gap < 0 || (phase.empty() && its_round == round && gap < kSameTurn))
      windows.back().to = std::max(windows.back().to, one.to);
    else
      windows.push_back(one);
    round = its_round;
  }
  return windows;
}

std::vector<double> overlap(const std::vector<double>& sample_s, std::span<const Window> windows,
                            double period_s) {
  const double most = 1.5 * period_s;
  std::vector<double> seconds(sample_s.size());
  auto first = windows.begin();  // that a sample can still lie in
  for (size_t i = 0; i < sample_s.size(); ++i) {
    const double end = sample_s[i];
    const double begin = end - std::min(i ? end - sample_s[i - 1] : most, most);
    while (first != windows.end() && first->to <= begin) ++first;
    for (auto w = first; w != windows.end() && w->from < end; ++w)
      seconds[i] += std::max(0.0, std::min(end, w->to) - std::max(begin, w->from));
  }
  return seconds;
}

std::string under_sampled(const Result& result, const EngineResult& engine, int job,
                          std::string_view phase) {
  const auto period = result.plan.telemetry_period_s.value;
  const auto windows = windows_of(engine, job, phase);
  if (!period || windows.empty()) return "";
  std::vector<double> lengths;
  for (const Window& one : windows) lengths.push_back(one.to - one.from);
  const double length = median(lengths);
  // The clock of the run is a double: 0.3 s are three periods of 0.1 s.
  if (length >= kFewestPeriods * *period * (1 - 1e-9)) return "";
  return fmt::format(
      "under-sampled: it lasts {:.2g} s at a time, less than {} periods of telemetry "
      "({:g} s)",
      length, kFewestPeriods, *period);
}

}  // namespace hearth::lab
