// What macOS's powermetrics writes with `-f plist`: one property list for each sample, with NULs
// between them and maybe a last one cut short. docs/lab.md has its traps.
#pragma once
#include <array>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/measure/reading.h"

namespace hearth::lab {

/// The part of a sample spent in one state. The same frequency may occur in two states.
struct Residency {
  std::string state;  // "P8", or the MHz
  Reading<double> clock_mhz;
  double fraction;  // of the sample's time
};

struct Cluster {
  std::string name;           // "E-Cluster", "P1-Cluster", "M0-Cluster", ...
  Reading<double> clock_mhz;  // while active
  Reading<double> active_fraction;
};

/// One sample. Every key is optional: what is not there is missing, NaN too.
struct Powermetrics {
  Reading<double> elapsed_s;
  Reading<std::string> hardware;  // "Mac14,14"
  Reading<std::string> thermal_pressure;
  Reading<double> cpu_power_w, gpu_power_w, ane_power_w, memory_power_w;
  Reading<double> package_power_w;  // CPU, GPU and neural engine
  Reading<double> gpu_clock_mhz, gpu_active_fraction;
  Reading<std::vector<Cluster>> clusters;
  using States = Reading<std::vector<Residency>>;  // in the sample's order
  States gpu_states;                               // "idle", then the clocks
  States gpu_requested_states;  // that software asked for: "P1", the slowest, ...
  States gpu_sw_states;         // that software was given: "SW_P1", ...
};

/// The words of thermal_pressure, by their level.
constexpr std::array<std::string_view, 5> kThermalPressures = {"Nominal", "Moderate", "Heavy",
                                                               "Trapping", "Sleeping"};

/// A stream of samples, or its beginning.
struct Capture {
  std::vector<Powermetrics> samples;
  std::vector<std::string> notes;  // what could not be read: "sample 5 is cut short", ...
};

/// Reads any bytes; never throws for their content. `text` holds a million samples at most.
Capture read_powermetrics(std::string_view text);

/// The keys are those of docs/cli.md; what is missing is null, with its reason under "reasons".
nlohmann::json to_json(const Powermetrics& sample);

}  // namespace hearth::lab
