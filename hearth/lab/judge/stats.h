// The statistics of the lab: pairs of log ratios, an interval, a verdict; and drift.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace hearth::lab {

enum class Verdict : uint8_t { equivalent, faster, slower, undecided };
std::string_view to_string(Verdict verdict);

/// How A's time stands to B's: a ratio above 1 says that A is that many times faster.
struct PairedRatio {
  int starts = 0;                       // values that it is of: each a start of A with a start of B
  double ratio = 1, low = 1, high = 1;  // the geometric mean and its 95 % interval
  double spread = 0;                    // standard deviation of their log ratios
  Verdict verdict = Verdict::undecided;
};

/// Fewer starts of each than this decide nothing, whatever they show: chance puts the same one
/// ahead in all of five in 1 of 16 comparisons.
constexpr int kFewestStarts = 6;
/// Within this of 1, two engines are equivalent.
constexpr double kMargin = 0.02;

/// log_ratios[i] = ln(time of B / time of A) in the starts i, which have nothing in common.
/// Equivalent if the whole interval lies within the margin; else faster or slower if it excludes 1;
/// else undecided. Throws std::invalid_argument when there are none, or one is not finite.
PairedRatio paired_ratio(std::span<const double> log_ratios, double margin = kMargin);

/// The difference, as a part of the time, that as many starts with this spread of their log ratios
/// detect in 8 of 10 comparisons. Throws for fewer than two.
double detectable(double spread, int starts);
/// The fewest starts, with this spread of their log ratios, whose interval reaches no further than
/// `half` (of the logarithm) on either side; kFewestStarts at least, `most` at most.
int starts_for(double spread, double half, int most);

/// The value that Student's t with `degrees` of freedom stays below with probability p.
double t_quantile(double p, int degrees);

/// The fewest that more than come in less than `level` of all cases, of n that each come with
/// probability p: of 40 at 5 %, 6 at a level of 1 %.
int most_by_chance(int n, double p, double level);

double mean(std::span<const double> values);
double median(std::span<const double> values);
double stddev(std::span<const double> values);  // n - 1; 0 for fewer than two
/// The p-th part of the values lies below: p in 0 to 1, linear between neighbours.
double percentile(std::span<const double> values, double p);

/// The median distance from the median.
double mad(std::span<const double> values);
/// How many values are far from the others: by more than 3.5 times what MAD makes of a standard
/// deviation (Iglewicz and Hoaglin); none where more than half are the same.
int outliers(std::span<const double> values);

/// How y grows with x: the median of all slopes (Theil, Sen), and its 95 % interval by Kendall's
/// test; it is all numbers for fewer than 6 points. Throws unless both are of one length, at least
/// 2, and x differs.
struct Slope {
  double value, low, high;
};
Slope theil_sen(std::span<const double> x, std::span<const double> y);

/// Do the values, in their order, still go up or down? Kendall's test over the last six, at about
/// 5 %. Fewer than six: yes.
bool drifting(std::span<const double> values);

/// Simulated comparisons: how often the verdict is right. Seeded: always the same.
struct Simulation {
  int runs = 1000, starts = 12;
  int pairs = 1;          // of each start
  double layout = 0;      // standard deviation between processes of the same program, relative
  double true_ratio = 1;  // of B's time to A's
  double noise = 0.02;    // standard deviation of each time, relative
  double drift = 0.0015;  // that each execution is slower than the last
  double outliers = 0;    // share of executions that are slower by 5 to 50 %
  uint64_t seed = 1;
};
struct SimulationResult {
  double verdicts = 0;  // share of runs that said faster or slower
  double right = 0;     // share that said the one that is true
  double covered = 0;   // share of intervals that hold the true ratio
};
SimulationResult simulate(const Simulation& simulation);

}  // namespace hearth::lab
