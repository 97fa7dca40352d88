// What charts draw, measured: bars are as long as what they stand for.
#include "hearth/lab/show/charts_times.h"

#include <gmock/gmock.h>

#include <cmath>
#include <regex>
#include <set>

#include "hearth/base/error.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/show/charts_machine.h"
#include "hearth/lab/show/charts_why.h"
#include "hearth/lab/show/report.h"
#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using testing::gpu_result;
using ::testing::HasSubstr;
using ::testing::Not;

struct Shape {
  std::string text;
  double number(const std::string& attribute) const {
    std::smatch found;
    if (!std::regex_search(text, found, std::regex(" " + attribute + "=\"([-0-9.]+)\"")))
      throw std::runtime_error("no " + attribute + " in " + text);
    return std::stod(found[1]);
  }
  std::string content() const {
    const size_t begin = text.find('>') + 1;
    return text.substr(begin, text.find('<', begin) - begin);
  }
};

/// The elements of a kind, in their order, of a class if one is named.
std::vector<Shape> shapes(const Chart& chart, const std::string& kind,
                          const std::string& style = "") {
  std::vector<Shape> all;
  std::istringstream in(chart.svg.inline_text());
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("<" + kind + " ") &&
        (style.empty() || line.find("class=\"" + style + "\"") != line.npos))
      all.push_back({line});
  return all;
}
std::vector<std::string> texts(const Chart& chart) {
  std::vector<std::string> all;
  for (const Shape& one : shapes(chart, "text")) all.push_back(one.content());
  return all;
}

constexpr double kPixel = 0.02;  // coordinates have two digits

TEST(Charts, BarsAreAsLongAsTheTimes) {
  const Result r = gpu_result({});
  const Chart chart = time_bars(r, 0);
  EXPECT_EQ(chart.heading, "Time for 50 tokens");
  const auto bars = shapes(chart, "rect");
  ASSERT_EQ(bars.size(), 2u);
  const Total slow = *total_of(r.engines[0], 0), fast = *total_of(r.engines[1], 0);
  // The axis reaches 2 % beyond the longest with its deviation.
  const double scale = (400 - 16) / (1.02 * (slow.mean_s + slow.stddev_s));
  EXPECT_NEAR(bars[0].number("width"), scale * slow.mean_s, kPixel);
  EXPECT_NEAR(bars[1].number("width"), scale * fast.mean_s, kPixel);
  EXPECT_EQ(bars[0].number("x"), 8);
  const auto whiskers = shapes(chart, "line", "whisker");
  ASSERT_EQ(whiskers.size(), 6u);  // of each engine the deviation and its two ends
  EXPECT_NEAR(whiskers[0].number("x1"), 8 + scale * (slow.mean_s - slow.stddev_s), kPixel);
  EXPECT_NEAR(whiskers[0].number("x2"), 8 + scale * (slow.mean_s + slow.stddev_s), kPixel);
  EXPECT_NEAR(whiskers[3].number("x1"), 8 + scale * (fast.mean_s - fast.stddev_s), kPixel);
  EXPECT_THAT(texts(chart),
              ::testing::IsSupersetOf({"torch:cuda", "hearth:cuda", "1.0035 s +- 0.0024 s",
                                       "501.7 ms +- 1.2 ms", "49.8 tokens/s", "99.7 tokens/s", "0",
                                       "0.5", "1", "s"}));
  for (const Shape& tick : shapes(chart, "line", "grid"))
    EXPECT_EQ(tick.number("x1"), tick.number("x2"));
  EXPECT_NEAR(shapes(chart, "line", "grid").back().number("x1"), 8 + scale * 1, kPixel);
}

TEST(Charts, RatesAreOfAllRowsAndOfWhatTheJobIs) {
  Result r = gpu_result({});
  r.jobs[0].batch = 4;
  EXPECT_THAT(texts(time_bars(r, 0)), ::testing::Contains("199 tokens/s"));
  EXPECT_EQ(time_bars(r, 0).heading, "Time for 50 tokens x 4");
  r.jobs[0].kind = JobKind::prefill;
  EXPECT_THAT(texts(time_bars(r, 0)), ::testing::Contains("31.9 tokens/s"));  // 4 rows of 8
  EXPECT_EQ(time_bars(r, 0).heading, "Time for a prompt of 8 tokens");
  r.jobs[0].kind = JobKind::op;
  r.jobs[0].op = "sum";
  r.jobs[0].batch = 1;
  EXPECT_THAT(texts(time_bars(r, 0)), ::testing::Contains("0.997 calls/s"));
  EXPECT_EQ(time_bars(r, 0).heading, "Time for a call of sum");
  for (EngineResult& e : r.engines) {
    e.repetitions.clear();
    e.published = {{0, 2, 0, 1, 8, 50}};
  }
  EXPECT_THAT(texts(time_bars(r, 0)), ::testing::Contains("2 s"));  // one run has no deviation
  EXPECT_TRUE(shapes(time_bars(r, 0), "line", "whisker").empty());
}

TEST(Charts, EveryRepetitionIsADotWhereItsTimeIs) {
  Result r = gpu_result({});
  Repetition cold = r.engines[0].repetitions[0];
  cold.warmup = true, cold.total_s = 9;
  r.engines[0].repetitions.insert(r.engines[0].repetitions.begin(), cold);
  const Chart chart = time_strips(r, 0);
  for (const size_t e : {0, 1}) {
    const auto dots = shapes(chart, "circle", "f" + std::to_string(e));
    const auto times = unit_times(r.engines[e], 0);
    ASSERT_EQ(dots.size(), 8u);
    // The axis reaches from 10 to 20.14 ms, and a twentieth of that further on both sides.
    const double margin = 0.05 * 10.14;
    for (size_t i = 0; i < 8; ++i) {
      EXPECT_NEAR(dots[i].number("cx"),
                  8 + 384 * (1e3 * times[i] - (10 - margin)) / (10.14 + 2 * margin), kPixel);
      if (i > 0) {  // later ones are lower
        EXPECT_GT(dots[i].number("cy"), dots[i - 1].number("cy"));
      }
    }
    const auto median_line = shapes(chart, "line", "s" + std::to_string(e));
    ASSERT_EQ(median_line.size(), 1u);
    int left = 0;
    for (const Shape& dot : dots) left += dot.number("cx") < median_line[0].number("x1");
    EXPECT_EQ(left, 4);
  }
  EXPECT_THAT(texts(chart), ::testing::IsSupersetOf(
                                {"median 20.1 ms of 8", "median 10 ms of 8", "ms a new token"}));
  EXPECT_THAT(chart.caption, HasSubstr("The axis does not start at 0."));
}

// Slower by ln 2.00: the clock alone explains it.
TEST(Charts, PartsOfTheWaterfallAddUp) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 990});
  for (const bool reversed : {false, true}) {
    if (reversed) std::swap(r.engines[0], r.engines[1]);
    const Explanation e = explain(r, r.engines[0].label, r.engines[1].label);
    const Chart chart = waterfall(e);
    const auto bars = shapes(chart, "rect");
    ASSERT_EQ(bars.size(), 4u);  // clock, cycles, utilisation, time
    const double sign = reversed ? -1 : 1;
    EXPECT_NEAR(*e.attribution.clock.value, sign * std::log(2), 1e-9);
    EXPECT_NEAR(bars[0].number("width"), bars[3].number("width"), 0.5);
    EXPECT_NEAR(bars[0].number("x"), bars[3].number("x"), 0.5);
    EXPECT_NEAR(bars[1].number("width"), 0, 0.5);
    EXPECT_NEAR(bars[2].number("width"), 0, kPixel);
    EXPECT_THAT(texts(chart), ::testing::IsSupersetOf({reversed ? "0.50 x" : "2.00 x", "clock",
                                                       "cycles", "utilisation", "time"}));
    EXPECT_THAT(chart.caption, HasSubstr(reversed ? "0.50 x 1.00 x 1.00 = 0.50 per new token"
                                                  : "2.00 x 1.00 x 1.00 = 2.00 per new token"));
    EXPECT_THAT(bars[3].text, HasSubstr("class=\"whole\""));
    for (const size_t i : {0, 1, 2}) EXPECT_THAT(bars[i].text, HasSubstr("class=\"part\""));
  }
  Explanation e = explain(r, r.engines[1].label, r.engines[0].label);
  e.attribution = {.log_ratio = 0.5, .cycles = 0.4, .clock = 0.3, .utilisation = -0.2};
  const auto bars = shapes(waterfall(e), "rect");
  const double unit = bars[3].number("width") / 0.5;
  EXPECT_NEAR(bars[0].number("width"), 0.3 * unit, kPixel);
  EXPECT_NEAR(bars[1].number("x"), bars[0].number("x") + 0.3 * unit, kPixel);
  EXPECT_NEAR(bars[1].number("width"), 0.4 * unit, kPixel);
  EXPECT_NEAR(bars[2].number("x"), bars[0].number("x") + 0.5 * unit, kPixel);  // back from 0.7
  EXPECT_NEAR(bars[2].number("width"), 0.2 * unit, kPixel);
  EXPECT_NEAR(bars[3].number("x"), bars[0].number("x"), kPixel);
  EXPECT_NEAR(unit * 0.7, 400 - 76 - 84, kPixel);  // the widest fills it
  e.attribution.clock = e.attribution.cycles = Reading<double>::missing("no clock");
  const Chart unknown = waterfall(e);
  EXPECT_EQ(shapes(unknown, "rect").size(), 2u);
  EXPECT_THAT(texts(unknown), ::testing::Contains("unknown").Times(2));
  // Hatched: from nothing to all but the part that is known, 0.5 less -0.2.
  const auto hatched = shapes(unknown, "path", "hatch");
  ASSERT_EQ(hatched.size(), 2u);
  const double whole = shapes(unknown, "rect").back().number("width");
  std::smatch width;
  ASSERT_TRUE(
      std::regex_search(hatched[0].text, width, std::regex("d=\"M[-0-9.]+ [-0-9.]+h([0-9.]+)v24")));
  EXPECT_NEAR(std::stod(width[1]), whole * 0.7 / 0.5, 2 * kPixel);
}

// On logarithmic axes a point lies under the roof by the share of it that it reaches.
TEST(Charts, PointsLieUnderTheirRoof) {
  const Result r = gpu_result({.active = 0.95, .clock_mhz = 1980, .gb_s = 1000, .gflop_s = 1e5});
  const Chart chart = roofline(r, 0);
  const auto roofs = shapes(chart, "polyline", "roof");
  ASSERT_EQ(roofs.size(), 1u);
  std::vector<double> xs, ys;
  std::regex point("([-0-9.]+),([-0-9.]+) ");
  for (auto it = std::sregex_iterator(roofs[0].text.begin(), roofs[0].text.end(), point);
       it != std::sregex_iterator(); ++it)
    xs.push_back(std::stod((*it)[1])), ys.push_back(std::stod((*it)[2]));
  ASSERT_EQ(xs.size(), 3u);
  EXPECT_EQ(ys[1], ys[2]);
  EXPECT_LT(xs[1], xs[2]);
  const Explanation e = explain(r, "torch:cuda", "hearth:cuda");
  const Phase &slow = e.a.phases.at(0), &fast = e.b.phases.at(0);
  std::vector<Shape> dots;
  for (const Shape& one : shapes(chart, "circle"))
    if (one.number("r") == 4.5) dots.push_back(one);
  ASSERT_EQ(dots.size(), 2u);
  EXPECT_NEAR(dots[0].number("cx"), dots[1].number("cx"), kPixel);  // the same work
  // Heights: log 2 between the two, and the roof's slope is one decade of rate a decade of
  // intensity.
  const double log2 = dots[0].number("cy") - dots[1].number("cy");
  const auto height = [&](double ratio) { return log2 * std::log(ratio) / std::log(2); };
  const double on_roof = ys[0] + (ys[1] - ys[0]) * (dots[0].number("cx") - xs[0]) / (xs[1] - xs[0]);
  EXPECT_NEAR(dots[0].number("cy") - on_roof, height(1 / *slow.bandwidth_share.value), 0.5);
  EXPECT_NEAR(dots[1].number("cy") - ys[1], height(1e5 / *fast.gflop_s.value), 0.5);
  EXPECT_THAT(texts(chart), ::testing::IsSupersetOf({"cuda: 1000 GB/s, 100000 GFLOP/s", "decode",
                                                     "operations a byte", "GFLOP/s", "torch:cuda",
                                                     "hearth:cuda"}));
  Result unknown = gpu_result({});
  unknown.engines[0].bytes_per_weight = unknown.engines[1].bytes_per_weight =
      Reading<double>::missing("?");
  EXPECT_THAT(texts(roofline(unknown, 0)),
              ::testing::Contains("the work of this job is not known"));
  EXPECT_EQ(roofline(unknown, 0).caption, "the engine's bytes per weight are not known");
  Result no_roof = gpu_result({});
  no_roof.ceilings.clear();
  EXPECT_THAT(roofline(no_roof, 0).caption, HasSubstr("Here it is not known."));
}

TEST(Charts, StatesAreAsLongAsTheirPartsOfTheTime) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 600});
  for (EngineResult& e : r.engines)
    std::erase_if(e.telemetry.channels,
                  [](const Channel& c) { return c.name.starts_with("gpu_limit"); });
  testing::add_states(r, "gpu_states",
                      {{"idle", 0.25}, {"600", 0.745}, {"1182", 0.0051}, {"1300", 0.0049}});
  const auto charts = state_bars(r, 0);
  ASSERT_EQ(charts.size(), 1u);
  const auto bars = shapes(charts[0], "rect");
  ASSERT_EQ(bars.size(), 3u);  // from half a percent
  const double whole = 400 - 60 - 110;
  EXPECT_NEAR(bars[0].number("width"), 0.25 * whole, kPixel);
  EXPECT_NEAR(bars[1].number("width"), 0.745 * whole, kPixel);
  EXPECT_LT(bars[0].number("y"), bars[1].number("y"));
  EXPECT_THAT(texts(charts[0]), ::testing::ElementsAre("it was in", "idle", "25.0 %", "600",
                                                       "74.5 %", "1182", "0.5 %"));
}

TEST(Charts, TimelinesLeaveOutTheTimeBetweenRepetitions) {
  Result r = gpu_result({.active = 0.5, .clock_mhz = 1000});
  for (EngineResult& e : r.engines) {
    e.telemetry.time_s = {0.1, 0.2, 0.3, 9.1, 9.2};  // a gap counts for a period and a half
    for (Channel& c : e.telemetry.channels) c.values.resize(5, 1.0);
  }
  Timeline& t = r.engines[0].telemetry;
  for (Channel& c : t.channels) {
    if (c.name == "gpu_active_fraction") c.values = {0.1, 0.9, 0.2, 0.3, std::nullopt};
    if (c.name == "gpu_clock_mhz") c.values = {500, 1000, 2000, 700, 800};
  }
  const auto charts = timelines(r);
  ASSERT_EQ(charts.size(), 2u);
  const auto lines = shapes(charts[0], "polyline", "s0");
  ASSERT_EQ(lines.size(), 4u);  // of each panel the key and the line
  const auto points = [](const Shape& line) {
    std::vector<std::pair<double, double>> all;
    std::regex point("([-0-9.]+),([-0-9.]+) ");
    for (auto it = std::sregex_iterator(line.text.begin(), line.text.end(), point);
         it != std::sregex_iterator(); ++it)
      all.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
    return all;
  };
  const auto active = points(lines[1]), clock = points(lines[3]);
  ASSERT_EQ(active.size(), 4u);
  ASSERT_EQ(clock.size(), 5u);
  const double second = (400 - 52) / 0.55;  // 0.1 each, and 0.15 for the gap
  const double at[] = {0.1, 0.2, 0.3, 0.45, 0.55};
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(clock[i].first, 44 + second * at[i], kPixel);
  const auto marks = shapes(charts[0], "circle", "mark");
  ASSERT_EQ(marks.size(), 2u);
  EXPECT_NEAR(marks[0].number("cx"), active[1].first, kPixel);
  EXPECT_NEAR(marks[0].number("cy"), active[1].second, kPixel);
  EXPECT_NEAR(marks[1].number("cx"), clock[2].first, kPixel);
  EXPECT_NEAR(active[0].second - active[1].second, 96 * 0.8 / 1.06, kPixel);
  EXPECT_NEAR(clock[0].second - clock[1].second, 96 * 500 / (2000 * 1.06), kPixel);
  EXPECT_THAT(texts(charts[0]),
              ::testing::IsSupersetOf({"GPU: at most 90 %", "GPU: at most 2000 MHz"}));
}

// Half of two processors for the engine, and a quarter of both for others.
TEST(Charts, TimelinesHoldTheEngineApartFromOthers) {
  Result r = gpu_result({.host_cores = 1});
  for (EngineResult& e : r.engines) {
    const size_t n = e.telemetry.time_s.size();
    for (const char* name :
         {"cpu_active_fraction", "cpu_active_fraction.0", "cpu_active_fraction.1"})
      e.telemetry.channels.push_back(
          {name, "fraction", "/proc/stat", "", std::vector<std::optional<double>>(n, 0.75)});
  }
  const Chart chart = timelines(r)[1];
  EXPECT_THAT(texts(chart), ::testing::IsSupersetOf({"processors, the engine: at most 50 %",
                                                     "processors, others: at most 25 %"}));
  const auto others = shapes(chart, "path", "band");
  ASSERT_EQ(others.size(), 1u);
  EXPECT_EQ(shapes(chart, "polyline", "s1 dash").size(), 2u);  // key and line
  for (EngineResult& e : r.engines)
    std::erase_if(e.telemetry.channels,
                  [](const Channel& c) { return c.name == "process_active_cores"; });
  EXPECT_THAT(texts(timelines(r)[1]),
              ::testing::Contains("processors, the engine and others: at most 75 %"));
}

TEST(Charts, TheForestHasEachRatioItsIntervalAndWhetherItDecides) {
  Result r = testing::commands({{"first", 1}, {"slow", 2}, {"same", 1.0001}, {"quick", 0.25}});
  for (Repetition& rep : r.engines[1].repetitions)
    rep.total_s *= std::exp(0.3 * (double(rep.round % 4) - 1.5));  // with an interval to see
  const Chart chart = forest(r, 0);
  const auto points = shapes(chart, "circle");
  ASSERT_EQ(points.size(), 3u);  // sorted: quick, same, slow
  const double one = shapes(chart, "line", "axis").at(0).number("x1");
  const double unit = (one - points[0].number("cx")) / std::log(4);  // of the logarithm
  EXPECT_NEAR(points[1].number("cx"), one, 0.1);
  const PairedRatio slow = estimate(r.engines[0], r.engines[1], 0)->time;
  EXPECT_NEAR(points[2].number("cx"), one + unit * std::log(slow.ratio), 0.2);
  const auto whisker = shapes(chart, "line", "s1 thick");
  ASSERT_GE(whisker.size(), 3u);
  EXPECT_NEAR(whisker[0].number("x1"), one + unit * std::log(slow.low), 0.2);
  EXPECT_NEAR(whisker[0].number("x2"), one + unit * std::log(slow.high), 0.2);
  const auto band = shapes(chart, "rect", "band");
  ASSERT_EQ(band.size(), 1u);
  EXPECT_NEAR(band[0].number("x"), one - unit * std::log(1.02), 0.1);
  EXPECT_NEAR(band[0].number("width"), 2 * unit * std::log(1.02), 0.1);
  EXPECT_THAT(points[0].text, HasSubstr("class=\"f3\""));
  r.plan.order = "sequential";  // no verdict: open points, dashed lines
  const Chart none = forest(r, 0);
  for (const Shape& point : shapes(none, "circle")) EXPECT_THAT(point.text, HasSubstr(" open\""));
  EXPECT_EQ(shapes(none, "line", "s1 thick dash").size(), 1u);
  EXPECT_THAT(texts(none), ::testing::Contains(HasSubstr(", no verdict")));
  EXPECT_TRUE(shapes(forest(testing::commands({{"alone", 1}}), 0), "circle").empty());
}

// A deviation that is larger than the mean would reach below 0, which no time does.
TEST(Charts, NoDeviationCrossesZero) {
  Result r = testing::commands({{"a", 1}, {"b", 1}});
  r.engines[0].repetitions[3].total_s = 40;
  r.engines[0].repetitions[5].total_s = 20;
  const Total total = *total_of(r.engines[0], 0);
  ASSERT_GT(total.stddev_s, total.mean_s);
  const Chart chart = time_bars(r, 0);
  const auto whiskers = shapes(chart, "line", "whisker");
  ASSERT_EQ(whiskers.size(), 6u);
  const double scale = shapes(chart, "rect")[0].number("width") / total.mean_s;
  for (const Shape& one : whiskers) EXPECT_GE(one.number("x1"), 8 + 0.9 * scale);
  EXPECT_NEAR(whiskers[0].number("x1"),
              8 + scale * percentile(times_of(r, r.engines[0], 0).totals, 0.16), 0.1);
  EXPECT_NEAR(whiskers[0].number("x2"),
              8 + scale * percentile(times_of(r, r.engines[0], 0).totals, 0.84), 0.1);
  EXPECT_THAT(chart.caption, HasSubstr("from 16 % to 84 %"));
  for (EngineResult& e : r.engines) {  // published: all that is known reaches below 0
    e.repetitions.clear();
    e.published = {{0, 1, 3, 5, 0, 0}};
  }
  EXPECT_TRUE(shapes(time_bars(r, 0), "line", "whisker").empty());
  EXPECT_THAT(texts(time_bars(r, 0)), ::testing::Contains("1.0 s +- 3.0 s"));
}

TEST(Charts, OneOutlierDoesNotPressTheOthersTogether) {
  Result r = testing::commands({{"a", 1}, {"b", 1.01}});
  EXPECT_THAT(time_strips(r, 0).caption, Not(HasSubstr("logarithmic")));
  r.engines[0].repetitions[3].total_s = 90;
  const Chart chart = time_strips(r, 0);
  EXPECT_THAT(chart.caption, HasSubstr("The axis is logarithmic."));
  const auto dots = shapes(chart, "circle", "f0");
  const double decade = (dots[3].number("cx") - dots[0].number("cx")) / std::log10(90);
  EXPECT_NEAR(decade, (400 - 16) / std::log10(90 * 1.05 * 1.05), 1);
}

TEST(Charts, APointAboveTheRoofIsExplained) {
  EXPECT_THAT(roofline(gpu_result({.gb_s = 1000, .gflop_s = 1e5}), 0).caption,
              Not(HasSubstr("caches")));
  EXPECT_THAT(roofline(gpu_result({.gb_s = 400, .gflop_s = 1e5}), 0).caption,
              HasSubstr("Above the line: hearth:cuda (decode). Weights that stay in the caches are "
                        "read faster than memory gives."));
}

TEST(Charts, ColoursAreTheEnginesAlone) {
  const std::string style = chart_style(200);
  std::set<std::string> seen;
  const std::string light = style.substr(0, style.find("@media"));
  std::regex rule("svg \\.s(\\d+)\\{stroke:([^}]+)\\}");
  for (auto it = std::sregex_iterator(light.begin(), light.end(), rule);
       it != std::sregex_iterator(); ++it)
    EXPECT_TRUE(seen.insert((*it)[2]).second) << (*it)[0];
  EXPECT_EQ(seen.size(), 200u);
  // Whatever else has a colour is grey.
  const std::string rest = std::regex_replace(light, std::regex("[^\n]*\\.s\\d+\\{[^\n]*\n"), "");
  std::regex colour("#([0-9a-f]{3,6})\\b");
  for (auto it = std::sregex_iterator(rest.begin(), rest.end(), colour);
       it != std::sregex_iterator(); ++it) {
    const std::string digits = (*it)[1];
    const size_t third = digits.size() / 3;
    EXPECT_EQ(digits.substr(0, third), digits.substr(third, third)) << digits;
    EXPECT_EQ(digits.substr(0, third), digits.substr(2 * third)) << digits;
  }
  // An engine keeps its colour where another has no times of a job.
  Result r = testing::commands({{"a", 1}, {"b", 2}, {"c", 3}});
  r.engines[1].repetitions.clear();
  for (const Chart& chart : {time_bars(r, 0), time_strips(r, 0), forest(r, 0)})
    EXPECT_THAT(chart.svg.inline_text(),
                ::testing::AllOf(HasSubstr("\"f2\""), Not(HasSubstr("\"f1\""))));
}

TEST(Charts, TheTerminalsBarsAndSparklinesAreAsLong) {
  Result r = gpu_result({.active = 0.5, .clock_mhz = 1000});
  for (EngineResult& e : r.engines) {
    e.telemetry.time_s.resize(8);
    for (Channel& c : e.telemetry.channels) c.values.resize(8);
  }
  for (Channel& c : r.engines[0].telemetry.channels) {
    if (c.name == "gpu_active_fraction")
      c.values = {0, 1 / 7., 2 / 7., 3 / 7., 4 / 7., 5 / 7., {}, 1};
    if (c.name == "gpu_clock_mhz") c.values = {0, 700, 700, 700, 350, 350, 0, 70};
  }
  r.engines.pop_back();
  EXPECT_EQ(report_text(r, 80),
            "Time of job 1 (s)\n"
            "  torch:cuda               ######################################## 1\n"
            "torch:cuda\n"
            "  gpu_active_fraction      _.-:=+ # up to 1\n"
            "  gpu_clock_mhz            _###==_. up to 700\n");
}

}  // namespace
}  // namespace hearth::lab
