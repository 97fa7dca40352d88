#include "hearth/lab/show/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hearth/base/error.h"
#include "hearth/lab/judge/busy.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"

namespace hearth::lab {
namespace {

using Anchor = Svg::Anchor;

// Charts are as wide as a phone's screen, so that their text keeps its size there.
constexpr double kWidth = 400;

std::string series(size_t i) { return concat("s", i % 8); }
std::string area(size_t i) { return concat("f", i % 8); }

// Labels are the user's: cut to what fits a width, about 5.6 units a letter.
std::string fit(const std::string& label, double width) {
  const auto letters = size_t(std::max(4.0, width / 5.6));
  if (label.size() <= letters) return label;
  size_t end = letters - 2;
  while (end > 0 && (label[end] & 0xc0) == 0x80) --end;  // not within a UTF-8 character
  return label.substr(0, end) + "..";
}

struct Row {
  std::string label;
  Total total;
};
std::vector<Row> rows_of(const Result& result, int job) {
  std::vector<Row> rows;
  for (const EngineResult& engine : result.engines)
    if (const auto total = total_of(engine, job)) rows.push_back({engine.label, *total});
  return rows;
}

std::string what_of(const Job& job) {
  switch (job.kind) {
    case JobKind::op: return "a call of " + job.op;
    case JobKind::command: return "a run";
    case JobKind::prefill: return concat("a prompt of ", job.prompt_tokens, " tokens");
    default:
      return concat(job.new_tokens, " tokens", job.batch > 1 ? concat(" x ", job.batch) : "");
  }
}

// The axis of values that start at 0: the scale, and its lines drawn.
struct Axis {
  double from, to, most;
  double operator()(double value) const { return from + (to - from) * value / most; }
};

Axis value_axis(Svg& svg, double left, double right, double top, double bottom, double most,
                const char* unit) {
  if (!(most > 0) || !std::isfinite(most)) most = 1;
  const Axis axis{left, right, most * 1.02};
  for (double tick : ticks_between(0, most, 5)) {
    svg.line(axis(tick), top, axis(tick), bottom, "grid");
    svg.text(axis(tick), bottom + 13, short_number(tick), "dim", Anchor::middle);
  }
  svg.text(right, bottom + 26, unit, "dim", Anchor::end);
  return axis;
}

}  // namespace

Chart time_bars(const Result& result, int job) {
  const Job& what = result.jobs.at(size_t(job));
  const auto rows = rows_of(result, job);
  const double height = 48.0 * double(rows.size()) + 36;
  Chart chart{"time", "Time for " + what_of(what),
              "The mean of the repetitions, its standard deviation, and the rate in the bar.",
              Svg(kWidth, height, "Time for " + what_of(what))};
  double most = 0;
  for (const Row& row : rows) most = std::max(most, row.total.mean_s + row.total.stddev_s);
  const double bottom = height - 30;
  const Axis axis = value_axis(chart.svg, 8, kWidth - 8, 2, bottom, most, "s");
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto& [label, total] = rows[i];
    const double y = 48.0 * double(i), end = axis(total.mean_s);
    chart.svg.text(8, y + 13, fit(label, 250), "bold");
    chart.svg.text(kWidth - 8, y + 13,
                   total.n > 1 ? fmt::format("{} s +- {}", short_number(total.mean_s),
                                             short_number(total.stddev_s))
                               : short_number(total.mean_s) + " s",
                   "", Anchor::end);
    chart.svg.rect(8, y + 17, end - 8, 20, area(i),
                   fmt::format("{}: {:.6g} s, {} runs", label, total.mean_s, total.n));
    const double units = !of_a_model(what.kind)          ? 1
                         : what.kind == JobKind::prefill ? what.prompt_tokens
                                                         : total.new_tokens;
    const std::string rate =
        fmt::format("{} {}/s", short_number(units * std::max(1, what.batch) / total.mean_s),
                    of_a_model(what.kind) ? "tokens" : concat(unit_of(what.kind), "s"));
    const bool inside = end - 8 > 6.9 * double(rate.size());
    chart.svg.text(inside ? 14 : end + 14, y + 31, rate, inside ? "in" : "");
    if (total.stddev_s > 0) {
      const double low = axis(total.mean_s - total.stddev_s),
                   high = axis(total.mean_s + total.stddev_s);
      chart.svg.line(low, y + 40, high, y + 40, "whisker");
      for (double x : {low, high}) chart.svg.line(x, y + 37, x, y + 43, "whisker");
    }
  }
  return chart;
}

Chart time_strips(const Result& result, int job) {
  const Job& what = result.jobs.at(size_t(job));
  struct Strip {
    std::string label;
    std::vector<double> ms;
    bool published;
  };
  std::vector<Strip> strips;
  double low = HUGE_VAL, high = 0;
  for (const EngineResult& engine : result.engines) {
    auto times = unit_times(engine, job);
    if (times.empty()) continue;
    for (double& t : times) t *= 1e3, low = std::min(low, t), high = std::max(high, t);
    strips.push_back({engine.label, std::move(times), engine.repetitions.empty()});
  }
  const std::string unit = concat("ms a ", unit_of(what.kind));
  const double height = 46.0 * double(strips.size()) + 36;
  Chart chart{"samples", "Every repetition",
              "Each dot is a repetition, later ones lower; the line is the median.",
              Svg(kWidth, height, "Every repetition")};
  if (strips.empty()) return chart;
  const double margin = std::max((high - low) * 0.05, high * 0.005);
  low = std::max(0.0, low - margin), high += margin;
  if (low > 0) chart.caption += " The axis does not start at 0.";
  const auto x = [&](double ms) {
    return 8 + (kWidth - 16) * (high > low ? (ms - low) / (high - low) : 0.5);
  };
  const double bottom = height - 30;
  for (double tick : ticks_between(low, high, 5)) {
    chart.svg.line(x(tick), 2, x(tick), bottom, "grid");
    chart.svg.text(std::clamp(x(tick), 14.0, kWidth - 14), bottom + 13, short_number(tick), "dim",
                   Anchor::middle);
  }
  chart.svg.text(kWidth - 8, bottom + 26, unit, "dim", Anchor::end);
  for (size_t i = 0; i < strips.size(); ++i) {
    const auto& [label, all, published] = strips[i];
    const double y = 46.0 * double(i), middle = median(all);
    chart.svg.text(8, y + 12, fit(label, 250), "bold");
    chart.svg.text(kWidth - 8, y + 12,
                   published ? fmt::format("{}, published", short_number(middle))
                             : fmt::format("median {} of {}", short_number(middle), all.size()),
                   "dim", Anchor::end);
    const size_t step = all.size() / 2000 + 1;  // as many dots as a strip can hold
    for (size_t k = 0; k < all.size(); k += step)
      chart.svg.circle(x(all[k]),
                       y + 19 + 20 * double(k) / double(std::max<size_t>(1, all.size() - 1)), 2.2,
                       area(i));
    chart.svg.line(x(middle), y + 16, x(middle), y + 42, series(i));
  }
  return chart;
}

namespace {

// Samples with the time between repetitions taken out.
struct Line {
  std::string name;
  std::vector<std::pair<double, double>> points;
};
struct Panel {
  std::string label;
  double seconds = 0;
  std::vector<Line> active, clocks;
};

Panel panel_of(const Result& result, const EngineResult& engine) {
  const Timeline& telemetry = engine.telemetry;
  Panel panel{.label = engine.label, .seconds = 0, .active = {}, .clocks = {}};
  const double longest = 1.5 * result.plan.telemetry_period_s.value.value_or(1);
  std::vector<double> at(telemetry.time_s.size());
  for (size_t i = 0; i < at.size(); ++i) {
    const double gap = i ? telemetry.time_s[i] - telemetry.time_s[i - 1] : longest / 1.5;
    panel.seconds += std::min(gap, longest);
    at[i] = panel.seconds;
  }
  const auto add = [&](std::vector<Line>& to, const Channel* channel, std::string name,
                       double scale) {
    if (!channel) return false;
    Line line{std::move(name), {}};
    const size_t step = at.size() / 1500 + 1;
    for (size_t i = 0; i < at.size(); i += step)
      if (channel->values[i]) line.points.emplace_back(at[i], *channel->values[i] * scale);
    if (line.points.empty()) return false;
    to.push_back(std::move(line));
    return true;
  };
  add(panel.active, telemetry.find("gpu_active_fraction"), "GPU", 100);
  if (!add(panel.active, telemetry.find("cpu_active_fraction"), "CPU", 100))
    for (const Channel& channel : telemetry.channels)
      if (channel.name.starts_with("cpu_active_fraction.") && panel.active.size() < 4)
        add(panel.active, &channel, "CPU " + fit(channel.name.substr(20), 60), 100);
  add(panel.clocks, telemetry.find("gpu_clock_mhz"), "GPU", 1);
  for (const char* name : {"process_clock_mhz", "cpu_clock_mhz", "cpu_clock_probe_mhz"})
    if (add(panel.clocks, telemetry.find(name), "CPU", 1)) break;
  return panel;
}

// A colour for the GPU and one for the CPU, everywhere.
size_t colour(const Line& line, size_t index) { return line.name == "GPU" ? 1 : index > 1 ? 2 : 0; }

void draw_panel(Svg& svg, const std::vector<Line>& lines, double top, double height, double seconds,
                double most, const char* unit) {
  const double left = 40, right = kWidth - 8, bottom = top + height;
  const auto x = [&](double t) { return left + (right - left) * t / seconds; };
  const auto y = [&](double v) { return bottom - height * v / (most * 1.12); };
  for (double tick : ticks_between(0, most, 4)) {
    svg.line(left, y(tick), right, y(tick), "grid");
    svg.text(left - 4, y(tick) + 4, short_number(tick), "dim", Anchor::end);
  }
  svg.text(4, top + 8, unit, "dim");
  double legend = left + 4;
  for (size_t i = 0; i < lines.size(); ++i) {
    const size_t c = colour(lines[i], i);
    std::vector<std::pair<double, double>> points;
    const std::pair<double, double>* peak = &lines[i].points.front();
    for (const auto& point : lines[i].points) {
      points.emplace_back(x(point.first), y(point.second));
      if (point.second > peak->second) peak = &point;
    }
    if (points.size() == 1) points.emplace_back(points[0].first + 1, points[0].second);
    svg.polyline(points, series(c));
    svg.circle(x(peak->first), y(peak->second), 4, "mark");
    svg.text(std::clamp(x(peak->first), left + 16, right - 16), y(peak->second) - 7,
             short_number(peak->second), area(c), Anchor::middle);
    svg.text(legend, top + height - 5, lines[i].name, area(c));
    legend += 7.0 * double(lines[i].name.size()) + 14;
  }
}

}  // namespace

std::vector<Chart> timelines(const Result& result) {
  std::vector<Panel> panels;
  double seconds = 0, mhz = 0;
  for (const EngineResult& engine : result.engines) {
    Panel panel = panel_of(result, engine);
    if (panel.active.empty() && panel.clocks.empty()) continue;
    seconds = std::max(seconds, panel.seconds);
    for (const Line& line : panel.clocks)
      for (const auto& [t, v] : line.points) mhz = std::max(mhz, v);
    panels.push_back(std::move(panel));
  }
  std::vector<Chart> charts;
  for (const Panel& panel : panels) {
    Chart chart{concat("timeline-", charts.size() + 1), panel.label,
                "Utilisation above, clock below, while it worked; the highest of each is marked. "
                "All engines have the same axes.",
                Svg(kWidth, 290, "Utilisation and clock of " + panel.label)};
    draw_panel(chart.svg, panel.active, 4, 110, seconds, 100, "%");
    draw_panel(chart.svg, panel.clocks, 134, 110, seconds, mhz > 0 ? mhz : 1, "MHz");
    for (double tick : ticks_between(0, seconds, 6)) {
      const double x = 40 + (kWidth - 48) * tick / seconds;
      chart.svg.line(x, 244, x, 248, "axis");
      chart.svg.text(x, 260, short_number(tick), "dim", Anchor::middle);
    }
    chart.svg.text(kWidth - 8, 275, "s of work", "dim", Anchor::end);
    charts.push_back(std::move(chart));
  }
  return charts;
}

Chart waterfall(const Explanation& e) {
  Chart chart{"attribution", concat(e.a.label, " against ", e.b.label),
              "Logarithms of ratios: the parts add up to the whole exactly. A part is no cause.",
              Svg(kWidth, 190, "Attribution")};
  const Attribution& t = e.attribution;
  struct Bar {
    const char* name;
    const Reading<double>* term;
  };
  const Reading<double> whole = t.log_ratio;
  const Bar bars[] = {{"clock", &t.clock},
                      {"cycles", &t.cycles},
                      {"utilisation", &t.utilisation},
                      {"time", &whole}};
  double low = std::min(0.0, t.log_ratio), high = std::max(0.0, t.log_ratio), sum = 0;
  for (const Bar& bar : bars)
    if (bar.term->value && bar.term != &whole) {
      sum += *bar.term->value;
      low = std::min(low, sum), high = std::max(high, sum);
    }
  const double left = 76, right = kWidth - 52;
  if (!(high > low)) high = low + 1;
  const auto x = [&](double v) { return left + (right - left) * (v - low) / (high - low); };
  const bool wide = high - low > 1.6;  // a factor of 5
  for (double ratio : wide ? log_ticks(std::exp(low), std::exp(high))
                           : ticks_between(std::exp(low), std::exp(high), 5)) {
    if (ratio <= 0) continue;
    const double at = x(std::log(ratio));
    chart.svg.line(at, 4, at, 156, "grid");
    chart.svg.text(at, 170, "x " + short_number(ratio), "dim", Anchor::middle);
  }
  chart.svg.line(x(0), 4, x(0), 156, "axis");
  double from = 0;
  for (size_t i = 0; i < 4; ++i) {
    const double y = 10 + 37.0 * double(i);
    const bool last = i == 3;
    chart.svg.text(left - 6, y + 16, bars[i].name, last ? "bold" : "", Anchor::end);
    if (!bars[i].term->value) {
      chart.svg.text(left + 6, y + 16, "unknown", "dim");
      continue;
    }
    const double value = *bars[i].term->value;
    if (last) from = 0;
    chart.svg.rect(std::min(x(from), x(from + value)), y, std::abs(x(value) - x(0)), 24,
                   area(last         ? 6
                        : value >= 0 ? 1
                                     : 2));
    if (!last) chart.svg.line(x(from + value), y, x(from + value), y + 61, "axis");
    chart.svg.text(std::max(x(from), x(from + value)) + 4, y + 16, fmt::format("{:+.3f}", value));
    from += value;
  }
  return chart;
}

Chart roofline(const Result& result, int job) {
  Chart chart{"roofline", "Against the limits of the machine",
              "Operations for each byte read, and how many a second. The lines are what the device "
              "can do at most, as measured.",
              Svg(kWidth, 300, "Roofline")};
  struct Point {
    size_t engine;
    std::string name;
    double intensity, rate;  // operations a byte, GFLOP/s
  };
  struct Roof {
    std::string device;
    double gb_s, gflop_s;
  };
  std::vector<Point> points;
  std::vector<Roof> roofs;
  std::vector<std::string> labels;
  std::string unknown;
  const auto limit = [&](const std::string& device, const std::string& prefix) {
    double most = 0;
    for (const Ceiling& c : result.ceilings)
      if (c.device == device && c.name.starts_with(prefix) && c.value.value)
        most = std::max(most, *c.value.value);
    return most;
  };
  for (const EngineResult& engine : result.engines) {
    if (!total_of(engine, job)) continue;
    for (const Phase& phase : phases_of(result, engine, job, busy_of(result, engine, job))) {
      if (phase.work.value && phase.work.value->bytes > 0)
        points.push_back({labels.size(), phase.name,
                          phase.work.value->operations / phase.work.value->bytes,
                          *phase.gflop_s.value});
      else
        unknown = phase.work.reason;
    }
    labels.push_back(engine.label);
    const std::string device = engine.device.substr(0, engine.device.find(':'));
    const bool known =
        std::ranges::any_of(roofs, [&](const Roof& r) { return r.device == device; });
    const double gb_s = limit(device, "read_bandwidth"), gflop_s = limit(device, "flops_");
    if (!known && gb_s > 0 && gflop_s > 0) roofs.push_back({device, gb_s, gflop_s});
  }
  Svg& svg = chart.svg;
  if (points.empty()) {
    svg.text(kWidth / 2, 140, "the work of this job is not known", "dim", Anchor::middle);
    chart.caption = unknown;
    return chart;
  }
  double x_low = HUGE_VAL, x_high = 0, y_low = HUGE_VAL, y_high = 0;
  for (const Point& p : points) {
    x_low = std::min(x_low, p.intensity), x_high = std::max(x_high, p.intensity);
    y_low = std::min(y_low, p.rate), y_high = std::max(y_high, p.rate);
  }
  for (const Roof& r : roofs) {
    x_high = std::max(x_high, r.gflop_s / r.gb_s * 2);
    y_high = std::max(y_high, r.gflop_s);
  }
  x_low /= 2, x_high *= 2, y_low /= 2, y_high *= 2;
  const double left = 44, right = kWidth - 8, top = 6, bottom = 236;
  const auto scale = [](double v, double low, double high) {
    return (std::log(v) - std::log(low)) / (std::log(high) - std::log(low));
  };
  const auto x = [&](double v) { return left + (right - left) * scale(v, x_low, x_high); };
  const auto y = [&](double v) { return bottom - (bottom - top) * scale(v, y_low, y_high); };
  const auto thin = [](std::vector<double> ticks) {
    if (ticks.size() <= 7) return ticks;
    std::vector<double> decades;
    for (double t : ticks)
      if (std::abs(std::log10(t) - std::round(std::log10(t))) < 1e-9) decades.push_back(t);
    return decades;
  };
  for (double tick : thin(log_ticks(x_low, x_high))) {
    svg.line(x(tick), top, x(tick), bottom, "grid");
    svg.text(x(tick), bottom + 13, short_number(tick), "dim", Anchor::middle);
  }
  for (double tick : thin(log_ticks(y_low, y_high))) {
    svg.line(left, y(tick), right, y(tick), "grid");
    svg.text(left - 4, y(tick) + 4, short_number(tick), "dim", Anchor::end);
  }
  svg.text(right, bottom + 26, "operations a byte", "dim", Anchor::end);
  svg.text(4, bottom + 26, "GFLOP/s", "dim");
  for (const Roof& r : roofs) {
    const double ridge = r.gflop_s / r.gb_s;
    const double start = std::max(x_low, y_low / r.gb_s);
    const std::pair<double, double> line[] = {
        {x(start), y(r.gb_s * start)}, {x(ridge), y(r.gflop_s)}, {x(x_high), y(r.gflop_s)}};
    svg.polyline(line, "s6");
    svg.text(right - 2, y(r.gflop_s) - 4,
             fmt::format("{}: {} GB/s, {} GFLOP/s", fit(r.device, 60), short_number(r.gb_s),
                         short_number(r.gflop_s)),
             "dim", Anchor::end);
  }
  if (roofs.empty()) chart.caption += " Here they are not known.";
  for (const Point& p : points) {
    svg.circle(x(p.intensity), y(p.rate), 4.5, area(p.engine),
               fmt::format("{} {}: {:.4g} GFLOP/s", labels[p.engine], p.name, p.rate));
    svg.text(x(p.intensity) + 7, y(p.rate) + 4, p.name, "dim");
  }
  double legend = 8;
  for (size_t i = 0; i < labels.size() && i < 8; ++i) {
    const std::string label = fit(labels[i], 110);
    svg.circle(legend + 4, 282 - (i % 2) * 12.0, 4, area(i));
    svg.text(legend + 12, 286 - (i % 2) * 12.0, label);
    if (i % 2) legend += 128;
  }
  return chart;
}

}  // namespace hearth::lab
