// What telemetry shows of the time in which an engine worked.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// The parts of the time that a device spent in its states, in their order: "gpu_requested_states",
/// {"P1", 0.91}, {"P2", 0.09}.
struct StateShares {
  std::string list;
  std::vector<std::pair<std::string, double>> states;
};

/// What telemetry shows of the time in which an engine worked on a job.
struct Busy {
  double seconds = 0;  // that samples cover
  int samples = 0;
  Reading<double> active_fraction;  // of the device: GPU, or all cores
  Reading<double> clock_mhz;        // while active
  Reading<double> clock_max_mhz;
  Reading<double> host_cores;           // that the engine's process kept busy
  Reading<double> power_w;              // of the GPU, or of all processors
  std::string active_from, clock_from;  // the channels
  /// Parts of the time in which something held the clock down, or took the processor away.
  std::vector<std::pair<std::string, double>> held_back;
  /// Of NVML's event reasons all parts, also the one of being idle.
  std::map<std::string, double> limits;
  Reading<double> others;  // the part of all cores that other processes took
  std::vector<StateShares> states;
  std::vector<std::string> discrepancies;  // between sources of the same quantity
  std::string under_sampled;               // why the samples are too few; "": they are not
};

/// Of the whole job, or of its phase "prefill" or "decode".
Busy busy_of(const Result& result, const EngineResult& engine, int job,
             std::string_view phase = "");
/// "software asked for P1, the lowest clock, for 91 % of the time"; "" where that is not known or
/// no state has half of the time.
std::string asked_for(const Busy& busy);
/// "other processes took 45 % of the processors"; "" if it was less than 10 %, or is not known.
std::string crowded(const Busy& busy);

}  // namespace hearth::lab
