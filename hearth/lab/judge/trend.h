// An engine on a job over time: when it changed, and what else changed then; and a new result held
// against what was before.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hearth/lab/judge/stats.h"
#include "hearth/lab/result/history.h"
#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// "generate tiny-phi 4+200", "matmul 512x512x512 f32", "command": what two runs must have in
/// common.
std::string job_name(const Job& job);

/// A result as the history keeps it. Throws std::runtime_error where it has no times.
HistoryRun run_of(const Result& result);

/// The first indexes of the segments behind the changes of `values`, ascending: the E-divisive
/// method (Matteson and James 2014), whose permutations are seeded. Fewer than 3 values are no
/// segment.
std::vector<size_t> changes(std::span<const double> values);

struct TrendPoint {
  int64_t run = 0;
  std::string created;
  double value = 0, low = 0, high = 0;  // seconds per unit: geometric mean, 95 % interval of rounds
  int rounds = 0;
};
struct TrendChange {
  size_t at = 0;                        // the first point behind it
  double ratio = 1, low = 1, high = 1;  // of the times after to those before, 95 % interval
  std::vector<std::string> with;        // what else changed then: "kernel: 6.1 -> 6.2"
};
struct Trend {
  std::string engine, job, unit;
  std::vector<TrendPoint> points;  // the oldest first
  std::vector<TrendChange> changes;
};
/// Of the points that are of both names.
Trend trend_of(std::span<const HistoryRun> runs, const std::string& engine, const std::string& job);

/// A result's engine on a job against the runs of this machine since the last change.
struct AgainstHistory {
  std::string engine, job, unit;
  double now_s = 0, before_s = 0;       // per unit
  int runs = 0;                         // before
  double ratio = 1, low = 1, high = 1;  // of the time now to that before; with too few runs all are
                                        // the ratio
  Verdict verdict = Verdict::undecided;  // of what is now
  std::string why = {};                  // undecided
};
/// Fewer earlier runs than this say nothing.
constexpr int kFewestRuns = 3;
std::vector<AgainstHistory> against(const Result& result, std::span<const HistoryRun> runs);

}  // namespace hearth::lab
