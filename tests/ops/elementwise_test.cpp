// Elementwise operations: dtypes of results, broadcasting, layouts, errors.
#include "hearth/ops/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>

#include "hearth/core/eval.h"

namespace hearth {
namespace {

using Floats = std::vector<float>;

TEST(Elementwise, Adds) {
  array a({1.0f, 2.0f, 3.0f}), b({10.0f, 20.0f, 30.0f});
  EXPECT_EQ((a + b).to_vector<float>(), (Floats{11, 22, 33}));
  EXPECT_EQ((a * 2 - b / 10.0f).to_vector<float>(), (Floats{1, 2, 3}));
  EXPECT_EQ((-a).to_vector<float>(), (Floats{-1, -2, -3}));
}

TEST(Elementwise, BroadcastsByStrides) {
  array column({1.0f, 2.0f}, {2, 1}), row({10.0f, 20.0f, 30.0f}, {3});
  EXPECT_EQ((column + row).shape(), (Shape{2, 3}));
  EXPECT_EQ((column + row).to_vector<float>(), (Floats{11, 21, 31, 12, 22, 32}));
  EXPECT_THROW(row + array({1.0f, 2.0f}), std::invalid_argument);
}

TEST(Elementwise, PromotesAsMlxDoes) {
  const array h(1.5f, float16), f(2.0f), i(3), u(uint8_t{4}), b(true), d(0.5, float64);
  EXPECT_EQ((h + 1).dtype(), float16);
  EXPECT_EQ((h + 1.0f).dtype(), float32);
  EXPECT_EQ((i / i).dtype(), float32);
  EXPECT_EQ((i + u).dtype(), int32);
  EXPECT_EQ((u + 1).dtype(), int32);
  EXPECT_EQ((d * f).dtype(), float64);
  EXPECT_EQ((i < f).dtype(), bool_);
  EXPECT_EQ(exp(i).dtype(), float32);
  EXPECT_EQ((b << 1).dtype(), int32);
  EXPECT_EQ((b << b).dtype(), uint8);
  EXPECT_EQ(where(b, h, i).dtype(), float16);
  EXPECT_EQ(abs(array(complex64_t(3, 4))).dtype(), float32);
  EXPECT_EQ(abs(array(complex64_t(3, 4))).item<float>(), 5);
  EXPECT_EQ((i + u).item<int>(), 7);
  EXPECT_EQ((h * f).item<float>(), 3);
}

}  // namespace
}  // namespace hearth
