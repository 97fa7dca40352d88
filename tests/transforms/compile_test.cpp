// compile: the same bits as eager, fewer operations, nothing kept between calls.
#include "hearth/transforms/compile.h"

#include <gtest/gtest.h>

#include <thread>

#include "hearth/hearth.h"
#include "tests/gradients.h"

namespace hearth {
namespace {

using testing::scattered;

int operations(const array& y) {
  std::ostringstream text;
  print_graph(text, y);
  const std::string t = text.str();
  return int(std::count(t.begin(), t.end(), '\n')) - 2;
}
bool same_bits(const array& a, const array& b) {
  return a.dtype() == b.dtype() && array_equal(a, b, true).item<bool>();
}

array chain(const array& x) {
  const array y = tanh(x * 2.0f + 1.0f), z = y * sigmoid(y) - square(x);
  return exp(z) / (1.0f + exp(z));
}

TEST(Compile, JoinsChainsAndGivesTheSameBits) {
  const Function f = [](const Arrays& in) { return Arrays{chain(in[0])}; };
  for (Dtype d : {float32, float16, bfloat16, float64}) {
    const array x = scattered({50, 40}, 1, d);
    const array got = compile(f)({x})[0];
    EXPECT_EQ(operations(got), 1) << d;
    EXPECT_GT(operations(f({x})[0]), 9);
    EXPECT_TRUE(same_bits(got, f({x})[0])) << d;
  }
}

TEST(Compile, KeepsWhatIsReadElsewhereOrIsOfAnotherShape) {
  const Function f = [](const Arrays& in) {
    const array a = exp(in[0]), b = a + 1.0f, rows = sum(b, 1, true), c = b / rows * square(in[1]);
    return Arrays{c, a, matmul(b, transpose(b)), sum(c * c)};
  };
  const array x = scattered({6, 5}, 1), y = scattered({6, 1}, 2);
  const Arrays got = compile(f)({x, y}), wanted = f({x, y});
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same_bits(got[i], wanted[i])) << i;
}

TEST(Compile, DoesEqualOperationsOnce) {
  const Function f = [](const Arrays& in) {
    return Arrays{matmul(in[0], in[0]) + matmul(in[0], in[0]), sum(exp(in[0]), 0),
                  sum(exp(in[0]), 0)};
  };
  const array x = scattered({4, 4});
  const Arrays got = compile(f)({x});
  EXPECT_EQ(operations(got[0]), 2);
  EXPECT_TRUE(got[1].same_node(got[2]));
  const Arrays wanted = f({x});
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same_bits(got[i], wanted[i])) << i;
  set_compile_mode(CompileMode::no_simplify);
  EXPECT_EQ(operations(compile(f)({x})[0]), 3);
  set_compile_mode(CompileMode::no_fuse);
  EXPECT_GT(operations(compile([](const Arrays& in) { return Arrays{chain(in[0])}; })({x})[0]), 5);
  disable_compile();
  EXPECT_FALSE(compile(f)({x})[1].same_node(compile(f)({x})[2]));
  enable_compile();
}

TEST(Compile, KeepsNothingFromCallToCall) {
  array weight({2.0f});
  const Function f =
      compile([&](const Arrays& in) { return Arrays{in[0] * weight + random::uniform({1})}; });
  const array x({1.0f});
  const float first = f({x})[0].item<float>();
  EXPECT_NE(first, f({x})[0].item<float>());
  weight = array({100.0f});
  EXPECT_GT(f({x})[0].item<float>(), 99);
  EXPECT_EQ(f({array({{1.0f, 2.0f}, {3.0f, 4.0f}})})[0].shape(), (Shape{2, 2}));  // another shape
  EXPECT_EQ(f({array({1.0, 2.0}, float64)})[0].dtype(), float64);
  // What is captured and not computed yet stays the very array.
  const array lazy = exp(scattered({3}));
  const Arrays out = compile([&](const Arrays& in) { return Arrays{in[0] + lazy, lazy}; })({x});
  EXPECT_TRUE(out[1].same_node(lazy));
}

TEST(Compile, NestsWithTransforms) {
  const auto f = [](const array& x) { return sum(chain(x)); };
  const Function compiled = compile([&](const Arrays& in) { return Arrays{f(in[0])}; });
  const auto g = [&](const array& x) { return compiled({x})[0]; };
  const array x = scattered({7}, 1), t = scattered({7}, 2);
  const auto close = [](const array& a, const array& b) {
    return allclose(a, b, 1e-9, 1e-9).item<bool>();
  };
  EXPECT_TRUE(close(grad(g)(x), grad(f)(x)));
  EXPECT_TRUE(close(jvp(g, x, t).second, jvp(f, x, t).second));
  const array many = scattered({3, 7}, 3);
  EXPECT_TRUE(close(vmap(g)(many), vmap(f)(many)));
  const Function of_grad = compile([&](const Arrays& in) { return Arrays{grad(f)(in[0])}; });
  EXPECT_TRUE(close(of_grad({x})[0], grad(f)(x)));
  EXPECT_LT(operations(of_grad({x})[0]), operations(grad(f)(x)) / 2);
  EXPECT_TRUE(close(compile(of_grad)({x})[0], grad(f)(x)));
  // One array as two arguments has two gradients.
  const Function product = compile([](const Arrays& in) { return Arrays{in[0] * in[1] * in[1]}; });
  const auto both = vjp(product, {x, x}, {ones({7}, float64)}).second;
  EXPECT_TRUE(close(both[0], square(x)));
  EXPECT_TRUE(close(both[1], x * x * 2.0f));
}

TEST(Compile, TakesAnyProgram) {
  // Chains longer than a program, outputs that are inputs, several outputs, evaluation on the way.
  const array x = scattered({9}, 1);
  const Function longer = [](const Arrays& in) {
    array y = in[0];
    for (int i = 0; i < 300; ++i) y = sin(y) + in[0] * 0.5f;
    return Arrays{y, in[0], linalg::qr(reshape(y, {3, 3})).second};
  };
  const Arrays got = compile(longer)({x}), wanted = longer({x});
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(same_bits(got[i], wanted[i])) << i;
  EXPECT_TRUE(got[1].same_node(x));
  const Function looks = [](const Arrays& in) { return Arrays{in[0] * sum(in[0]).item<float>()}; };
  EXPECT_TRUE(same_bits(compile(looks)({x})[0], looks({x})[0]));
  EXPECT_THROW(
      compile([](const Arrays& in) { return Arrays{matmul(in[0], in[0])}; })({array(1.0f)}),
      std::invalid_argument);
  EXPECT_THROW(compile(Function()), std::invalid_argument);
  EXPECT_TRUE(compile([](const Arrays&) { return Arrays{}; })({}).empty());
}

TEST(Compile, IsCalledByManyThreads) {
  const Function f = compile([](const Arrays& in) { return Arrays{chain(in[0])}; });
  const array x = scattered({100}, 1);
  const array wanted = chain(x);
  wanted.eval();
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 50; ++k) wrong += !same_bits(f({x})[0], wanted);
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

// What a function makes is its own: equal numbers are one, and what is made of them is done once.
// What it captured is the caller's, and stays the very array.
TEST(Compile, TellsWhatAFunctionMadeFromWhatItCaptured) {
  set_compile_mode(CompileMode::no_fuse);
  const array captured = exp(scattered({3}, 1));  // not computed yet
  const Function f = [&](const Arrays& in) {
    const array a = remainder(array(5.0f), array(3.0f)), b = remainder(array(5.0f), array(3.0f));
    return Arrays{a + b, in[0] + captured};
  };
  const array x = scattered({3}, 2);
  const Arrays y = compile(f)({x});
  set_compile_mode(CompileMode::enabled);
  ASSERT_EQ(y[0].inputs().size(), 2u);
  EXPECT_EQ(y[0].inputs()[0].id(), y[0].inputs()[1].id());
  EXPECT_EQ(y[0].item<float>(), 4);
  EXPECT_EQ(y[1].inputs()[1].id(), captured.id());
  EXPECT_TRUE(same_bits(y[1], x + captured));
}

}  // namespace
}  // namespace hearth
