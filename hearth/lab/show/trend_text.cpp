#include "hearth/lab/show/trend_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/show/report.h"
#include "hearth/lab/show/verdicts.h"

namespace hearth::lab {

using nlohmann::json;

namespace {

std::string minute_of(const std::string& created) {
  std::string text = one_line(created).substr(0, 16);
  std::ranges::replace(text, 'T', ' ');
  return text;
}

std::string interval(double low, double high) { return fmt::format("{:.2f} to {:.2f}", low, high); }

/// "|   --o--  |": an interval on the axis of all.
std::string bar(const TrendPoint& p, double least, double most, size_t width) {
  std::string line(width, ' ');
  const auto at = [&](double x) {
    const double part = most > least ? std::log(x / least) / std::log(most / least) : 0.5;
    return size_t(std::lround(std::clamp(part, 0.0, 1.0) * double(width - 1)));
  };
  for (size_t i = at(p.low); i <= at(p.high); ++i) line[i] = '-';
  line[at(p.value)] = 'o';
  return "|" + line + "|";
}

std::string percent(double ratio) { return fmt::format("{:+.1f} %", 100 * (ratio - 1)); }

}  // namespace

std::string to_text(const Trend& trend, int width) {
  const size_t n = trend.points.size();
  std::string text = fmt::format("{}, {}: time per {}, {} run{}\n", one_line(trend.engine),
                                 one_line(trend.job), one_line(trend.unit), n, n == 1 ? "" : "s");
  text = folded(text, size_t(width));
  double least = HUGE_VAL, most = 0;
  for (const TrendPoint& p : trend.points)
    least = std::min(least, p.low), most = std::max(most, p.high);
  const size_t axis = size_t(std::max(10, width - 2 - 16 - 2 - 9 - 2 - 2));
  size_t next = 0;
  for (size_t i = 0; i < n; ++i) {
    const TrendPoint& p = trend.points[i];
    if (next < trend.changes.size() && trend.changes[next].at == i) {
      const TrendChange& c = trend.changes[next++];
      std::string line =
          fmt::format("  changed: {:.2f} times the time ({})", c.ratio, interval(c.low, c.high));
      for (size_t k = 0; k < c.with.size(); ++k)
        line += concat(k ? "; " : "; with it ", one_line(c.with[k]));
      if (c.with.empty()) line += "; nothing that the history knows changed with it";
      text += folded(line + "\n", size_t(width));
    }
    text += fmt::format("  {:16}  {:>9}  {}\n", minute_of(p.created), with_unit(p.value),
                        bar(p, least, most, axis));
  }
  if (n < 8) text += folded("  a change is seen with 8 runs or more\n", size_t(width));
  return text;
}

json to_json(const Trend& trend) {
  json points = json::array(), changes = json::array();
  for (const TrendPoint& p : trend.points)
    points.push_back({{"run", p.run},
                      {"created", p.created},
                      {"seconds", p.value},
                      {"interval", {p.low, p.high}},
                      {"rounds", p.rounds}});
  for (const TrendChange& c : trend.changes)
    changes.push_back(
        {{"at", c.at}, {"ratio", c.ratio}, {"interval", {c.low, c.high}}, {"with", c.with}});
  return {{"engine", trend.engine},
          {"job", trend.job},
          {"unit", trend.unit},
          {"points", points},
          {"changes", changes}};
}

std::string to_text(std::span<const AgainstHistory> all, int width) {
  std::string text;
  for (const AgainstHistory& one : all) {
    std::string line =
        fmt::format("{}, {}: {} per {}", one.engine, one.job, with_unit(one.now_s), one.unit);
    if (one.runs > 0)
      line += fmt::format(", {:.2f} times the {} of {} earlier run{}", one.ratio,
                          with_unit(one.before_s), one.runs, one.runs == 1 ? "" : "s");
    if (one.runs >= kFewestRuns) line += fmt::format(" ({})", interval(one.low, one.high));
    line += fmt::format(": {}{}", to_string(one.verdict), one.why.empty() ? "" : ", " + one.why);
    text += folded(one_line(line), size_t(width)) + "\n";
  }
  return text;
}

json to_json(std::span<const AgainstHistory> all) {
  json out = json::array();
  for (const AgainstHistory& one : all)
    out.push_back({{"engine", one.engine},
                   {"job", one.job},
                   {"unit", one.unit},
                   {"now_s", one.now_s},
                   {"before_s", one.runs > 0 ? json(one.before_s) : json()},
                   {"runs", one.runs},
                   {"ratio", one.runs > 0 ? json(one.ratio) : json()},
                   {"interval", one.runs >= kFewestRuns ? json({one.low, one.high}) : json()},
                   {"verdict", to_string(one.verdict)},
                   {"why", one.why}});
  return out;
}

std::string to_markdown(std::span<const AgainstHistory> all) {
  std::string text =
      "### hearth lab against its history\n\n"
      "| engine | job | time | before | difference | 95 % interval | verdict |\n"
      "|---|---|---:|---:|---:|---|---|\n";
  for (const AgainstHistory& one : all)
    text += fmt::format(
        "| {} | {} | {} | {} | {} | {} | {}{} |\n", markdown_text(one.engine),
        markdown_text(one.job), with_unit(one.now_s), one.runs > 0 ? with_unit(one.before_s) : "-",
        one.runs > 0 ? percent(one.ratio) : "-",
        one.runs >= kFewestRuns ? percent(one.low) + " to " + percent(one.high) : "-",
        one.verdict == Verdict::slower || one.verdict == Verdict::faster
            ? fmt::format("**{}**", to_string(one.verdict))
            : std::string(to_string(one.verdict)),
        one.why.empty() ? "" : ", " + markdown_text(one.why));
  return text + "\n";
}

}  // namespace hearth::lab
