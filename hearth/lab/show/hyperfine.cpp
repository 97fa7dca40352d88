#include "hearth/lab/show/hyperfine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "hearth/lab/judge/command_use.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/plain.h"
#include "hearth/lab/show/tables.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {

using nlohmann::json;

namespace {

constexpr const char* kPlusMinus = "\xC2\xB1";  // as hyperfine writes it

struct Entry {
  const EngineResult* engine;
  int job;
  std::string command;
  std::vector<double> times;
  CommandUse use;
};

std::vector<Entry> entries_of(const Result& result) {
  std::vector<Entry> all;
  for (int job = 0; job < int(result.jobs.size()); ++job)
    for (const EngineResult& e : result.engines) {
      auto times = times_of(result, e, job).totals;
      if (times.empty()) continue;
      const std::string of =
          result.jobs.size() > 1 ? fmt::format(" (job {})", job + 1) : std::string();
      all.push_back({&e, job, e.label + of, std::move(times), use_of(e, job)});
    }
  return all;
}

/// Options in braces are parameters.
std::map<std::string, std::string> parameters_of(const EngineResult& e) {
  std::map<std::string, std::string> all;
  for (const auto& [key, value] : e.options)
    if (key.size() > 2 && key.front() == '{' && key.back() == '}')
      all[key.substr(1, key.size() - 2)] = value;
  return all;
}

json or_null(const std::optional<double>& x) { return x ? json(*x) : json(); }

/// What the system accounted to each, as whole numbers; null where it did not.
json counts(const Entry& entry, const char* key) {
  json all = json::array();
  for (const Repetition* r : entry.engine->totals(entry.job)) {
    const auto it = r->own.find(key);
    all.push_back(it == r->own.end() || std::abs(it->second) > 1e15 ? json()
                                                                    : json(int64_t(it->second)));
  }
  return all;
}

}  // namespace

std::string hyperfine_json(const Result& result) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const Entry& entry : entries_of(result)) {
    nlohmann::ordered_json one;
    one["command"] = entry.command;
    one["mean"] = mean(entry.times);
    one["stddev"] = entry.times.size() > 1 ? json(stddev(entry.times)) : json();
    one["median"] = median(entry.times);
    one["user"] = or_null(entry.use.user_s);
    one["system"] = or_null(entry.use.system_s);
    one["min"] = std::ranges::min(entry.times);
    one["max"] = std::ranges::max(entry.times);
    one["times"] = entry.times;
    one["memory_usage_byte"] = counts(entry, "peak_memory_bytes");
    one["exit_codes"] = counts(entry, "exit_code");
    if (const auto parameters = parameters_of(*entry.engine); !parameters.empty())
      one["parameters"] = parameters;
    results.push_back(std::move(one));
  }
  nlohmann::ordered_json out;
  out["results"] = std::move(results);
  return json_text(out, 2) + "\n";
}

std::string hyperfine_markdown(const Result& given) {
  const Result result = plain(given);
  const auto entries = entries_of(result);
  if (entries.empty()) return "";
  const bool seconds = mean(entries[0].times) >= 1;
  const double scale = seconds ? 1 : 1e3;
  const auto number = [&](double s) {
    return seconds ? fmt::format("{:.3f}", s) : fmt::format("{:.1f}", s * scale);
  };
  const Entry& fastest =
      *std::ranges::min_element(entries, {}, [](const Entry& entry) { return mean(entry.times); });
  const double least = mean(fastest.times), spread = stddev(fastest.times) / least;
  const char* unit = seconds ? "s" : "ms";
  std::string out = fmt::format(
      "| Command | Mean [{0}] | Min [{0}] | Max [{0}] | Relative |\n"
      "|:---|---:|---:|---:|---:|\n",
      unit);
  for (const Entry& entry : entries) {
    const double m = mean(entry.times), sd = stddev(entry.times);
    std::string relative = fmt::format("{:.2f}", m / least);
    if (&entry != &fastest)
      relative += fmt::format(" {} {:.2f}", kPlusMinus, m / least * std::hypot(sd / m, spread));
    out += fmt::format("| {} | {} {} {} | {} | {} | {} |\n", markdown_code(entry.command),
                       number(m), kPlusMinus, number(sd), number(std::ranges::min(entry.times)),
                       number(std::ranges::max(entry.times)), relative);
  }
  return out;
}

std::string hyperfine_csv(const Result& result) {
  const auto entries = entries_of(result);
  Table table{
      "results", {"command", "mean", "stddev", "median", "user", "system", "min", "max"}, {}};
  std::map<std::string, std::string> parameters;
  for (const Entry& entry : entries)
    for (const auto& [name, value] : parameters_of(*entry.engine)) parameters[name];
  for (const auto& [name, value] : parameters) table.columns.push_back("parameter_" + name);
  const auto cell = [](const std::optional<double>& x) { return x ? Cell(*x) : Cell(); };
  for (const Entry& entry : entries) {
    std::vector<Cell> row = {entry.command,
                             mean(entry.times),
                             entry.times.size() > 1 ? Cell(stddev(entry.times)) : Cell(),
                             median(entry.times),
                             cell(entry.use.user_s),
                             cell(entry.use.system_s),
                             std::ranges::min(entry.times),
                             std::ranges::max(entry.times)};
    const auto mine = parameters_of(*entry.engine);
    for (const auto& [name, value] : parameters)
      row.push_back(mine.contains(name) ? Cell(mine.at(name)) : Cell());
    table.rows.push_back(std::move(row));
  }
  return to_csv(table);
}

}  // namespace hearth::lab
