// Reductions, scans and sorts where work is cut: one element below, at and above blocks, parts and
// widths, with what counts just beside the cut.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "hearth/ops/ops.h"

namespace hearth {
namespace {

std::vector<Dtype> all_dtypes() {
  std::vector<Dtype> all;
  for (int d = 0; d < kDtypes; ++d) all.push_back(Dtype(d));
  return all;
}
std::vector<int> lengths() {
  std::vector<int> all{127, 128, 129, 255, 256, 257, 511, 512, 513, 4095, 4096, 4097};
  for (int n = 1; n <= 66; ++n) all.push_back(n);
  return all;
}

TEST(ReduceLimits, TheLastElementCounts) {
  for (int n : lengths())
    for (Dtype dtype : all_dtypes()) {
      if (n > 300 && dtype != bool_ && dtype != float16 && dtype != int64) continue;
      std::vector<int> values(size_t(n), 1);
      const array same = astype(array(values.begin(), {n}), dtype);
      values.back() = 0;
      const array last = astype(array(values.begin(), {n}), dtype);
      SCOPED_TRACE(concat(dtype, " ", n));
      ASSERT_TRUE(all(same).item<bool>());
      ASSERT_FALSE(all(last).item<bool>());
      ASSERT_TRUE(any(last == array(0, dtype)).item<bool>());
      ASSERT_FALSE(any(astype(zeros({n}), dtype)).item<bool>());
      ASSERT_EQ(min(last).item<int>(), 0);
      ASSERT_EQ(argmin(last).item<int>(), n - 1);
      if (dtype != bool_) {
        ASSERT_EQ(max(last * array(-1, dtype) + array(1, dtype)).item<int>(), 1);
        ASSERT_EQ(prod(last).item<int>(), 0);
      }
      if (size_of(dtype) > 2 || n < 128) {
        ASSERT_EQ(sum(last).item<int>(), n - 1);
      }
    }
}

TEST(ReduceLimits, TheLowestAndTheHighestOfEveryDtype) {
  for (Dtype dtype : all_dtypes()) {
    if (is_complex(dtype)) continue;
    visit(AllTypes{}, dtype, "test", [&]<class T>() {
      if constexpr (!std::is_same_v<T, complex64_t>) {
        T low, high;
        if constexpr (is_floating(dtype_of<T>))
          low = convert<T>(-INFINITY), high = convert<T>(INFINITY);
        else
          low = std::numeric_limits<T>::lowest(), high = std::numeric_limits<T>::max();
        for (int n : {1, 5, 33, 128, 200})
          for (const Shape& shape : {Shape{n}, Shape{n, 50}, Shape{3, n, 2}}) {
            const int axis = shape.size() == 3 ? 1 : 0;
            const array lows = contiguous(full(shape, array(low, dtype))),
                        highs = contiguous(full(shape, array(high, dtype)));
            SCOPED_TRACE(concat(dtype, " ", shape));
            EXPECT_TRUE(all(max(lows, axis) == array(low, dtype)).item<bool>());
            EXPECT_TRUE(all(min(highs, axis) == array(high, dtype)).item<bool>());
            EXPECT_TRUE(all(cummax(lows, axis) == lows).item<bool>());
            EXPECT_TRUE(all(cummin(highs, axis) == highs).item<bool>());
            EXPECT_EQ(sum(astype(argmax(lows, axis), int32)).item<int>(), 0);
          }
      }
    });
  }
}

TEST(ReduceLimits, TheBestStandsAnywhere) {
  // Blocks of 4,096 elements, parts of 2^18.
  const int n = (1 << 19) + 3;
  for (Dtype dtype : {float32, int8})
    for (int at : {0, 1, 4095, 4096, 8191, (1 << 18) - 1, 1 << 18, (1 << 19) - 1, 1 << 19, n - 1}) {
      const array places = arange(n);
      const array one = astype(equal(places, array(at)), dtype),
                  same = astype(greater_equal(places, array(at)), dtype);
      EXPECT_EQ(argmax(one).item<int>(), at) << dtype;
      EXPECT_EQ(argmax(same).item<int>(), at) << dtype;  // the first of equals
      EXPECT_EQ(argmin(array(1, dtype) - one).item<int>(), at) << dtype;
      EXPECT_EQ(max(one).item<int>(), 1);
      if (dtype == float32) {
        EXPECT_EQ(argmax(where(equal(places, array(at)), array(NAN), array(5.0f))).item<int>(), at);
        EXPECT_TRUE(std::isnan(
            min(where(equal(places, array(at)), array(NAN), array(5.0f))).item<float>()));
      }
    }
  // Side by side: in every column another row is best; chunks of 512 columns.
  for (int columns : {511, 512, 513, 1025}) {
    const array rows = expand_dims(arange(7), 1), best = remainder(arange(columns), array(7));
    const array x = astype(equal(rows, best), float32);
    EXPECT_TRUE(array_equal(astype(argmax(x, 0), int32), best).item<bool>()) << columns;
    EXPECT_TRUE(array_equal(astype(argmin(negative(x), 0), int32), best).item<bool>()) << columns;
    EXPECT_TRUE(array_equal(astype(argmax(astype(x, int8), 0), int32), best).item<bool>())
        << columns;
  }
}

// A lane of float takes 128 elements before it becomes double: 3e-6 of their sum.
TEST(ReduceLimits, LongSumsOfTenthsKeepTheirDigits) {
  const double tenth = double(0.1f);
  for (Shape shape : {Shape{1 << 20}, Shape{1 << 18, 3}, Shape{3, 1 << 18}, Shape{1 << 15, 40},
                      Shape{2, 1 << 16, 3}}) {
    const array x = contiguous(full(shape, array(0.1f)));
    for (int axis = 0; axis < int(shape.size()); ++axis) {
      const double want = tenth * shape[size_t(axis)];
      for (float got : sum(x, axis).to_vector<float>()) ASSERT_NEAR(got, want, want * 3e-6) << axis;
      for (float got : mean(x, axis).to_vector<float>())
        ASSERT_NEAR(got, tenth, tenth * 3e-6) << axis;
    }
    ASSERT_NEAR(var(x + x).item<float>(), 0, 1e-12);
  }
}

TEST(ReduceLimits, ColumnsAndRowsOfEveryWidth) {
  for (int columns : {1, 2, 31, 32, 33, 63, 65, 511, 512, 513, 1023, 1024, 1025, 2049})
    for (int rows : {1, 2, 15, 16, 17, 31, 32, 33, 127, 128, 129}) {
      if (rows > 40 && columns > 600) continue;
      const array x = remainder(arange(rows * columns) * 7, array(31));
      const auto values = x.to_vector<int>();
      std::vector<int> down(size_t(columns), 0), across(size_t(rows), 0),
          highest(size_t(columns), 0);
      for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) {
          const int v = values[size_t(i * columns + j)];
          down[size_t(j)] += v, across[size_t(i)] += v;
          highest[size_t(j)] = std::max(highest[size_t(j)], v);
        }
      for (Dtype dtype : {float32, float64, int16, int64}) {
        const array matrix = astype(reshape(x, {rows, columns}), dtype);
        const array turned = transpose(contiguous(transpose(matrix)));
        for (const array& m : {matrix, turned, flip(contiguous(flip(matrix)))}) {
          SCOPED_TRACE(concat(dtype, " ", m.shape()));
          ASSERT_EQ(sum(m, 0).to_vector<int>(), down);
          ASSERT_EQ(sum(m, 1).to_vector<int>(), across);
          ASSERT_EQ(max(m, 0).to_vector<int>(), highest);
        }
      }
    }
}

TEST(ReduceLimits, DegreesOfFreedomBeyondTheCount) {
  const array x({1.0f, 2.0f, 4.0f});
  for (int ddof : {3, 4, 100}) {  // as NumPy: divided by 0
    EXPECT_EQ(var(x, false, ddof).item<float>(), INFINITY) << ddof;
    EXPECT_EQ(std(x, 0, true, ddof).to_vector<float>()[0], INFINITY) << ddof;
    EXPECT_TRUE(std::isnan(var(array({5.0f, 5.0f}), false, ddof).item<float>())) << ddof;
  }
  EXPECT_TRUE(std::isnan(var(array({2.0f}), false, 1).item<float>()));
  EXPECT_NEAR(var(x, false, 2).item<float>(), 14.0 / 3, 1e-6);
  EXPECT_NEAR(var(x, false, 1).item<float>(), 7.0 / 3, 1e-6);
  EXPECT_NEAR(var(x, false, -1).item<float>(), 14.0 / 12, 1e-6);
}

// What a running total is at the cuts: parts of 65,536 along the last axis, 256 columns elsewhere.
TEST(ScanLimits, EveryKindAcrossTheCuts) {
  for (int n : {65535, 65536, 65537, 131073}) {
    const array places = arange(n);
    const array x =
        astype(remainder(places * 7 + floor_divide(places, array(11)), array(13)), float32) - 6.0f;
    const auto values = x.to_vector<float>();
    for (bool reverse : {false, true})
      for (bool inclusive : {false, true}) {
        SCOPED_TRACE(concat(n, reverse ? " reverse" : "", inclusive ? "" : " exclusive"));
        const auto expect = [&](const array& got, float start, auto join) {
          const auto g = got.to_vector<float>();
          float run = start;
          for (int i = 0; i < n; ++i) {
            const auto k = size_t(reverse ? n - 1 - i : i);
            const float before = run;
            run = join(run, values[k]);
            ASSERT_EQ(g[k], inclusive ? run : before) << k;
          }
        };
        expect(cumsum(x, 0, reverse, inclusive), 0, [](float a, float b) { return a + b; });
        expect(cummax(x, 0, reverse, inclusive), -INFINITY,
               [](float a, float b) { return std::max(a, b); });
        expect(cummin(x, 0, reverse, inclusive), INFINITY,
               [](float a, float b) { return std::min(a, b); });
        // Signs: the product of them is the parity of what was negative.
        const array signs = where(x < 0, array(-1.0f), array(1.0f));
        const auto product = cumprod(signs, 0, reverse, inclusive).to_vector<float>();
        float run = 1;
        for (int i = 0; i < n; ++i) {
          const auto k = size_t(reverse ? n - 1 - i : i);
          const float before = run;
          run *= values[k] < 0 ? -1.0f : 1.0f;
          ASSERT_EQ(product[k], inclusive ? run : before) << k;
        }
        const auto logs = logcumsumexp(x, 0, reverse, inclusive).to_vector<float>();
        double total = 0;
        for (int i = 0; i < n; ++i) {
          const auto k = size_t(reverse ? n - 1 - i : i);
          const double before = total;
          total += std::exp(double(values[k]));
          const double want = std::log(inclusive ? total : before);
          if (i == 0 && !inclusive)
            ASSERT_EQ(logs[k], -INFINITY);
          else
            ASSERT_NEAR(logs[k], want, 1e-6 * std::abs(want) + 1e-6) << k;
        }
      }
  }
  // A maximum, and a NaN, in one part count in all after it.
  array peak = slice_update(zeros({200000}), array({9.0f}), Shape{70000}, Shape{70001});
  EXPECT_EQ(sum(cummax(peak, 0)).item<float>(), 9.0f * 130000);
  peak = slice_update(zeros({200000}), array({NAN}), Shape{70000}, Shape{70001});
  for (const array& y : {cummax(peak, 0), cummin(peak, 0), cumsum(peak, 0), cumprod(peak, 0)})
    EXPECT_EQ(sum(astype(isnan(y), int32)).item<int>(), 130000);
}

TEST(ScanLimits, ColumnsSideBySide) {
  for (int columns : {1, 2, 255, 256, 257, 513})
    for (Shape shape : {Shape{9, columns}, Shape{2, 9, columns}, Shape{3, 9, columns, 2}}) {
      const array x = reshape(remainder(arange(int(element_count(shape))) * 5, array(17)), shape);
      for (bool reverse : {false, true}) {
        // Along the axis by hand: the sum of the slices so far.
        const int axis = shape.size() == 2 ? 0 : 1;
        array run = zeros_like(take(x, array({0}, int32), axis));
        Arrays inclusive, exclusive;
        for (int k = 0; k < 9; ++k) {
          exclusive.push_back(run);
          run = run + take(x, array({reverse ? 8 - k : k}, int32), axis);
          inclusive.push_back(run);
        }
        if (reverse)
          std::reverse(inclusive.begin(), inclusive.end()),
              std::reverse(exclusive.begin(), exclusive.end());
        for (const array& from :
             {x, transpose(contiguous(transpose(x))), flip(contiguous(flip(x)))}) {
          SCOPED_TRACE(concat(shape, reverse));
          EXPECT_TRUE(
              array_equal(cumsum(from, axis, reverse), concatenate(inclusive, axis)).item<bool>());
          EXPECT_TRUE(array_equal(cumsum(from, axis, reverse, false), concatenate(exclusive, axis))
                          .item<bool>());
        }
      }
    }
}

TEST(SortLimits, RowsAndColumnsAroundTheDigits) {
  for (int n : {1, 2, 511, 512, 513, 4095, 4097})
    for (Dtype dtype : {uint8, int8, int16, uint32, int64, float16, bfloat16, float32, float64}) {
      const array x = astype(reshape(remainder(arange(3 * n) * 7919, array(251)) -
                                         (kind_of(dtype) == Kind::u ? 0 : 125),
                                     {n, 3}),
                             dtype);
      const array rows = contiguous(transpose(x));  // (3, n)
      std::vector<double> want = rows.to_vector<double>();
      for (int i = 0; i < 3; ++i) std::sort(want.begin() + i * n, want.begin() + (i + 1) * n);
      SCOPED_TRACE(concat(dtype, " ", n));
      EXPECT_EQ(sort(rows, 1).to_vector<double>(), want);
      EXPECT_EQ(contiguous(transpose(sort(x, 0))).to_vector<double>(), want);
      EXPECT_EQ(contiguous(transpose(sort(flip(x, 0), 0))).to_vector<double>(), want);
      EXPECT_EQ(contiguous(transpose(take_along_axis(x, argsort(x, 0), 0))).to_vector<double>(),
                want);
      // Equals keep their order.
      const auto order = contiguous(argsort(rows, 1)).to_vector<int>();
      const auto keys = rows.to_vector<double>();
      for (int i = 0; i < 3; ++i)
        for (int k = 1; k < n; ++k) {
          const int a = order[size_t(i * n + k - 1)], b = order[size_t(i * n + k)];
          if (keys[size_t(i * n + a)] == keys[size_t(i * n + b)]) {
            ASSERT_LT(a, b);
          }
        }
    }
  // All digits but the highest are the same, or all but the lowest.
  for (int shift : {0, 21}) {
    const array x = left_shift(remainder(arange(1000) * 37, array(1000)), array(shift));
    EXPECT_TRUE(array_equal(sort(x), left_shift(arange(1000), array(shift))).item<bool>());
  }
}

TEST(SortLimits, OneThatDiffersFromAllOthersFindsItsPlace) {
  for (int n : {511, 512, 600})
    for (int other : {-70000, -1, 4, 6, 3000, 70000, 1 << 30})
      for (int at : {0, 1, n - 1}) {
        const array x = where(equal(arange(n), array(at)), array(other), array(5));
        const auto sorted = sort(x).to_vector<int>();
        EXPECT_EQ(sorted[other < 5 ? 0 : size_t(n - 1)], other) << n;
        EXPECT_EQ(sorted[other < 5 ? size_t(n - 1) : 0], 5) << n;
      }
}

TEST(SortLimits, ZerosAndNaN) {
  for (int n : {4, 600}) {  // compared, and digit by digit
    const array rest = full({n - 4}, array(5.0f));
    const array x = concatenate({array({NAN, 0.0f, -0.0f, -1.0f}), rest});
    const auto sorted = sort(x).to_vector<float>();
    EXPECT_EQ(sorted[0], -1);
    EXPECT_TRUE(std::signbit(sorted[1]) && !std::signbit(sorted[2]));  // -0 before 0
    EXPECT_TRUE(std::isnan(sorted.back()));
    const auto places = argsort(x).to_vector<int>();
    EXPECT_EQ(places[0], 3);
    EXPECT_EQ(places[1], 1);  // as equals, the zeros keep their order
    EXPECT_EQ(places[2], 2);
    EXPECT_EQ(places.back(), 0);
  }
}

}  // namespace
}  // namespace hearth
