#include "hearth/lab/show/verdicts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hearth/base/error.h"
#include "hearth/lab/judge/command_use.h"
#include "hearth/lab/judge/compare.h"
#include "hearth/lab/judge/explain.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/show/report.h"

namespace hearth::lab {

namespace {

// Three digits that count, and no more than two after the point.
std::string digits(double x) {
  return x < 9.995    ? fmt::format("{:.2f}", x)
         : x < 99.95  ? fmt::format("{:.1f}", x)
         : x < 100000 ? fmt::format("{:.0f}", x)
                      : fmt::format("{:.3g}", x);
}

/// What binds each, where that differs or says how near it is: "it reads memory at 34 % ...".
std::string bound_by(const Side& side) {
  if (side.phases.empty() || side.phases[0].regime == Regime::unknown) return "";
  const Phase& phase = side.phases[0];
  std::string text = fmt::format("{} is {}", side.label, to_string(phase.regime));
  if (phase.bandwidth_share.value && *phase.bandwidth_share.value <= 1.1)
    text +=
        fmt::format(", at {:.0f} % of the memory's bandwidth", 100 * *phase.bandwidth_share.value);
  return text;
}

std::string why_of(const Result& result, const EngineResult& first, const EngineResult& e,
                   bool slower, int job) {
  const EngineResult &slow = slower ? e : first, &fast = slower ? first : e;
  if (result.jobs[size_t(job)].kind == JobKind::command) {
    const std::string why = why_slower(slow, fast, job);
    return why.empty() || slower ? why : fmt::format("{} has {}", first.label, why);
  }
  try {
    const Explanation x = explain(result, slow.label, fast.label, job);
    if (x.certainty == "supported by an intervention") return x.cause;
    std::string why = bound_by(x.a);
    if (const std::string other = bound_by(x.b); !other.empty())
      why += (why.empty() ? "" : "; ") + other;
    return why;
  } catch (const std::invalid_argument&) {  // times whose ratio is beyond all numbers
    return "";
  }
}

std::string_view colour_of(Tone tone) {
  constexpr std::string_view kColours[] = {"", "\033[32m", "\033[31m", "\033[33m"};
  return kColours[size_t(tone)];
}

std::string padded(std::string text, size_t width) {
  if (text.size() < width) text.resize(width, ' ');
  return text;
}

}  // namespace

std::vector<VerdictLine> verdict_lines(const Result& result, int job) {
  std::vector<VerdictLine> lines;
  const EngineResult* first = nullptr;
  for (const EngineResult& e : result.engines) {
    const auto times = unit_times(e, job);
    if (times.empty()) continue;
    VerdictLine line;
    line.label = e.label;
    line.time_s = mean(times);
    if (!first) {
      first = &e;
      line.ratio = "1";
      lines.push_back(std::move(line));
      continue;
    }
    for (const std::string& metric : metrics_of(e, job))
      if (const auto m = metric_ratio(*first, e, job, metric))
        line.metrics.push_back(fmt::format("{}: {} times ({} to {}) as much", metric,
                                           digits(m->ratio), digits(m->low), digits(m->high)));
    const Comparison c = compare(result, first->label, e.label, job);
    if (!c.time) {
      line.verdict = "not compared";
      line.why = "no pairs were measured";
      line.tone = Tone::doubtful;
      lines.push_back(std::move(line));
      continue;
    }
    const PairedRatio& t = c.time->time;
    line.ratio = fmt::format("{} times", digits(t.ratio));
    if (c.time->pairs > 1) line.ratio += fmt::format(" ({} to {})", digits(t.low), digits(t.high));
    line.tone = Tone::doubtful;
    if (!c.gate.comparable()) {
      line.verdict = "not comparable";
      line.why = c.gate.differences.front();
    } else if (!c.gate.drift_controlled) {
      line.verdict = "no verdict";
      line.why = "they took no turns, so drift is in it";
    } else if (!c.time->busy.empty()) {
      line.verdict = "undecided";
      line.why = "the machine was busy: " + c.time->busy;
    } else if (t.verdict == Verdict::undecided) {
      line.verdict = "undecided";
      line.why = t.starts < kFewestStarts
                     ? fmt::format("{} start{} of each; at least {} are needed", t.starts,
                                   t.starts == 1 ? "" : "s", kFewestStarts)
                     : "the interval holds 1";
    } else if (t.verdict == Verdict::equivalent) {
      line.verdict = "equivalent";
      line.tone = Tone::plain;
    } else {
      const bool slower = t.verdict == Verdict::faster;  // the first one is
      line.verdict = slower ? "slower" : "faster";
      line.tone = slower ? Tone::bad : Tone::good;
      line.why = why_of(result, *first, e, slower, job);
    }
    lines.push_back(std::move(line));
  }
  std::ranges::stable_sort(lines, {}, &VerdictLine::time_s);
  return lines;
}

std::string folded(std::string_view text, size_t width) {
  std::string out;
  while (!text.empty()) {
    std::string line(text.substr(0, text.find('\n')));
    const bool ended = line.size() < text.size();
    text.remove_prefix(line.size() + ended);
    const size_t first = line.find_first_not_of(' ');
    const size_t indent = std::min(first == line.npos ? 0 : first + 2, width / 2);
    while (line.size() > width) {
      size_t at = line.rfind(' ', width);
      if (at == line.npos || at <= indent) at = width;  // one long word
      out += line.substr(0, line.find_last_not_of(' ', at - 1) + 1) + "\n";
      line = std::string(indent, ' ') +
             line.substr(std::min(line.find_first_not_of(' ', at), line.size()));
    }
    out += line;
    if (ended) out += '\n';
  }
  return out;
}

std::string shortened(const std::string& label, size_t width) {
  if (label.size() <= width || width < 8) return label.substr(0, width);
  const size_t tail = (width - 3) / 2;
  return label.substr(0, width - 3 - tail) + "..." + label.substr(label.size() - tail);
}

std::string verdict_text(const Result& result, int job, bool colour, int width) {
  const auto lines = verdict_lines(result, job);
  if (lines.size() < 2) return "";
  size_t label_width = 0, ratio_width = 0, verdict_width = 0;
  for (const VerdictLine& line : lines) {
    label_width = std::max(label_width, line.label.size());
    ratio_width = std::max(ratio_width, line.ratio.size());
    verdict_width = std::max(verdict_width, line.verdict.size());
  }
  const size_t all = size_t(std::max(width, 40)), taken = 2 + 2 + ratio_width + 2 + verdict_width;
  label_width = std::min(label_width, all > taken + 8 ? all - taken : all - 2);
  const auto& first = *std::ranges::find(lines, "1", &VerdictLine::ratio);
  std::string text =
      fmt::format("Time per {}, against {}:\n", unit_of(result.jobs[size_t(job)].kind),
                  shortened(printable(first.label), all - 30));
  for (const VerdictLine& line : lines) {
    std::string row = fmt::format(
        "  {}  {}  {}", padded(shortened(printable(line.label), label_width), label_width),
        padded(line.ratio, ratio_width), line.verdict);
    row.erase(row.find_last_not_of(' ') + 1);
    row = folded(row, all);  // in a narrow terminal
    if (const size_t at = row.rfind(line.verdict);
        colour && line.tone != Tone::plain && at != row.npos)
      row.replace(at, line.verdict.size(),
                  fmt::format("{}{}\033[0m", colour_of(line.tone), line.verdict));
    text += row + "\n";
    if (!line.why.empty()) text += folded("      " + printable(line.why), all) + "\n";
    for (const std::string& metric : line.metrics)
      text += folded("      " + printable(metric), all) + "\n";
  }
  return text;
}

namespace {

std::string in_bytes(double bytes) {
  return bytes >= 1e9   ? fmt::format("{:.2f} GB", bytes / 1e9)
         : bytes >= 1e6 ? fmt::format("{:.1f} MB", bytes / 1e6)
                        : fmt::format("{:.0f} kB", bytes / 1e3);
}

}  // namespace

std::string command_text(const Result& result, const EngineResult& engine, int job) {
  const std::string name = "  " + printable(engine.label) + "\n";
  const auto total = total_of(engine, job);
  if (!total && engine.status == EngineStatus::ok) return "";  // it has another job
  if (!total) return name + fmt::format("    {}\n", to_string(engine.status));
  const CommandUse use = use_of(engine, job);
  std::string text =
      name + fmt::format("    Time (mean +- sd)  {}", with_spread(total->mean_s, total->stddev_s));
  if (use.user_s && use.system_s)
    text +=
        fmt::format("   [user {}, system {}]", with_unit(*use.user_s), with_unit(*use.system_s));
  const std::vector<double> totals = times_of(result, engine, job).totals;
  if (!totals.empty()) {
    const auto [least, most] = std::ranges::minmax(totals);
    text += fmt::format("\n    Range              {} to {}, {} run{}", with_unit(least),
                        with_unit(most), totals.size(), totals.size() == 1 ? "" : "s");
    if (const int far = outliers(totals)) text += fmt::format(", {} far off (kept)", far);
  }
  std::vector<std::string> more;
  if (use.peak_bytes) more.push_back(in_bytes(*use.peak_bytes) + " at most");
  if (use.energy_j) more.push_back(fmt::format("{:.3g} J", *use.energy_j));
  if (use.faults)
    more.push_back(fmt::format("{:.0f} page faults", *use.faults + use.major_faults.value_or(0)));
  if (use.voluntary && use.involuntary)
    more.push_back(fmt::format("{:.0f}+{:.0f} switches", *use.voluntary, *use.involuntary));
  std::string use_line;
  for (const auto& part : more) use_line += (use_line.empty() ? "" : ", ") + part;
  if (!use_line.empty()) text += "\n    Memory, others     " + use_line;
  for (const std::string& key : metrics_of(engine, job)) {
    const auto all = accounted(engine, job, key);
    text += fmt::format("\n    {:.4g} +- {:.2g}   {}", mean(all), stddev(all),
                        shortened(printable(key), 50));
  }
  return text + "\n";
}

}  // namespace hearth::lab
