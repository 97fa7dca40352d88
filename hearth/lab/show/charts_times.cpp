#include "hearth/lab/show/charts_times.h"

#include <fmt/format.h>

#include <cmath>

#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/show/standing.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {
namespace {

using Anchor = Svg::Anchor;
constexpr double kLeft = kChartEdge, kRight = kChartWidth - kChartEdge;

std::string what_of(const Job& job) {
  switch (job.kind) {
    case JobKind::op: return "a call of " + job.op;
    case JobKind::command: return "a run";
    case JobKind::prefill: return concat("a prompt of ", job.prompt_tokens, " tokens");
    default:
      return concat(job.new_tokens, " tokens", job.batch > 1 ? concat(" x ", job.batch) : "");
  }
}

// Where a value lies between two, by the value or by its logarithm.
struct Axis {
  double low, high;
  bool logarithmic;
  double operator()(double value) const {
    const auto scale = [&](double v) { return logarithmic ? std::log(v) : v; };
    const double span = scale(high) - scale(low);
    const double part = span > 0 ? (scale(value) - scale(low)) / span : 0.5;
    return kLeft + (kRight - kLeft) * std::clamp(part, 0.0, 1.0);
  }
  void draw(Svg& svg, double top, double bottom, const std::string& unit) const {
    const auto ticks = logarithmic ? log_ticks(low, high) : ticks_between(low, high, 5);
    draw_ticks(svg, ticks, *this, short_number, top, bottom);
    svg.text(kRight, bottom + 27, unit, "dim", Anchor::end);
  }
};

// What a time is counted in on an axis that reaches as far.
std::pair<double, const char*> unit_for(double most_s) {
  if (most_s >= 1) return {1, "s"};
  if (most_s >= 1e-3) return {1e3, "ms"};
  return {1e6, "us"};
}

double rate_of(const Job& job, const Total& total) {
  const double units = !of_a_model(job.kind)          ? 1
                       : job.kind == JobKind::prefill ? job.prompt_tokens
                                                      : total.new_tokens;
  return units * std::max(1, job.batch) / total.mean_s;
}

}  // namespace

namespace {

/// An engine against the first one of a job.
struct ForestRow {
  Standing s;
  std::string title, words;
};

std::vector<ForestRow> forest_rows(const Result& result, std::span<const int> jobs,
                                   std::string& against) {
  constexpr double kRoom = kRight - kLeft - 4;
  std::vector<ForestRow> rows;
  bool same = true;
  std::vector<std::pair<size_t, std::string>> firsts;  // of each row, and its engine's name
  for (const int job : jobs) {
    const auto all = standings(result, job);
    const auto first = std::ranges::find(all, true, &Standing::first);
    if (first == all.end()) continue;
    if (firsts.empty()) against = one_line(result.engines[first->engine].label);
    for (const Standing& s : all) {
      if (s.first) continue;
      const std::string label = one_line(result.engines[s.engine].label);
      rows.push_back({s,
                      jobs.size() == 1
                          ? label
                          : concat(job + 1, ": ", name_of_job(result.jobs[size_t(job)], false)),
                      concat(times_text(s.ratio), ", ", to_string(s.finding))});
      firsts.emplace_back(first->engine, label);
      same &= first->engine == firsts.front().first;
    }
  }
  if (!same) against = "the first engine of each job";
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].title = fitted(rows[i].title, 380, true);
    if (jobs.size() == 1) continue;
    std::string who = firsts[i].second;
    if (!same) who += " against " + one_line(result.engines[firsts[i].first].label);
    rows[i].words =
        concat(fitted(who, kRoom - text_width(rows[i].words) - 10), ": ", rows[i].words);
  }
  return rows;
}

}  // namespace

Chart forest(const Result& result, std::span<const int> jobs) {
  std::string first;
  const auto rows = forest_rows(result, jobs, first);
  const double row = 50, top = 22, height = top + row * double(rows.size()) + 34;
  Chart chart{"ratios", "Time against " + fitted(first, 230, true),
              "Left of 1 an engine is faster, right of it slower. The line through a point is its "
              "95 % interval. In the grey band two are equivalent. A point that is open has no "
              "verdict.",
              Svg(kChartWidth, height, "Time against " + first)};
  if (rows.empty()) return chart;
  double low = 1, high = 1;
  for (const auto& [s, title, words] : rows)
    low = std::min(low, s.ratio.value), high = std::max(high, s.ratio.value);
  const double least = low / 4, most = high * 4;  // what lies beyond is cut, with an arrow
  for (const auto& [s, title, words] : rows)
    if (s.ratio.n > 1) {
      low = std::min(low, std::max(s.ratio.low, least));
      high = std::max(high, std::min(s.ratio.high, most));
    }
  const double margin = std::max(std::pow(high / low, 0.06), 1.04);
  const Axis x{low / margin, high * margin, true};
  const double bottom = height - 34;
  const double equal = x(1 / (1 + kMargin)), unequal = x(1 + kMargin);
  chart.svg.rect(equal, top, unequal - equal, bottom - top, "band", "equivalent: within 2 %");
  // Few round ratios lie within a narrow range: then steps of equal size.
  std::vector<double> ticks = log_ticks(x.low, x.high);
  if (ticks.size() < 3) ticks = ticks_between(x.low, x.high, 5);
  std::erase_if(ticks, [](double tick) { return tick <= 0; });
  const auto label = [](double tick) { return short_number(tick) + " x"; };
  draw_ticks(chart.svg, ticks, x, label, top, bottom);
  chart.svg.line(x(1), top, x(1), bottom, "axis");
  const std::string faster = "< faster", slower = "slower >";
  if (x(1) - kLeft > text_width(faster) + 12)
    chart.svg.text(x(1) - 6, top - 6, faster, "dim", Anchor::end);
  if (kRight - x(1) > text_width(slower) + 12) chart.svg.text(x(1) + 6, top - 6, slower, "dim");
  chart.svg.text(kRight, bottom + 27,
                 concat("time per ", unit_of(result.jobs[size_t(jobs.front())].kind)), "dim",
                 Anchor::end);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto& [s, title, words] = rows[i];
    const double y = top + row * double(i);
    chart.svg.text(kLeft, y + 14, title, "bold");
    chart.svg.text(kLeft, y + 28, words);
    const double at = y + 39;
    const std::string dash = decided(s.finding) ? "" : " dash";
    if (s.ratio.n > 1) {
      chart.svg.line(x(s.ratio.low), at, x(s.ratio.high), at, line_of(s.engine) + " thick" + dash);
      for (const double end : {s.ratio.low, s.ratio.high}) {
        const bool cut = end < x.low || end > x.high;
        const double lean = !cut ? 0 : end < x.low ? 5 : -5;
        for (const double side : {-4.0, 4.0})  // an end, or half of an arrow's head
          chart.svg.line(x(end), cut ? at : at + side, x(end) + lean, at + side,
                         line_of(s.engine) + " thick");
      }
    }
    chart.svg.circle(x(s.ratio.value), at, 4.5,
                     decided(s.finding) ? area_of(s.engine) : line_of(s.engine) + " open",
                     one_line(result.engines[s.engine].label) + ": " + words);
  }
  return chart;
}

Chart time_bars(const Result& result, int job) {
  const Job& what = result.jobs.at(size_t(job));
  struct Row {
    size_t engine;
    Total total;
    std::optional<std::pair<double, double>> spread;
  };
  std::vector<Row> rows;
  double most = 0;
  bool ranges = false;
  for (size_t i = 0; i < result.engines.size(); ++i) {
    const auto total = total_of(result.engines[i], job);
    if (!total) continue;
    Row row{i, *total, {}};
    if (total->stddev_s > 0 && total->stddev_s < total->mean_s) {
      row.spread = {total->mean_s - total->stddev_s, total->mean_s + total->stddev_s};
    } else if (total->stddev_s > 0) {  // it would reach below 0: where most of the runs are instead
      const auto all = times_of(result, result.engines[i], job).totals;
      if (!all.empty()) row.spread = {percentile(all, 0.16), percentile(all, 0.84)};
      ranges |= !all.empty();
    }
    most = std::max({most, total->mean_s, row.spread ? row.spread->second : 0});
    rows.push_back(row);
  }
  const double height = 48.0 * double(rows.size()) + 40;
  Chart chart{"time", "Time for " + one_line(what_of(what)),
              "The mean of the repetitions, its standard deviation, and the rate at the bar.",
              Svg(kChartWidth, height, "Time for " + what_of(what))};
  if (ranges)
    chart.caption +=
        " Where the deviation is larger than the mean, the line reaches from 16 % to 84 % of the "
        "repetitions.";
  if (!(most > 0) || !std::isfinite(most)) most = 1;
  const auto [scale, unit] = unit_for(most);
  const double bottom = height - 34;
  const Axis x{0, most * scale * 1.02, false};
  x.draw(chart.svg, 2, bottom, unit);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto& [engine, total, spread] = rows[i];
    const std::string label = one_line(result.engines[engine].label);
    const double y = 48.0 * double(i), end = x(total.mean_s * scale);
    const std::string time =
        total.n > 1 ? with_spread(total.mean_s, total.stddev_s) : with_unit(total.mean_s);
    chart.svg.text(kRight, y + 13, time, "", Anchor::end);
    chart.svg.text(kLeft, y + 13, fitted(label, kRight - kLeft - text_width(time) - 10, true),
                   "bold");
    chart.svg.rect(kLeft, y + 17, end - kLeft, 20, area_of(engine),
                   fmt::format("{}: {:.6g} s, {} runs", label, total.mean_s, total.n));
    const std::string rate =
        fmt::format("{} {}/s", short_number(rate_of(what, total)),
                    of_a_model(what.kind) ? "tokens" : concat(unit_of(what.kind), "s"));
    const bool inside = end - kLeft > text_width(rate, true) + 12;
    chart.svg.text(inside ? kLeft + 6 : end + 6, y + 31, rate, inside ? "in" : "");
    if (!spread) continue;
    const double from = x(spread->first * scale), to = x(spread->second * scale);
    chart.svg.line(from, y + 41, to, y + 41, "whisker");
    for (const double at : {from, to}) chart.svg.line(at, y + 38, at, y + 44, "whisker");
  }
  return chart;
}

Chart time_strips(const Result& result, int job) {
  struct Strip {
    size_t engine;
    std::vector<double> times;
  };
  std::vector<Strip> strips;
  std::vector<double> all;
  for (size_t i = 0; i < result.engines.size(); ++i)
    if (auto times = unit_times(result.engines[i], job); !times.empty()) {
      all.insert(all.end(), times.begin(), times.end());
      strips.push_back({i, std::move(times)});
    }
  const double row = 46, height = row * double(strips.size()) + 40;
  Chart chart{"samples", "Every repetition",
              "Each dot is a repetition, later ones lower; the line is the median.",
              Svg(kChartWidth, height, "Every repetition")};
  if (strips.empty()) return chart;
  const auto [least, most] = std::ranges::minmax(all);
  // A few that are far off leave no room for the others, and so does an engine that is far slower.
  double widest = 0;
  for (const Strip& strip : strips)
    widest = std::max(widest, percentile(strip.times, 0.75) - percentile(strip.times, 0.25));
  const bool logarithmic = least > 0 && most > 3 * least && most - least > 12 * widest;
  const auto [scale, unit] = unit_for(median(all));
  double low = least * scale, high = most * scale;
  if (logarithmic) {
    low /= 1.05, high *= 1.05;
    chart.caption += " The axis is logarithmic.";
  } else {
    const double margin = std::max((high - low) * 0.05, high * 0.005);
    low = std::max(0.0, low - margin), high += margin;
    if (low > 0) chart.caption += " The axis does not start at 0.";
  }
  const Axis x{low, high, logarithmic};
  x.draw(chart.svg, 2, height - 34, concat(unit, " a ", unit_of(result.jobs.at(size_t(job)).kind)));
  for (size_t i = 0; i < strips.size(); ++i) {
    const auto& [engine, times] = strips[i];
    const EngineResult& of = result.engines[engine];
    const double y = row * double(i), middle = median(times);
    const std::string words = of.repetitions.empty()
                                  ? with_unit(middle) + ", published"
                                  : fmt::format("median {} of {}", with_unit(middle), times.size());
    chart.svg.text(kRight, y + 12, words, "dim", Anchor::end);
    chart.svg.text(kLeft, y + 12,
                   fitted(one_line(of.label), kRight - kLeft - text_width(words) - 10, true),
                   "bold");
    const size_t step = times.size() / 2000 + 1;  // as many dots as a strip can hold
    for (size_t k = 0; k < times.size(); k += step)
      chart.svg.circle(x(times[k] * scale),
                       y + 19 + 20 * double(k) / double(std::max<size_t>(1, times.size() - 1)), 2.2,
                       area_of(engine));
    chart.svg.line(x(middle * scale), y + 16, x(middle * scale), y + 42, line_of(engine));
  }
  return chart;
}

}  // namespace hearth::lab
