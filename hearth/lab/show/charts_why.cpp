#include "hearth/lab/show/charts_why.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "hearth/lab/judge/roofline.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/show/standing.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {
namespace {

using Anchor = Svg::Anchor;

}  // namespace

Chart waterfall(const Explanation& e) {
  const std::string a = one_line(e.a.label), b = one_line(e.b.label);
  const Attribution& t = e.attribution;
  Chart chart{"attribution", fmt::format("{} against {}", fitted(a, 150), fitted(b, 150)), "",
              Svg(kChartWidth, 196, fmt::format("{} against {}", a, b))};
  struct Bar {
    const char* name;
    Reading<double> term;
  };
  const std::array<Bar, 4> bars = {{{"clock", t.clock},
                                    {"cycles", t.cycles},
                                    {"utilisation", t.utilisation},
                                    {"time", t.log_ratio}}};
  double low = std::min(0.0, t.log_ratio), high = std::max(0.0, t.log_ratio), sum = 0;
  bool all_known = true;
  std::string product;
  for (size_t i = 0; i < 3; ++i) {
    all_known &= bars[i].term.value.has_value();
    if (!bars[i].term.value) continue;
    sum += *bars[i].term.value;
    low = std::min(low, sum), high = std::max(high, sum);
    product += concat(product.empty() ? "" : " x ", digits(std::exp(*bars[i].term.value)));
  }
  chart.caption = all_known ? fmt::format(
                                  "The parts multiply to the whole: {} = {} per {}. A part "
                                  "is no cause.",
                                  product, digits(std::exp(t.log_ratio)), e.unit)
                            : fmt::format(
                                  "The parts multiply to the whole, {} per {}. Hatched: "
                                  "what is left for the parts that are not known.",
                                  digits(std::exp(t.log_ratio)), e.unit);
  const double left = 84, right = kChartWidth - 76;
  if (!(high > low)) high = low + 1;
  const auto x = [&](double v) { return left + (right - left) * (v - low) / (high - low); };
  const bool wide = high - low > 1.6;  // a factor of 5
  std::vector<double> ticks = wide ? log_ticks(std::exp(low), std::exp(high))
                                   : ticks_between(std::exp(low), std::exp(high), 5);
  std::erase_if(ticks, [](double ratio) { return ratio <= 0; });
  const auto place = [&](double ratio) { return x(std::log(ratio)); };
  const auto label = [](double ratio) { return short_number(ratio) + " x"; };
  draw_ticks(chart.svg, ticks, place, label, 4, 160);
  chart.svg.text(kChartWidth - kChartEdge, 190, "times the time", "dim", Anchor::end);
  chart.svg.line(x(0), 4, x(0), 160, "axis");
  double from = 0;
  for (size_t i = 0; i < bars.size(); ++i) {
    const double y = 10 + 38.0 * double(i);
    const bool whole = i == 3;
    chart.svg.text(left - 8, y + 16, bars[i].name, whole ? "bold" : "", Anchor::end);
    if (!bars[i].term.value) {
      const double edge = std::min(x(from), x(from + t.log_ratio - sum));
      const double length = std::abs(x(t.log_ratio - sum) - x(0));
      chart.svg.hatched(edge, y, length, 24, bars[i].term.reason);
      chart.svg.text(right + 8, y + 16, "unknown", "dim");
      continue;
    }
    const double value = *bars[i].term.value;
    if (whole) from = 0;
    chart.svg.rect(std::min(x(from), x(from + value)), y, std::abs(x(value) - x(0)), 24,
                   whole ? "whole" : "part", fmt::format("{}: ln {:+.3f}", bars[i].name, value));
    if (!whole) chart.svg.line(x(from + value), y, x(from + value), y + 62, "axis");
    chart.svg.text(right + 8, y + 16, digits(std::exp(value)) + " x", whole ? "bold" : "");
    from += value;
  }
  return chart;
}

Chart part_bars(const Result& result, const Explanation& e) {
  const double row = 58, height = row * double(e.parts.size()) + 8;
  const std::string a = one_line(e.a.label), b = one_line(e.b.label);
  Chart chart{
      "parts",
      fmt::format("Where a run's time goes: {} (above), {}", fitted(a, 120), fitted(b, 120)),
      "As the system accounts it to the command's processes; waiting is what is left.",
      Svg(kChartWidth, height, "Where a run's time goes")};
  double most = 0;
  for (const TimePart& part : e.parts) most = std::max({most, part.a_s, part.b_s});
  if (!(most > 0) || !std::isfinite(most)) most = 1;
  const auto index = [&](const std::string& label) {
    return size_t(result.engine(label) - result.engines.data());
  };
  const double left = kChartEdge, right = kChartWidth - 80;
  for (size_t i = 0; i < e.parts.size(); ++i) {
    const TimePart& part = e.parts[i];
    const double y = row * double(i);
    chart.svg.text(left, y + 15, part.name, "bold");
    double at = y + 20;
    for (const auto& [side, name, time] : {std::tuple(&e.a, &a, part.a_s), {&e.b, &b, part.b_s}}) {
      const double length = (right - left) * std::max(0.0, time) / most;
      chart.svg.rect(left, at, length, 14, area_of(index(side->label)),
                     fmt::format("{}: {:.6g} s", *name, time));
      chart.svg.text(left + length + 5, at + 11, with_unit(time));
      at += 16;
    }
  }
  return chart;
}

namespace {

// Puts labels beside points where nothing else is; what finds no place is left out, and is in the
// point's tip.
class Labels {
 public:
  Labels(double left, double top, double right, double bottom) : frame_{left, top, right, bottom} {}

  void keep_free(double x, double y, double half) {
    taken_.push_back({x - half, y - half, x + half, y + half});
  }
  void place(Svg& svg, double x, double y, const std::string& text) {
    const double width = text_width(text);
    for (const double down : {4.0, -8.0, 16.0, -20.0, 28.0, -32.0, 40.0, -44.0, 52.0, -56.0})
      for (const bool after : {true, false}) {
        const double from = after ? x + 8 : x - 8 - width, base = y + down;
        const Box box{from - 2, base - 10, from + width + 2, base + 3};
        if (box.left < frame_.left || box.right > frame_.right || box.top < frame_.top ||
            box.bottom > frame_.bottom || std::ranges::any_of(taken_, [&](const Box& other) {
              return box.left < other.right && other.left < box.right && box.top < other.bottom &&
                     other.top < box.bottom;
            }))
          continue;
        if (std::abs(down) > 10) svg.line(x, y, after ? from : from + width, base - 4, "grid");
        svg.text(from, base, text, "dim");
        taken_.push_back(box);
        return;
      }
  }

 private:
  struct Box {
    double left, top, right, bottom;
  };
  Box frame_;
  std::vector<Box> taken_;
};

struct Roof {
  std::string device;
  double gb_s, gflop_s;
  double at(double intensity) const { return std::min(gb_s * intensity, gflop_s); }
};

std::optional<Roof> roof_of(const Result& result, const EngineResult& engine) {
  const std::string device = engine.device.substr(0, engine.device.find(':'));
  const auto limit = [&](std::string_view prefix) {
    double most = 0;
    for (const Ceiling& c : result.ceilings)
      if (c.device == device && c.name.starts_with(prefix) && c.value.value)
        most = std::max(most, *c.value.value);
    return most;
  };
  const Roof roof{device, limit("read_bandwidth"), limit("flops_")};
  return roof.gb_s > 0 && roof.gflop_s > 0 ? std::optional(roof) : std::nullopt;
}

}  // namespace

Chart roofline(const Result& result, int job) {
  struct Point {
    size_t engine;
    std::string name;
    double intensity, rate;  // operations a byte, GFLOP/s
  };
  std::vector<Point> points;
  std::vector<Roof> roofs;
  std::vector<size_t> shown;
  std::string unknown, above;
  for (size_t i = 0; i < result.engines.size(); ++i) {
    const EngineResult& engine = result.engines[i];
    if (!total_of(engine, job)) continue;
    shown.push_back(i);
    const auto roof = roof_of(result, engine);
    for (const Phase& phase : phases_of(result, engine, job, busy_of(result, engine, job))) {
      if (!phase.work.value || phase.work.value->bytes <= 0) {
        unknown = phase.work.reason;
        continue;
      }
      points.push_back({i, phase.name, phase.work.value->operations / phase.work.value->bytes,
                        *phase.gflop_s.value});
      if (roof && points.back().rate > 1.02 * roof->at(points.back().intensity))
        above += concat(above.empty() ? "" : ", ", name_of(engine.label), " (", phase.name, ")");
    }
    if (roof && std::ranges::none_of(
                    roofs, [&](const Roof& other) { return other.device == roof->device; }))
      roofs.push_back(*roof);
  }
  const double bottom = 236, keys = bottom + 46;
  Chart chart{"roofline", "Against the limits of the machine",
              "Operations for each byte read, and how many a second. The line is what the device "
              "can do at most, as measured.",
              Svg(kChartWidth, keys + 14.0 * double((shown.size() + 1) / 2), "Roofline")};
  Svg& svg = chart.svg;
  if (points.empty()) {
    svg.text(kChartWidth / 2, 140, "the work of this job is not known", "dim", Anchor::middle);
    chart.caption = unknown;
    return chart;
  }
  if (roofs.empty()) chart.caption += " Here it is not known.";
  if (!above.empty())
    chart.caption += fmt::format(
        " Above the line: {}. Weights that stay in the caches are read faster than memory gives.",
        above);
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
  const double left = 48, right = kChartWidth - kChartEdge, top = 18;
  const auto scale = [](double v, double low, double high) {
    return (std::log(v) - std::log(low)) / (std::log(high) - std::log(low));
  };
  const auto x = [&](double v) { return left + (right - left) * scale(v, x_low, x_high); };
  const auto y = [&](double v) { return bottom - (bottom - top) * scale(v, y_low, y_high); };
  draw_ticks(svg, log_ticks(x_low, x_high), x, short_number, top, bottom);
  for (const double tick : spaced(log_ticks(y_low, y_high), y, 22)) {
    svg.line(left, y(tick), right, y(tick), "grid");
    svg.text(left - 4, y(tick) + 4, short_number(tick), "dim", Anchor::end);
  }
  svg.text(right, bottom + 28, "operations a byte", "dim", Anchor::end);
  svg.text(4, bottom + 28, "GFLOP/s", "dim");
  Labels labels(left, 2, right, bottom);
  for (const Point& p : points) labels.keep_free(x(p.intensity), y(p.rate), 5);
  for (const Roof& r : roofs) {
    const double ridge = r.gflop_s / r.gb_s;
    const double start = std::max(x_low, y_low / r.gb_s);
    const std::pair<double, double> line[] = {
        {x(start), y(r.gb_s * start)}, {x(ridge), y(r.gflop_s)}, {x(x_high), y(r.gflop_s)}};
    svg.polyline(line, "roof");
    for (size_t i = 0; i + 1 < std::size(line); ++i)  // no label crosses it
      for (int k = 0; k <= 40; ++k)
        labels.keep_free(std::lerp(line[i].first, line[i + 1].first, k / 40.0),
                         std::lerp(line[i].second, line[i + 1].second, k / 40.0), 1);
    const std::string text = fmt::format("{}: {} GB/s, {} GFLOP/s", fitted(one_line(r.device), 60),
                                         short_number(r.gb_s), short_number(r.gflop_s));
    labels.place(svg, right + 6, y(r.gflop_s) - 9, text);
  }
  for (const Point& p : points) {
    svg.circle(x(p.intensity), y(p.rate), 4.5, area_of(p.engine),
               fmt::format("{} {}: {:.4g} GFLOP/s", one_line(result.engines[p.engine].label),
                           p.name, p.rate));
    labels.place(svg, x(p.intensity), y(p.rate), p.name);
  }
  for (size_t i = 0; i < shown.size(); ++i) {
    const double at = kChartEdge + (i % 2 ? 192 : 0), base = keys + 14.0 * double(i / 2);
    svg.circle(at + 4, base - 4, 4, area_of(shown[i]));
    svg.text(at + 13, base, fitted(one_line(result.engines[shown[i]].label), 168));
  }
  return chart;
}

}  // namespace hearth::lab
