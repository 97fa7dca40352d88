#include "hearth/lab/show/charts_machine.h"

#include <fmt/format.h>

#include <cmath>

#include "hearth/lab/judge/busy.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {
namespace {

using Anchor = Svg::Anchor;
using Points = std::vector<std::pair<double, double>>;

constexpr double kPlotLeft = 44, kPlotRight = kChartWidth - kChartEdge;
constexpr double kKey = 14, kPlot = 96, kGap = 16;

// Samples with the time between repetitions taken out.
struct Line {
  std::string name, style;
  Points points;
  bool area = false;
};
struct Panel {
  const char* unit;
  std::vector<Line> lines;
  double height() const { return kKey * double(lines.size()) + 6 + kPlot + kGap; }
};
struct EngineWork {
  std::string label;
  double seconds = 0;
  Panel active{"%", {}}, clocks{"MHz", {}};
};

// How many processors the shares of all processors are of; 0 if it is not known.
double processors(const Result& result, const Timeline& telemetry) {
  constexpr std::string_view kEach = "cpu_active_fraction.";
  const auto counted = std::ranges::count_if(telemetry.channels, [&](const Channel& channel) {
    return channel.name.starts_with(kEach) && channel.name.size() > kEach.size() &&
           channel.name.find_first_not_of("0123456789", kEach.size()) == std::string::npos;
  });
  if (counted > 0) return double(counted);
  for (const Fact& fact : result.environment)
    if (fact.name == "hardware_threads" && fact.value.value)
      return std::strtod(fact.value.value->c_str(), nullptr);
  return 0;
}

EngineWork work_of(const Result& result, size_t index) {
  const EngineResult& engine = result.engines[index];
  const Timeline& telemetry = engine.telemetry;
  EngineWork work{.label = one_line(engine.label)};
  const double longest = 1.5 * result.plan.telemetry_period_s.value.value_or(1);
  std::vector<double> at(telemetry.time_s.size());
  for (size_t i = 0; i < at.size(); ++i) {
    const double gap = i ? telemetry.time_s[i] - telemetry.time_s[i - 1] : longest / 1.5;
    work.seconds += std::min(gap, longest);
    at[i] = work.seconds;
  }
  const auto add = [&](Panel& to, std::string name, std::string style, auto&& value,
                       bool area = false) {
    Line line{std::move(name), std::move(style), {}, area};
    const size_t step = at.size() / 1500 + 1;
    for (size_t i = 0; i < at.size(); i += step)
      if (const std::optional<double> v = value(i)) line.points.emplace_back(at[i], *v);
    if (line.points.empty()) return false;
    to.lines.push_back(std::move(line));
    return true;
  };
  const auto channel = [&](std::string_view name, double scale) {
    return [found = telemetry.find(name), scale](size_t i) -> std::optional<double> {
      if (!found || !found->values[i]) return std::nullopt;
      return *found->values[i] * scale;
    };
  };
  const std::string own = line_of(index);
  const double count = processors(result, telemetry);
  const auto all = channel("cpu_active_fraction", 100),
             mine = channel("process_active_cores", count > 0 ? 100 / count : 0);
  add(work.active, "GPU", own, channel("gpu_active_fraction", 100));
  const bool apart = count > 0 && add(work.active, "processors, the engine", own + " dash", mine);
  if (apart)
    add(
        work.active, "processors, others", "band",
        [&](size_t i) -> std::optional<double> {
          const auto of_all = all(i), of_own = mine(i);
          if (!of_all || !of_own) return std::nullopt;
          return std::max(0.0, *of_all - *of_own);
        },
        true);
  else if (!add(work.active, "processors, the engine and others", "roof dash", all))
    for (const Channel& one : telemetry.channels)
      if (one.name.starts_with("cpu_active_fraction.") && work.active.lines.size() < 4)
        add(work.active, "processors " + fitted(one_line(one.name.substr(20)), 120), "roof dash",
            channel(one.name, 100));
  add(work.clocks, "GPU", own, channel("gpu_clock_mhz", 1));
  for (const char* name : {"process_clock_mhz", "cpu_clock_mhz", "cpu_clock_probe_mhz"})
    if (add(work.clocks, "processors", own + " dash", channel(name, 1))) break;
  return work;
}

void draw(Svg& svg, const Panel& panel, double top, double seconds, double most) {
  for (size_t i = 0; i < panel.lines.size(); ++i) {
    const Line& line = panel.lines[i];
    const double y = top + kKey * double(i) + 9;
    const auto peak = std::ranges::max_element(line.points, {}, [](auto& p) { return p.second; });
    if (line.area)
      svg.rect(kPlotLeft, y - 6, 22, 7, line.style);
    else
      svg.polyline(Points{{kPlotLeft, y - 3}, {kPlotLeft + 22, y - 3}}, line.style);
    svg.text(kPlotLeft + 28, y,
             fmt::format("{}: at most {} {}", line.name, short_number(peak->second), panel.unit));
  }
  top += kKey * double(panel.lines.size()) + 6;
  const double bottom = top + kPlot;
  if (!(seconds > 0)) seconds = 1;
  const auto x = [&](double t) { return kPlotLeft + (kPlotRight - kPlotLeft) * t / seconds; };
  const auto y = [&](double v) { return bottom - kPlot * std::clamp(v / (most * 1.06), 0.0, 1.0); };
  for (const double tick : spaced(ticks_between(0, most, 4), y, 16)) {
    svg.line(kPlotLeft, y(tick), kPlotRight, y(tick), "grid");
    svg.text(kPlotLeft - 4, y(tick) + 4, short_number(tick), "dim", Anchor::end);
  }
  for (const bool area : {true, false})  // areas below the lines
    for (const Line& line : panel.lines) {
      if (line.area != area) continue;
      Points points;
      const std::pair<double, double>* peak = &line.points.front();
      for (const auto& point : line.points) {
        points.emplace_back(x(point.first), y(point.second));
        if (point.second > peak->second) peak = &point;
      }
      if (points.size() == 1) points.emplace_back(points[0].first + 1, points[0].second);
      if (area) {
        svg.area(points, bottom, line.style);
        continue;
      }
      svg.polyline(points, line.style);
      svg.circle(x(peak->first), y(peak->second), 4, "mark");
    }
}

}  // namespace

std::vector<Chart> timelines(const Result& result) {
  std::vector<EngineWork> all;
  double seconds = 0, mhz = 0;
  for (size_t i = 0; i < result.engines.size(); ++i) {
    EngineWork work = work_of(result, i);
    if (work.active.lines.empty() && work.clocks.lines.empty()) continue;
    seconds = std::max(seconds, work.seconds);
    for (const Line& line : work.clocks.lines)
      for (const auto& [t, v] : line.points) mhz = std::max(mhz, v);
    all.push_back(std::move(work));
  }
  std::vector<Chart> charts;
  for (const EngineWork& work : all) {
    const double middle = work.active.height(), bottom = middle + work.clocks.height() - kGap;
    Chart chart{
        concat("timeline-", charts.size() + 1), fitted(work.label, 380, true),
        "Utilisation above, clock below, while it worked; a ring marks the highest of each. "
        "Grey is what other processes took. All engines have the same axes.",
        Svg(kChartWidth, bottom + 35, "Utilisation and clock of " + work.label)};
    draw(chart.svg, work.active, 0, seconds, 100);
    draw(chart.svg, work.clocks, middle, seconds, mhz > 0 ? mhz : 1);
    const auto x = [&](double t) {
      return kPlotLeft + (kPlotRight - kPlotLeft) * (seconds > 0 ? t / seconds : 0);
    };
    draw_ticks(chart.svg, ticks_between(0, seconds, 6), x, short_number, bottom, bottom + 4);
    chart.svg.text(kPlotRight, bottom + 31, "s of work", "dim", Anchor::end);
    charts.push_back(std::move(chart));
  }
  return charts;
}

namespace {

constexpr double kHead = 22, kRow = 17;
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
      if (part >= kLeast && part <= 1.01) bars.parts.emplace_back(one_line(name), part);
    if (!bars.parts.empty()) all.push_back(std::move(bars));
  };
  for (const StateShares& list : busy.states) add(heading_of(list.list), list.states);
  add("its clock was held down by", busy.limits);
  return all;
}

}  // namespace

std::vector<Chart> state_bars(const Result& result, int job) {
  std::vector<Chart> charts;
  for (size_t i = 0; i < result.engines.size(); ++i) {
    const EngineResult& engine = result.engines[i];
    const auto all = bars_of(busy_of(result, engine, job));
    if (all.empty()) continue;
    double height = 6;
    for (const Bars& bars : all) height += kHead + kRow * double(bars.parts.size());
    const std::string heading = "States of the GPU: " + fitted(one_line(engine.label), 240);
    Chart chart{concat("states-", charts.size() + 1), heading,
                "Parts of the time of the job, from half a percent.",
                Svg(kChartWidth, height, heading)};
    const double left = 110, right = kChartWidth - 60;
    double y = 0;
    for (const Bars& bars : all) {
      chart.svg.text(kChartEdge, y + 15, fitted(bars.heading, 380, true), "bold");
      y += kHead;
      for (const auto& [name, part] : bars.parts) {
        const std::string percent = fmt::format("{:.1f} %", 100 * part);
        const double length = (right - left) * std::min(part, 1.0);
        chart.svg.text(left - 6, y + 12, fitted(name, left - 14), "", Anchor::end);
        chart.svg.rect(left, y + 2, length, kRow - 4, area_of(i), name + ": " + percent);
        chart.svg.text(left + length + 5, y + 12, percent);
        y += kRow;
      }
    }
    charts.push_back(std::move(chart));
  }
  return charts;
}

}  // namespace hearth::lab
