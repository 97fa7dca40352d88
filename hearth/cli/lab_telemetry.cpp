// hearth lab telemetry: this machine's sources now, or a capture of powermetrics.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <thread>

#include "hearth/cli/lab.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/io/mapped_file.h"
#include "hearth/lab/telemetry/powermetrics.h"
#include "hearth/lab/telemetry/samples.h"
#include "hearth/lab/telemetry/telemetry.h"

namespace hearth::cli {

using nlohmann::json;

namespace {

struct Options {
  std::string powermetrics;
  double seconds = 1, period = 0.1;
  bool json = false;
};

std::string shown(const lab::Reading<double>& reading, double scale = 1, const char* unit = "") {
  return reading.value ? fmt::format("{:.4g}{}", *reading.value * scale, unit) : "-";
}

// The state of the GPU that software asked for most: "P1 91 %".
std::string asked_for(const lab::Powermetrics& sample) {
  const auto& states = sample.gpu_requested_states.value;
  if (!states) return "-";
  const auto most = std::ranges::max_element(*states, {}, &lab::Residency::fraction);
  return fmt::format("{} {:.0f} %", most->state, 100 * most->fraction);
}

std::string text_of(const lab::Capture& capture) {
  std::string text = fmt::format("{:>10} {:>9} {:>9} {:>8} {:>8} {:>8}  {:<10} {:<9} {}\n",
                                 "elapsed s", "GPU MHz", "GPU busy", "CPU W", "GPU W", "ANE W",
                                 "thermal", "asked for", "clusters (MHz, busy)");
  std::set<std::string> reasons;
  for (const auto& s : capture.samples) {
    std::string clusters;
    for (const auto& cluster : s.clusters.value.value_or(std::vector<lab::Cluster>()))
      clusters += fmt::format("{} {}, {}  ", cluster.name, shown(cluster.clock_mhz),
                              shown(cluster.active_fraction, 100, " %"));
    text +=
        fmt::format("{:>10} {:>9} {:>9} {:>8} {:>8} {:>8}  {:<10} {:<9} {}\n", shown(s.elapsed_s),
                    shown(s.gpu_clock_mhz), shown(s.gpu_active_fraction, 100, " %"),
                    shown(s.cpu_power_w), shown(s.gpu_power_w), shown(s.ane_power_w),
                    s.thermal_pressure.value.value_or("-"), asked_for(s), clusters);
    const json as_json = to_json(s);
    for (const auto& [key, reason] : as_json["reasons"].items())
      reasons.insert(key + ": " + reason.get<std::string>());
  }
  for (const auto& note : capture.notes) reasons.insert(note);
  for (const auto& reason : reasons) text += "  " + reason + "\n";
  return text;
}

void show_capture(const Options& o) {
  const auto file = MappedFile::open(o.powermetrics);
  const auto bytes = file->bytes();
  const lab::Capture capture = lab::read_powermetrics(
      {static_cast<const char*>(static_cast<const void*>(bytes.data())), bytes.size()});
  if (capture.samples.empty())
    throw std::runtime_error(
        fmt::format("{} holds no sample of powermetrics{}; write it with `powermetrics -f plist`",
                    o.powermetrics, capture.notes.empty() ? "" : ": " + capture.notes.front()));
  if (!o.json) return show_text(text_of(capture));
  json samples = json::array();
  for (const auto& sample : capture.samples) samples.push_back(to_json(sample));
  show_json({{"source", "powermetrics"}, {"samples", samples}, {"notes", capture.notes}});
}

std::string text_of(const lab::Timeline& timeline) {
  std::string text = fmt::format("{:<28}{:>10}{:>10}{:>10}  {:<9}{}\n", "", "median", "least",
                                 "most", "unit", "source");
  std::vector<std::pair<std::string, std::string>> missing;  // a reason, and the names it is of
  std::map<std::string, std::string> states;                 // of each list: many fields, one line
  for (const auto& channel : timeline.channels) {
    std::vector<double> known;
    for (const auto& value : channel.values)
      if (value) known.push_back(*value);
    if (const auto field = lab::parse_state_field(channel.name); field && !known.empty()) {
      const double mean = std::accumulate(known.begin(), known.end(), 0.0) / double(known.size());
      if (mean >= 0.005)
        states[field->list + ", " + channel.source] +=
            fmt::format("  {} {:.0f} %", field->state, 100 * mean);
      continue;
    }
    if (known.empty()) {
      if (missing.empty() || missing.back().first != channel.reason)
        missing.emplace_back(channel.reason, channel.name);
      else
        missing.back().second += ", " + channel.name;
      continue;
    }
    std::ranges::sort(known);
    text += fmt::format("{:<28}{:>10.5g}{:>10.5g}{:>10.5g}  {:<9}{}\n", channel.name,
                        known[known.size() / 2], known.front(), known.back(), channel.unit,
                        channel.source);
  }
  for (const auto& [list, shares] : states) text += fmt::format("{}:{}\n", list, shares);
  if (!missing.empty()) text += "missing here:\n";
  for (const auto& [reason, names] : missing) text += fmt::format("  {}:\n    {}\n", reason, names);
  for (const auto& one : lab::discrepancies(timeline)) text += "sources disagree: " + one + "\n";
  return text;
}

void show_now(const Options& o) {
  auto sources = lab::find_telemetry();  // which takes its time
  const auto origin = lab::Sampler::Clock::now();
  lab::Sampler sampler(std::move(sources), o.period, origin);
  {
    CatchInterrupt ctrl_c;
    const auto end = origin + std::chrono::duration<double>(o.seconds + o.period / 2);
    while (!CatchInterrupt::flag() && lab::Sampler::Clock::now() < end)
      std::this_thread::sleep_for(std::min<std::chrono::duration<double>>(
          end - lab::Sampler::Clock::now(), std::chrono::milliseconds(20)));
  }
  const lab::Timeline timeline = sampler.stop();
  if (timeline.time_s.empty()) CatchInterrupt::fail_if_interrupted();
  if (timeline.time_s.empty())
    throw std::runtime_error("no sample came in the time; ask for more --seconds");
  const double cpu_ms_per_s = *timeline.sampler_cpu_s.value / timeline.time_s.back() * 1e3;
  if (!o.json)
    return show_text(text_of(timeline) +
                     fmt::format("{} samples; sampling took {:.2f} % of a core\n",
                                 timeline.time_s.size(), cpu_ms_per_s / 10));
  json fields = json::array();
  for (const auto& channel : timeline.channels)
    fields.push_back({{"name", channel.name}, {"unit", channel.unit}, {"source", channel.source}});
  show_json({{"source", "live"},
             {"samples", lab::samples_json(timeline)},
             {"fields", fields},
             {"discrepancies", lab::discrepancies(timeline)},
             {"sampler_cpu_ms_per_s", cpu_ms_per_s}});
}

}  // namespace

void add_lab_telemetry(Command& lab) {
  auto* command =
      lab.add_subcommand("telemetry", "Show the telemetry of this machine, or of a capture");
  auto o = std::make_shared<Options>();
  command->add_option("--powermetrics", o->powermetrics,
                      "Read a file that `powermetrics -f plist` wrote");
  add_number(*command, "--seconds", o->seconds, {0.001, 86400}, "How long to sample");
  add_number(*command, "--period", o->period, {0.001, 3600}, "Seconds from sample to sample");
  command->add_flag("--json", o->json, "Print JSON (keys: docs/lab.md)");
  command->callback([o] {
    o->powermetrics.empty() ? show_now(*o) : show_capture(*o);
    CatchInterrupt::fail_if_interrupted();
  });
}

}  // namespace hearth::cli
