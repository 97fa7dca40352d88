#include "hearth/lab/show/report.h"
#include "hearth/lab/result/result_json.h"

#include <gmock/gmock.h>

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>

#include "hearth/lab/judge/times.h"
#include "hearth/lab/show/advice.h"
#include "hearth/lab/show/charts_machine.h"
#include "hearth/lab/show/explain_text.h"
#include "hearth/lab/show/standing.h"
#include "hearth/lab/show/verdicts.h"
#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::Not;

// What keeps a text from being well-formed XML, or "". Knows elements, attributes, the five named
// entities, numeric ones, and a doctype: what the report uses.
std::string malformed(const std::string& text) {
  std::vector<std::string> open;
  bool root = false;
  for (size_t i = 0; i < text.size();) {
    const auto context = [&] { return " at: " + text.substr(i, 60); };
    if (text[i] == '&') {
      const size_t end = text.find(';', i);
      const std::string name = text.substr(i + 1, end - i - 1);
      const bool known = name == "amp" || name == "lt" || name == "gt" || name == "quot" ||
                         (name.starts_with('#') && name.size() > 1 &&
                          name.find_first_not_of("0123456789", 1) == name.npos);
      if (!known) return "entity" + context();
      i = end + 1;
    } else if (text.compare(i, 9, "<!DOCTYPE") == 0) {
      i = text.find('>', i) + 1;
    } else if (text.compare(i, 2, "</") == 0) {
      const size_t end = text.find('>', i);
      const std::string name = text.substr(i + 2, end - i - 2);
      if (open.empty() || open.back() != name) return "end of " + name + context();
      open.pop_back();
      i = end + 1;
    } else if (text[i] == '<') {
      size_t at = i + 1;
      while (at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])))) ++at;
      const std::string name = text.substr(i + 1, at - i - 1);
      if (name.empty() || (open.empty() && root)) return "element" + context();
      root = true;
      std::vector<std::string> seen;
      for (;;) {
        while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at]))) ++at;
        if (at >= text.size()) return "cut" + context();
        if (text[at] == '>' || text.compare(at, 2, "/>") == 0) break;
        const size_t equals = text.find("=\"", at), close = text.find('"', equals + 2);
        if (equals == text.npos || close == text.npos) return "attribute" + context();
        const std::string key = text.substr(at, equals - at),
                          value = text.substr(equals + 2, close - equals - 2);
        if (key.find_first_of(" <>\"'&/") != key.npos || value.find('<') != value.npos ||
            std::ranges::count(seen, key))
          return "attribute " + key + context();
        seen.push_back(key);
        at = close + 1;
      }
      if (text[at] == '>')
        open.push_back(name), i = at + 1;
      else
        i = at + 2;
    } else {
      const auto c = static_cast<unsigned char>(text[i]);
      if (c < ' ' && c != '\n') return "control character" + context();
      ++i;
    }
  }
  return open.empty() && root ? "" : "not closed";
}

Result post() { return read_result(source_path("tests/lab/data/post_2023.json")); }

TEST(Report, TheCheckOfXmlFindsWhatIsWrong) {
  EXPECT_EQ(malformed("<!DOCTYPE html>\n<a b=\"c\"><d/>&amp;</a>"), "");
  for (const char* bad : {"<a>", "<a></b>", "<a b=c/>", "<a>&nbsp;</a>", "<a>&</a>", "<a/><b/>",
                          "<a b=\"1\" b=\"2\"/>", "<a>\x01</a>", "<a b=\"<\"/>", ""})
    EXPECT_NE(malformed(bad), "") << bad;
}

TEST(Report, IsOneWellFormedPageWithoutANetwork) {
  for (const Result& result : {post(), gpu_result({.active = 0.32, .clock_mhz = 1980})}) {
    const std::string page = report_html(result);
    EXPECT_EQ(malformed(page), "");
    for (const char* outside : {"src=", "href=", "url(", "@import", "<script", "<link"})
      EXPECT_THAT(page, Not(HasSubstr(outside)));
    EXPECT_THAT(page, HasSubstr("name=\"viewport\""));
    EXPECT_THAT(page, HasSubstr("prefers-color-scheme:dark"));
  }
}

TEST(Report, ShowsWhatThePostShowed) {
  const std::string page = report_html(post());
  EXPECT_THAT(page, HasSubstr("Time for 200 tokens"));
  EXPECT_THAT(page, HasSubstr("11.1 tokens/s"));  // 192 in 17.3 s
  EXPECT_THAT(page, HasSubstr("30.5 tokens/s"));  // 200 in 6.56 s
  EXPECT_THAT(page, HasSubstr("17.30 s +- 0.16 s"));
  EXPECT_THAT(page, HasSubstr("+1.124"));
  EXPECT_THAT(page, HasSubstr("Comparable: NO"));
  EXPECT_THAT(page, HasSubstr("unknown: M1 Max in the text and README, M1 Pro in the summary"));
}

TEST(Report, ShowsTheStatesOfAGpu) {
  Result r = gpu_result({.active = 0.95, .clock_mhz = 600, .power_capped = 0.5});
  EXPECT_FALSE(report_svgs(gpu_result({.active = 0.95})).contains("states-1.svg"));
  testing::add_states(r, "gpu_requested_states", {{"P1", 0.91}, {"P2", 0.088}, {"P3", 0.002}});
  const auto files = report_svgs(r);
  ASSERT_TRUE(files.contains("states-1.svg"));
  EXPECT_THAT(files.at("states-2.svg"), Not(HasSubstr("software asked for")));
  const std::string& svg = files.at("states-1.svg");
  EXPECT_EQ(malformed(svg), "");
  for (const char* shown :
       {"software asked for", "91.0 %", "P2", "its clock was held down by", "power_cap", "50.0 %"})
    EXPECT_THAT(svg, HasSubstr(shown));
  EXPECT_THAT(svg, Not(HasSubstr("P3")));
  EXPECT_THAT(report_html(r), HasSubstr("States of the GPU: torch:cuda"));
}

TEST(Report, SaysWhatSamplingCost) {
  Result r = gpu_result({.active = 0.32, .clock_mhz = 1980});
  EXPECT_THAT(report_html(r), Not(HasSubstr("of a core")));
  // Four samples of 0.1 s in each of eight turns, the first of them with what was before it.
  for (EngineResult& e : r.engines) e.telemetry.sampler_cpu_s = 0.018;
  EXPECT_THAT(report_html(r), HasSubstr("telemetry every 0.1 s, which took 0.5 % of a core"));
}

// By hand: MB are 1e6 bytes, and the difference is what came to it.
TEST(Report, TheTableOfMemoryHasEachGaugeBeforeAndAfter) {
  Result r = gpu_result({});
  Memory before, after, other;
  before.moment = "before", after.moment = "after", other.moment = "loaded";
  const auto fill = [](Memory& m, int64_t factor) {
    m.resident_bytes = factor * 1'000'000'000;
    m.resident_anonymous_bytes = factor * 200'000'000;
    m.resident_file_bytes = factor * 30'000'000;
    m.resident_peak_bytes = factor * 4'000'000'000;
    m.tensors_bytes = factor * 50'000'000;
    m.tensors_peak_bytes = factor * 60'000'000;
    m.driver_bytes = factor * 70'000'000;
    m.system_used_bytes = factor * 8'000'000'000;
    m.device_used_bytes = factor * 90'000'000;
  };
  fill(before, 2), fill(after, 3), fill(other, 9);
  before.resident_peak_bytes = 5'000'000'000;
  after.resident_peak_bytes = 4'000'000'000;
  before.driver_bytes = Reading<int64_t>::missing("no driver");
  before.device_used_bytes = after.device_used_bytes = Reading<int64_t>::missing("no device");
  r.engines[0].memory = {other, before, after};
  const std::string page = report_html(r);
  for (const char* row :
       {"<td>resident</td><td>2000</td><td>3000</td><td>1000</td>",
        "<td>of it anonymous</td><td>400</td><td>600</td><td>200</td>",
        "<td>of it files</td><td>60</td><td>90</td><td>30</td>",
        "<td>resident, peak</td><td>5000</td><td>4000</td><td>-1000</td>",
        "<td>tensors</td><td>100</td><td>150</td><td>50</td>",
        "<td>tensors, peak</td><td>120</td><td>180</td><td>60</td>",
        "<td>driver's total</td><td class=\"why\" title=\"no driver\">-</td><td>210</td><td "
        "class=\"why\" title=\"one of the two is not known\">-</td>",
        "<td>system, used</td><td>16000</td><td>24000</td><td>8000</td>"})
    EXPECT_THAT(page, HasSubstr(row));
  EXPECT_THAT(page, Not(HasSubstr("device, used")));
  EXPECT_THAT(page, Not(HasSubstr("<th colspan=\"4\">hearth:cuda")));  // it has no memory
  r.engines[0].memory = {other, before};
  EXPECT_THAT(report_html(r), Not(HasSubstr("<h2>Memory")));
}

// Who, by how much, the verdict, why: in the page, in `explain` and in the terminal alike.
TEST(Report, BeginsWithASentence) {
  Result r = gpu_result({.active = 0.32, .clock_mhz = 1980});
  for (size_t k = 0; k < 8; ++k)  // with a spread
    r.engines[0].repetitions[k].total_s *= std::exp(0.01 * (double(k % 4) - 1.5));
  const auto head = [&] {
    const size_t first =
        total_of(r.engines[0], 0)->mean_s >= total_of(r.engines[1], 0)->mean_s ? 0 : 1;
    return headline(r, explain(r, r.engines[first].label, r.engines[1 - first].label));
  };
  const char* faster =
      "hearth:cuda answers 2.00 times as fast as torch:cuda (1.98 to 2.02), because torch:cuda is "
      "launch-bound and hearth:cuda is kernel-bound.";
  for (const bool swapped : {false, true}) {  // whichever is the first
    if (swapped) std::swap(r.engines[0], r.engines[1]);
    EXPECT_EQ(head().sentence(), faster);
    EXPECT_THAT(report_html(r),
                HasSubstr("<h1><span id=\"who\" class=\"who\">hearth:cuda answers</span> "
                          "<span id=\"how-much\" class=\"how-much\">2.00 times as fast as "
                          "torch:cuda (1.98 to 2.02)</span>, because "));
    EXPECT_THAT(verdict_text(r, 0, false, 200),
                HasSubstr("torch:cuda is launch-bound and hearth:cuda is kernel-bound"));
    const std::string text = to_text(explain(r, "torch:cuda", "hearth:cuda"), r);
    EXPECT_EQ(text.substr(0, 11), "hearth:cuda");
    EXPECT_EQ(text.substr(0, text.find("\n\n")), folded(faster));
  }
  std::swap(r.engines[0], r.engines[1]);
  const Result before = r;
  r.interventions.clear();
  testing::add_batch(r, 4, 1.5);  // which a launch-bound engine would do in the same time
  EXPECT_EQ(head().because, "");
  EXPECT_THAT(head().cause, HasSubstr("It is not that torch:cuda is launch-bound"));
  r = before;
  for (Repetition& rep : r.engines[0].repetitions) rep.total_s *= 0.5;
  for (size_t k = 0; k < 8; ++k)
    r.engines[1].repetitions[k].total_s = r.engines[0].repetitions[k].total_s;
  EXPECT_THAT(head().sentence(),
              HasSubstr("torch:cuda and hearth:cuda are equally fast within 2 %: "
                        "the ratio is 1.00 (1.00 to 1.00)"));
  for (size_t k = 0; k < 8; ++k) r.engines[1].repetitions[k].total_s *= k % 2 ? 1.2 : 0.9;
  EXPECT_EQ(head().verdict(), "Undecided");
  EXPECT_THAT(
      report_html(r),
      HasSubstr(">Undecided</span> <span id=\"reason\" class=\"reason\">The interval holds 1."));
  r.plan.order = "sequential";
  EXPECT_THAT(
      report_html(r),
      HasSubstr(">No verdict</span> <span id=\"reason\" class=\"reason\">They took no turns"));
  r.engines[1].dtype = "f32";
  EXPECT_THAT(
      report_html(r),
      HasSubstr(
          ">Not comparable</span> <span id=\"reason\" class=\"reason\">Dtype: f32 against f16."));
}

// Of several jobs the page begins with who wins over all of them, and where they differ.
TEST(Report, OfSeveralJobsItBeginsWithAllOfThem) {
  const auto head = [](const char* kind) {
    const auto all = over_jobs(testing::several_jobs(kind));
    EXPECT_EQ(all.size(), 1u);
    return all.at(0);
  };
  EXPECT_EQ(head("lose").sentence(),
            "hearth:cuda is faster than torch:cuda in all 6 jobs, 1.50 to 2.00 times as fast.");
  EXPECT_EQ(head("lose").finding, Finding::faster);
  EXPECT_EQ(
      head("lose").cause,
      "Most in: job 6, generate, 50 new tokens, a prompt of 256. Least in: job 1, generate, 50 "
      "new tokens, a prompt of 8.");
  EXPECT_EQ(head("win").sentence(),
            "torch:cuda is faster than hearth:cuda in all 6 jobs, 1.50 to 2.00 times as fast.");
  EXPECT_EQ(head("mixed").sentence(),
            "hearth:cuda is faster than torch:cuda in 3 of 6 jobs, 1.60 to 2.00 times as fast; "
            "torch:cuda is faster in 1, 2.00 times.");
  EXPECT_EQ(head("mixed").verdict(), "Depends on the job");
  EXPECT_EQ(
      head("mixed").cause,
      "torch:cuda is ahead in: job 5, generate, 50 new tokens, a prompt of 128. Equivalent in: "
      "job 4, generate, 50 new tokens, a prompt of 64. No verdict in: job 6, generate, 50 new "
      "tokens, a prompt of 256.");
  EXPECT_THAT(head("equal").sentence(),
              HasSubstr("are equally fast within 2 % in all 6 jobs: the ratios are 1.00."));
  EXPECT_EQ(head("open").verdict(), "Undecided");
  EXPECT_THAT(head("open").sentence(), HasSubstr("in 6 jobs."));
  EXPECT_THAT(head("open").reason(), HasSubstr("The interval holds 1 (the first of 6 jobs"));
  const Result mixed = testing::several_jobs("mixed");
  const std::string page = report_html(mixed);
  EXPECT_EQ(malformed(page), "");
  EXPECT_THAT(page, HasSubstr("<span id=\"verdict\" class=\"verdict\">depends on the job</span>"));
  for (const char* id : {"id=\"who\"", "id=\"how-much\"", "id=\"verdict\"", "id=\"reason\""})
    EXPECT_EQ(page.find(id), page.rfind(id)) << id;
  // The first chart has a row for each job.
  const std::string first = page.substr(0, page.find("<h2"));
  for (int job = 0; job < 6; ++job)
    EXPECT_THAT(first, HasSubstr(fmt::format(">{}: generate, 50 new tokens, a prompt of {}<",
                                             job + 1, 8 << job)));
  EXPECT_THAT(page, HasSubstr("<h2>Job 6: generate phi-2, 50 new tokens, a prompt of 256</h2>"));
  EXPECT_TRUE(over_jobs(gpu_result({})).empty());
  Result other = testing::several_jobs("lose");  // no two of its jobs have both
  std::erase_if(other.engines[1].repetitions, [](const Repetition& x) { return x.job != 3; });
  EXPECT_TRUE(over_jobs(other).empty());
  EXPECT_EQ(malformed(report_html(other)), "");
}

// What does not compare comes with the command that would.
TEST(Report, WithoutAVerdictThereIsTheCommandForOne) {
  const auto command = [](const Result& r, int job = 0) {
    return run_command(r, job, r.engines[0].label, r.engines[1].label);
  };
  EXPECT_EQ(command(post()),
            "hearth lab run --model microsoft/phi-2 -p 8 -n 200 --engines torch:mps,mlx:metal "
            "--pairs 12");
  EXPECT_THAT(report_html(post()),
              HasSubstr("<p>Give both the same work:</p>\n<pre>" + command(post()) + "</pre>"));
  Result r = gpu_result({});
  r.engines[1].dtype = "f32";
  r.jobs[0].model = "/models/a b";
  r.jobs[0].prompt = "it's";
  r.jobs[0].kind = JobKind::batch;
  r.jobs[0].batch = 4;
  EXPECT_EQ(
      command(r),
      "hearth lab run --job batch --model '/models/a b' --prompt 'it'\\''s' -n 50 -b 4 --engines "
      "torch:cuda:dtype=f16,hearth:cuda:dtype=f16 --pairs 12");
  r.engines[0].label = "torch:cuda#2";  // a twin
  r.engines[1].dtype = "f16";
  EXPECT_THAT(command(r), HasSubstr("--engines torch:cuda,hearth:cuda "));
  r.engines[0].label = "what an import calls it";
  EXPECT_EQ(command(r), "");
  EXPECT_THAT(advice_of(r, explain(r, r.engines[0].label, "hearth:cuda"), Finding::no_turns).words,
              HasSubstr("`hearth lab run`"));
  Result ops = gpu_result({});
  ops.jobs[0] = Job{};
  ops.jobs[0].kind = JobKind::op;
  ops.jobs[0].op = "matmul", ops.jobs[0].dtype = "f32", ops.jobs[0].shape = {2, 3, 4};
  EXPECT_EQ(command(ops),
            "hearth lab run --job op --op matmul --shape 2x3x4 --op-dtype f32 --engines "
            "torch:cuda,hearth:cuda --pairs 12");
  Result programs = testing::commands({{"sleep 1", 1}, {"a\x1b[2J 'b' $(c)", 2}});
  EXPECT_EQ(command(programs),
            "hearth lab run --command 'sleep 1' --command 'a [2J '\\''b'\\'' $(c)'");
  for (EngineResult& e : programs.engines)
    for (Repetition& rep : e.repetitions) rep.own["shell_s"] = 100;
  EXPECT_THAT(command(programs), HasSubstr("hearth lab run -N --command"));
  EXPECT_THAT(report_html(programs), HasSubstr("class=\"reason\">a [2J"));
}

TEST(Report, IsTheSameForTheSameResult) {
  EXPECT_EQ(report_html(post()), report_html(post()));
  EXPECT_EQ(report_svgs(post()), report_svgs(post()));
}

TEST(Report, WritesEveryChartAlone) {
  const auto files = report_svgs(gpu_result({.active = 0.32, .clock_mhz = 1980}));
  for (const char* name : {"time.svg", "samples.svg", "roofline.svg", "attribution.svg",
                           "timeline-1.svg", "timeline-2.svg"})
    ASSERT_TRUE(files.contains(name)) << name;
  for (const auto& [name, text] : files) {
    EXPECT_EQ(malformed(text), "") << name;
    EXPECT_TRUE(text.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"")) << name;
  }
}

TEST(Report, TimelinesShareTheirAxes) {
  Result r = post();
  for (Channel& c : r.engines[0].telemetry.channels)
    if (c.name == "gpu_clock_mhz") c.values[3] = 4321;
  const auto lines = timelines(r);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0].svg.inline_text(), HasSubstr("at most 4321 MHz<"));  // the maximum is marked
  for (const Chart& chart : lines) {
    EXPECT_THAT(chart.svg.inline_text(), HasSubstr(">4000<"));  // the axis reaches it everywhere
    EXPECT_THAT(chart.svg.inline_text(), HasSubstr(">15<"));    // seconds of the longest
  }
}

// Read back from the page: what it shows is what the result has.
TEST(Report, NumbersAreThoseOfTheResult) {
  Result r = gpu_result({.active = 0.32, .clock_mhz = 1980});
  int k = 0;
  for (EngineResult& e : r.engines)
    for (Repetition& rep : e.repetitions) rep.total_s *= 1 + 0.01 * ((k++ * 7) % 5);
  for (const Result& result :
       {r, post(), read_result(source_path("tests/lab/data/peers_2026.json"))}) {
    const std::string page = report_html(result);
    std::map<std::string, double> bars;
    std::regex bar("<title>([^<]*): ([0-9.e+-]+) s, (\\d+) runs</title>");
    for (auto it = std::sregex_iterator(page.begin(), page.end(), bar);
         it != std::sregex_iterator(); ++it)
      bars[(*it)[1]] = std::stod((*it)[2]);
    EXPECT_EQ(bars.size(), result.engines.size());
    for (const EngineResult& e : result.engines)
      EXPECT_NEAR(bars[e.label], total_of(e, 0)->mean_s, 1e-5 * bars[e.label]) << e.label;
    // The forest: every engine but the first, its ratio and interval to the last digit shown.
    std::regex point(
        "<title>([^<]*): ([0-9.]+) times \\(([0-9.]+) to ([0-9.]+)\\), ([a-z ]+)</title>");
    size_t found = 0;
    for (auto it = std::sregex_iterator(page.begin(), page.end(), point);
         it != std::sregex_iterator(); ++it) {
      ++found;
      const Explanation e = explain(result, (*it)[1].str(), result.engines[0].label);
      EXPECT_NEAR(std::stod((*it)[2]), e.per_unit.value, 0.005 * e.per_unit.value + 0.005);
      EXPECT_NEAR(std::stod((*it)[3]), e.per_unit.low, 0.005 * e.per_unit.low + 0.005);
      EXPECT_NEAR(std::stod((*it)[4]), e.per_unit.high, 0.005 * e.per_unit.high + 0.005);
    }
    EXPECT_EQ(found, result.engines.size() - 1);
    for (const EngineResult& e : result.engines)
      for (const Published& p : e.published)
        EXPECT_THAT(page, HasSubstr(with_spread(p.mean_s, p.stddev_s))) << e.label;
  }
}

// Strings that would break a page or a terminal, wherever a result has strings.
TEST(Report, HostileStringsAreText) {
  const std::string evil = "<script>alert(1)</script>\"'&\x1b[31m\x01]]>";
  Result r = gpu_result({.active = 0.32, .clock_mhz = 1980});
  r.created = r.made_by = r.source = evil;
  r.notes = {evil};
  r.plan.order = evil;
  r.environment.push_back({evil, evil});
  r.environment.push_back({evil, Reading<std::string>::missing(evil)});
  r.ceilings.push_back({evil, evil, evil, evil, 1.0});
  r.jobs[0].model = r.jobs[0].prompt = evil;
  int n = 0;
  for (EngineResult& e : r.engines) {
    e.label = evil + std::to_string(n++);
    e.name = e.program = e.version = e.dtype = evil;
    e.device = "cuda" + evil;
    e.faults = e.notes = {evil};
    e.options[evil] = evil;
    Memory before, after;
    before.moment = "before", after.moment = "after";
    before.resident_bytes = int64_t{1} << 40;
    before.tensors_bytes = Reading<int64_t>::missing(evil);
    after.tensors_bytes = 5;
    e.memory = {before, after};
    for (Channel& c : e.telemetry.channels) c.reason = c.source = c.unit = evil;
    e.telemetry.channels.push_back(
        {"cpu_active_fraction." + evil, evil, evil, "", e.telemetry.channels[1].values});
  }
  const std::string page = report_html(r);
  EXPECT_EQ(malformed(page), "");
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  for (const auto& [name, text] : report_svgs(r)) {
    EXPECT_EQ(malformed(text), "") << name;
    EXPECT_EQ(name.find_first_of("/\\<"), name.npos);
  }
  EXPECT_THAT(report_text(r), Not(HasSubstr("\x1b")));
}

TEST(Report, BytesThatAreNoTextAreMarked) {
  EXPECT_EQ(escape_xml("a\xff\xc3(\xed\xa0\x80z\xc3\xa4\xf0\x9f\x94\xa5"),
            "a?"
            "?(?"
            "??z\xc3\xa4\xf0\x9f\x94\xa5");
  EXPECT_EQ(escape_xml("\xef\xbf\xbf<\x7f\t"),
            "?"
            "?"
            "?&lt;  ");
}

TEST(Report, ExtremeNumbersStayOnThePage) {
  Result r = gpu_result({.active = 1e300, .clock_mhz = 1e-300, .gb_s = 1e-300, .gflop_s = 1e300});
  r.engines[0].repetitions[0].total_s = 1e300;
  r.engines[1].repetitions[0].total_s = 1e-300;
  r.engines[1].telemetry = {};
  const std::string page = report_html(r);
  EXPECT_EQ(malformed(page), "");
  for (const char* bad : {"\"nan", "\"-nan", "\"inf", "\"-inf"})
    EXPECT_THAT(page, Not(HasSubstr(bad)));
}

TEST(Report, AResultWithoutTimesSaysSo) {
  Result r = gpu_result({});
  for (EngineResult& e : r.engines) {
    e.repetitions.clear();
    e.telemetry = {};
    e.status = EngineStatus::failed;
    e.faults = {"it hung"};
  }
  const std::string page = report_html(r);
  EXPECT_EQ(malformed(page), "");
  EXPECT_THAT(page, HasSubstr("No engine has times of this job"));
  EXPECT_THAT(page, HasSubstr("it hung"));
  EXPECT_EQ(report_text(r), "");
  r.jobs.clear();
  EXPECT_EQ(malformed(report_html(r)), "");
}

TEST(Report, TheTerminalHasBarsAndSparklines) {
  const std::string text = report_text(gpu_result({.active = 0.32, .clock_mhz = 1980}), 60);
  EXPECT_THAT(text, HasSubstr("torch:cuda               #################### 1"));
  EXPECT_THAT(text, HasSubstr("hearth:cuda              ########## 0.50"));
  EXPECT_THAT(text, HasSubstr("gpu_clock_mhz"));
}

TEST(Ticks, AreRound) {
  EXPECT_EQ(ticks_between(0, 17.3, 5), (std::vector<double>{0, 5, 10, 15}));
  EXPECT_EQ(ticks_between(3, 3, 5), std::vector<double>{3});
  EXPECT_EQ(log_ticks(0.9, 12), (std::vector<double>{1, 2, 5, 10}));
  EXPECT_TRUE(log_ticks(0, 1).empty());
  EXPECT_EQ(short_number(1234.5), "1234");
  EXPECT_EQ(short_number(0.01234), "0.0123");
}

}  // namespace
}  // namespace hearth::lab
