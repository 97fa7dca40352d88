// The page as a browser lays it out, at a phone's width and at a desktop's: tools/lab_layout.py
// looks at it. Skipped where no browser is installed.
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "hearth/lab/judge/explain.h"
#include "hearth/lab/result/imports.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/report.h"
#include "hearth/lab/show/standing.h"
#include "tests/lab/fakes.h"
#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using testing::gpu_result;
using ::testing::HasSubstr;

Result stored(const char* name) { return read_result(testing::source_path(name)); }

/// The two engines on two processors, beside others, with memory.
Result on_processors() {
  Result r = gpu_result({.host_cores = 1.2});
  r.environment.push_back({"hardware_threads", std::string("2")});
  for (Ceiling& c : r.ceilings)
    c.device = "cpu", c.value = c.name == "read_bandwidth" ? 300.0 : 9e4;
  for (EngineResult& e : r.engines) {
    e.device = "cpu";
    const size_t n = e.telemetry.time_s.size();
    std::vector<std::optional<double>> busy(n), clock(n);
    for (size_t i = 0; i < n; ++i) busy[i] = 0.7 + 0.01 * double(i % 9), clock[i] = 3000 + i % 50;
    e.telemetry.channels.push_back({"cpu_active_fraction", "fraction", "/proc/stat", "", busy});
    e.telemetry.channels.push_back({"cpu_clock_probe_mhz", "MHz", "probe", "", clock});
    Memory before, after;
    before.moment = "before", after.moment = "after";
    before.resident_bytes = 1'000'000'000, after.resident_bytes = 2'000'000'000;
    e.memory = {before, after};
  }
  return r;
}

/// As many engines as a page may have, of names as wide as they come.
Result crowd() {
  std::vector<std::pair<std::string, double>> all;
  std::string wide, high;
  for (int i = 0; i < 60; ++i) wide += "\u5927", high += "e\u0301";
  for (int i = 0; i < 14; ++i)
    all.emplace_back(concat(std::string(size_t(20 * i + 1), "WMi@%"[i % 5]), i), 1 + 0.02 * i);
  all.emplace_back(wide, 0.001);
  all.emplace_back(high, 5000);
  all.emplace_back("<script>alert(1)</script>\"'&\x1b[31m\x01 \u202eround", 3);
  return testing::commands(all);
}

std::map<std::string, Result> pages() {
  std::map<std::string, Result> all;
  all["post"] = stored("tests/lab/data/post_2023.json");
  all["peers"] = stored("tests/lab/data/peers_2026.json");
  all["commands"] = stored("tests/lab/data/commands_2026.json");
  all["two commands"] = import_result(
      testing::content_of(testing::source_path("tests/lab/data/hyperfine.json")), "x");
  all["faster"] = gpu_result({.active = 0.32, .clock_mhz = 1980, .host_cores = 1});
  all["by clock"] = gpu_result({.active = 0.95, .clock_mhz = 990, .gb_s = 600, .gflop_s = 1e5});
  all["in the caches"] = gpu_result({.active = 0.95, .gb_s = 200, .gflop_s = 300});
  all["processors"] = on_processors();
  all["crowd"] = crowd();
  all["alone"] = testing::commands({{"alone", 1}});
  Result r = gpu_result({.active = 0.5, .clock_mhz = 1000});
  testing::add_states(r, "gpu_requested_states",
                      {{"P1", 0.91}, {std::string(80, 'W'), 0.05}, {"P3", 0.04}});
  testing::add_batch(r, 4, 1.5);
  all["states, two jobs"] = r;
  r = gpu_result({});
  for (Repetition& rep : r.engines[0].repetitions) {
    rep.disturbance.emplace();
    rep.disturbance->processors = 2;
    rep.disturbance->others_s = 1.6 * rep.total_s;
  }
  all["busy"] = r;
  r = gpu_result({});
  for (EngineResult& e : r.engines) e.repetitions.resize(3);
  all["few starts"] = r;
  r = testing::commands({{"a", 1}, {"b", 1.02}});
  for (EngineResult& e : r.engines)
    for (Repetition& rep : e.repetitions)
      rep.total_s *= 1 + 0.3 * ((rep.round * 3 + (&e == &r.engines[0])) % 5);
  r.engines[0].repetitions[2].total_s = 80;
  all["undecided, an outlier"] = r;
  r = testing::commands({{"a", 1}, {"b", 1.0001}});
  all["equivalent"] = r;
  for (const char* kind : {"win", "lose", "mixed", "equal", "open"})
    all[std::string("jobs, ") + kind] = testing::several_jobs(kind);
  r = gpu_result({});
  r.engines[0].label =
      "torch@/a/very/long/path/to/some/engine/of/torch.py:cuda:" + std::string(200, 'x');
  all["a long name"] = r;
  return all;
}

class Layout : public ::testing::TestWithParam<bool> {};

TEST_P(Layout, TheFirstScreenHasWhoHowMuchTheVerdictAndWhy) {
  HEARTH_PYTHON_OR_SKIP();
  testing::TempFolder folder;
  const auto all = pages();
  std::vector<std::string> words(1, "python3");
  words.push_back(testing::source_path("tools/lab_layout.py"));
  if (GetParam()) words.emplace_back("--dark");
  std::vector<const Result*> shown;
  for (const auto& [name, result] : all) {
    words.push_back(folder.write(name + ".html", report_html(result)));
    shown.push_back(&result);
  }
  const testing::Finished f = testing::run(words);
  if (f.exit_code == 77) GTEST_SKIP() << f.out;
  const auto found = nlohmann::json::parse(f.out, nullptr, false);
  ASSERT_TRUE(found.is_array()) << f.out << f.err;
  ASSERT_EQ(found.size(), 2 * all.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const auto& one = found[i];
    const Result& result = *shown[i / 2];
    const std::string of = one["page"].get<std::string>() + " at " + one["width"].dump();
    EXPECT_EQ(one["problems"], nlohmann::json::array()) << of << ": " << one["problems"].dump(1);
    if (const auto overall = over_jobs(result); !overall.empty()) {
      EXPECT_EQ(one["how-much"], overall.front().how_much) << of;
      EXPECT_EQ(decided(overall.front().finding),
                one["verdict"] == to_string(overall.front().finding))
          << of;
      EXPECT_FALSE(one["reason"].get<std::string>().empty()) << of;
      continue;
    }
    // The words are those that the terminal has: the ratio, its interval, the verdict.
    const auto standing = standings(result, 0);
    if (standing.size() < 2) continue;
    const auto other = std::ranges::find(standing, false, &Standing::first);
    const TimeRatio slower = other->ratio.value >= 1 ? other->ratio : inverse(other->ratio);
    EXPECT_THAT(
        one["how-much"].get<std::string>(),
        ::testing::AllOf(HasSubstr(digits(slower.value)),
                         HasSubstr(concat(digits(slower.low), " to ", digits(slower.high)))))
        << of;
    EXPECT_EQ(decided(other->finding), one["verdict"] == "faster" || one["verdict"] == "equivalent")
        << of << one.dump();
    EXPECT_FALSE(one["reason"].get<std::string>().empty());
  }
}
INSTANTIATE_TEST_SUITE_P(Schemes, Layout, ::testing::Bool(),
                         [](const auto& is) { return is.param ? "Dark" : "Light"; });

/// What the tool must find, or the test above would prove nothing.
TEST(LayoutTool, FindsWhatIsWrong) {
  HEARTH_PYTHON_OR_SKIP();
  testing::TempFolder folder;
  const std::string good = report_html(gpu_result({.active = 0.32, .clock_mhz = 1980}));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string page = good;
    const size_t at = page.find(from);
    EXPECT_NE(at, page.npos) << from;
    return page.replace(at, from.size(), to);
  };
  const std::pair<std::string, std::string> pages[] = {
      {"not in the first screen", with("<h1>", "<div style=\"height:900px\"></div><h1>")},
      {"no verdict", with("id=\"verdict\"", "id=\"nothing\"")},
      {"the page is", with("<h1>", "<div style=\"width:1500px;height:2px\"></div><h1>")},
      {"overlap", with("</svg>",
                       "<text x=\"20\" y=\"30\">one</text><text x=\"22\" y=\"31\">two"
                       "</text></svg>")},
      {"leaves its chart", with("</svg>", "<text x=\"380\" y=\"30\">far away</text></svg>")},
      {"belongs to", with("<h1>", "<p style=\"color:#0072b2\">blue</p><h1>")},
      {"hard to see", with(".k0{background:#0072b2}", ".k0{background:#f0f0f0}")},
      {"shows no edge", with("overflow-x:auto;border:1px", "overflow-x:auto;border:0px")},
  };
  std::vector<std::string> words = {"python3", testing::source_path("tools/lab_layout.py")};
  for (size_t i = 0; i < std::size(pages); ++i)
    words.push_back(folder.write(concat(i, ".html"), pages[i].second));
  const testing::Finished f = testing::run(words);
  if (f.exit_code == 77) GTEST_SKIP() << f.out;
  EXPECT_EQ(f.exit_code, 1) << f.err;
  const auto found = nlohmann::json::parse(f.out);
  for (size_t i = 0; i < std::size(pages); ++i)
    EXPECT_THAT(found.at(2 * i)["problems"].dump(), HasSubstr(pages[i].first)) << pages[i].first;
}

}  // namespace
}  // namespace hearth::lab
