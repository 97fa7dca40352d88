// The runner: one job after the other, all engines in turns, every sample kept. It owns the clock.
#pragma once
#include <atomic>
#include <functional>

#include "hearth/lab/result/journal.h"
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

  int pairs = 12;  // rounds, in each of which every engine has a turn
  int starts = 0;  // of each engine, over which they are spread; 0: by what a start costs
  std::optional<int64_t> order_seed;  // of who goes first; nothing: another each time
  std::optional<double>
      target_ci;                // goes on until every interval is this narrow, 10 * starts at most
  bool against_itself = false;  // each engine gets a twin: the noise floor
  double least_seconds = 5;     // of samples, for each engine
  double warmup_s = 10;         // at most, for each engine and job, beyond the first two
  double telemetry_period_s = 0.1;         // 0: none
  bool take_turns = false;                 // load one engine at a time, even where all would fit
  bool watch = true;                       // what disturbs: else all pairs count as quiet
  bool limits = true;                      // measure the machine's before
  bool launches = true;                    // count those of a decoding step after all
  bool hash_weights = true;                // of a checkpoint that was not made for the run
  std::string nvml = "libnvidia-ml.so.1";  // which knows the memory that is left on a GPU
  /// Is called after each thing that is measured, and may write it down. What it throws ends the
  /// run.
  std::function<void(const Addition&)> keep;
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

/// How many starts of each engine the pairs are spread over, where a start of all costs `start_s`
/// and a round `round_s`. As many as pairs where starts are cheap. Where they are dear, a start has
/// sqrt(start_s / round_s) pairs: that is best if half of the variance is within starts (Kalibera
/// and Jones 2013, section 6). Never fewer than a verdict needs, if there are as many pairs.
int starts_by_cost(int pairs, double start_s, double round_s);

/// Ids of no text: the same for a seed.
std::vector<int> random_ids(int count, int vocabulary, uint32_t seed = 1);

}  // namespace hearth::lab
