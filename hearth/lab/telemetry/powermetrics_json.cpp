#include <nlohmann/json.hpp>

#include "hearth/lab/telemetry/powermetrics.h"

namespace hearth::lab {
namespace {

using nlohmann::json;

json value_of(const std::vector<Residency>& states) {
  json list = json::array();
  for (const Residency& one : states)
    list.push_back({{"state", one.state},
                    {"clock_mhz", one.clock_mhz.value ? json(*one.clock_mhz.value) : json()},
                    {"fraction", one.fraction}});
  return list;
}
const json value_of(double number) { return number; }
const json value_of(const std::string& text) { return text; }

}  // namespace

json to_json(const Powermetrics& sample) {
  json out = json::object(), reasons = json::object();
  const auto put = [&](json& to, const char* key, const auto& reading, const std::string& name) {
    to[key] = reading.value ? value_of(*reading.value) : json();
    if (!reading.value) reasons[name] = reading.reason;
  };
  const auto field = [&](const char* key, const auto& reading) { put(out, key, reading, key); };
  field("elapsed_s", sample.elapsed_s);
  field("hardware", sample.hardware);
  field("thermal_pressure", sample.thermal_pressure);
  field("cpu_power_w", sample.cpu_power_w);
  field("gpu_power_w", sample.gpu_power_w);
  field("ane_power_w", sample.ane_power_w);
  field("memory_power_w", sample.memory_power_w);
  field("package_power_w", sample.package_power_w);
  field("gpu_clock_mhz", sample.gpu_clock_mhz);
  field("gpu_active_fraction", sample.gpu_active_fraction);
  field("gpu_states", sample.gpu_states);
  field("gpu_requested_states", sample.gpu_requested_states);
  field("gpu_sw_states", sample.gpu_sw_states);
  out["clusters"] = json();
  if (!sample.clusters.value) {
    reasons["clusters"] = sample.clusters.reason;
  } else {
    out["clusters"] = json::array();
    for (const Cluster& cluster : *sample.clusters.value) {
      json one = {{"name", cluster.name}};
      put(one, "clock_mhz", cluster.clock_mhz, cluster.name + ".clock_mhz");
      put(one, "active_fraction", cluster.active_fraction, cluster.name + ".active_fraction");
      out["clusters"].push_back(std::move(one));
    }
  }
  out["reasons"] = std::move(reasons);
  return out;
}

}  // namespace hearth::lab
