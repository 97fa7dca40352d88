// Two engines of a result, compared: what keeps them from being compared, the ratio, the verdict.
#pragma once
#include <string>
#include <vector>

#include "hearth/lab/judge/pairs.h"
#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// Rounding alone does not change a trained model's greedy ids sooner than this.
constexpr int kSoonestByRounding = 8;

/// What keeps two engines' times from being compared.
struct Comparability {
  std::vector<std::string> differences;  // in the work itself: no 'faster' is claimed
  std::vector<std::string> unknown;      // could differ
  std::vector<std::string> environment;  // what not in the result of it: "governor: ..."
  std::vector<std::string> notes;        // differ, but not in the work: ids after rounding
  bool drift_controlled = true;          // they took turns: else what changed meanwhile is in it
  bool one_process = false;  // all runs of one of them are: how processes differ is not in it
  bool comparable() const { return differences.empty(); }
};
/// The names of the environment's unknown facts, in a line; empty where all are known.
std::string environment_line(const Comparability& gate);
/// Both lists of what is unknown.
std::vector<std::string> all_unknown(const Comparability& gate);
Comparability comparability(const Result& result, const EngineResult& a, const EngineResult& b,
                            int job);

/// The first id that differs, in the row where that is soonest; nothing if they are the same as far
/// as both go.
struct Divergence {
  int row, index;
};
std::optional<Divergence> first_divergence(const std::vector<std::vector<int>>& a,
                                           const std::vector<std::vector<int>>& b);

struct Comparison {
  std::string a, b;
  int job = 0;
  Comparability gate;
  std::optional<Estimate> time;  // A against B; nothing where no pairs were measured
  /// "faster", "slower", "equivalent", "undecided", "undecided: the machine was busy"; "" where
  /// there is none: no pairs, other work, no turns.
  std::string verdict() const;
};
/// Throws std::invalid_argument for labels that the result has not.
Comparison compare(const Result& result, std::string_view a, std::string_view b, int job);

/// "A is 2.75 times faster than B per token (95 % interval 2.70 to 2.80, 12 starts of each)".
std::string to_text(const Comparison& comparison, const Job& job);

}  // namespace hearth::lab
