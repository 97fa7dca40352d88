// The times that a reader asks for first, of one engine on one job: derived from the raw samples.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// Of the totals each execution or call, in seconds; of the rest the median of the repetitions that
/// streamed. What was not measured is missing, with the reason.
struct Times {
  std::vector<double> totals;     // empty where only a mean was published
  Reading<double> first_token_s;  // from the request sent to the first token's arrival
  Reading<double> prefill_per_s;  // prompt tokens of all rows, over the time to the first token
  Reading<double> decode_per_s;   // tokens of all rows: (N - 1) / (t_N - t_1)
  /// Between one token and the next, of all that streamed: the median, and what 95 and 99 % of them
  /// do not exceed.
  Reading<double> between_s, between_95_s, between_99_s;
  /// Of the repetitions that streamed, all tokens of all rows over their totals; and how many times
  /// the total of those that did not, in the same turns, theirs is (the geometric mean), where the
  /// interval excludes 1.
  Reading<double> streamed_per_s, streamed_ratio;
  /// What the first execution of a turn takes longer than those after it: the median of all turns.
  Reading<double> wake_s;
};

Times times_of(const Result& result, const EngineResult& engine, int job);

/// Calls of a repetition, times the new tokens of each where there are some.
double units_of(const Repetition& r);
/// Time per unit of each measured repetition of the job that did not stream (or the published
/// mean); empty if there are none.
std::vector<double> unit_times(const EngineResult& engine, int job);
/// The mean and the standard deviation (n - 1) of a repetition's total.
struct Total {
  double mean_s = 0, stddev_s = 0;
  int n = 0, new_tokens = 0;
};
std::optional<Total> total_of(const EngineResult& engine, int job);
/// "1.24 ms": seconds in the unit that fits, three digits.
std::string with_unit(double s);
/// "6.26 s +- 0.01 s": both in the unit that fits the value, two digits of the spread.
std::string with_spread(double s, double spread);
/// "0.4 %", "3.5 %", "170 %".
std::string in_percent(double share);

}  // namespace hearth::lab
