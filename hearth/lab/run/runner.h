// The runner: one job after the other, all engines in turns, every sample kept. It owns the clock.
#pragma once
#include <atomic>
#include <functional>

#include "hearth/lab/result/result.h"
#include "hearth/lab/run/engine.h"

namespace hearth::lab {

struct RunOptions {
  std::vector<EngineSpec> engines;
  std::vector<Job> jobs;        // prompt_ids filled in
  std::filesystem::path model;  // the checkpoint every engine loads; empty for operations
  EnginePlaces places;
  std::string made_by;
  Timeouts timeouts;

  int pairs = 12;
  std::optional<double>
      target_ci;                // goes on until every interval is this narrow, 10 * pairs at most
  bool against_itself = false;  // each engine gets a twin: the noise floor
  double least_seconds = 5;     // of samples, for each engine
  double warmup_s = 10;         // at most, for each engine and job, beyond the first two
  double telemetry_period_s = 0.1;         // 0: none
  bool take_turns = false;                 // load one engine at a time, even where all would fit
  bool limits = true;                      // measure the machine's before
  bool launches = true;                    // count those of a decoding step after all
  bool hash_weights = true;                // of a checkpoint that was not made for the run
  std::string nvml = "libnvidia-ml.so.1";  // which knows the memory that is left on a GPU
  bool warm_turns = false;                 // each turn begins with an execution that does not count
};

/// Where a run stands.
struct Progress {
  std::string doing;     // "warming up torch:cpu"
  int done = 0, of = 0;  // rounds of all jobs; of is 0 until that is known
  double seconds_left = 0;
};
using OnProgress = std::function<void(const Progress&)>;

/// Runs it. An engine that fails is left out from then on and its result says why. When
/// `interrupted` is set, what was measured comes back with plan.finished false; given as `before`,
/// with the same options, the run goes on where it stopped. Throws std::invalid_argument for
/// options without a meaning, std::runtime_error when nothing can be measured at all.
Result run(const RunOptions& options, const std::atomic<bool>& interrupted,
           const OnProgress& progress = {}, std::optional<Result> before = {});

/// Ids of no text: the same for a seed.
std::vector<int> random_ids(int count, int vocabulary, uint32_t seed = 1);

}  // namespace hearth::lab
