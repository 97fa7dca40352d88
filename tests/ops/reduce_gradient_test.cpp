// Gradients of reductions, scans, sorting and softmax against finite differences, in f64.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "hearth/ops/ops.h"
#include "hearth/ops/primitives.h"

namespace hearth {
namespace {

using Function = std::function<array(const array&)>;

/// The gradient of sum(f(x) * d) by the vjp of f's one operation.
array gradient(const array& y, const array& d) {
  const Node& n = y.node();
  const auto g = n.op->vjp(Arrays(n.inputs.begin(), n.inputs.end()), {y}, {d});
  return g->at(0).value();
}
array weights(const Shape& shape) {
  std::vector<double> d(element_count(shape));
  for (size_t i = 0; i < d.size(); ++i) d[i] = std::sin(double(i) * 1.7) + 0.3;
  return array(d.begin(), shape, float64);
}
void expect_gradient(const char* what, const Function& f, const array& x) {
  SCOPED_TRACE(what);
  const array y = f(x), d = weights(y.shape());
  const array got = gradient(y, d);
  ASSERT_EQ(got.shape(), x.shape());
  ASSERT_EQ(got.dtype(), float64);
  const auto g = got.to_vector<double>();
  auto values = x.to_vector<double>();
  for (size_t i = 0; i < values.size(); ++i) {
    const double h = 1e-6, at = values[i];
    auto value = [&](double v) {
      values[i] = v;
      return sum(f(array(values.begin(), x.shape(), float64)) * d).item<double>();
    };
    const double want = (value(at + h) - value(at - h)) / (2 * h);
    values[i] = at;
    EXPECT_NEAR(g[i], want, 1e-6 * (1 + std::abs(want))) << "element " << i;
  }
}

/// No two equal, none within the step of finite differences of another.
array distinct(const Shape& shape) {
  std::vector<double> v(element_count(shape));
  for (size_t i = 0; i < v.size(); ++i) v[i] = std::fmod(double(i * 37 + 11), 101) / 25 - 2.03;
  return array(v.begin(), shape, float64);
}

TEST(ReduceGradient, EqualsFiniteDifferences) {
  const array x = distinct({2, 3, 4});
  for (bool keep : {false, true}) {
    expect_gradient(
        "sum",
        [=](const array& a) {
          return sum(a, {0, 2}, keep);
        },
        x);
    expect_gradient(
        "mean", [=](const array& a) { return mean(a, 1, keep); }, x);
    expect_gradient(
        "prod",
        [=](const array& a) {
          return prod(a, {0, 2}, keep);
        },
        x);
    expect_gradient(
        "max",
        [=](const array& a) {
          return max(a, {0, 1}, keep);
        },
        x);
    expect_gradient(
        "min", [=](const array& a) { return min(a, -1, keep); }, x);
  }
  expect_gradient(
      "sum of all", [](const array& a) { return sum(a); }, x);
  expect_gradient(
      "prod of all", [](const array& a) { return prod(a); }, x);
}

TEST(ReduceGradient, OfProductsWithZeros) {
  const array x({0.0, 2.0, 3.0, 0.0, 0.0, 5.0}, {2, 3}, float64);
  expect_gradient(
      "prod", [](const array& a) { return prod(a, 1); }, x);
  expect_gradient(
      "cumprod", [](const array& a) { return cumprod(a, 1); }, x);
  expect_gradient(
      "cumprod back", [](const array& a) { return cumprod(a, 1, true, false); }, x);
}

TEST(ReduceGradient, MaximaShareEqually) {
  const array x({1.0f, 5.0f, 5.0f, 2.0f}, {4});
  EXPECT_EQ(gradient(max(x), array(3.0f)).to_vector<float>(), (std::vector<float>{0, 1.5, 1.5, 0}));
}

TEST(ReduceGradient, HalvesStayHalves) {
  const array x = ones({100000}, float16);
  const array g = gradient(mean(x), array(1.0f, float16));
  EXPECT_EQ(g.dtype(), float16);
  EXPECT_EQ(slice(g, {0}, {1}).item<float>(), float(float16_t(1e-5f)));
}

TEST(ScanGradient, EqualsFiniteDifferences) {
  const array x = distinct({2, 3, 4});
  for (int axis : {0, 2})
    for (bool reverse : {false, true})
      for (bool inclusive : {false, true}) {
        expect_gradient(
            "cumsum", [=](const array& a) { return cumsum(a, axis, reverse, inclusive); }, x);
        expect_gradient(
            "cumprod", [=](const array& a) { return cumprod(a, axis, reverse, inclusive); }, x);
        if (!inclusive) continue;  // the first is infinite
        expect_gradient(
            "cummax", [=](const array& a) { return cummax(a, axis, reverse); }, x);
        expect_gradient(
            "cummin", [=](const array& a) { return cummin(a, axis, reverse); }, x);
        expect_gradient(
            "logcumsumexp", [=](const array& a) { return logcumsumexp(a, axis, reverse); }, x);
      }
}

TEST(ScanGradient, OfExclusiveExtremes) {
  const array x({1.0f, 3.0f, 2.0f, 4.0f}, {4}), d({1.0f, 10.0f, 100.0f, 1000.0f}, {4});
  EXPECT_EQ(gradient(cummax(x, 0, false, false), d).to_vector<float>(),
            (std::vector<float>{10, 1100, 0, 0}));
  EXPECT_EQ(gradient(cummax(x, 0, true, false), d).to_vector<float>(),
            (std::vector<float>{0, 0, 0, 111}));
  EXPECT_EQ(gradient(cummin(x, 0, true, false), d).to_vector<float>(),
            (std::vector<float>{0, 0, 11, 100}));
}

TEST(SortGradient, FollowsTheElements) {
  const array x = distinct({3, 7});
  for (int axis : {0, 1}) {
    expect_gradient(
        "sort", [=](const array& a) { return sort(a, axis); }, x);
    expect_gradient(
        "partition", [=](const array& a) { return partition(a, 1, axis); }, x);
  }
}

TEST(SoftmaxGradient, EqualsFiniteDifferences) {
  const array x = distinct({3, 5});
  expect_gradient(
      "softmax", [](const array& a) { return softmax(a, -1); }, x);
  expect_gradient(
      "logsumexp", [](const array& a) { return apply(std::make_shared<LogSumExp>(), {a}); }, x);
}

}  // namespace
}  // namespace hearth
