// Elementwise operations: dtypes of results, errors, compositions, programs. Values of each
// operation: elementwise_values_test.cpp.
#include "hearth/ops/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "hearth/backend/pool.h"
#include "hearth/core/eval.h"
#include "hearth/ops/ops.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using Floats = std::vector<float>;
using Bools = std::vector<bool>;
constexpr float kInf = INFINITY, kNaN = NAN;

TEST(Elementwise, Operators) {
  const array a({1.0f, 2.0f, 3.0f}), b({10.0f, 20.0f, 30.0f}), i({5, -5, 6}, int32);
  EXPECT_EQ((a + b).to_vector<float>(), (Floats{11, 22, 33}));
  EXPECT_EQ((a * 2 - b / 10.0f).to_vector<float>(), (Floats{1, 2, 3}));
  EXPECT_EQ((1 - a).to_vector<float>(), (Floats{0, -1, -2}));
  EXPECT_EQ((6 / a).to_vector<float>(), (Floats{6, 3, 2}));
  EXPECT_EQ((-a).to_vector<float>(), (Floats{-1, -2, -3}));
  EXPECT_EQ((i % 3).to_vector<int>(), (std::vector<int>{2, 1, 0}));
  EXPECT_EQ((i << 1 | 1).to_vector<int>(), (std::vector<int>{11, -9, 13}));
  EXPECT_EQ((((i >> 1) & 3) ^ 1).to_vector<int>(), (std::vector<int>{3, 0, 2}));
  EXPECT_EQ((~i).to_vector<int>(), (std::vector<int>{-6, 4, -7}));
  EXPECT_EQ((a >= 2 && a != 3).to_vector<bool>(), (Bools{false, true, false}));
  EXPECT_EQ((!(a < 2) || a == 1).to_vector<bool>(), (Bools{true, true, true}));
  EXPECT_EQ((2 > a).to_vector<bool>(), (Bools{true, false, false}));
}

TEST(Elementwise, BroadcastsByStrides) {
  const array column({1.0f, 2.0f}, {2, 1}), row({10.0f, 20.0f, 30.0f}, {3});
  EXPECT_EQ((column + row).shape(), (Shape{2, 3}));
  EXPECT_EQ((column + row).to_vector<float>(), (Floats{11, 21, 31, 12, 22, 32}));
  try {
    row + array({1.0f, 2.0f});
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_STREQ(e.what(), "add: shapes (3) and (2) cannot be broadcast");
  }
}

// Rows longer and shorter than a block, several blocks, several tasks.
TEST(Elementwise, BlocksMeetAtTheRightPlaces) {
  for (const Shape& shape : {Shape{3, 2500}, Shape{700, 3}, Shape{5, 7, 301}, Shape{100001}}) {
    const int n = int(element_count(shape)), columns = shape.back();
    const array x = reshape(arange(n), shape), last = arange(columns) * 2;
    const array y = x + last;
    const array t = transpose(contiguous(transpose(x))) - 1;
    const auto got = y.to_vector<int>(), moved = t.to_vector<int>();
    for (int i = 0; i < n; ++i) {
      ASSERT_EQ(got[i], i + i % columns * 2) << shape.size();
      ASSERT_EQ(moved[i], i - 1);
    }
  }
}

TEST(Elementwise, DoesNotDependOnTheNumberOfThreads) {
  const array x = arange(300000) * 1e-3f;
  const int before = cpu::threads();
  cpu::set_threads(1);
  const auto one = tanh(x).to_vector<float>();
  cpu::set_threads(4);
  EXPECT_EQ(tanh(x).to_vector<float>(), one);
  cpu::set_threads(before);
}

TEST(Elementwise, DtypesAreThoseOfMlx) {
  const array h(1.5f, float16), g(1.5f, bfloat16), f(2.0f), i(3), u(uint8_t{4}), b(true),
      d(0.5, float64), c(complex64_t(3, 4)), u64(uint64_t{1});
  EXPECT_EQ((h + 1).dtype(), float16);
  EXPECT_EQ((h + 1.0f).dtype(), float32);
  EXPECT_EQ((h + 1.0).dtype(), float32);
  EXPECT_EQ((h + float16_t(1)).dtype(), float16);
  EXPECT_EQ((h + g).dtype(), float32);
  EXPECT_EQ((i + u).dtype(), int32);
  EXPECT_EQ((u + 1).dtype(), int32);
  EXPECT_EQ((u64 + 1).dtype(), float32);
  EXPECT_EQ((d * f).dtype(), float64);
  EXPECT_EQ((c + d).dtype(), complex64);
  EXPECT_EQ((b + b).dtype(), bool_);
  EXPECT_EQ((i < f).dtype(), bool_);
  EXPECT_EQ(logical_and(f, c).dtype(), bool_);
  // Float: integers and bool become float32.
  EXPECT_EQ((i / i).dtype(), float32);
  EXPECT_EQ((h / i).dtype(), float16);
  for (const array& x : {i, u, b, f}) EXPECT_EQ(exp(x).dtype(), float32);
  EXPECT_EQ(sqrt(h).dtype(), float16);
  EXPECT_EQ(arctan2(d, i).dtype(), float64);
  // Integers stay: these change nothing.
  for (const array& x :
       {floor(i), ceil(i), round(i), square(i), abs(i), sign(i), floor_divide(i, i)})
    EXPECT_EQ(x.dtype(), int32);
  // bool is shifted as uint8.
  EXPECT_EQ((b << b).dtype(), uint8);
  EXPECT_EQ((b << b).item<int>(), 2);
  EXPECT_EQ((~b).dtype(), bool_);
  EXPECT_FALSE((~b).item<bool>());
  EXPECT_EQ(where(b, h, i).dtype(), float16);
  for (const array& x : {abs(c), real(c), imag(c)}) EXPECT_EQ(x.dtype(), float32);
  EXPECT_EQ(abs(c).item<float>(), 5);
  EXPECT_EQ(imag(h).dtype(), float16);
  EXPECT_EQ(isnan(c).dtype(), bool_);
}

TEST(Elementwise, RefusesDtypesThatHaveNoMeaning) {
  const array b(true), f(1.0f), c(complex64_t(1, 1));
  EXPECT_THROW(negative(b), std::invalid_argument);
  EXPECT_THROW(f & f, std::invalid_argument);
  EXPECT_THROW(f << 1, std::invalid_argument);
  EXPECT_THROW(bitwise_invert(f), std::invalid_argument);
  EXPECT_THROW(floor(c), std::invalid_argument);
  EXPECT_THROW(floor_divide(c, f), std::invalid_argument);
  EXPECT_THROW(c % f, std::invalid_argument);
  EXPECT_THROW(erf(c), std::invalid_argument);
  EXPECT_THROW(arctan2(c, f), std::invalid_argument);
  EXPECT_THROW(nan_to_num(c), std::invalid_argument);
  EXPECT_THROW(clip(f), std::invalid_argument);
  try {
    ceil(c);
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_STREQ(
        e.what(),
        "ceil: dtype complex64 is not one of bool, unsigned, signed, float; astype gives another");
  }
}

// The tolerance is |b| times rtol plus atol, counted in doubles where these are compared.
TEST(Elementwise, IsCloseAtItsEdges) {
  const auto close = [](double x, double y, double rtol, double atol) {
    return isclose(array(x, float64), array(y, float64), rtol, atol).item<bool>();
  };
  EXPECT_TRUE(close(1.5, 1, 0.25, 0.25));
  EXPECT_FALSE(close(1.5, 1, 0.25, 0.2499999999999));
  EXPECT_FALSE(close(1, 1.5, 0.25, 0.1249999999999));
  EXPECT_TRUE(close(1, 1.5, 0.25, 0.125));
  EXPECT_TRUE(close(1 + 1.0e-5, 1, 1.00001e-5, 0));
  EXPECT_FALSE(close(1 + 1.0000001e-5, 1, 1e-5, 0));
  EXPECT_TRUE(close(INFINITY, INFINITY, 0, 0));
  EXPECT_FALSE(close(INFINITY, -INFINITY, 1, 1));
  EXPECT_FALSE(close(INFINITY, 1, 1, INFINITY));
  EXPECT_FALSE(close(NAN, NAN, 1, 1));
  EXPECT_TRUE(isclose(array(NAN), array(NAN), 0, 0, true).item<bool>());
  EXPECT_FALSE(isclose(array(NAN), array(1.0f), 1, 1, true).item<bool>());
  EXPECT_TRUE(isclose(array(3, uint8), array(5, uint8), 0, 2).item<bool>());
}

TEST(Elementwise, ErrorsNameDtypesAsPrintingDoes) {
  const array x = ones({2, 2}), half = ones({2, 2}, float16);
  const std::pair<std::function<void()>, const char*> cases[] = {
      {[&] { x.data<int>(); }, "data: the array is float32, asked for int32"},
      {[&] { nan_to_num(astype(x, complex64)); },
       "nan_to_num: dtype complex64 is not one of float16, bfloat16, float32, float64"},
      {[&] { take(x, half); }, "take: indices are float16, wanted integers"},
      {[&] { matmul(astype(x, bool_), astype(x, bool_)); },
       "matmul: wanted a floating or complex dtype, got bool and bool; cast with astype"},
      {[&] { random::split(x); }, "random::split: a key is uint32 (2), got float32 (2, 2)"},
      {[&] { random::bits({3}, 4, x); }, "random::bits: a key is uint32 (2), got float32 (2, 2)"},
      {[&] { random::normal({2}, int32); },
       "random::normal: dtype int32 is not one of float32, float16, bfloat16"},
      {[&] { random::multivariate_normal(x, x, Shape{}, float16); },
       "random::multivariate_normal: only float32 is drawn, got float16"},
  };
  for (const auto& [run, sentence] : cases)
    EXPECT_EQ(testing::error_of<std::invalid_argument>(run), sentence);
}

TEST(Elementwise, FloatsBecomeIntegersWithoutSurprise) {
  const array x({kNaN, kInf, -kInf, 3e9f, -3e9f, -1.5f, 300.7f});
  constexpr int low = std::numeric_limits<int>::min(), high = std::numeric_limits<int>::max();
  EXPECT_EQ(astype(x, int32).to_vector<int>(),
            (std::vector<int>{0, high, low, high, low, -1, 300}));
  EXPECT_EQ(astype(array({-1.0f, 256.0f, 3.9f}), uint8).to_vector<int>(),
            (std::vector<int>{255, 0, 3}));
  EXPECT_EQ(astype(array({kInf, -kInf, 1e10f}), int64).to_vector<int64_t>(),
            (std::vector<int64_t>{INT64_MAX, INT64_MIN, 10000000000}));
  EXPECT_EQ(astype(array({kInf, 1e19f, -1.0f}), uint64).to_vector<uint64_t>(),
            (std::vector<uint64_t>{UINT64_MAX, uint64_t(1e19f), UINT64_MAX}));
}

TEST(Elementwise, RoundsToDecimals) {
  EXPECT_EQ(round(array({1.25f, -2.555f, 1e30f}), 1).to_vector<float>(),
            (Floats{1.2f, -2.6f, 1e30f}));
  EXPECT_EQ(round(array({1234.0f, 1250.0f}), -2).to_vector<float>(), (Floats{1200, 1200}));
  EXPECT_EQ(round(array({1234, 1251}, int32), -2).to_vector<int>(), (std::vector<int>{1200, 1300}));
  EXPECT_EQ(round(array({7, 8}, int32), 3).to_vector<int>(), (std::vector<int>{7, 8}));
}

TEST(Elementwise, Clips) {
  const array x({-3.0f, 0.5f, 9.0f, kNaN});
  EXPECT_EQ(clip(x, array(-1.0f), std::nullopt).to_vector<float>()[0], -1);
  EXPECT_EQ(clip(x, std::nullopt, array(1.0f)).to_vector<float>()[2], 1);
  const auto both = clip(x, array(0), array({1.0f, 0.25f, 2.0f, 1.0f})).to_vector<float>();
  EXPECT_EQ(both[0], 0);
  EXPECT_EQ(both[1], 0.25f);
  EXPECT_EQ(both[2], 2);
  EXPECT_TRUE(std::isnan(both[3]));
}

TEST(Elementwise, ReplacesWhatIsNoNumber) {
  const array x({kNaN, kInf, -kInf, 2.0f});
  EXPECT_EQ(nan_to_num(x).to_vector<float>(), (Floats{0, 0x1.fffffep127f, -0x1.fffffep127f, 2}));
  EXPECT_EQ(nan_to_num(x, 7, 8.0f, 9.0f).to_vector<float>(), (Floats{7, 8, 9, 2}));
  EXPECT_EQ(nan_to_num(astype(x, float16)).to_vector<float>(), (Floats{0, 65504, -65504, 2}));
  EXPECT_EQ(nan_to_num(astype(x, float64)).to_vector<double>()[1],
            std::numeric_limits<double>::max());
  EXPECT_EQ(nan_to_num(array(3)).dtype(), int32);
}

TEST(Elementwise, DividesWithRemainder) {
  const auto out = divmod(array({7, -7, 7, -7, 5}, int32), array({2, 2, -2, -2, 0}, int32));
  EXPECT_EQ(out[0].to_vector<int>(), (std::vector<int>{3, -4, -4, 3, 0}));
  EXPECT_EQ(out[1].to_vector<int>(), (std::vector<int>{1, 1, -1, -1, 0}));
}

TEST(Elementwise, TellsWhatIsClose) {
  const array a({1.0f, kInf, kInf, kNaN, 100.0f}), b({1.000001f, kInf, -kInf, kNaN, 101.0f});
  EXPECT_EQ(isclose(a, b).to_vector<bool>(), (Bools{true, true, false, false, false}));
  EXPECT_EQ(isclose(a, b, 1e-5, 1e-8, true).to_vector<bool>(),
            (Bools{true, true, false, true, false}));
  EXPECT_EQ(isclose(a, b, 0.1).to_vector<bool>(), (Bools{true, true, false, false, true}));
  EXPECT_TRUE(isclose(array(uint8_t{3}), array(uint8_t{4}), 0, 1).item<bool>());
  EXPECT_FALSE(allclose(a, b).item<bool>());
  EXPECT_TRUE(allclose(a, a, 1e-5, 1e-8, true).item<bool>());
  EXPECT_FALSE(array_equal(a, a).item<bool>());  // NaN
  EXPECT_TRUE(array_equal(a, a, true).item<bool>());
  EXPECT_FALSE(array_equal(a, array(1.0f)).item<bool>());
  EXPECT_TRUE(array_equal(array({1, 2}, int32), array({1.0f, 2.0f})).item<bool>());
}

TEST(Elementwise, LogicalOperandsNeedNotFitEachOther) {
  const array tiny({1e-300, 0.0}, {2}, float64), c(complex64_t(0, 1));
  EXPECT_EQ(logical_and(tiny, c).to_vector<bool>(), (Bools{true, false}));
}

TEST(Elementwise, AstypeOfTheSameDtypeIsTheArray) {
  const array x({1.0f});
  EXPECT_TRUE(astype(x, float32).same_node(x));
  EXPECT_TRUE(positive(x).same_node(x));
}

}  // namespace
}  // namespace hearth
