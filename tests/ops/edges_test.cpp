// Where functions have an edge: NaN, operands that tie, rows without a score. What is chosen there
// is MLX's choice, or what NumPy gives; elementwise.inc, index.h and fast.h say which.
#include "hearth/nn/functional.h"
#include "hearth/ops/ops.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/primitives_fast.h"
#include "hearth/transforms/grad.h"
#include "tests/close.h"

namespace hearth::testing {
namespace {

using Numbers = std::vector<float>;
constexpr float kInf = INFINITY, kNaN = NAN;

// NaN equals NaN here.
void expect_numbers(const array& got, const Numbers& want, const std::string& what) {
  expect_close(astype(got, float32), array(want.begin(), got.shape()), {}, what);
}
Arrays slopes(const std::function<array(const Arrays&)>& f, const Arrays& in) {
  const array y = f(in);
  return vjp([&](const Arrays& x) { return Arrays{f(x)}; }, in, {ones_like(y)}).second;
}
array slope(const UnaryFunction& f, const array& x) {
  return slopes([&](const Arrays& in) { return f(in[0]); }, {x})[0];
}

// Of complex numbers the largest real part is taken out, as of floats the largest number.
TEST(Edges, ComplexExponentialsOfLargeNumbersDoNotOverflow) {
  const array x({complex64_t(1000, 1), complex64_t(0, 2), complex64_t(999, 0)}, {3});
  const std::complex<double> a = std::polar(1.0, 1.0), c = std::exp(-1.0), whole = a + c;
  const array shares = softmax(x, 0);
  const auto got = shares.to_vector<complex64_t>();
  EXPECT_NEAR(std::abs(std::complex<double>(got[0]) - a / whole), 0, 1e-6);
  EXPECT_NEAR(std::abs(std::complex<double>(got[1])), 0, 1e-30);
  EXPECT_NEAR(std::abs(std::complex<double>(got[2]) - c / whole), 0, 1e-6);
  const auto sum = std::complex<double>(logsumexp(x, 0).item<complex64_t>());
  EXPECT_NEAR(std::abs(sum - (1000.0 + std::log(whole))), 0, 1e-3);
}

TEST(Edges, NaNStaysInEveryReduction) {
  for (Dtype d : {float16, bfloat16, float32, float64})
    for (int at = 0; at < 3; ++at) {
      Numbers values{3, 1, 2};
      values[size_t(at)] = kNaN;
      const array x = astype(array(values.begin(), {3}), d);
      const std::string what = concat(d, ", NaN at ", at);
      const std::pair<const char*, array> all[] = {
          {"sum", sum(x)},
          {"prod", prod(x)},
          {"mean", mean(x)},
          {"max", max(x)},
          {"min", min(x)},
          {"median", median(x)},
          {"var", var(x)},
          {"std", hearth::std(x)},
          {"logsumexp", logsumexp(x)},
          {"clip", max(clip(x, array(0.0f, d), array(1.0f, d)))}};
      for (const auto& [name, y] : all)
        EXPECT_TRUE(std::isnan(y.item<float>())) << name << " of " << what;
      EXPECT_EQ(argmax(x).item<int>(), at) << what;
      EXPECT_EQ(argmin(x).item<int>(), at) << what;
      EXPECT_TRUE(std::isnan(sort(x).to_vector<float>()[2])) << what;
      EXPECT_EQ(argsort(x).to_vector<int>()[2], at) << what;
      EXPECT_TRUE(std::isnan(topk(x, 1).item<float>())) << what;
      for (const array& y : {cumsum(x), cumprod(x), cummax(x), cummin(x), logcumsumexp(x)}) {
        const auto v = y.to_vector<float>();
        for (int i = 0; i < 3; ++i) EXPECT_EQ(std::isnan(v[size_t(i)]), i >= at) << what;
      }
    }
  // In the middle of more axes, and of none.
  const array x({1.0f, kNaN, 2.0f, 3.0f, 4.0f, 5.0f}, {2, 3});
  expect_numbers(median(x, 1), {kNaN, 4}, "median of rows");
  expect_numbers(median(x, 0, true), {2, kNaN, 3.5}, "median of columns");
  expect_numbers(median(array({2, 1, 4}, {3}, int32)), {2}, "median of integers");
}

TEST(Edges, InfinitiesReduceAsInNumPy) {
  const array x({kInf, -kInf, 1.0f, kInf, kInf, -kInf, -kInf, 2.0f}, {4, 2});
  expect_numbers(sum(x, 1), {kNaN, kInf, kNaN, -kInf}, "sum");
  expect_numbers(mean(x, 1), {kNaN, kInf, kNaN, -kInf}, "mean");
  expect_numbers(var(x, 1), {kNaN, kNaN, kNaN, kNaN}, "var");
  expect_numbers(logsumexp(x, 1), {kInf, kInf, kInf, 2}, "logsumexp");
  expect_numbers(
      logaddexp(x, x),
      {kInf, -kInf, float(1 + std::log(2.0)), kInf, kInf, -kInf, -kInf, float(2 + std::log(2.0))},
      "logaddexp");
  expect_numbers(logcumsumexp(array({-kInf, -kInf, 1.0f, kInf})), {-kInf, -kInf, 1, kInf}, "scan");
}

TEST(Edges, SlopesOfEqualsAreMlxs) {
  const array a({1.0f, 2.0f, 3.0f, kNaN}), b({2.0f, 2.0f, 2.0f, 2.0f});
  const auto both = [&](const std::function<array(const Arrays&)>& f, const Numbers& by_a,
                        const Numbers& by_b, const char* what) {
    const Arrays g = slopes(f, {a, b});
    expect_numbers(g[0], by_a, what);
    expect_numbers(g[1], by_b, what);
  };
  both([](const Arrays& in) { return maximum(in[0], in[1]); }, {0, 0, 1, 1}, {1, 1, 0, 0},
       "maximum");
  both([](const Arrays& in) { return minimum(in[0], in[1]); }, {1, 0, 0, 1}, {0, 1, 1, 0},
       "minimum");
  const array edge({-1.0f, -0.0f, 0.0f, 1.0f});
  expect_numbers(slope([](const array& x) { return relu(x); }, edge), {0, 0, 0, 1}, "relu");
  expect_numbers(slope([](const array& x) { return abs(x); }, edge), {-1, 0, 0, 1}, "abs");
  expect_numbers(slope([](const array& x) { return nn::leaky_relu(x, 0.5f); }, edge),
                 {0.5f, 1, 1, 1}, "leaky_relu");
  expect_numbers(slope([](const array& x) { return nn::relu6(x); }, array({0.0f, 3.0f, 6.0f})),
                 {0, 1, 0}, "relu6");
  expect_numbers(slope([](const array& x) { return clip(x, array(0.0f), array(1.0f)); },
                       array({-1.0f, 0.0f, 0.5f, 1.0f, 2.0f})),
                 {0, 0, 1, 0, 0}, "clip");
  // 0^b: by b 0, also where b is 0; by the base b x^(b - 1), and 0 where b is 0.
  const Arrays g =
      slopes([](const Arrays& in) { return power(in[0], in[1]); },
             {array({0.0f, 0.0f, 0.0f, 0.0f, 2.0f}), array({0.0f, 1.0f, 2.0f, 0.5f, 0.0f})});
  expect_numbers(g[0], {0, 1, 0, kInf, 0}, "power by the base");
  expect_numbers(g[1], {0, 0, 0, 0, float(std::log(2.0))}, "power by the exponent");
  // All equals share the slope of an extreme, also more of them than a half can count.
  expect_numbers(slope([](const array& x) { return max(x); }, array({5.0f, 1.0f, 5.0f, 5.0f})),
                 {1 / 3.0f, 0, 1 / 3.0f, 1 / 3.0f}, "max");
  for (Dtype d : {float16, bfloat16}) {
    const array many = slope([](const array& x) { return min(x); }, ones({70000}, d));
    expect_close(slice(many, {69999}, {70000}), array({1.0f / 70000}, {1}, d), {}, "70,000 equals");
  }
  // The source of equals, in scatter and in slices.
  const array x({1.0f, 2.0f, 3.0f}), at({0, 1, 2}, {3}, int32), up({0.0f, 2.0f, 4.0f}, {3, 1});
  const Arrays s =
      slopes([&](const Arrays& in) { return scatter_max(in[0], at, in[1], 0); }, {x, up});
  expect_numbers(s[0], {1, 1, 0}, "scatter_max by the array");
  expect_numbers(s[1], {0, 0, 1}, "scatter_max by the updates");
  const Arrays t = slopes([](const Arrays& in) { return slice_update_min(in[0], in[1], {0}, {2}); },
                          {x, array({1.0f, 1.0f})});
  expect_numbers(t[0], {1, 0, 1}, "slice_update_min by the array");
  expect_numbers(t[1], {0, 1}, "slice_update_min by the update");
}

TEST(Edges, RunningExtremesSendTheSlopeToTheirSource) {
  const array d({1.0f, 10.0f, 100.0f, 1000.0f});
  const auto by = [&](const UnaryFunction& f, const array& x) { return vjp(f, x, d).second; };
  expect_numbers(by([](const array& x) { return cummax(x); }, array({1.0f, kNaN, 5.0f, 2.0f})),
                 {1, 1110, 0, 0}, "cummax after NaN");
  expect_numbers(by([](const array& x) { return cummin(x); }, array({1.0f, 1.0f, kNaN, 0.0f})),
                 {1, 10, 1100, 0}, "cummin after NaN");
  expect_numbers(
      by([](const array& x) { return cummax(x, true); }, array({1.0f, kNaN, 5.0f, 2.0f})),
      {0, 11, 100, 1000}, "cummax from the end");
}

TEST(Edges, DeviationOfEqualsHasNoSlope) {
  for (Dtype d : {float16, bfloat16, float32, float64}) {
    const array x = full({2, 4}, 3, d);
    expect_numbers(slope([](const array& a) { return hearth::std(a, 1); }, x), Numbers(8, 0),
                   "std");
  }
  expect_numbers(hearth::std(array({-500.0f, 500.0f, -500.0f, 500.0f}, {4}, float16)), {500},
                 "std of halves");
}

// A row whose scores an added mask makes all -infinity gives zeros, and has no slope.
TEST(Edges, AttentionOfAHiddenRowIsZero) {
  using fast::Attention;
  for (Dtype d : {float32, float16, bfloat16, float64})
    for (int L : {2, 40}) {  // few queries, and whole blocks
      const int S = 70;
      std::vector<float> mask(size_t(L * S), 0.0f);
      for (int j = 0; j < S; ++j) mask[size_t(S + j)] = -kInf;  // hides the second query
      const array q = astype(reshape(sin(arange(0.0, 2.0 * L * 8)), {1, 2, L, 8}), d),
                  k = astype(reshape(cos(arange(0.0, 2.0 * S * 8)), {1, 2, S, 8}), d),
                  m = broadcast_to(array(mask.begin(), {L, S}, d), {1, 2, L, S});
      const auto op = std::make_shared<Attention>(0.5f, false, true, false);
      const array fused = apply(op, {q, k, k, m}), plain = (*op->decompose({q, k, k, m}))[0];
      for (const array& y : {fused, plain}) {
        const auto row = slice(y, {0, 1, 1, 0}, {1, 2, 2, 8}).to_vector<float>();
        EXPECT_EQ(row, std::vector<float>(8, 0)) << d << " " << L;
        EXPECT_TRUE(all(isfinite(y)).item<bool>());
        EXPECT_FALSE(any(slice(y, {0, 0, 0, 0}, {1, 2, 1, 8}) == 0).item<bool>());
      }
      const Arrays g = slopes(
          [&](const Arrays& in) {
            return fast::scaled_dot_product_attention(in[0], in[1], in[2], 0.5f, "array", m);
          },
          {q, k, k});
      for (const array& by : g) EXPECT_TRUE(all(isfinite(by)).item<bool>()) << d << " " << L;
      EXPECT_EQ(slice(g[0], {0, 0, 1, 0}, {1, 1, 2, 8}).to_vector<float>(),
                std::vector<float>(8, 0));
    }
}

TEST(Edges, OfNoRowsNothingIsLeft) {
  for (Dtype d : {float32, float16}) {
    const array none = zeros({0, 3}, d), ids = zeros({0}, int32);
    EXPECT_EQ(logsumexp(none, 1).shape(), (Shape{0}));
    EXPECT_EQ(logsumexp(none, std::vector<int>{1}, true).shape(), (Shape{0, 1}));
    EXPECT_EQ(softmax(none, 1).shape(), (Shape{0, 3}));
    EXPECT_EQ(log_softmax(none).shape(), (Shape{0, 3}));
    EXPECT_EQ(nn::cross_entropy(none, ids).shape(), (Shape{0}));
    EXPECT_EQ(nn::cross_entropy(none, none).shape(), (Shape{0}));
    EXPECT_EQ(median(none, 1).size(), 0u);
    EXPECT_EQ(slope([&](const array& x) { return sum(nn::cross_entropy(x, ids)); }, none).shape(),
              (Shape{0, 3}));
    EXPECT_THROW(logsumexp(none, 0), std::invalid_argument);
    EXPECT_THROW(logsumexp(zeros({3, 0}, d), 1), std::invalid_argument);
  }
}

}  // namespace
}  // namespace hearth::testing
