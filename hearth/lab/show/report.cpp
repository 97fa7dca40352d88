#include "hearth/lab/show/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "hearth/base/error.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/judge/windows.h"
#include "hearth/lab/show/charts_states.h"
#include "hearth/lab/show/explain_text.h"

namespace hearth::lab {
namespace {

constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark}
body{font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;margin:0 auto;max-width:1180px;padding:12px;color:#222;background:#fff}
h1{font-size:1.5em;margin:.4em 0}h2{font-size:1.2em;margin:1.6em 0 .4em}h3{font-size:1em;margin:.2em 0}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:20px}
figure{margin:0}figcaption{color:#666;font-size:.85em}svg{width:100%;height:auto;display:block}
table{border-collapse:collapse;font-size:.9em}th,td{text-align:right;padding:3px 9px;border-bottom:1px solid #ddd;vertical-align:top}
th:first-child,td:first-child{text-align:left}.left td,.left th{text-align:left}.wide{overflow-x:auto}
.wide table:not(.left) td{white-space:nowrap}
.left td{overflow-wrap:anywhere}.left td:first-child{overflow-wrap:normal}
pre{font:12px/1.4 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere;background:#f5f5f5;padding:10px;border-radius:6px}
.why{color:#666}.bad{color:#b00020}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}figcaption,.why{color:#999}th,td{border-color:#333}pre{background:#222}.bad{color:#ff8a80}}
)";

std::string e(std::string_view text) { return escape_xml(text); }

// Pairs to explain: each engine against the fastest, the slower one first; ten at most. What cannot
// be explained is appended to `problems` as a paragraph.
std::vector<Explanation> explanations(const Result& result, int job, std::string* problems) {
  std::vector<std::pair<double, const EngineResult*>> all;
  for (const EngineResult& engine : result.engines)
    if (const auto times = unit_times(engine, job); !times.empty())
      all.emplace_back(mean(times), &engine);
  std::vector<Explanation> found;
  if (all.size() < 2) return found;
  const auto fastest = *std::ranges::min_element(all);
  for (const auto& [time, engine] : all)
    if (engine != fastest.second && found.size() < 10) try {
        found.push_back(explain(result, engine->label, fastest.second->label, job));
      } catch (const std::invalid_argument& error) {  // times whose ratio is beyond all numbers
        if (problems) *problems += "<p class=\"bad\">" + e(error.what()) + "</p>\n";
      }
  return found;
}

std::string figure(const Chart& chart, bool with_heading = true) {
  return fmt::format("<figure>{}{}<figcaption>{}</figcaption></figure>\n",
                     with_heading ? "<h3>" + e(chart.heading) + "</h3>" : "",
                     chart.svg.inline_text(), e(chart.caption));
}

template <class T>
std::string cell(const Reading<T>& reading) {
  if (!reading.value) return "<td class=\"why\" title=\"" + e(reading.reason) + "\">-</td>";
  if constexpr (std::is_arithmetic_v<T>)
    return "<td>" + short_number(double(*reading.value)) + "</td>";
  else
    return "<td>" + e(*reading.value) + "</td>";
}

// What each engine took, from its start to its last token.
std::string times_table(const Result& result, int job) {
  std::string rows;
  for (const EngineResult& engine : result.engines) {
    const Times times = times_of(result, engine, job);
    if (times.totals.empty()) continue;
    const auto time = [](const Reading<double>& s) {
      return s.value ? "<td>" + with_unit(*s.value) + "</td>" : cell(s);
    };
    rows += fmt::format("<tr><td>{}</td>{}{}{}{}{}{}{}{}{}{}<td>{} ({})</td></tr>\n",
                        e(engine.label), time(engine.start_s), time(engine.load_s),
                        time(engine.first_s), time(times.first_token_s), cell(times.prefill_per_s),
                        cell(times.decode_per_s), time(times.between_s), time(times.between_95_s),
                        time(times.between_99_s), time(times.wake_s),
                        with_spread(mean(times.totals), stddev(times.totals)), times.totals.size());
  }
  if (rows.empty()) return "";
  return "<h3>Times</h3>\n<div class=\"wide\"><table><tr><th>engine</th><th>start</th><th>load</th>"
         "<th>cold run</th><th>first token</th><th>prefill, tokens/s</th><th>decode, tokens/s</th>"
         "<th>between tokens</th><th>95 % within</th><th>99 %</th><th>waking</th><th>total "
         "(runs)</th></tr>\n" +
         rows + "</table></div>\n";
}

// As the post's table: before, after, difference, in MB (1e6 bytes).
std::string memory_table(const Result& result) {
  struct Gauge {
    const char* name;
    Reading<int64_t> Memory::*field;
  };
  constexpr Gauge kGauges[] = {{"resident", &Memory::resident_bytes},
                               {"of it anonymous", &Memory::resident_anonymous_bytes},
                               {"of it files", &Memory::resident_file_bytes},
                               {"resident, peak", &Memory::resident_peak_bytes},
                               {"tensors", &Memory::tensors_bytes},
                               {"tensors, peak", &Memory::tensors_peak_bytes},
                               {"driver's total", &Memory::driver_bytes},
                               {"system, used", &Memory::system_used_bytes},
                               {"device, used", &Memory::device_used_bytes}};
  std::string rows;
  const auto megabytes = [](const Reading<int64_t>& bytes) {
    return bytes.value ? fmt::format("<td>{:.0f}</td>", double(*bytes.value) / 1e6)
                       : "<td class=\"why\" title=\"" + e(bytes.reason) + "\">-</td>";
  };
  for (const EngineResult& engine : result.engines) {
    const auto at = [&](std::string_view moment) {
      for (const Memory& memory : engine.memory)
        if (memory.moment == moment) return &memory;
      return static_cast<const Memory*>(nullptr);
    };
    const Memory *before = at("before"), *after = at("after");
    if (!before || !after) continue;
    rows += "<tr><th colspan=\"4\">" + e(engine.label) + "</th></tr>\n";
    for (const Gauge& gauge : kGauges) {
      const auto &a = before->*gauge.field, &b = after->*gauge.field;
      if (!a.value && !b.value) continue;
      auto difference = Reading<int64_t>::missing("one of the two is not known");
      if (a.value && b.value) difference = *b.value - *a.value;
      rows += fmt::format("<tr><td>{}</td>{}{}{}</tr>\n", gauge.name, megabytes(a), megabytes(b),
                          megabytes(difference));
    }
  }
  if (rows.empty()) return "";
  return "<h2>Memory</h2>\n<div class=\"wide\"><table><tr><th>MB</th><th>before</th><th>after</th>"
         "<th>difference</th></tr>\n" +
         rows + "</table></div>\n";
}

std::string engines_table(const Result& result) {
  std::string rows;
  for (const EngineResult& engine : result.engines) {
    std::string words;
    for (const auto& fault : engine.faults) words += "<div class=\"bad\">" + e(fault) + "</div>";
    for (const auto& note : engine.notes) words += "<div>" + e(note) + "</div>";
    rows += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>"
        "</tr>\n",
        e(engine.label), e(to_string(engine.status)), e(engine.version), e(engine.device),
        e(engine.dtype), words);
  }
  return "<h2>Engines</h2>\n<div class=\"wide\"><table class=\"left\"><tr><th>engine</th>"
         "<th>status</th><th>version</th><th>device</th><th>dtype</th><th>notes</th></tr>\n" +
         rows + "</table></div>\n";
}

std::string environment_table(const Result& result) {
  std::string rows;
  for (const Fact& fact : result.environment) {
    if (fact.name == "model_config") continue;  // long, and of the model
    rows += fmt::format("<tr><td>{}</td>{}</tr>\n", e(fact.name),
                        fact.value.value
                            ? "<td>" + e(*fact.value.value) + "</td>"
                            : "<td class=\"why\">unknown: " + e(fact.value.reason) + "</td>");
  }
  for (const Ceiling& c : result.ceilings)
    rows += fmt::format("<tr><td>{} of {}, {}</td><td{}>{}</td></tr>\n", e(c.name), e(c.device),
                        e(c.source), c.value.value ? "" : " class=\"why\"",
                        c.value.value ? short_number(*c.value.value) + " " + e(c.unit)
                                      : "unknown: " + e(c.value.reason));
  return "<h2>Environment</h2>\n<div class=\"wide\"><table class=\"left\">\n" + rows +
         "</table></div>\n";
}

// What sampling took of a core while it went on; "" if nothing was sampled.
std::string cost_of_sampling(const Result& result) {
  const auto period = result.plan.telemetry_period_s.value;
  double cpu = 0, seconds = 0;
  constexpr Window kAlways[] = {{-INFINITY, INFINITY}};
  for (const EngineResult& engine : result.engines)
    if (const auto& spent = engine.telemetry.sampler_cpu_s.value; spent && period) {
      cpu += *spent;
      for (const double s : overlap(engine.telemetry.time_s, kAlways, *period)) seconds += s;
    }
  if (seconds <= 0) return "";
  return fmt::format("; telemetry every {:g} s, which took {} of a core", *period,
                     in_percent(cpu / seconds));
}

std::string plan_words(const Result& result) {
  const Plan& plan = result.plan;
  std::string text =
      fmt::format("{} rounds{}, order {}, engines {}", plan.pairs,
                  plan.starts > 0 ? fmt::format(" in {} starts of each engine", plan.starts) : "",
                  plan.order.empty() ? "unknown" : e(plan.order),
                  plan.side_by_side ? "side by side" : "one after the other");
  text += cost_of_sampling(result);
  if (!plan.finished) text += "; interrupted";
  for (const auto& note : result.notes) text += ".<br/>" + e(note);
  return "<p>" + text + ".</p>\n";
}

// Who, by how much, how sure, and why, in a sentence.
std::string sentence(const Explanation& one) {
  const TimeRatio& ratio = one.per_unit;
  const bool judged = one.gate.comparable() && one.gate.drift_controlled && one.pairs;
  const Verdict verdict = judged ? one.pairs->time.verdict : Verdict::undecided;
  std::string text;
  if (verdict == Verdict::faster || verdict == Verdict::slower)
    text = concat(one.a.label, " is ", to_string(verdict), " than ", one.b.label, ": ");
  else if (verdict == Verdict::equivalent)
    text = concat(one.a.label, " and ", one.b.label, " are equivalent: ");
  text += fmt::format("{} took {:.2f} times the time of {} per {}", one.a.label, ratio.value,
                      one.b.label, one.unit);
  if (ratio.n > 1) text += fmt::format(" (95 % interval {:.2f} to {:.2f})", ratio.low, ratio.high);
  if (!one.gate.comparable())
    text += ". They are not comparable: " + one.gate.differences.front();
  else if (!one.gate.drift_controlled)
    text += ". No verdict: they took no turns, so drift was not controlled";
  else if (judged && !one.pairs->busy.empty())
    text += ". Undecided: the machine was busy: " + one.pairs->busy;
  else if (judged && verdict == Verdict::undecided)
    text += ". No verdict: the interval holds 1, or there are too few starts";
  for (const Side* side : {&one.a, &one.b})
    if (!side->phases.empty() && side->phases[0].regime != Regime::unknown)
      text += fmt::format(". {} is {}", side->label, to_string(side->phases[0].regime));
  return text + ". Cause: " + one.cause + ".";
}

// All charts of a job, in the order of the page.
std::vector<Chart> charts_of(const Result& result, int job,
                             const std::vector<Explanation>& explained) {
  std::vector<Chart> charts = {time_bars(result, job), time_strips(result, job),
                               roofline(result, job)};
  for (const Explanation& one : explained) charts.push_back(waterfall(one));
  for (Chart& chart : state_bars(result, job)) charts.push_back(std::move(chart));
  return charts;
}

bool has_times(const Result& result, int job) {
  return std::ranges::any_of(result.engines,
                             [&](const auto& engine) { return total_of(engine, job).has_value(); });
}

}  // namespace

std::string report_html(const Result& result) {
  std::string body;
  for (int job = 0; job < int(result.jobs.size()); ++job) {
    const Job& what = result.jobs[size_t(job)];
    const std::string name = what.kind == JobKind::command ? std::string("commands")
                             : what.kind == JobKind::op
                                 ? what.op + " " + what.dtype
                                 : concat(to_string(what.kind), " ",
                                          std::filesystem::path(what.model).filename().string());
    body += "<h2>" + e(concat("Job ", job + 1, ": ", name)) + "</h2>\n";
    if (!has_times(result, job)) {
      body += "<p class=\"bad\">No engine has times of this job.</p>\n";
      continue;
    }
    const auto explained = explanations(result, job, &body);
    const auto busy = std::ranges::find_if(
        explained, [](const Explanation& one) { return one.pairs && !one.pairs->busy.empty(); });
    if (busy != explained.end())
      body +=
          "<p class=\"bad\" id=\"busy\">Undecided: the machine was busy: " + e(busy->pairs->busy) +
          ". Measure again when nothing else runs.</p>\n";
    for (const Explanation& one : explained) body += "<p>" + e(sentence(one)) + "</p>\n";
    body += "<div class=\"charts\">\n";
    for (const Chart& chart : charts_of(result, job, explained)) body += figure(chart);
    body += "</div>\n" + times_table(result, job);
    for (const Explanation& one : explained)
      body +=
          fmt::format("<details{}><summary>Why: {} against {}</summary><pre>{}</pre></details>\n",
                      &one == &explained.front() ? " open=\"open\"" : "", e(one.a.label),
                      e(one.b.label), e(to_text(one, result)));
  }
  if (const auto lines = timelines(result); !lines.empty()) {
    body += "<h2>What the machine did meanwhile</h2>\n<div class=\"charts\">\n";
    for (const Chart& chart : lines) body += figure(chart);
    body += "</div>\n";
  }
  body += memory_table(result) + engines_table(result) + environment_table(result);
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>"
      "<meta charset=\"utf-8\"/><meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\"/>\n<title>hearth lab: {}</title>\n<style>{}{}</style></head>\n<body>\n"
      "<h1>hearth lab</h1>\n<p>{}, by {}. Source: {}.</p>\n{}{}</body>\n</html>\n",
      e(result.created), kStyle, chart_style(), e(result.created), e(result.made_by),
      e(result.source), plan_words(result), body);
}

std::map<std::string, std::string> report_svgs(const Result& result) {
  std::map<std::string, std::string> files;
  for (int job = 0; job < int(result.jobs.size()); ++job) {
    if (!has_times(result, job)) continue;
    const std::string prefix = result.jobs.size() > 1 ? concat("job-", job + 1, "-") : "";
    int n = 0;
    for (const Chart& chart : charts_of(result, job, explanations(result, job, nullptr))) {
      std::string name = prefix + chart.name;
      if (files.contains(name + ".svg")) name += concat("-", ++n + 1);
      files[name + ".svg"] = chart.svg.file_text();
    }
  }
  for (const Chart& chart : timelines(result)) files[chart.name + ".svg"] = chart.svg.file_text();
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

std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if ((static_cast<unsigned char>(c) < ' ' && c != '\n') || c == 0x7f) c = ' ';
  return out;
}

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
            fmt::format("  {:<24} {} {}\n", printable(engine.label).substr(0, 24),
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
    if (!lines.empty()) text += engine.label + "\n" + lines;
  }
  return printable(text);
}

}  // namespace hearth::lab
