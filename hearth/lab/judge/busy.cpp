#include "hearth/lab/judge/busy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "hearth/base/error.h"
#include "hearth/lab/judge/pairs.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/windows.h"
#include "hearth/lab/telemetry/samples.h"
#include "hearth/lab/telemetry/telemetry.h"

namespace hearth::lab {
namespace {

// NVML's utilisation looks back over as much as a second: the first one of a turn is mostly of what
// ran before. It is left out of turns that are longer than twice that.
constexpr double kLookBack = 1;

// Seconds of each sample that are of the job, or of its phase.
std::vector<double> weights(const Result& result, const EngineResult& engine, int job,
                            std::string_view phase, bool looks_back) {
  auto windows = windows_of(engine, job, phase);
  for (auto& [from, to] : windows)
    if (looks_back && to - from > 2 * kLookBack) from += kLookBack;
  if (engine.repetitions.empty()) windows = {{-INFINITY, INFINITY}};  // published: all is the job
  return overlap(engine.telemetry.time_s, windows,
                 result.plan.telemetry_period_s.value.value_or(1));
}

// The mean of a channel, each value weighted by its time and, if given, by another channel.
Reading<double> mean_of(const Timeline& telemetry, const Channel* channel, std::string_view name,
                        const std::vector<double>& weights, const Channel* also = nullptr) {
  if (!channel) return Reading<double>::missing(concat("the result has no telemetry of ", name));
  double sum = 0, all = 0;
  for (size_t i = 0; i < telemetry.time_s.size(); ++i) {
    if (!channel->values[i]) continue;
    const double weight = weights[i] * (also && also->values[i] ? *also->values[i] : 1);
    sum += *channel->values[i] * weight;
    all += weight;
  }
  if (all > 0) return sum / all;
  return Reading<double>::missing(!channel->reason.empty()
                                      ? channel->reason
                                      : concat("no sample of ", name, " fell into the job"));
}

bool has_values(const Channel* channel) {
  return channel && std::ranges::any_of(channel->values, [](auto& v) { return v.has_value(); });
}

std::vector<StateShares> states_of(const Timeline& telemetry, const std::vector<double>& weights) {
  std::vector<StateShares> lists;
  std::map<std::string, std::string_view> source_of;
  for (const Channel& channel : telemetry.channels) {
    const auto field = parse_state_field(channel.name);
    if (!field) continue;
    const auto share = mean_of(telemetry, &channel, channel.name, weights).value;
    if (!share ||
        source_of.try_emplace(field->list, channel.source).first->second != channel.source)
      continue;
    auto list = std::ranges::find(lists, field->list, &StateShares::list);
    if (list == lists.end()) list = lists.insert(list, {field->list, {}});
    list->states.emplace_back(field->state, *share);
  }
  return lists;
}

}  // namespace

std::string asked_for(const Busy& busy) {
  for (const StateShares& list : busy.states) {
    if (list.list != "gpu_requested_states" || list.states.empty()) continue;
    const auto most =
        std::ranges::max_element(list.states, {}, [](const auto& state) { return state.second; });
    if (most->second < 0.5) return "";
    const bool lowest = most == list.states.begin(), highest = most + 1 == list.states.end();
    return fmt::format("software asked for {}{} for {:.0f} % of the time", most->first,
                       list.states.size() < 2 ? ""
                       : lowest               ? ", the lowest clock,"
                       : highest              ? ", the highest clock,"
                                              : "",
                       100 * most->second);
  }
  return "";
}

std::string crowded(const Busy& busy) {
  if (busy.others.value.value_or(0) < kFew) return "";
  return fmt::format("other processes took {:.0f} % of the processors", 100 * *busy.others.value);
}

Busy busy_of(const Result& result, const EngineResult& engine, int job, std::string_view phase) {
  const Timeline& telemetry = engine.telemetry;
  const Channel* active = telemetry.find("gpu_active_fraction");
  const auto weight =
      weights(result, engine, job, phase,
              active && active->source == "nvml" && !engine.device.starts_with("cpu"));
  Busy busy;
  for (double w : weight) busy.seconds += w, busy.samples += w > 0;
  // Of several channels the first that has values, else the first.
  const auto choose = [&](std::initializer_list<const char*> names) {
    for (const char* name : names)
      if (has_values(telemetry.find(name))) return name;
    return *names.begin();
  };
  const auto mean = [&](const char* name, const Channel* also = nullptr) {
    return mean_of(telemetry, telemetry.find(name), name, weight, also);
  };
  const bool gpu = !engine.device.starts_with("cpu");
  busy.active_from = gpu ? "gpu_active_fraction" : "cpu_active_fraction";
  busy.clock_from =
      gpu ? "gpu_clock_mhz" : choose({"process_clock_mhz", "cpu_clock_mhz", "cpu_clock_probe_mhz"});
  busy.active_fraction = mean(busy.active_from.c_str());
  busy.clock_mhz = mean(busy.clock_from.c_str(), telemetry.find(busy.active_from));
  busy.host_cores = mean("process_active_cores");
  const auto cores = std::ranges::count_if(telemetry.channels, [](const Channel& channel) {
    constexpr std::string_view kCore = "cpu_active_fraction.";
    return channel.name.starts_with(kCore) && channel.name.size() > kCore.size() &&
           channel.name.find_first_not_of("0123456789", kCore.size()) == std::string::npos;
  });
  const Reading<double> all = mean("cpu_active_fraction");
  if (!busy.host_cores.value || !all.value || cores == 0)
    busy.others = Reading<double>::missing("the processors' time is not known");
  else
    busy.others = std::max(0.0, *all.value - *busy.host_cores.value / double(cores));
  busy.power_w =
      mean(gpu ? choose({"gpu_counted_power_w", "gpu_power_w"}) : choose({"cpu_power_w"}));
  busy.clock_max_mhz = gpu ? mean("gpu_clock_max_mhz")
                           : Reading<double>::missing("the machine's limits have no clock");
  for (const Ceiling& ceiling : result.ceilings)
    if (!busy.clock_max_mhz.value && ceiling.name == "clock" &&
        ceiling.device == engine.device.substr(0, engine.device.find(':')) && ceiling.value.value)
      busy.clock_max_mhz = ceiling.value;
  for (const Channel& channel : telemetry.channels) {
    const bool limit = gpu && channel.name.starts_with("gpu_limit_") &&
                       channel.name.find('.') == std::string::npos;
    if (!limit && channel.name != "cpu_steal_fraction") continue;
    const auto share = mean_of(telemetry, &channel, channel.name, weight).value;
    const std::string name = limit ? channel.name.substr(10) : "steal";
    if (share && limit) busy.limits[name] = *share;
    if (share && *share > 0.01 && name != "idle") busy.held_back.emplace_back(name, *share);
  }
  if (gpu) busy.states = states_of(telemetry, weight);
  busy.discrepancies = discrepancies(telemetry);
  busy.under_sampled = under_sampled(result, engine, job, phase);
  return busy;
}

}  // namespace hearth::lab
