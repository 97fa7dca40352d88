#include "hearth/lab/show/verdicts.h"

#include <fmt/format.h>

#include <algorithm>

#include "hearth/base/error.h"
#include "hearth/lab/judge/command_use.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/show/standing.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {

namespace {

std::string coloured(const std::string& text, Tone tone, bool colour) {
  constexpr std::string_view kColours[] = {"", "\033[32m", "\033[31m", "\033[33m"};
  if (!colour || tone == Tone::plain) return text;
  return concat(kColours[size_t(tone)], text, "\033[0m");
}

}  // namespace

std::string verdict_text(const Result& result, int job, bool colour, int width) {
  const auto all = standings(result, job);
  if (all.size() < 2) return "";
  struct Row {
    std::string label, ratio, verdict;
  };
  std::vector<Row> rows;
  std::string first;
  const auto room = size_t(std::max(width, 40));
  size_t label_width = 0, ratio_width = 0, verdict_width = 0;
  for (const Standing& s : all) {
    rows.push_back({one_line(result.engines[s.engine].label), s.first ? "1" : times_text(s.ratio),
                    s.first ? "" : std::string(to_string(s.finding))});
    if (s.first) first = rows.back().label;
    label_width = std::max(label_width, columns_of(rows.back().label));
    ratio_width = std::max(ratio_width, rows.back().ratio.size());
    verdict_width = std::max(verdict_width, rows.back().verdict.size());
  }
  // Where a line would have no room for a label, what follows it stands below it.
  const size_t taken = 2 + 2 + ratio_width + 2 + verdict_width;
  const bool apart = room < taken + 12;
  label_width = std::min(label_width, apart ? room - 2 : room - taken);
  const std::string_view unit = unit_of(result.jobs[size_t(job)].kind);
  std::string text =
      fmt::format("Time per {}, against {}:\n", unit, shortened(first, room - unit.size() - 20));
  for (size_t i = 0; i < all.size(); ++i) {
    const Row& row = rows[i];
    const std::string label = shortened(row.label, label_width);
    text += "  " + (apart ? label + "\n      " : padded(label, label_width) + "  ");
    text += row.verdict.empty() ? row.ratio : padded(row.ratio, apart ? 0 : ratio_width);
    if (apart && 6 + row.ratio.size() + 2 + row.verdict.size() > room)
      text += "\n      ";
    else if (!row.verdict.empty())
      text += "  ";
    text += coloured(row.verdict, all[i].tone(), colour) + "\n";
    if (!all[i].why.empty()) text += folded("      " + one_line(all[i].why), room) + "\n";
    for (const std::string& metric : all[i].metrics)
      text += folded("      " + one_line(metric), room) + "\n";
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
  const std::string name = "  " + one_line(engine.label) + "\n";
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
                        shortened(one_line(key), 50));
  }
  return text + "\n";
}

}  // namespace hearth::lab
