#include "hearth/transforms/grad.h"

#include <gtest/gtest.h>

#include <cmath>

#include "hearth/ops/ops.h"
#include "tests/memory_before.h"

namespace hearth {
namespace {

TEST(Grad, OfAUnaryFunction) {
  const auto f = [](const array& x) { return multiply(x, multiply(x, x)); };
  EXPECT_FLOAT_EQ(grad(f)(array(2.0f)).item<float>(), 12.0f);
  const auto [value, slope] = value_and_grad(UnaryFunction(f))(array(2.0f));
  EXPECT_FLOAT_EQ(value.item<float>(), 8.0f);
  EXPECT_FLOAT_EQ(slope.item<float>(), 12.0f);
}

TEST(Grad, OfAGradient) {
  const UnaryFunction f = [](const array& x) { return exp(multiply(x, x)); };
  const auto second = grad(grad(f));
  const float x = 0.7f, e = std::exp(x * x);
  EXPECT_NEAR(second(array(x)).item<float>(), (2 + 4 * x * x) * e, 1e-4);
}

TEST(Grad, ByChosenArguments) {
  const ScalarFunction f = [](const Arrays& a) { return sum(multiply(a[0], add(a[1], a[2]))); };
  const Arrays in{array({1.0f, 2.0f}), array({3.0f, 4.0f}), array({5.0f, 6.0f})};
  EXPECT_EQ(grad(f)(in)[0].to_vector<float>(), (std::vector<float>{8, 10}));
  const auto two = grad(f, std::vector<int>{2, 0})(in);
  EXPECT_EQ(two[0].to_vector<float>(), (std::vector<float>{1, 2}));
  EXPECT_EQ(two[1].to_vector<float>(), (std::vector<float>{8, 10}));
  EXPECT_EQ(grad(f, -1)(in)[0].to_vector<float>(), (std::vector<float>{1, 2}));
}

TEST(Grad, SumsOverBroadcastAxes) {
  const auto [out, grads] = vjp([](const Arrays& a) { return Arrays{multiply(a[0], a[1])}; },
                                {ones({3, 4}), array({1.0f, 2.0f, 3.0f, 4.0f})}, {ones({3, 4})});
  EXPECT_EQ(grads[0].shape(), (Shape{3, 4}));
  EXPECT_EQ(grads[1].to_vector<float>(), (std::vector<float>{3, 3, 3, 3}));
}

TEST(Grad, ArgumentsUsedTwiceAddUpAndUnusedOnesAreZero) {
  const ScalarFunction f = [](const Arrays& a) { return sum(add(multiply(a[0], a[0]), a[0])); };
  const auto grads = grad(f, std::vector<int>{0, 1})({array({1.0f, 3.0f}), array({9.0f})});
  EXPECT_EQ(grads[0].to_vector<float>(), (std::vector<float>{3, 7}));
  EXPECT_EQ(grads[1].to_vector<float>(), (std::vector<float>{0}));
}

TEST(Grad, FollowsTheGraphThroughAnEvaluationInside) {
  const auto f = [](const array& x) {
    array y = multiply(x, x);
    return y.item<float>() > 3 ? multiply(y, x) : y;  // looks at a value while being traced
  };
  EXPECT_FLOAT_EQ(grad(UnaryFunction(f))(array(2.0f)).item<float>(), 12.0f);
  EXPECT_FLOAT_EQ(grad(UnaryFunction(f))(array(1.0f)).item<float>(), 2.0f);
}

TEST(Grad, StopGradientStops) {
  const auto f = [](const array& x) { return multiply(stop_gradient(x), x); };
  EXPECT_FLOAT_EQ(grad(UnaryFunction(f))(array(3.0f)).item<float>(), 3.0f);
}

TEST(Grad, KeepsTheDtypeOfItsArgument) {
  for (Dtype d : {float16, bfloat16, float32, float64}) {
    const auto g =
        grad(UnaryFunction([](const array& x) { return sum(tanh(x)); }))(full({3}, array(0.5f, d)));
    EXPECT_EQ(g.dtype(), d);
  }
}

TEST(Grad, TrainsALine) {
  const array x = arange(0.0, 1.0, 0.1), y = add(multiply(x, array(3.0f)), array(-1.0f));
  array w(0.0f), b(0.0f);
  const SimpleValueAndGradFn step =
      value_and_grad(ScalarFunction([&](const Arrays& p) {
                       return mean(square(subtract(add(multiply(x, p[0]), p[1]), y)));
                     }),
                     std::vector<int>{0, 1});
  for (int i = 0; i < 2000; ++i) {
    const auto [loss, grads] = step({w, b});
    w = subtract(w, multiply(grads[0], array(0.3f)));
    b = subtract(b, multiply(grads[1], array(0.3f)));
    eval(w, b);
  }
  EXPECT_NEAR(w.item<float>(), 3, 1e-3);
  EXPECT_NEAR(b.item<float>(), -1, 1e-3);
}

TEST(Grad, EachOutputHasItsCotangent) {
  const auto f = [](const Arrays& a) { return Arrays{a[0] * 2, a[1] * 3, a[0] * a[1]}; };
  const auto [out, grads] =
      vjp(f, {array(5.0f), array(7.0f)}, {array(1.0f), array(10.0f), array(100.0f)});
  EXPECT_EQ(out[1].item<float>(), 21);
  EXPECT_EQ(grads[0].item<float>(), 702);
  EXPECT_EQ(grads[1].item<float>(), 530);
  // The first output is the loss; the others come along.
  const auto [all, slopes] = value_and_grad(Function(f), 0)({array(5.0f), array(7.0f)});
  EXPECT_EQ(all.size(), 3u);
  EXPECT_EQ(all[2].item<float>(), 35);
  EXPECT_EQ(slopes[0].item<float>(), 2);
}

TEST(Grad, KeepsNoMemoryOfWhatItTraced) {
  const array x = contiguous(ones({1 << 18}));
  x.eval();
  const size_t before = memory_before();
  {
    const UnaryFunction f = [](const array& a) { return sum(tanh(exp(sin(a)) * a)); };
    const auto [value, slope] = value_and_grad(f)(x);
    eval(value, slope);
    EXPECT_LE(get_active_memory(), before + slope.nbytes() + 4096);
  }
  EXPECT_LE(get_active_memory(), before + 4096);
}

TEST(Grad, RefusesWhatHasNone) {
  const UnaryFunction f = [](const array& x) { return multiply(x, x); };
  EXPECT_THROW(grad(f)(array({1.0f, 2.0f})), std::invalid_argument);  // not a scalar
  EXPECT_THROW(grad(f)(array(1)), std::invalid_argument);             // integers
  const ScalarFunction g = [](const Arrays& a) { return sum(a[0]); };
  EXPECT_THROW(grad(g, 1)({array(1.0f)}), std::invalid_argument);
  EXPECT_THROW(grad(g, std::vector<int>{0, -1})({array(1.0f)}), std::invalid_argument);
  EXPECT_THROW(vjp([](const Arrays& a) { return a; }, {array({1.0f, 2.0f})}, {array(1.0f)}),
               std::invalid_argument);
}

}  // namespace
}  // namespace hearth
