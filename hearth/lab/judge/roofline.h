// Each phase of a job against the machine's limits, and what binds it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/judge/busy.h"
#include "hearth/lab/judge/work.h"

namespace hearth::lab {

/// What binds an engine.
enum class Regime : uint8_t {
  unknown,
  bandwidth,  // near what memory gives
  compute,    // near what arithmetic gives
  launch,     // the device waits for work, the host is busy sending it
  host,       // the device waits, and so does the host's program
  clock,      // the device is busy and its clock is low
  kernels,    // the device is busy at its clock, and far from both limits
};
std::string_view to_string(Regime regime);

/// A part of a job, held against the machine's limits.
struct Phase {
  std::string name;   // "decode" (a token), "prefill" (a prompt), "call"
  double time_s = 0;  // of one
  Reading<Work> work;
  Reading<double> gb_s, gflop_s;                   // reached
  Reading<double> bandwidth_share, compute_share;  // of the measured limits
  /// In the phase alone, where it lasts for long enough and its times are known; else in the job.
  Reading<double> active_fraction, clock_mhz;
  double telemetry_s = 0;        // that samples of the phase cover
  std::string under_sampled;     // why they are too few
  Reading<double> launches;      // that the engine needs for it, whether or not it replays them
  Reading<double> launch_share;  // part of the time that as many of the least operations take
  /// The least time in which this machine can do it, by those of the three limits that are known
  /// (and not exceeded, as that of memory by caches).
  Reading<double> floor_s;
  std::string floor_from;  // "bandwidth", "compute" or "launch", and those that are not known
  Regime regime = Regime::unknown;
  std::string because;
};

std::vector<Phase> phases_of(const Result& result, const EngineResult& engine, int job,
                             const Busy& busy);

}  // namespace hearth::lab
