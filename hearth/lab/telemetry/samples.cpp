#include "hearth/lab/telemetry/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "hearth/base/error.h"
#include "hearth/lab/telemetry/powermetrics.h"

namespace hearth::lab {
namespace {

using nlohmann::json;

// Keys that a reader may count on: null with a reason where no source has them.
constexpr const char* kAlways[] = {"gpu_clock_mhz", "gpu_active_fraction", "cpu_power_w",
                                   "gpu_power_w",   "ane_power_w",         "thermal_pressure",
                                   "clusters",      "gpu_states",          "gpu_requested_states",
                                   "gpu_sw_states"};
constexpr std::string_view kOfAState = "_state_fraction.";

// The channel of each name that find() gives, in their order.
std::vector<const Channel*> one_of_each(const Timeline& timeline) {
  std::vector<const Channel*> chosen;
  std::set<std::string_view> names;
  for (const Channel& channel : timeline.channels)
    if (names.insert(channel.name).second) chosen.push_back(timeline.find(channel.name));
  return chosen;
}

json value_of(const Channel* channel, size_t i) {
  return channel && channel->values[i] ? json(*channel->values[i]) : json();
}

// A cluster of Apple's processors, from the fields of its parts.
struct ClusterChannels {
  std::string name;
  const Channel *clock, *active;
};
std::vector<ClusterChannels> clusters_of(const Timeline& timeline) {
  constexpr std::string_view kActive = "cpu_active_fraction.";
  std::vector<ClusterChannels> clusters;
  for (const Channel* channel : one_of_each(timeline))
    if (channel->name.starts_with(kActive) && channel->name.ends_with("-Cluster")) {
      const std::string name = channel->name.substr(kActive.size());
      clusters.push_back({name, timeline.find("cpu_clock_mhz." + name), channel});
    }
  return clusters;
}

}  // namespace

std::string state_field(std::string_view list, size_t index, std::string_view state) {
  check(list.ends_with("_states"), "state_field: got ", list, ", wanted a name like gpu_states");
  return concat(list.substr(0, list.size() - 7), kOfAState, index, ".", state);
}

std::optional<StateField> parse_state_field(std::string_view field) {
  const size_t at = field.find(kOfAState);
  if (at == field.npos) return std::nullopt;
  const std::string_view rest = field.substr(at + kOfAState.size());
  const size_t dot = rest.find('.');
  if (dot == rest.npos) return std::nullopt;
  return StateField{concat(field.substr(0, at), "_states"), std::string(rest.substr(dot + 1))};
}

json samples_json(const Timeline& timeline) {
  struct Chosen {
    const Channel* channel;
    std::optional<StateField> state;
  };
  std::vector<Chosen> all;
  std::map<std::string, std::string_view> source_of;  // each list of states is of one source alone
  for (const Channel* channel : one_of_each(timeline)) {
    auto state = parse_state_field(channel->name);
    if (!state ||
        source_of.try_emplace(state->list, channel->source).first->second == channel->source)
      all.push_back({channel, std::move(state)});
  }
  const auto clusters = clusters_of(timeline);
  const Channel* const pressure = timeline.find("thermal_pressure_level");
  json samples = json::array();
  for (size_t i = 0; i < timeline.time_s.size(); ++i) {
    json sample = {
        {"elapsed_s", i ? timeline.time_s[i] - timeline.time_s[i - 1] : timeline.time_s[0]}};
    json reasons = json::object();
    for (const auto& [channel, state] : all) {
      const std::string& key = state ? state->list : channel->name;
      if (!channel->values[i])
        sample[key] = nullptr, reasons[key] = channel->reason;
      else if (state)
        sample[key].push_back({{"state", state->state}, {"fraction", *channel->values[i]}});
      else
        sample[key] = *channel->values[i];
    }
    for (const ClusterChannels& one : clusters)
      sample["clusters"].push_back({{"name", one.name},
                                    {"clock_mhz", value_of(one.clock, i)},
                                    {"active_fraction", value_of(one.active, i)}});
    if (pressure) {
      if (const auto at = pressure->values[i];
          at && *at >= 0 && *at < double(kThermalPressures.size()))
        sample["thermal_pressure"] = kThermalPressures[size_t(*at)];
      else
        sample["thermal_pressure"] = nullptr, reasons["thermal_pressure"] = pressure->reason;
    }
    for (const char* key : kAlways)
      if (!sample.contains(key)) {
        sample[key] = nullptr;
        reasons[key] = "only macOS has it: IOReport, and powermetrics as root";
      }
    sample["reasons"] = std::move(reasons);
    samples.push_back(std::move(sample));
  }
  return samples;
}

std::vector<std::string> discrepancies(const Timeline& timeline) {
  constexpr double kMost = 0.1;
  std::vector<std::string> found;
  const auto& all = timeline.channels;
  for (auto a = all.begin(); a != all.end(); ++a)
    for (auto b = a + 1; b != all.end(); ++b) {
      // A cluster is active in powermetrics if one of its cores is; in IOReport it is their mean.
      if (a->name != b->name || a->source == b->source || a->name.find('.') != a->name.npos)
        continue;
      double sum_a = 0, sum_b = 0;
      int both = 0;
      for (size_t i = 0; i < timeline.time_s.size(); ++i)
        if (a->values[i] && b->values[i]) sum_a += *a->values[i], sum_b += *b->values[i], ++both;
      const double difference = std::abs(sum_a - sum_b);
      // So little that nothing follows from it.
      const double least = a->unit == "W" ? 0.1 : a->unit == "fraction" ? 0.02 : 0;
      if (both == 0 || difference <= kMost * std::max(std::abs(sum_a), std::abs(sum_b)) ||
          difference <= least * both)
        continue;
      found.push_back(fmt::format("{}: {} says {:.4g}, {} says {:.4g} {}", a->name, a->source,
                                  sum_a / both, b->source, sum_b / both, a->unit));
    }
  return found;
}

}  // namespace hearth::lab
