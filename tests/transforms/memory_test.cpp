// What a transform keeps: nothing but its results, whatever the function computes on its way.
#include <gtest/gtest.h>

#include "hearth/core/eval.h"
#include "hearth/ops/ops.h"
#include "hearth/transforms/grad.h"
#include "tests/memory_before.h"

namespace hearth {
namespace {

constexpr int kSize = 1 << 16;         // elements
constexpr size_t kBytes = 4u * kSize;  // of an array

// Host memory in use once the results of f are there and nothing else is held, beyond before. The
// first run may fill what is kept for later, such as programs of gradients.
template <class F>
int64_t kept_by(const F& f) {
  eval(f());
  const auto before = int64_t(memory_before());
  const auto results = f();
  eval(results);
  return int64_t(get_active_memory()) - before;
}

TEST(TransformMemory, GradientsKeepOnlyThemselves) {
  const array x = ones({kSize}), w = ones({kSize});
  eval(x, w);
  const auto loss = [](const Arrays& in) { return sum(square(exp(in[0] * in[1]) + in[0])); };
  // The value and one gradient: 4 bytes and one array.
  EXPECT_LE(kept_by([&] {
              auto [value, grads] = value_and_grad(ScalarFunction(loss))({x, w});
              return Arrays{value, grads[0]};
            }),
            int64_t(kBytes + 4096));
  EXPECT_LE(kept_by([&] {
              auto [value, grads] = value_and_grad(ScalarFunction(loss))({x, w});
              eval(grads);
              return Arrays{value};
            }),
            4096);
}

TEST(TransformMemory, NorDoesAFunctionThatEvaluatesAsItGoes) {
  const array x = ones({kSize});
  x.eval();
  Arrays kept;  // by the user, from inside
  const auto loss = [&](const array& in) {
    const array middle = exp(in * 0.5f) * 2.0f;
    const array value = sum(square(middle));
    value.eval();
    kept.push_back(mean(middle));
    kept.back().eval();
    return value;
  };
  EXPECT_LE(kept_by([&] { return Arrays{value_and_grad(UnaryFunction(loss))(x).first}; }), 4096);
  EXPECT_LE(kept_by([&] { return Arrays{vjp(UnaryFunction(loss), x, array(1.0f)).first}; }), 4096);
  // Twice: the inner transform's values are needed until the outer one is done.
  EXPECT_LE(kept_by([&] {
              const auto inner = [&](const array& in) {
                return sum(grad(UnaryFunction(loss))(in) * in);
              };
              return Arrays{value_and_grad(UnaryFunction(inner))(x).first};
            }),
            4096);
  const array slope =
      grad(UnaryFunction([&](const array& in) { return sum(grad(UnaryFunction(loss))(in)); }))(x);
  // d/dx of sum (2 e^(x/2))^2 = 4 e^x is 4 e^x, and again.
  EXPECT_NEAR(slope.to_vector<float>()[kSize - 1], 4 * std::exp(1.0f), 1e-4);
}

TEST(TransformMemory, WhatAFunctionDropsOnItsWayIsFreedOnItsWay) {
  const array x = ones({kSize});
  x.eval();
  reset_peak_memory();
  const size_t before = memory_before();
  const auto loss = [](const array& in) {
    for (int i = 0; i < 50; ++i) sum(exp(sin(in * float(i)))).eval();
    return sum(in);
  };
  value_and_grad(UnaryFunction(loss))(x).first.eval();
  EXPECT_LE(get_peak_memory() - before, 8 * kBytes);
}

TEST(TransformMemory, AnErrorInsideLeavesNothingBehind) {
  const array x = ones({kSize});
  x.eval();
  const auto before = memory_before();
  const auto fails = [](const array& in) -> array {
    sum(exp(in)).eval();
    throw std::runtime_error("inside");
  };
  EXPECT_THROW(value_and_grad(UnaryFunction(fails))(x), std::runtime_error);
  EXPECT_EQ(get_active_memory(), before);
}

}  // namespace
}  // namespace hearth
