#include "hearth/lab/show/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hearth/base/error.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/show/charts_machine.h"
#include "hearth/lab/show/charts_times.h"
#include "hearth/lab/show/charts_why.h"
#include "hearth/lab/show/explain_text.h"
#include "hearth/lab/show/page_tables.h"
#include "hearth/lab/show/plain.h"
#include "hearth/lab/show/standing.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {
namespace {

// Grey, but for the engines' colours. A table's shadow shows at its edge where there is more.
constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--bg:#fff;--clear:#fff0;--ink:#222;--dim:#666;--line:#ddd;--soft:#f4f4f4;--edge:#0004}
body{font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;margin:0 auto;max-width:1180px;padding:12px;color:var(--ink);background:var(--bg);overflow-wrap:anywhere}
h1{font-size:1.45em;line-height:1.25;margin:.3em 0}h2{font-size:1.2em;margin:1.6em 0 .4em}h3{font-size:1em;margin:.2em 0}p{margin:.5em 0}
.of{color:var(--dim);font-size:.85em;margin:0}.verdict{display:inline-block;border:2px solid var(--ink);border-radius:5px;padding:0 7px;font-weight:600}
.banner{border:2px dashed var(--ink);border-radius:8px;padding:2px 14px 8px;background:var(--soft)}.banner .verdict{border-style:dashed}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr));gap:20px;margin-top:14px}.charts>*{min-width:0}
figure{margin:0}figcaption{color:var(--dim);font-size:.85em}svg{width:100%;height:auto;display:block}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:6px;background:linear-gradient(to right,var(--bg) 40%,var(--clear)) 0 0/40px 100% no-repeat local,linear-gradient(to left,var(--bg) 40%,var(--clear)) 100% 0/40px 100% no-repeat local,linear-gradient(to right,var(--edge),#0000) 0 0/14px 100% no-repeat scroll,linear-gradient(to left,var(--edge),#0000) 100% 0/14px 100% no-repeat scroll}
table{border-collapse:collapse;font-size:.9em}th,td{text-align:right;padding:3px 9px;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:normal}
th:first-child,td:first-child{text-align:left;min-width:8em;max-width:15em;overflow-wrap:anywhere}.left td,.left th{text-align:left}
.scroll table:not(.left) td:not(:first-child){white-space:nowrap}.left td{min-width:5em;overflow-wrap:anywhere}.left td:last-child{min-width:12em}
.key{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.4em}
pre,code{font:12px/1.4 ui-monospace,Menlo,Consolas,monospace}pre{white-space:pre-wrap;background:var(--soft);padding:10px;border-radius:6px;margin:.4em 0}
.why{color:var(--dim)}.bad{font-weight:600}
@media(prefers-color-scheme:dark){:root{--bg:#161616;--clear:#1610;--ink:#ddd;--dim:#999;--line:#333;--soft:#222;--edge:#fff4}}
)";

std::string e(std::string_view text) { return escape_xml(text); }

// The first engine against each other one, the fastest first, ten at most. What cannot be explained
// is appended to `problems` as a paragraph.
std::vector<Explanation> explanations(const Result& result, int job, std::string* problems) {
  std::vector<std::pair<double, const EngineResult*>> all;
  for (const EngineResult& engine : result.engines)
    if (const auto times = unit_times(engine, job); !times.empty())
      all.emplace_back(mean(times), &engine);
  std::vector<Explanation> found;
  if (all.empty()) return found;
  const auto first = all.front();
  all.erase(all.begin());
  std::ranges::stable_sort(all, {}, [](const auto& one) { return one.first; });
  if (all.size() > 10) all.resize(10);
  for (const auto& other : all) try {
      const bool slower = other.first >= first.first;
      found.push_back(explain(result, (slower ? other : first).second->label,
                              (slower ? first : other).second->label, job));
    } catch (const std::invalid_argument& error) {  // times whose ratio is beyond all numbers
      if (problems) *problems += "<p class=\"bad\">" + e(error.what()) + "</p>\n";
    }
  return found;
}

std::string figure(const Chart& chart) {
  return fmt::format("<figure><h3>{}</h3>{}<figcaption>{}</figcaption></figure>\n",
                     e(chart.heading), chart.svg.inline_text(), e(chart.caption));
}

// An element of the first screen, which stands once on the page.
std::string part(std::string_view id, std::string_view text) {
  return fmt::format("<span id=\"{0}\" class=\"{0}\">{1}</span>", id, e(text));
}

std::string command_of(const Advice& advice) {
  return fmt::format("<p>{}</p>\n{}", e(advice.words),
                     advice.command.empty() ? "" : "<pre>" + e(advice.command) + "</pre>\n");
}

// What the page begins with: who, by how much, the verdict, and why.
std::string lead(const Headline& h) {
  const std::string numbers = part("who", h.who) + " " + part("how-much", h.how_much);
  if (decided(h.finding))
    return fmt::format("<h1>{}{}.</h1>\n<p>{} {}</p>\n", numbers, e(h.because),
                       part("verdict", to_string(h.finding)), part("reason", h.cause));
  return fmt::format("<div class=\"banner\">\n<h1>{} {}</h1>\n<p>{}. {}</p>\n{}</div>\n",
                     part("verdict", h.verdict()), part("reason", h.reason()), numbers, e(h.cause),
                     command_of(h.advice));
}

// Another pair, shorter.
std::string also(const Headline& h) {
  if (decided(h.finding)) return "<p>" + e(h.sentence() + " " + h.cause) + "</p>\n";
  return fmt::format("<p>{} {}. {} {}.</p>\n{}", e(h.who), e(h.how_much), h.verdict() + ":",
                     e(h.why_none),
                     h.finding == Finding::not_comparable ? command_of(h.advice) : "");
}

// One engine alone: what it takes.
std::string alone(const Result& result, int job) {
  for (const EngineResult& engine : result.engines)
    if (const auto total = total_of(engine, job)) {
      const auto times = unit_times(engine, job);
      return fmt::format(
          "<h1><span id=\"who\">{} takes</span> <span id=\"how-much\">{} per {}</span>.</h1>\n<p>"
          "<span id=\"verdict\">No verdict</span>: <span id=\"reason\">no other engine has times "
          "of this job.</span></p>\n",
          e(name_of(engine.label)),
          times.size() > 1 ? with_spread(mean(times), stddev(times)) : with_unit(mean(times)),
          unit_of(result.jobs[size_t(job)].kind));
    }
  return "";
}

// A chart of why, for each pair.
std::vector<Chart> why_charts(const Result& result, const std::vector<Explanation>& explained) {
  std::vector<Chart> charts;
  for (const Explanation& one : explained) {
    const Attribution& t = one.attribution;
    if (!one.parts.empty())
      charts.push_back(part_bars(result, one));
    else if (t.clock.value || t.cycles.value || t.utilisation.value)
      charts.push_back(waterfall(one));
  }
  return charts;
}

bool has_times(const Result& result, int job) {
  return std::ranges::any_of(result.engines,
                             [&](const auto& engine) { return total_of(engine, job).has_value(); });
}

// All of a job: the first screen, why, then everything else.
std::string section(const Result& result, int job, bool top) {
  const Job& what = result.jobs[size_t(job)];
  std::string body =
      top ? "<section>\n"
          : "<section>\n<h2>" + e(concat("Job ", job + 1, ": ", name_of_job(what))) + "</h2>\n";
  if (!has_times(result, job))
    return body + "<p class=\"bad\">No engine has times of this job.</p>\n</section>\n";
  std::string problems;
  const auto explained = explanations(result, job, &problems);
  const Explanation* one = explained.empty() ? nullptr : &explained.front();
  const bool several = !explained.empty();
  body += problems;
  if (top) body += one ? lead(headline(result, *one)) : alone(result, job);
  if (!top && one) body += also(headline(result, *one));
  body += "<div class=\"charts\">\n";
  if (several) body += figure(forest(result, job));
  body += figure(time_bars(result, job)) + "</div>\n";
  std::string charts;
  for (const Chart& chart : why_charts(result, explained)) charts += figure(chart);
  if (what.kind != JobKind::command) charts += figure(roofline(result, job));
  body += "<h2>Why</h2>\n";
  for (const Explanation& pair : explained)
    if (&pair != one) body += also(headline(result, pair));
  body += "<div class=\"charts\">\n" + charts + "</div>\n";
  for (const Explanation& pair : explained)
    body += fmt::format(
        "<details><summary>All that is known: {} against {}</summary><pre>{}</pre>"
        "</details>\n",
        e(name_of(pair.a.label)), e(name_of(pair.b.label)), e(to_text(pair, result)));
  body += "<h2>What was measured</h2>\n<div class=\"charts\">\n" + figure(time_strips(result, job));
  for (const Chart& chart : state_bars(result, job)) body += figure(chart);
  return body + "</div>\n" + times_table(result, job) + "</section>\n";
}

// What the page is of: the job, the machine, the day.
std::string subject(const Result& result, int job, bool several) {
  std::string text = several               ? concat(result.jobs.size(), " jobs")
                     : result.jobs.empty() ? ""
                                           : name_of_job(result.jobs[size_t(job)]);
  for (const Fact& fact : result.environment)
    if (fact.name == "processor" && fact.value.value) text += " \xc2\xb7 " + *fact.value.value;
  if (!result.created.empty()) text += " \xc2\xb7 " + result.created.substr(0, 10);
  return shortened(one_line(text), 120);
}

}  // namespace

std::string report_html(const Result& given) {
  const Result result = plain(given);
  const auto jobs = int(result.jobs.size());
  int top = 0;  // the first job that has times
  while (top < jobs && !has_times(result, top)) ++top;
  if (top == jobs) top = 0;
  const auto overall = over_jobs(result);
  std::string body = fmt::format("<p class=\"of\">hearth lab \xc2\xb7 {}</p>\n",
                                 e(subject(result, top, !overall.empty())));
  if (jobs == 0 || !has_times(result, top))
    body +=
        "<div class=\"banner\"><h1><span id=\"verdict\" class=\"verdict\">No verdict</span> "
        "<span id=\"reason\">Nothing was measured.</span></h1></div>\n";
  if (!overall.empty()) {
    body += "<section>\n" + lead(overall.front());
    std::vector<int> all;
    for (int job = 0; job < jobs; ++job) all.push_back(job);
    body += "<div class=\"charts\">\n" + figure(forest(result, all)) + "</div>\n";
    for (size_t i = 1; i < std::min<size_t>(overall.size(), 10); ++i) body += also(overall[i]);
    body += "</section>\n";
    top = -1;
  }
  if (top >= 0 && jobs > 0) body += section(result, top, true);
  for (int job = 0; job < jobs; ++job)
    if (job != top) body += section(result, job, false);
  if (const auto lines = timelines(result); !lines.empty()) {
    body += "<h2>What the machine did meanwhile</h2>\n<div class=\"charts\">\n";
    for (const Chart& chart : lines) body += figure(chart);
    body += "</div>\n";
  }
  body += memory_table(result) + engines_table(result) + environment_table(result);
  body += fmt::format("<h2>The run</h2>\n<p>{}, by {}. Source: {}.</p>\n{}", e(result.created),
                      e(result.made_by), e(result.source), plan_words(result));
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>"
      "<meta charset=\"utf-8\"/><meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\"/>\n<title>hearth lab: {}</title>\n<style>{}{}</style></head>\n<body>\n"
      "{}</body>\n</html>\n",
      e(result.created), kStyle, chart_style(result.engines.size()), body);
}

std::map<std::string, std::string> report_svgs(const Result& given) {
  const Result result = plain(given);
  std::map<std::string, std::string> files;
  const auto add = [&](const std::string& prefix, const Chart& chart) {
    std::string name = prefix + chart.name;
    for (int n = 2; files.contains(name + ".svg"); ++n) name = concat(prefix, chart.name, "-", n);
    files[name + ".svg"] = chart.svg.file_text(result.engines.size());
  };
  for (int job = 0; job < int(result.jobs.size()); ++job) {
    if (!has_times(result, job)) continue;
    const std::string prefix = result.jobs.size() > 1 ? concat("job-", job + 1, "-") : "";
    const auto explained = explanations(result, job, nullptr);
    if (!explained.empty()) add(prefix, forest(result, job));
    add(prefix, time_bars(result, job));
    add(prefix, time_strips(result, job));
    if (result.jobs[size_t(job)].kind != JobKind::command) add(prefix, roofline(result, job));
    for (const Chart& chart : why_charts(result, explained)) add(prefix, chart);
    for (const Chart& chart : state_bars(result, job)) add(prefix, chart);
  }
  for (const Chart& chart : timelines(result)) add("", chart);
  return files;
}

namespace {

// "-" to "#" by height, of the means of as many parts as fit.
std::string sparkline(const Channel& channel, double most, size_t width) {
  constexpr std::string_view kHeights = "_.-:=+*#";
  std::string line;
  const size_t n = channel.values.size(), parts = std::min(n, width);
  for (size_t part = 0; part < parts; ++part) {
    double sum = 0;
    int known = 0;
    for (size_t i = part * n / parts; i < (part + 1) * n / parts; ++i)
      if (channel.values[i]) sum += *channel.values[i], ++known;
    const double share = known && most > 0 ? std::clamp(sum / known / most, 0.0, 1.0) : 0;
    line += known ? kHeights[size_t(std::lround(share * double(kHeights.size() - 1)))] : ' ';
  }
  return line;
}

}  // namespace

std::string report_text(const Result& result, int width) {
  std::string text;
  for (int job = 0; job < int(result.jobs.size()); ++job) {
    double most = 0;
    for (const EngineResult& engine : result.engines)
      if (const auto total = total_of(engine, job)) most = std::max(most, total->mean_s);
    if (most <= 0) continue;
    text += fmt::format("Time of job {} (s)\n", job + 1);
    for (const EngineResult& engine : result.engines)
      if (const auto total = total_of(engine, job)) {
        const auto length = size_t(std::lround(total->mean_s / most * std::max(10, width - 40)));
        text +=
            fmt::format("  {} {} {}\n", padded(shortened(one_line(engine.label), 24), 24),
                        std::string(std::max<size_t>(length, 1), '#'), short_number(total->mean_s));
      }
  }
  for (const EngineResult& engine : result.engines) {
    std::string lines;
    for (const char* name :
         {"gpu_active_fraction", "gpu_clock_mhz", "cpu_active_fraction", "cpu_clock_probe_mhz"}) {
      const Channel* channel = engine.telemetry.find(name);
      double most = 0;
      if (channel)
        for (const auto& value : channel->values) most = std::max(most, value.value_or(0));
      if (most <= 0) continue;
      lines +=
          fmt::format("  {:<24} {} up to {}\n", name,
                      sparkline(*channel, std::string_view(name).ends_with("fraction") ? 1 : most,
                                size_t(std::max(10, width - 45))),
                      short_number(most));
    }
    if (!lines.empty())
      text += shortened(one_line(engine.label), size_t(std::max(10, width))) + "\n" + lines;
  }
  return text;
}

}  // namespace hearth::lab
