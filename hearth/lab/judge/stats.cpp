#include "hearth/lab/judge/stats.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "hearth/base/error.h"

namespace hearth::lab {

std::string_view to_string(Verdict verdict) {
  constexpr std::string_view kWords[] = {"equivalent", "faster", "slower", "undecided"};
  return kWords[size_t(verdict)];
}

double mean(std::span<const double> values) {
  check(!values.empty(), "mean: no values");
  double sum = 0;
  for (double v : values) sum += v;
  return sum / double(values.size());
}

double stddev(std::span<const double> values) {
  if (values.size() < 2) return 0;
  const double m = mean(values);
  double sum = 0;
  for (double v : values) sum += (v - m) * (v - m);
  return std::sqrt(sum / double(values.size() - 1));
}

double percentile(std::span<const double> values, double p) {
  check(!values.empty(), "percentile: no values");
  check(p >= 0 && p <= 1, "percentile: ", p, " is not in 0 to 1");
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double at = p * double(sorted.size() - 1);
  const size_t below = size_t(at), above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - double(below)) * (sorted[above] - sorted[below]);
}

double median(std::span<const double> values) { return percentile(values, 0.5); }

namespace {

/// The regularised incomplete beta function, by Lentz's continued fraction (Numerical Recipes 6.4).
double incomplete_beta(double a, double b, double x) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(b, a, 1 - x);
  const double tiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < tiny ? tiny : d);
  double fraction = d;
  for (int m = 1; m < 300; ++m) {
    for (const double term : {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                              -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))}) {
      d = 1 + term * d;
      d = 1 / (std::abs(d) < tiny ? tiny : d);
      c = 1 + term / c;
      if (std::abs(c) < tiny) c = tiny;
      fraction *= c * d;
    }
    if (std::abs(c * d - 1) < 1e-15) break;
  }
  const double front =
      std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x);
  return std::exp(front) * fraction / a;
}

}  // namespace

double t_quantile(double p, int degrees) {
  check(p > 0 && p < 1 && degrees >= 1, "t_quantile: p ", p, ", degrees ", degrees);
  if (p < 0.5) return -t_quantile(1 - p, degrees);
  const double n = degrees;
  double low = 0, high = 1e6;  // t of p = 0.999999 and one degree is below
  for (int i = 0; i < 200 && high - low > 1e-13 * (1 + low); ++i) {
    const double t = (low + high) / 2;
    const double below = 1 - 0.5 * incomplete_beta(n / 2, 0.5, n / (n + t * t));
    (below < p ? low : high) = t;
  }
  return (low + high) / 2;
}

namespace {
double half_width(double spread, int n) {
  return t_quantile(0.975, n - 1) * spread / std::sqrt(double(n));
}
}  // namespace

PairedRatio paired_ratio(std::span<const double> log_ratios, double margin) {
  check(!log_ratios.empty(), "paired_ratio: no pairs");
  for (double x : log_ratios) check(std::isfinite(x), "paired_ratio: a pair that is not finite");
  PairedRatio r;
  r.starts = int(log_ratios.size());
  r.spread = stddev(log_ratios);
  const double centre = mean(log_ratios);
  r.ratio = r.low = r.high = std::exp(centre);
  if (r.starts < 2) return r;
  const double half = half_width(r.spread, r.starts);
  r.low = std::exp(centre - half);
  r.high = std::exp(centre + half);
  if (r.starts < kFewestStarts) return r;
  if (r.low >= 1 / (1 + margin) && r.high <= 1 + margin)
    r.verdict = Verdict::equivalent;
  else if (r.low > 1)
    r.verdict = Verdict::faster;
  else if (r.high < 1)
    r.verdict = Verdict::slower;
  return r;
}

int most_by_chance(int n, double p, double level) {
  check(n > 0 && p > 0 && p < 1 && level > 0, "most_by_chance: n ", n, ", p ", p, ", level ",
        level);
  // P(X > k) = I_p(k + 1, n - k)
  int k = 0;
  while (k < n && incomplete_beta(k + 1, n - k, p) >= level) ++k;
  return k;
}

double detectable(double spread, int starts) {
  check(starts >= 2, "detectable: got ", starts, " starts, wants at least 2");
  const double quantiles = t_quantile(0.975, starts - 1) + t_quantile(0.8, starts - 1);
  return std::expm1(quantiles * spread / std::sqrt(double(starts)));
}

int starts_for(double spread, double half, int most) {
  int n = kFewestStarts;
  while (n < most && half_width(spread, n) > half) ++n;
  return std::min(n, most);
}

namespace {
std::vector<double> distances(std::span<const double> values) {
  const double centre = median(values);
  std::vector<double> all;
  for (double v : values) all.push_back(std::abs(v - centre));
  return all;
}
}  // namespace

double mad(std::span<const double> values) { return median(distances(values)); }

int outliers(std::span<const double> values) {
  if (values.empty()) return 0;
  const auto far = distances(values);
  const double most = 3.5 * median(far) / 0.6745;
  return most > 0 ? int(std::ranges::count_if(far, [&](double d) { return d > most; })) : 0;
}

Slope theil_sen(std::span<const double> x, std::span<const double> y) {
  check(x.size() == y.size() && x.size() >= 2, "theil_sen: got ", x.size(), " and ", y.size(),
        " values, wants two or more of both");
  std::vector<double> slopes;
  for (size_t i = 0; i < x.size(); ++i)
    for (size_t j = i + 1; j < x.size(); ++j)
      if (x[i] != x[j]) slopes.push_back((y[j] - y[i]) / (x[j] - x[i]));
  check(!slopes.empty(), "theil_sen: all x are the same");
  std::ranges::sort(slopes);
  Slope slope{median(slopes), -HUGE_VAL, HUGE_VAL};
  const double n = double(x.size()), all = double(slopes.size());
  const double width = 1.96 * std::sqrt(n * (n - 1) * (2 * n + 5) / 18);
  if (n < 6 || width >= all) return slope;
  slope.low = slopes[size_t(std::floor((all - width) / 2))];
  slope.high = slopes[size_t(std::ceil((all + width) / 2)) - 1];
  return slope;
}

bool drifting(std::span<const double> values) {
  constexpr size_t kLast = 6;
  if (values.size() < kLast) return true;
  const auto last = values.last(kLast);
  int score = 0;  // pairs that go up, less those that go down
  for (size_t i = 0; i < kLast; ++i)
    for (size_t j = i + 1; j < kLast; ++j) score += (last[j] > last[i]) - (last[j] < last[i]);
  return std::abs(score) >= 11;  // of 15: happens by chance in 5.6 % of orders
}

namespace {

/// Numbers that are the same with every standard library.
struct Random {
  std::mt19937_64 bits;
  double uniform() { return (double(bits() >> 11) + 0.5) * 0x1p-53; }
  double normal() {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }
};

}  // namespace

SimulationResult simulate(const Simulation& s) {
  check(s.runs > 0 && s.starts > 0 && s.pairs > 0 && s.true_ratio > 0,
        "simulate: runs, starts, pairs and ratio must be > 0");
  SimulationResult out;
  Random random{std::mt19937_64(s.seed)};
  for (int run = 0; run < s.runs; ++run) {
    int executions = 0;
    const auto execute = [&](double time) {
      time *= std::exp(s.noise * random.normal() + s.drift * executions++);
      if (random.uniform() < s.outliers) time *= 1.05 + 0.45 * random.uniform();
      return time;
    };
    std::vector<double> logs;
    for (int start = 0, pair = 0; start < s.starts; ++start) {
      const double of_a = std::exp(s.layout * (s.layout > 0 ? random.normal() : 0)),
                   of_b = std::exp(s.layout * (s.layout > 0 ? random.normal() : 0));
      double sum = 0;
      for (int i = 0; i < s.pairs; ++i, ++pair) {
        double a = 0, b = 0;
        if (pair % 2 == 0) a = execute(of_a);
        b = execute(of_b * s.true_ratio);
        if (pair % 2 == 1) a = execute(of_a);
        sum += std::log(b / a);
      }
      logs.push_back(sum / s.pairs);
    }
    const PairedRatio r = paired_ratio(logs);
    const bool verdict = r.verdict == Verdict::faster || r.verdict == Verdict::slower;
    out.verdicts += verdict;
    out.right += verdict && (r.verdict == Verdict::faster) == (s.true_ratio > 1);
    out.covered += r.low <= s.true_ratio && s.true_ratio <= r.high;
  }
  for (double* share : {&out.verdicts, &out.right, &out.covered}) *share /= s.runs;
  return out;
}

}  // namespace hearth::lab
