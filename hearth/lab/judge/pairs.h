// Pairs of two engines, and what they say together: one estimator for all ratios of the lab, the
// geometric mean of pairs, with an interval over both levels (starts, and pairs within them).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "hearth/lab/judge/stats.h"
#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// The turns of A and of B in one round.
struct Pair {
  int round = 0, start_a = 0, start_b = 0;
  double log_ratio = 0;  // ln(time of B / time of A)
  /// The share of the processors that others took meanwhile, or the share of the time in which a
  /// quota stopped it; the larger of both, of the engine that had more of it. Nothing: not known.
  std::optional<double> disturbed;
  bool quiet = true;  // no more than kFew, as far as the system's ticks can tell
};
/// With more than this, a pair is not the engines' own.
constexpr double kFew = 0.1;

/// Time per unit: a new token, a call, a prompt; or of an execution as a whole.
enum class Per : uint8_t { unit, execution };
/// Of each round of the job in which both have repetitions that count, in their order.
std::vector<Pair> pairs_of(const EngineResult& a, const EngineResult& b, int job,
                           Per per = Per::unit);
/// Of all pairs.
std::vector<double> log_ratios(const EngineResult& a, const EngineResult& b, int job);

/// What the pairs say. The unit is a start of A with a start of B: its value is the mean of its
/// pairs, and the interval is that of these values (Kalibera and Jones 2013). So what differs from
/// process to process is in it, as well as what differs from pair to pair.
struct Estimate {
  PairedRatio time;   // of the quiet pairs, if these have enough starts; else of all
  int pairs = 0;      // that it is of
  int disturbed = 0;  // all others
  std::string busy;   // "others took 81 % of the processors in 9 of 12 pairs": no verdict; or ""
};
/// Nothing where there are no pairs.
std::optional<Estimate> estimate(const EngineResult& a, const EngineResult& b, int job,
                                 Per per = Per::unit);

}  // namespace hearth::lab
