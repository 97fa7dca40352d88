// Why one engine took longer than another, as far as the samples show: whether the two can be
// compared, where the time went, how near each is to what the machine can do, and which
// experiment would separate one cause from another. What is unknown stays unknown.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "hearth/lab/judge/busy.h"
#include "hearth/lab/judge/command_use.h"
#include "hearth/lab/judge/compare.h"
#include "hearth/lab/judge/hypotheses.h"
#include "hearth/lab/judge/roofline.h"

namespace hearth::lab {

/// A's time over B's, with a 95 % interval.
struct TimeRatio {
  double value = 1, low = 1, high = 1;
  int n = 0;            // starts, or published runs of the one with fewer
  bool paired = false;  // else from published means and spreads
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

struct Explanation {
  int job = 0;
  std::string unit;  // "new token", "prompt", "call"
  Side a, b;
  Comparability gate;
  std::optional<Estimate> pairs;
  TimeRatio total, per_unit;
  Attribution attribution;
  std::vector<TimePart> parts;  // of commands, in the place of the attribution
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

}  // namespace hearth::lab
