#include "hearth/lab/show/charts_states.h"

#include <fmt/format.h>

#include "hearth/base/error.h"
#include "hearth/lab/judge/busy.h"

namespace hearth::lab {
namespace {

constexpr double kWidth = 400, kHead = 22, kRow = 17;
constexpr double kLeast = 0.005;  // of the time, to be shown

// What a list is of, in words; a part of the time for each name.
struct Bars {
  std::string heading;
  std::vector<std::pair<std::string, double>> parts;
};

std::string heading_of(const std::string& list) {
  if (list == "gpu_states") return "it was in";
  if (list == "gpu_requested_states") return "software asked for (P1 is the slowest)";
  if (list == "gpu_sw_states") return "software was given";
  return list;
}

std::vector<Bars> bars_of(const Busy& busy) {
  std::vector<Bars> all;
  const auto add = [&](std::string heading, const auto& parts) {
    Bars bars{std::move(heading), {}};
    for (const auto& [name, part] : parts)
      if (part >= kLeast && part <= 1.01) bars.parts.emplace_back(name, part);
    if (!bars.parts.empty()) all.push_back(std::move(bars));
  };
  for (const StateShares& list : busy.states) add(heading_of(list.list), list.states);
  add("its clock was held down by", busy.limits);
  return all;
}

}  // namespace

std::vector<Chart> state_bars(const Result& result, int job) {
  std::vector<Chart> charts;
  for (const EngineResult& engine : result.engines) {
    const auto all = bars_of(busy_of(result, engine, job));
    if (all.empty()) continue;
    double height = 6;
    for (const Bars& bars : all) height += kHead + kRow * double(bars.parts.size());
    Chart chart{concat("states-", charts.size() + 1), "States of the GPU: " + engine.label,
                "Parts of the time of the job, from half a percent.",
                Svg(kWidth, height, "States of the GPU: " + engine.label)};
    const double left = 110, right = kWidth - 52;
    double y = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      chart.svg.text(8, y + 15, all[i].heading, "bold");
      y += kHead;
      for (const auto& [name, part] : all[i].parts) {
        const std::string percent = fmt::format("{:.1f} %", 100 * part);
        const double length = (right - left) * std::min(part, 1.0);
        chart.svg.text(left - 6, y + 12, name.substr(0, 16), "", Svg::Anchor::end);
        chart.svg.rect(left, y + 2, length, kRow - 4, concat("f", i % 8), name + ": " + percent);
        chart.svg.text(left + length + 5, y + 12, percent);
        y += kRow;
      }
    }
    charts.push_back(std::move(chart));
  }
  return charts;
}

}  // namespace hearth::lab
