// Gradients held against central differences.
#pragma once
#include <gtest/gtest.h>

#include <cmath>

#include "hearth/ops/ops.h"
#include "hearth/transforms/grad.h"

namespace hearth::testing {

/// Numbers between -1 and 1, no two within a thousandth of each other up to 1,000, so that no
/// difference steps over a tie of max or sort.
inline array scattered(const Shape& shape, int seed = 0, Dtype dtype = float64) {
  std::vector<double> v(element_count(shape));
  for (size_t i = 0; i < v.size(); ++i) {
    const double golden = (double(i) + 0.37 * seed + 0.5) * 0.6180339887498949;
    v[i] = 2 * (golden - std::floor(golden)) - 1;
  }
  return array(v.begin(), shape, dtype);
}

/// A function of several arrays, and where its gradients are taken: by all that are floats.
struct GradientCase {
  std::string name;
  std::function<Arrays(const Arrays&)> f;
  Arrays in;
  bool twice = true;  // has second derivatives
};

namespace detail {

inline std::vector<int> float_places(const Arrays& in) {
  std::vector<int> places;
  for (size_t k = 0; k < in.size(); ++k)
    if (is_inexact(in[k].dtype())) places.push_back(int(k));
  return places;
}

/// Sums all elements of all outputs, each with its own weight.
inline array weigh(const Arrays& outputs, int seed) {
  array total(0.0, float64);
  for (const array& y : outputs)
    if (is_inexact(y.dtype()))
      total = total + sum(astype(y, float64) * scattered(y.shape(), ++seed));
  return total;
}

/// Holds grad(loss) against the difference of the loss, element by element.
inline void expect_slopes(const std::string& name, const ScalarFunction& loss, const Arrays& in,
                          double tolerance) {
  const auto places = float_places(in);
  const Arrays got = grad(loss, places)(in);
  for (size_t p = 0; p < places.size(); ++p) {
    const array& x = in[size_t(places[p])];
    ASSERT_EQ(got[p].shape(), x.shape()) << name << " by operand " << places[p];
    ASSERT_EQ(got[p].dtype(), x.dtype()) << name << " by operand " << places[p];
    const auto g = got[p].to_vector<double>();
    auto values = x.to_vector<double>();
    // The cube root of the rounding error of a value balances it against that of the difference.
    const double step = x.dtype() == float64 ? 6e-6 : 5e-3;
    for (size_t i = 0; i < values.size(); ++i) {
      const double at = values[i];
      const auto value = [&](double v) {
        values[i] = v;
        Arrays moved = in;
        moved[size_t(places[p])] = array(values.begin(), x.shape(), x.dtype());
        return loss(moved).item<double>();
      };
      const double slope = (value(at + step) - value(at - step)) / (2 * step);
      values[i] = at;
      EXPECT_NEAR(g[i], slope, tolerance * (1 + std::abs(slope)))
          << name << " by operand " << places[p] << ", element " << i << " at " << at;
    }
  }
}

}  // namespace detail

/// First and, unless the case has none, second derivatives. In f64 the differences are good to
/// 1e-8 or so; operands in f32 are held to `tolerance`.
inline void expect_gradients(const GradientCase& c, double tolerance = 1e-6) {
  SCOPED_TRACE(c.name);
  const ScalarFunction loss = [&](const Arrays& in) { return detail::weigh(c.f(in), 10); };
  detail::expect_slopes(c.name, loss, c.in, tolerance);
  if (!c.twice) return;
  const auto slopes = grad(loss, detail::float_places(c.in));
  const ScalarFunction of_slopes = [&](const Arrays& in) { return detail::weigh(slopes(in), 20); };
  detail::expect_slopes("second derivative of " + c.name, of_slopes, c.in, 10 * tolerance);
}

}  // namespace hearth::testing
