// Every elementwise function, every activation, and their gradients, of all 65,536 numbers of each
// half, against float64. The formulas here are written anew, on libm's doubles: expected values of
// so many inputs would fill megabytes. A line of the table that has no formula here is held against
// its own in f64, which the goldens hold.
#include <map>
#include <numbers>

#include "hearth/nn/functional.h"
#include "hearth/ops/ops.h"
#include "hearth/transforms/grad.h"
#include "tests/close.h"

namespace hearth::testing {
namespace {

constexpr double kPi = std::numbers::pi, kNone = NAN;
using Real = double (*)(double);
using Real2 = double (*)(double, double);

/// A function and its slope. The error of a formula that cancels is `loose(x)` of f32's roundings.
struct Formula {
  Real value, slope;
  std::vector<double> kinks = {};  // where the slope jumps: not asked here
  Real loose = nullptr;
};
double sign_of(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }
double none(double) { return kNone; }
double one(double) { return 1; }
double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double logistic_slope(double x) { return logistic(x) * logistic(-x); }
double normal_share(double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }
double normal_density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * kPi); }
double inverse_erf(double x) {  // Newton on erfc, from the asymptote
  const double a = std::abs(x);
  if (!(a < 1)) return a == 1 ? x * INFINITY : NAN;
  double y = 0;
  for (int i = 0; i < 60; ++i) {
    const double off = a < 0.5 ? a - std::erf(y) : std::erfc(y) - (1 - a);
    const double step = off * std::sqrt(kPi) / 2 * std::exp(y * y);
    y += std::min(step, 0.5);
    if (std::abs(step) <= 1e-16 * y) break;
  }
  return std::copysign(y, x);
}
double argument(double x) { return 2 * std::sqrt(2 / kPi) * (x + 0.044715 * x * x * x); }
double cosine_root(double x) { return std::sqrt(1 - x) * std::sqrt(1 + x); }
double plus_part(double x) { return std::max(x, 0.0); }
double log1p_exp(double x) { return plus_part(x) + std::log1p(std::exp(-std::abs(x))); }

// clang-format off
const std::map<std::string, Formula>& unary_formulas() {
  static const std::map<std::string, Formula> all{
    {"abs", {[](double x) { return std::abs(x); }, sign_of}},
    {"negative", {[](double x) { return -x; }, [](double) { return -1.0; }}},
    {"sign", {sign_of, none}},
    {"reciprocal", {[](double x) { return 1 / x; }, [](double x) { return -1 / (x * x); }}},
    {"floor", {[](double x) { return std::floor(x); }, none}},
    {"ceil", {[](double x) { return std::ceil(x); }, none}},
    {"trunc", {[](double x) { return std::trunc(x); }, none}},
    {"round", {[](double x) { return std::nearbyint(x); }, none}},
    {"square", {[](double x) { return x * x; }, [](double x) { return 2 * x; }}},
    {"sqrt", {[](double x) { return std::sqrt(x); }, [](double x) { return 0.5 / std::sqrt(x); }}},
    {"rsqrt", {[](double x) { return 1 / std::sqrt(x); },
               [](double x) { return -0.5 / (x * std::sqrt(x)); }, {0}}},
    {"exp", {[](double x) { return std::exp(x); }, [](double x) { return std::exp(x); }}},
    {"expm1", {[](double x) { return std::expm1(x); }, [](double x) { return std::exp(x); }}},
    {"log", {[](double x) { return std::log(x); }, [](double x) { return 1 / x; }}},
    {"log2", {[](double x) { return std::log2(x); }, [](double x) { return 1 / x / std::log(2.0); }}},
    {"log10", {[](double x) { return std::log10(x); }, [](double x) { return 1 / x / std::log(10.0); }}},
    {"log1p", {[](double x) { return std::log1p(x); }, [](double x) { return 1 / (1 + x); }}},
    {"sin", {[](double x) { return std::sin(x); }, [](double x) { return std::cos(x); }}},
    {"cos", {[](double x) { return std::cos(x); }, [](double x) { return -std::sin(x); }}},
    {"tan", {[](double x) { return std::tan(x); }, [](double x) { return 1 + std::tan(x) * std::tan(x); }}},
    {"arcsin", {[](double x) { return std::asin(x); }, [](double x) { return 1 / cosine_root(x); }}},
    {"arccos", {[](double x) { return std::acos(x); }, [](double x) { return -1 / cosine_root(x); }}},
    {"arctan", {[](double x) { return std::atan(x); }, [](double x) { return 1 / (1 + x * x); }}},
    {"sinh", {[](double x) { return std::sinh(x); }, [](double x) { return std::cosh(x); }}},
    {"cosh", {[](double x) { return std::cosh(x); }, [](double x) { return std::sinh(x); }}},
    {"tanh", {[](double x) { return std::tanh(x); },
              [](double x) { return 1 / (std::cosh(x) * std::cosh(x)); }}},
    {"arcsinh", {[](double x) { return std::asinh(x); }, [](double x) { return 1 / std::hypot(1, x); }}},
    {"arccosh", {[](double x) { return std::acosh(x); },
                 [](double x) { return 1 / (std::sqrt(x - 1) * std::sqrt(x + 1)); }}},
    {"arctanh", {[](double x) { return std::atanh(x); }, [](double x) { return 1 / ((1 - x) * (1 + x)); }}},
    {"degrees", {[](double x) { return x * 180 / kPi; }, [](double) { return 180 / kPi; }}},
    {"radians", {[](double x) { return x * kPi / 180; }, [](double) { return kPi / 180; }}},
    {"sigmoid", {logistic, logistic_slope}},
    {"erf", {[](double x) { return std::erf(x); },
             [](double x) { return 2 / std::sqrt(kPi) * std::exp(-x * x); }}},
    {"erfinv", {inverse_erf, [](double x) {
                  const double y = inverse_erf(x);
                  return std::sqrt(kPi) / 2 * std::exp(y * y);
                }}},
    {"real", {[](double x) { return x; }, one}},
    {"imag", {[](double) { return 0.0; }, none}},
    {"conjugate", {[](double x) { return x; }, one}},
    {"relu", {plus_part, [](double x) { return x > 0 ? 1.0 : 0.0; }}},
    {"silu", {[](double x) { return x * logistic(x); },
              [](double x) { return logistic(x) + x * logistic_slope(x); }}},
    {"softplus", {log1p_exp, logistic}},
    {"gelu", {[](double x) { return x * normal_share(x); },
              [](double x) { return normal_share(x) + x * normal_density(x); }}},
    {"gelu_approx", {[](double x) { return x * logistic(argument(x)); },
                     [](double x) {
                       const double u = argument(x), s = logistic_slope(u);
                       return logistic(u) + (s > 0 ? x * s * 2 * std::sqrt(2 / kPi) *
                                                         (1 + 3 * 0.044715 * x * x) : 0);
                     }}}};
  return all;
}
double elu_of(double x, double alpha) { return x > 0 ? x : alpha * std::expm1(x); }
double tanh_slope(double x) { return 1 / (std::cosh(x) * std::cosh(x)); }
const std::map<std::string, std::pair<UnaryFunction, Formula>>& activations() {
  static const std::map<std::string, std::pair<UnaryFunction, Formula>> all{
    {"gelu_fast_approx", {nn::gelu_fast_approx, {[](double x) { return x * logistic(1.702 * x); },
       [](double x) { return logistic(1.702 * x) + 1.702 * x * logistic_slope(1.702 * x); }}}},
    {"leaky_relu", {[](const array& x) { return nn::leaky_relu(x, 0.1f); },
       {[](double x) { return std::max(double(0.1f) * x, x); },
        [](double x) { return x < 0 ? double(0.1f) : 1.0; }, {0}}}},
    {"prelu", {[](const array& x) { return nn::prelu(x, array(0.3f, x.dtype())); },
       {[](double x) { return x; }, [](double x) { return x < 0 ? kNone : 1.0; }, {0}}}},
    {"relu6", {nn::relu6, {[](double x) { return std::clamp(x, 0.0, 6.0); },
       [](double x) { return x > 0 && x < 6 ? 1.0 : 0.0; }, {0, 6}}}},
    {"relu2", {nn::relu2, {[](double x) { return plus_part(x) * plus_part(x); },
       [](double x) { return 2 * plus_part(x); }}}},
    {"elu", {[](const array& x) { return nn::elu(x); }, {[](double x) { return elu_of(x, 1); },
       [](double x) { return x > 0 ? 1 : std::exp(x); }, {0}}}},
    {"celu", {[](const array& x) { return nn::celu(x, 1.5f); },
       {[](double x) { return x > 0 ? x : 1.5 * std::expm1(x / 1.5); },
        [](double x) { return x > 0 ? 1 : std::exp(x / 1.5); }, {0}}}},
    {"selu", {nn::selu, {[](double x) { return double(1.0507f) * elu_of(x, double(1.67326f)); },
       [](double x) { return double(1.0507f) * (x > 0 ? 1 : double(1.67326f) * std::exp(x)); }, {0}}}},
    {"log_sigmoid", {nn::log_sigmoid, {[](double x) { return -log1p_exp(-x); },
       [](double x) { return logistic(-x); }}}},
    {"softsign", {nn::softsign, {[](double x) { return x / (1 + std::abs(x)); },
       [](double x) { return 1 / ((1 + std::abs(x)) * (1 + std::abs(x))); }, {},
       [](double x) { return 1 / (1 + std::abs(x)); }}}},  // the difference of two such
    {"softshrink", {[](const array& x) { return nn::softshrink(x); },
       {[](double x) { return std::abs(x) > 0.5 ? x - std::copysign(0.5, x) : 0; },
        [](double x) { return std::abs(x) > 0.5 ? 1.0 : 0.0; }}}},
    {"hard_shrink", {[](const array& x) { return nn::hard_shrink(x); },
       {[](double x) { return std::abs(x) > 0.5 ? x : 0; },
        [](double x) { return std::abs(x) > 0.5 ? 1.0 : 0.0; }}}},
    {"hard_tanh", {[](const array& x) { return nn::hard_tanh(x); },
       {[](double x) { return std::clamp(x, -1.0, 1.0); },
        [](double x) { return std::abs(x) < 1 ? 1.0 : 0.0; }, {-1, 1}}}},
    {"hardswish", {nn::hardswish, {[](double x) { return x * std::clamp(x + 3, 0.0, 6.0) / 6; },
       [](double x) { return x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6; }, {-3, 3}}}},
    {"mish", {nn::mish, {[](double x) { return x * std::tanh(log1p_exp(x)); },
       [](double x) {
         const double p = log1p_exp(x);
         return std::tanh(p) + x * logistic(x) * tanh_slope(p);
       }}}}};
  return all;
}
// clang-format on

/// All numbers of a half.
array all_of(Dtype d) {
  std::vector<uint16_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = uint16_t(i);
  return view(array(bits.begin(), {65536}), d);
}

/// How many were compared; complains of the first that is wrong.
int compare(const std::string& what, Dtype d, const std::vector<double>& x,
            const std::vector<double>& got, const std::function<double(double)>& want,
            const std::vector<double>& kinks, Real loose) {
  int checked = 0, wrong = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!std::isfinite(x[i]) || std::find(kinks.begin(), kinks.end(), x[i]) != kinks.end())
      continue;
    const double w = want(x[i]);
    // One unit: the formula is in f32, a little beside the value, and rounded once.
    const Tolerance t{1, 0, loose ? 0x1p-22 * loose(x[i]) : 0};
    const std::string why = apart(got[i], w, d, t);
    ++checked;
    if (why.empty() || ++wrong > 2) continue;
    ADD_FAILURE() << what << " of " << d << " at " << x[i] << ": " << why;
  }
  EXPECT_LE(wrong, 2) << what << " of " << d << ": " << wrong << " are wrong";
  return checked;
}

void expect_formula(const std::string& name, const UnaryFunction& f, const Formula& formula,
                    Dtype d) {
  const array x = all_of(d);
  const auto [y, slopes] = vjp(f, x, ones({65536}, d));
  ASSERT_EQ(y.dtype(), d) << name;
  ASSERT_EQ(slopes.dtype(), d) << name;
  const auto at = x.to_vector<double>();
  EXPECT_GT(compare(name, d, at, y.to_vector<double>(), formula.value, {}, formula.loose), 63000);
  if (formula.slope == none) return;
  EXPECT_GT(compare("slope of " + name, d, at, slopes.to_vector<double>(), formula.slope,
                    formula.kinks, formula.loose),
            63000);
}

TEST(Halves, UnaryFunctionsAndSlopesOfAllNumbersAreThoseOfDouble) {
  const std::tuple<const char*, ElementOp, UnaryFunction> lines[] = {
#define UNARY(op, ...) {#op, ElementOp::op, [](const array& x) { return op(x); }},
#define BINARY(...)
#define TERNARY(...)
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
  };
  for (const auto& [name, op, f] : lines) {
    if (!info(op).accepts(float16) || info(op).rule == ResultRule::Compare) continue;
    const auto at = unary_formulas().find(name);
    for (Dtype d : {float16, bfloat16})
      if (at != unary_formulas().end()) {
        expect_formula(name, f, at->second, d);
      } else {
        const array x = all_of(d);
        const auto [y, slopes] = vjp(f, x, ones({65536}, d));
        const auto [wide, wide_slopes] = vjp(f, astype(x, float64), ones({65536}, float64));
        expect_close(y, astype(wide, d), {1}, name);
        expect_close(slopes, astype(wide_slopes, d), {1}, name);
      }
  }
}

TEST(Halves, ActivationsAndSlopesOfAllNumbersAreThoseOfDouble) {
  for (const auto& [name, both] : activations()) {
    auto [f, formula] = both;
    if (name == "prelu") continue;  // by its operands, below
    for (Dtype d : {float16, bfloat16}) expect_formula(name, f, formula, d);
  }
}

// Of all first operands with some second ones; by both.
TEST(Halves, BinaryFunctionsAndSlopesOfAllNumbersAreThoseOfDouble) {
  struct Line {
    const char* name;
    std::function<array(const array&, const array&)> f;
    Real2 value, by_a, by_b;
    std::vector<float> seconds;
  };
  const auto nothing = [](double, double) { return kNone; };
  const Line lines[] = {
      {"divide",
       [](auto& a, auto& b) { return divide(a, b); },
       [](double a, double b) { return a / b; },
       [](double, double b) { return 1 / b; },
       [](double a, double b) { return -a / b / b; },
       {3, -0.1f, 1000, 3e4f}},
      {"power",
       [](auto& a, auto& b) { return power(a, b); },
       [](double a, double b) { return std::pow(a, b); },
       [](double a, double b) { return b == 0 ? 0 : b * std::pow(a, b - 1); },
       [](double a, double b) {
         const double y = std::pow(a, b);
         return a < 0 ? kNone : a == 0 || y == 0 ? 0 : y * std::log(a);
       },
       {-3, -1.5f, -1, 0, 0.5f, 1, 2, 2.5f, 3}},
      {"arctan2",
       [](auto& a, auto& b) { return arctan2(a, b); },
       [](double a, double b) { return std::atan2(a, b); },
       [](double a, double b) { return b / (a * a + b * b); },
       [](double a, double b) { return -a / (a * a + b * b); },
       {1e-5f, 1, -3, 1000, 3e4f}},
      {"logaddexp",
       [](auto& a, auto& b) { return logaddexp(a, b); },
       [](double a, double b) { return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b))); },
       [](double a, double b) { return logistic(a - b); },
       [](double a, double b) { return logistic(b - a); },
       {0, 10, 3e4f}},
      {"multiply",
       [](auto& a, auto& b) { return multiply(a, b); },
       [](double a, double b) { return a * b; },
       [](double, double b) { return b; },
       [](double a, double) { return a; },
       {0.3f, 1000}},
      {"maximum",
       [](auto& a, auto& b) { return maximum(a, b); },
       [](double a, double b) { return std::max(a, b); },
       [](double a, double b) { return a > b ? 1.0 : 0.0; },
       [](double a, double b) { return a > b ? 0.0 : 1.0; },
       {0.5f}},
      {"minimum",
       [](auto& a, auto& b) { return minimum(a, b); },
       [](double a, double b) { return std::min(a, b); },
       [](double a, double b) { return a < b ? 1.0 : 0.0; },
       [](double a, double b) { return a < b ? 0.0 : 1.0; },
       {0.5f}},
      {"prelu",
       [](auto& a, auto& b) { return nn::prelu(a, b); },
       [](double a, double b) { return a > 0 ? a : a * b; },
       [](double a, double b) { return a > 0   ? 1
                                       : a < 0 ? b
                                               : kNone; },
       [](double a, double) { return std::min(a, 0.0); },
       {0.3f}},
      {"remainder",
       [](auto& a, auto& b) { return remainder(a, b); },
       [](double a, double b) {
         const double r = std::fmod(a, b);
         return r != 0 && (r < 0) != (b < 0) ? r + b : r;
       },
       [](double, double) { return 1.0; },
       nothing,
       {3, -0.75f}},
  };
  for (const Line& line : lines)
    for (Dtype d : {float16, bfloat16})
      for (const float second : line.seconds) {
        const array a = all_of(d), b = full({65536}, second, d);
        const double b0 = slice(b, {0}, {1}).item<double>();
        const auto at = a.to_vector<double>();
        const auto [out, slopes] =
            vjp([&](const Arrays& in) { return Arrays{line.f(in[0], in[1])}; }, {a, b},
                {ones({65536}, d)});
        const std::pair<array, Real2> parts[] = {
            {out[0], line.value}, {slopes[0], line.by_a}, {slopes[1], line.by_b}};
        for (const auto& [got, want] : parts) {
          ASSERT_EQ(got.dtype(), d) << line.name;
          auto values = got.to_vector<double>();
          auto expected = [&, want = want](double x) { return want(x, b0); };
          for (size_t i = 0; i < at.size(); ++i)  // nobody says what it is here
            if (std::isfinite(at[i]) && std::isnan(expected(at[i]))) values[i] = NAN;
          compare(concat(line.name, " with ", second), d, at, values, expected, {}, nullptr);
        }
      }
}

// Where a function is flat its slope is 0 or 1, at infinity too: not 0 times infinity.
TEST(Halves, SlopesAtInfinityAreLimits) {
  const std::tuple<const char*, UnaryFunction, float, float> functions[] = {
      {"sigmoid", [](const array& x) { return sigmoid(x); }, 0, 0},
      {"tanh", [](const array& x) { return tanh(x); }, 0, 0},
      {"silu", [](const array& x) { return silu(x); }, 0, 1},
      {"gelu", [](const array& x) { return gelu(x); }, 0, 1},
      {"gelu_approx", [](const array& x) { return gelu_approx(x); }, 0, 1},
      {"softplus", [](const array& x) { return softplus(x); }, 0, 1},
      {"erf", [](const array& x) { return erf(x); }, 0, 0},
      {"relu", [](const array& x) { return relu(x); }, 0, 1},
      {"arctan", [](const array& x) { return arctan(x); }, 0, 0},
      {"arcsinh", [](const array& x) { return arcsinh(x); }, 0, 0},
  };
  for (const auto& [name, f, below, above] : functions)
    for (Dtype d : {float16, bfloat16, float32, float64}) {
      const array x = astype(array({-INFINITY, -60000.0f, 60000.0f, INFINITY}), d);
      const auto got = vjp(f, x, ones({4}, d)).second.to_vector<float>();
      EXPECT_EQ(got[0], below) << name << " of " << d;
      EXPECT_NEAR(got[1], below, 1e-4) << name << " of " << d;
      EXPECT_NEAR(got[2], above, 1e-4) << name << " of " << d;
      EXPECT_EQ(got[3], above) << name << " of " << d;
    }
}

// f32: where the squares of the operands are infinite, or vanish, the slopes are not.
TEST(Slopes, OfLargeAndSmallNumbersAreThoseOfDouble) {
  const auto at = [](const UnaryFunction& f, float x) {
    return double(vjp(f, array(x), array(1.0f)).second.item<float>());
  };
  for (float x : {1e20f, -1e20f, 3e38f, 1e4f, -300.0f}) {
    const double v = x;
    const Tolerance t{8};
    const auto same = [&](const char* name, const UnaryFunction& f, double want) {
      EXPECT_EQ(apart(at(f, x), want, float32, t), "") << name << " at " << x;
    };
    same(
        "arcsinh", [](const array& a) { return arcsinh(a); }, 1 / std::hypot(1, v));
    same(
        "arctan", [](const array& a) { return arctan(a); }, 1 / (1 + v * v));
    same(
        "gelu", [](const array& a) { return gelu(a); }, v > 0);
    same(
        "gelu_approx", [](const array& a) { return gelu_approx(a); }, v > 0);
    same(
        "silu", [](const array& a) { return silu(a); }, v > 0);
    if (v > 0)
      same(
          "arccosh", [](const array& a) { return arccosh(a); },
          1 / std::sqrt(v - 1) / std::sqrt(v + 1));
    if (v > 0)
      same(
          "rsqrt", [](const array& a) { return rsqrt(a); }, -0.5 / v / std::sqrt(v));
  }
  for (const auto& [a, b] : {std::pair{1e20f, 1e20f},
                             {1e20f, -3e19f},
                             {1e-25f, 2e-25f},
                             {-3e38f, 1.0f},
                             {1.0f, 3e38f},
                             {3.0f, -4.0f}}) {
    const auto g = vjp([](const Arrays& in) { return Arrays{arctan2(in[0], in[1])}; },
                       {array(a), array(b)}, {array(1.0f)})
                       .second;
    const double s = double(a) * a + double(b) * b;
    EXPECT_EQ(apart(g[0].item<double>(), b / s, float32, {4}), "") << a << " " << b;
    EXPECT_EQ(apart(g[1].item<double>(), -a / s, float32, {4}), "") << a << " " << b;
  }
  // Equal infinities share.
  const array inf({INFINITY, -INFINITY});
  const auto g =
      vjp([](const Arrays& in) { return Arrays{logaddexp(in[0], in[1])}; }, {inf, inf}, {ones({2})})
          .second;
  EXPECT_EQ(g[0].to_vector<float>(), (std::vector<float>{0.5f, 0.5f}));
}

}  // namespace
}  // namespace hearth::testing
