// The gradient of every line of the table of elementwise operations against central differences.
#include "hearth/transforms/grad.h"

#include <gtest/gtest.h>

#include <cmath>

#include "hearth/ops/ops.h"
#include "hearth/transforms/transforms.h"
#include "tests/gradients.h"

namespace hearth {
namespace {

struct Line {
  ElementOp op;
  std::function<array(const Arrays&)> run;
  std::vector<bool> flows;  // by operand: has a gradient
  const ElementOpInfo& about() const { return info(op); }
};
const std::vector<Line>& table() {
  auto flows = [](const char* gradient) { return std::string_view(gradient) != "none"; };
  static const std::vector<Line> lines{
#define UNARY(op, kinds, rule, value, g, ...) \
  {ElementOp::op, [](const Arrays& in) { return op(in[0]); }, {flows(#g)}},
#define BINARY(op, kinds, rule, value, ga, gb, ...) \
  {ElementOp::op, [](const Arrays& in) { return op(in[0], in[1]); }, {flows(#ga), flows(#gb)}},
#define TERNARY(op, kinds, rule, value, ga, gb, gc, ...)     \
  {ElementOp::op,                                            \
   [](const Arrays& in) { return op(in[0], in[1], in[2]); }, \
   {flows(#ga), flows(#gb), flows(#gc)}},
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
  };
  return lines;
}

// Numbers in [0, 1), the same in every run.
double next() {
  static uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return double(state >> 11) * 0x1p-53;
}

// Operands in the table's domain; the second broadcasts along rows, the third along columns.
std::vector<std::vector<double>> draw(const ElementOpInfo& about, std::vector<Shape>& shapes) {
  shapes = {{3, 4}, {4}, {3, 1}};
  std::vector<std::vector<double>> values;
  for (int k = 0; k < about.arity; ++k) {
    const auto [low, high] = about.domain[k];
    std::vector<double> v(element_count(shapes[k]));
    for (double& x : v) x = low + (high - low) * next();
    if (about.rule == ResultRule::Select && k == 0)
      for (double& x : v) x = x > 0.5;
    values.push_back(v);
  }
  return values;
}

TEST(Gradient, OfEveryLineIsItsSlope) {
  int checked = 0;
  for (const Line& line : table()) {
    const ElementOpInfo& about = line.about();
    if (!about.accepts(float64)) continue;
    std::vector<Shape> shapes;
    auto values = draw(about, shapes);
    std::vector<double> weights(12);
    for (double& w : weights) w = 0.5 + next();
    const array w(weights.begin(), {3, 4}, float64);
    auto arrays = [&](const std::vector<std::vector<double>>& v) {
      Arrays in;
      for (size_t k = 0; k < v.size(); ++k) in.emplace_back(v[k].begin(), shapes[k], float64);
      return in;
    };
    auto loss = [&](const Arrays& in) {
      return sum(astype(broadcast_to(line.run(in), {3, 4}), float64) * w);
    };
    std::vector<int> argnums;
    for (int k = 0; k < about.arity; ++k) argnums.push_back(k);
    const Arrays got = grad(loss, argnums)(arrays(values));
    for (size_t k = 0; k < values.size(); ++k) {
      ASSERT_EQ(got[k].shape(), shapes[k]) << about.name;
      const auto g = got[k].to_vector<double>();
      for (size_t i = 0; i < g.size(); ++i) {
        if (!line.flows[k]) {
          EXPECT_EQ(g[i], 0) << about.name;
          continue;
        }
        const double x = values[k][i], h = 1e-5 * std::max(1.0, std::abs(x));
        auto at = [&](double moved) {
          auto v = values;
          v[k][i] = moved;
          return loss(arrays(v)).item<double>();
        };
        const double slope = (at(x + h) - at(x - h)) / (2 * h);
        EXPECT_NEAR(g[i], slope,
                    2e-7 * std::max(1.0, std::abs(slope)) + 1e-9 * std::abs(at(x)) / h * 1e-6)
            << about.name << " by operand " << k << " at " << x;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 500);
}

// And the gradient of every gradient.
TEST(Gradient, OfEveryGradientIsItsSlope) {
  for (const Line& line : table()) {
    const ElementOpInfo& about = line.about();
    if (!about.accepts(float64) || !std::count(line.flows.begin(), line.flows.end(), true))
      continue;
    std::vector<Shape> shapes;
    Arrays in;
    for (const auto& v : draw(about, shapes))
      in.emplace_back(v.begin(), shapes[in.size()],
                      in.empty() && about.rule == ResultRule::Select ? bool_ : float64);
    if (line.op == ElementOp::imag) continue;  // of a real: no gradient
    testing::expect_gradients(
        {std::string(about.name), [&](const Arrays& x) { return Arrays{line.run(x)}; }, in}, 3e-6);
  }
}

// Nor is one NaN where a branch that is not taken has no slope.
TEST(Gradient, OfEveryGradientIsFiniteAtZero) {
  const auto expect_finite = [](const Line& line, const Arrays& in) {
    std::vector<int> all;
    for (size_t k = 0; k < in.size(); ++k)
      if (in[k].dtype() != bool_) all.push_back(int(k));
    const Function slopes = [&](const Arrays& x) {
      return grad([&](const Arrays& y) { return sum(line.run(y)); }, all)(x);
    };
    const auto total = [&](const Arrays& x) {
      array y(0.0, float64);
      for (const array& slope : slopes(x)) y = y + sum(slope);
      return y;
    };
    Arrays moves;
    for (const array& x : in) moves.push_back(ones_like(x));
    for (const array& y : grad(ScalarFunction(total), all)(in))
      EXPECT_TRUE(isfinite(y).item<bool>()) << line.about().name;
    const array along =
        jvp([&](const Arrays& x) { return Arrays{line.run(x)}; }, in, moves).second[0];
    EXPECT_TRUE(isfinite(along).item<bool>()) << line.about().name;
  };
  for (const Line& line : table()) {
    const ElementOpInfo& about = line.about();
    if (!about.accepts(float64) || !std::count(line.flows.begin(), line.flows.end(), true))
      continue;
    if (line.op == ElementOp::imag) continue;  // of a real: no gradient
    for (int zero = about.rule == ResultRule::Select; zero < about.arity; ++zero) {
      if (about.domain[zero][0] > 0) continue;
      Arrays in;
      for (int k = 0; k < about.arity; ++k) {
        const double at = k == zero ? 0 : 0.2 * about.domain[k][0] + 0.8 * about.domain[k][1];
        in.push_back(k == 0 && about.rule == ResultRule::Select ? array(true) : array(at, float64));
      }
      expect_finite(line, in);
    }
    if (line.op == ElementOp::power)
      expect_finite(line, {array(0.0, float64), array(2.0, float64)});
  }
}

// 0 at exponent 0 is no constant: its slope by the exponent is 1 / a.
TEST(Gradient, OfAPowerBendsAtExponentZero) {
  const auto by = [](int k, const ScalarFunction& f) {
    return ScalarFunction([=](const Arrays& x) { return grad(f, std::vector<int>{k})(x)[0]; });
  };
  const ScalarFunction f = [](const Arrays& x) { return power(x[0], x[1]); };
  const Arrays at{array(4.0, float64), array(0.0, float64)};
  EXPECT_EQ(by(1, by(0, f))(at).item<double>(), 0.25);
  EXPECT_EQ(by(0, by(1, f))(at).item<double>(), 0.25);
}

// A move m of the operand moves Re(conj(d) y), y the result, by Re(conj(g) m).
TEST(Gradient, OfEveryComplexLineIsItsSlope) {
  for (const Line& line : table()) {
    const ElementOpInfo& about = line.about();
    if (!about.accepts(complex64)) continue;
    std::vector<complex64_t> at;
    for (int k = 0; k < about.arity; ++k) {
      const auto [low, high] = about.domain[k];
      at.push_back(
          complex64_t(float(low + (high - low) * (0.3 + 0.4 * next())), float(0.2 + 0.3 * next())));
    }
    if (about.rule == ResultRule::Select) at[0] = 1;
    auto run = [&](const std::vector<complex64_t>& v) {
      Arrays in;
      for (complex64_t z : v) in.emplace_back(z);
      return line.run(in);
    };
    Arrays in;
    for (complex64_t z : at) in.emplace_back(z);
    const Dtype out = line.run(in).dtype();
    if (out == bool_) continue;
    const complex64_t d = out == complex64 ? complex64_t(0.7f, -0.4f) : complex64_t(0.7f, 0);
    const Arrays got =
        vjp([&](const Arrays& x) { return Arrays{line.run(x)}; }, in, {astype(array(d), out)})
            .second;
    for (size_t k = 0; k < at.size(); ++k) {
      const auto g = got[k].item<complex64_t>();
      for (complex64_t m : {complex64_t(1), complex64_t(0, 1)}) {
        const float h = 0.01f;
        auto plus = at, minus = at;
        plus[k] += h * m, minus[k] -= h * m;
        const complex64_t rise = run(plus).item<complex64_t>() - run(minus).item<complex64_t>();
        const float slope = (std::conj(d) * rise).real() / (2 * h);
        if (!line.flows[k])
          EXPECT_EQ(g, complex64_t(0)) << about.name;
        else
          EXPECT_NEAR((std::conj(g) * m).real(), slope, 5e-3 * std::max(1.0f, std::abs(slope)))
              << about.name << " by operand " << k << " at " << at[k] << " towards " << m;
      }
    }
  }
}

TEST(Gradient, KeepsTheDtypeOfTheOperand) {
  for (Dtype d : {float16, bfloat16, float32})
    for (const Line& line : table()) {
      if (!line.about().accepts(d) || line.op == ElementOp::imag)
        continue;  // of a real: no gradient
      std::vector<Shape> shapes;
      Arrays in;
      for (const auto& v : draw(line.about(), shapes))
        in.emplace_back(v.begin(), shapes[in.size()],
                        in.empty() && line.about().rule == ResultRule::Select ? bool_ : d);
      const array y = line.run(in);
      const auto got = y.node().op->vjp(in, {y}, {ones_like(y)});
      ASSERT_TRUE(got);
      for (size_t k = 0; k < in.size(); ++k) {
        ASSERT_EQ((*got)[k].has_value(), bool(line.flows[k])) << line.about().name;
        if (line.flows[k]) {
          EXPECT_EQ((*got)[k]->dtype(), d) << line.about().name;
        }
      }
    }
}

// One node, of what the line reads: nothing is written down in between.
TEST(Gradient, OfEveryLineIsOneProgram) {
  for (Dtype d : {float16, bfloat16, float32, complex64})
    for (const Line& line : table()) {
      if (!line.about().accepts(d)) continue;
      Arrays in;
      for (int k = 0; k < line.about().arity; ++k)
        in.push_back(array(2, k == 0 && line.about().rule == ResultRule::Select ? bool_ : d));
      const array y = line.run(in);
      const array dy = array(1, y.dtype());
      const auto got = y.node().op->vjp(in, {y}, {dy});
      for (const auto& g : *got) {
        if (!g || g->same_node(dy)) continue;
        for (const array& from : g->node().inputs)
          EXPECT_TRUE(!from.node().op || from.same_node(y)) << line.about().name << " of " << d;
      }
    }
}

TEST(Gradient, GoesThroughCastsAndConstants) {
  const array h({1.0f, 2.0f, 3.0f}, {3}, float16), f({0.5f, 0.25f}, {2, 1});
  // (h + f) * 3 - 1: the halves are widened inside one program.
  const auto loss = [](const Arrays& in) { return sum((in[0] + in[1]) * 3 - 1.0f); };
  const Arrays g = grad(loss, std::vector<int>{0, 1})({h, f});
  EXPECT_EQ(g[0].dtype(), float16);
  EXPECT_EQ(g[0].to_vector<float>(), (std::vector<float>{6, 6, 6}));
  EXPECT_EQ(g[1].shape(), (Shape{2, 1}));
  EXPECT_EQ(g[1].to_vector<float>(), (std::vector<float>{9, 9}));
  EXPECT_EQ(grad([](const array& x) { return sum(2.0f / x); })(f).to_vector<float>(),
            (std::vector<float>{-8, -32}));
}

TEST(Gradient, EndsAtStopGradient) {
  const array x({2.0f, 3.0f});
  EXPECT_EQ(grad([](const array& x) { return sum(x * stop_gradient(x)); })(x).to_vector<float>(),
            (std::vector<float>{2, 3}));
}

}  // namespace
}  // namespace hearth
