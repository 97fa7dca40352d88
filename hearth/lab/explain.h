// Why one engine took longer than another, as far as the samples tell: whether the two can be
// compared, where the time went, how near each is to what the machine can do, and what would tell
// one cause from another. What is not known is said to be not known.
#pragma once
#include <map>
#include <nlohmann/json_fwd.hpp>

#include "hearth/lab/compare.h"
#include "hearth/lab/work.h"

namespace hearth::lab {

/// A's time over B's, with a 95 % interval.
struct TimeRatio {
  double value = 1, low = 1, high = 1;
  int n = 0;            // pairs, or published runs of the one with fewer
  bool paired = false;  // else from published means and spreads
};

/// The parts of the time that a device spent in its states, in their order: "gpu_requested_states",
/// {"P1", 0.91}, {"P2", 0.09}.
struct StateShares {
  std::string list;
  std::vector<std::pair<std::string, double>> states;
};

/// What telemetry tells of the time in which an engine worked on a job.
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
  std::string under_sampled;               // why the samples are too few to tell; "": they are not
};

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

/// One engine of the comparison.
struct Side {
  std::string label, device;
  double per_unit_s = 0;  // per new token of a row, prompt or call
  double total_s = 0;     // of a repetition
  Busy busy;
  Reading<double> joules_per_unit;  // with what the device takes when it has nothing to do
  Reading<double> idle_power_w;     // that
  std::vector<Phase> phases;        // the one that took most of the time first
};

/// ln(T_A / T_B) = cycles - clock - utilisation: each term as it adds to the logarithm, so that the
/// known ones sum up to it exactly. A term that needs an unknown quantity is missing.
struct Attribution {
  double log_ratio = 0;
  Reading<double> cycles, clock, utilisation;
};

/// A cause, and what a change of one thing would do if it were the cause. `observed` comes from an
/// intervention of the result, whose prediction was written down before; or from engines or jobs of
/// it that differ in that alone, which are predicted now, from the unchanged one.
struct Hypothesis {
  std::string engine, cause, intervention;
  std::string prediction;               // in words
  Reading<double> predicted, observed;  // time after over time before
  std::optional<PairedRatio> interval;  // of what was observed, where pairs were measured
  std::string predicted_at;             // a time before the measurement; empty: predicted now
  bool tells = false;   // another cause predicts something else: if it holds, it supports this one
  std::string verdict;  // "held", "failed", "undecided" or "not tested"
};

/// "software asked for P1, the lowest clock, for 91 % of the time"; "" where that is not known or
/// no state has half of the time.
std::string asked_for(const Busy& busy);
/// "other processes took 45 % of the processors"; "" if it was less than 10 %, or is not known.
std::string crowded(const Busy& busy);

/// A prediction of a factor holds within this one.
constexpr double kTolerance = 1.15;
/// Time after over time before, and the range in which it holds.
struct Prediction {
  double factor, least, most;
  explicit Prediction(double factor)
      : factor(factor), least(factor / kTolerance), most(factor * kTolerance) {}
  Prediction(double factor, double least, double most) : factor(factor), least(least), most(most) {}
};
/// What `cause` predicts for a change of "threads", "dtype", "batch", "keepalive", "pause" or
/// "compile" of an engine; missing where it says nothing. `bytes`: of a weight, after over before.
Reading<Prediction> predicted(Regime cause, std::string_view change, const std::string& from,
                              const std::string& to, const Reading<double>& bytes,
                              const Busy& busy);
/// Other causes that predict something else than what lies between `least` and `most`.
std::vector<std::string> causes_unlike(double least, double most, std::string_view change,
                                       const std::string& from, const std::string& to,
                                       const Reading<double>& bytes, const Busy& busy);
/// "the same time", "0.5 times the time".
std::string in_words(double factor);

struct Explanation {
  int job = 0;
  std::string unit;  // "new token", "prompt", "call"
  Side a, b;
  Comparability gate;
  std::optional<PairedRatio> pairs;
  TimeRatio total, per_unit;
  Attribution attribution;
  std::vector<Hypothesis> hypotheses;
  /// "supported by an intervention", "refuted", "attributed", "measured" or "not established".
  std::string certainty;
  std::string cause;  // a sentence
};

/// Two engines on one job of the result. Throws std::invalid_argument for labels that the result
/// has not, or without times of the job.
Explanation explain(const Result& result, std::string_view a, std::string_view b, int job = 0);
/// The first two engines that have times of the job, the slower one first; throws
/// std::invalid_argument if there are not two.
std::pair<std::string, std::string> first_two(const Result& result, int job = 0);

/// Time per unit of each measured repetition of the job that did not stream (or the published
/// mean); empty if there are none.
std::vector<double> unit_times(const EngineResult& engine, int job);
/// The mean and the standard deviation (n - 1) of a repetition's total.
struct Total {
  double mean_s = 0, stddev_s = 0;
  int n = 0, new_tokens = 0;
};
std::optional<Total> total_of(const EngineResult& engine, int job);
/// Of the whole job, or of its phase "prefill" or "decode".
Busy busy_of(const Result& result, const EngineResult& engine, int job,
             std::string_view phase = "");
std::vector<Phase> phases_of(const Result& result, const EngineResult& engine, int job,
                             const Busy& busy);
std::vector<Hypothesis> hypotheses_of(const Result& result, const EngineResult& engine, int job,
                                      const Phase& main, const Busy& busy);

/// One screen of plain words.
std::string to_text(const Explanation& explanation, const Result& result);
nlohmann::json to_json(const Explanation& explanation);

}  // namespace hearth::lab
