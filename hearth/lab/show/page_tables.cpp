#include "hearth/lab/show/page_tables.h"

#include <fmt/format.h>

#include <cmath>

#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/judge/windows.h"
#include "hearth/lab/show/standing.h"
#include "hearth/lab/show/svg.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {
namespace {

std::string e(std::string_view text) { return escape_xml(text); }

// An engine's name behind its colour.
std::string keyed(const Result& result, const EngineResult& engine) {
  return fmt::format("<span class=\"key k{}\"></span>{}", &engine - result.engines.data(),
                     e(one_line(engine.label)));
}

template <class T>
std::string cell(const Reading<T>& reading) {
  if (!reading.value) return "<td class=\"why\" title=\"" + e(reading.reason) + "\">-</td>";
  if constexpr (std::is_arithmetic_v<T>)
    return "<td>" + short_number(double(*reading.value)) + "</td>";
  else
    return "<td>" + e(*reading.value) + "</td>";
}

// A table that scrolls by itself where it is wider than the page.
std::string table(std::string_view style, const std::string& head, const std::string& rows) {
  return fmt::format("<div class=\"scroll\" tabindex=\"0\"><table{}>{}\n{}</table></div>\n", style,
                     head, rows);
}

}  // namespace

std::string times_table(const Result& result, int job) {
  std::string rows;
  for (const EngineResult& engine : result.engines) {
    const Times times = times_of(result, engine, job);
    if (times.totals.empty()) continue;
    const auto time = [](const Reading<double>& s) {
      return s.value ? "<td>" + with_unit(*s.value) + "</td>" : cell(s);
    };
    rows += fmt::format("<tr><td>{}</td>{}{}{}{}{}{}{}{}{}{}<td>{} ({})</td></tr>\n",
                        keyed(result, engine), time(engine.start_s), time(engine.load_s),
                        time(engine.first_s), time(times.first_token_s), cell(times.prefill_per_s),
                        cell(times.decode_per_s), time(times.between_s), time(times.between_95_s),
                        time(times.between_99_s), time(times.wake_s),
                        with_spread(mean(times.totals), stddev(times.totals)), times.totals.size());
  }
  if (rows.empty()) return "";
  return "<h3>Times</h3>\n" +
         table("",
               "<tr><th>engine</th><th>start</th><th>load</th><th>cold run</th><th>first token</th>"
               "<th>prefill, tokens/s</th><th>decode, tokens/s</th><th>between tokens</th>"
               "<th>95 % within</th><th>99 %</th><th>waking</th><th>total (runs)</th></tr>",
               rows);
}

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
    rows += "<tr><th colspan=\"4\">" + keyed(result, engine) + "</th></tr>\n";
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
  return "<h2>Memory</h2>\n" +
         table("", "<tr><th>MB</th><th>before</th><th>after</th><th>difference</th></tr>", rows);
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
        keyed(result, engine), e(to_string(engine.status)), e(engine.version), e(engine.device),
        e(engine.dtype), words);
  }
  return "<h2>Engines</h2>\n" +
         table(" class=\"left\"",
               "<tr><th>engine</th><th>status</th><th>version</th><th>device</th><th>dtype</th>"
               "<th>notes</th></tr>",
               rows);
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
  return "<h2>Environment</h2>\n" + table(" class=\"left\"", "", rows);
}

namespace {

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

}  // namespace

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

}  // namespace hearth::lab
