// Indexing where work is split: blocks, lines of 256 indices and tasks of 16,384 elements, against
// plain loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "hearth/backend/pool.h"
#include "hearth/ops/ops.h"
#include "tests/on_device.h"
#include "tests/ops/layouts.h"

namespace hearth {
namespace {

using Ints = std::vector<int>;

struct ThreadsScope {
  int before = cpu::threads();
  ThreadsScope() { cpu::set_threads(3); }
  ~ThreadsScope() { cpu::set_threads(before); }
};
array hashed(const Shape& shape, int below) {
  const array i = arange(int(element_count(shape)));
  return reshape(remainder(bitwise_xor(i * 7919, right_shift(i, array(3))), array(below)), shape);
}

TEST(IndexLimits, AlongEveryAxisOfManyElements) {
  const ThreadsScope threads;
  for (Shape shape :
       {Shape{40, 257, 3}, Shape{3, 255, 40}, Shape{257, 130}, Shape{20000}, Shape{2, 256, 5}})
    for (int axis = 0; axis < int(shape.size()); ++axis) {
      const int size = shape[size_t(axis)];
      const array x = hashed(shape, 100000), places = hashed(shape, size) - hashed(shape, 2) * size;
      const Ints values = x.to_vector<int>(), at = places.to_vector<int>();
      const Strides strides = row_major(shape);
      const auto base = [&](size_t i) {  // of the line that element i is on
        return int64_t(i) - int64_t(i) / strides[size_t(axis)] % size * strides[size_t(axis)];
      };
      Ints taken, put(values), added(values);
      const Ints news = hashed(shape, 977).to_vector<int>();
      // Where places repeat, the last one written stays.
      for (size_t i = 0; i < at.size(); ++i) {
        const auto from =
            size_t(base(i) + (at[i] < 0 ? at[i] + size : at[i]) * strides[size_t(axis)]);
        taken.push_back(values[from]);
        put[from] = news[i];
        added[from] += news[i];
      }
      for (Dtype dtype : {int32, int64, float32}) {
        const array all = astype(x, dtype), with = astype(hashed(shape, 977), dtype);
        for (const auto& [layout, index] : testing::layouts(places)) {
          SCOPED_TRACE(concat(dtype, " ", shape, " axis ", axis, " ", layout));
          ASSERT_EQ(take_along_axis(all, index, axis).to_vector<int>(), taken);
          ASSERT_EQ(put_along_axis(all, index, with, axis).to_vector<int>(), put);
          ASSERT_EQ(scatter_add_axis(all, index, with, axis).to_vector<int>(), added);
        }
        const array turned = transpose(contiguous(transpose(all)));
        ASSERT_EQ(take_along_axis(turned, places, axis).to_vector<int>(), taken);
        ASSERT_EQ(scatter_add_axis(turned, places, transpose(contiguous(transpose(with))), axis)
                      .to_vector<int>(),
                  added);
      }
    }
}

TEST(IndexLimits, BlocksOfEverySizeAreGatheredAndScattered) {
  const ThreadsScope threads;
  // Blocks of 1 element, of few, and of more than are copied by one task.
  for (auto [rows, width, count] : {std::tuple{50, 1, 40000},
                                    {300, 7, 5000},
                                    {9, 16384, 5},
                                    {9, 32767, 4},
                                    {9, 32768, 4},
                                    {5, 40001, 3}}) {
    const array x = hashed({rows, width}, 100000), places = hashed({count}, rows);
    const Ints values = x.to_vector<int>(), at = places.to_vector<int>();
    Ints taken, summed(values), highest(values);
    const Ints news = hashed({count, 1, width}, 100003).to_vector<int>();
    for (int i = 0; i < count; ++i)
      for (int j = 0; j < width; ++j) {
        const auto from = size_t(at[size_t(i)] * width + j), n = size_t(i * width + j);
        taken.push_back(values[from]);
        summed[from] += news[n];
        highest[from] = std::max(highest[from], news[n]);
      }
    const array updates = hashed({count, 1, width}, 100003);
    const array turned = transpose(contiguous(transpose(x)));
    for (const array& from : {x, turned}) {
      SCOPED_TRACE(concat(rows, " x ", width));
      ASSERT_EQ(take(from, places, 0).to_vector<int>(), taken);
      ASSERT_EQ(scatter_add(from, places, updates, 0).to_vector<int>(), summed);
      ASSERT_EQ(scatter_max(from, places, flip(contiguous(flip(updates))), 0).to_vector<int>(),
                highest);
    }
    // Along the last axis, blocks are columns.
    const array columns = contiguous(transpose(x));
    ASSERT_EQ(contiguous(transpose(take(columns, places, 1))).to_vector<int>(), taken);
  }
}

TEST(IndexLimits, BlocksThatOverlapAddUp) {
  const ThreadsScope threads;
  const int rows = 200, height = 100, count = 2000;
  const array places = hashed({count}, rows - height + 1);
  const array updates = hashed({count, height, 3}, 50);
  const Ints at = places.to_vector<int>(), news = updates.to_vector<int>();
  Ints want(size_t(rows) * 3, 0);
  for (int i = 0; i < count; ++i)
    for (int j = 0; j < height * 3; ++j)
      want[size_t(at[size_t(i)] * 3 + j)] += news[size_t(i * height * 3 + j)];
  EXPECT_EQ(scatter_add(zeros({rows, 3}, int32), places, updates, 0).to_vector<int>(), want);
}

TEST(IndexLimits, SlicesAreUpdatedInEveryMode) {
  const ThreadsScope threads;
  for (Shape shape : {Shape{7, 9}, Shape{60, 700}, Shape{2, 3, 20001}}) {
    const array x = hashed(shape, 1000);
    const Shape start(shape.size(), 1), step(shape.size(), 2);
    const array part = slice(x, start, shape, step), news = hashed(part.shape(), 997);
    for (const array& update :
         {news, transpose(contiguous(transpose(news))), broadcast_to(array(500), part.shape())})
      for (const array& from : {x, flip(contiguous(flip(x)))}) {
        const auto expect = [&](const array& got, const array& want) {
          ASSERT_EQ(slice(got, start, shape, step).to_vector<int>(), want.to_vector<int>());
          // The rest stays.
          ASSERT_EQ(slice_update(got, part, start, shape, step).to_vector<int>(),
                    x.to_vector<int>());
        };
        expect(slice_update(from, update, start, shape, step), update);
        expect(slice_update_add(from, update, start, shape, step), part + update);
        expect(slice_update_prod(from, update, start, shape, step), part * update);
        expect(slice_update_max(from, update, start, shape, step), maximum(part, update));
        expect(slice_update_min(from, update, start, shape, step), minimum(part, update));
      }
  }
}

TEST(IndexLimits, SearchesManyValuesOnBothSides) {
  const ThreadsScope threads;
  for (Dtype dtype : {int32, float32, float16, uint8})
    for (int n : {1, 2, 3, 100}) {
      std::vector<float> numbers;
      for (int i = 0; i < n; ++i) numbers.push_back(float(i / 2 * 2));  // each twice
      const array sorted = astype(array(numbers.begin(), {n}), dtype);
      for (Shape shape : {Shape{5}, Shape{}, Shape{300, 130}, Shape{20001}})
        for (bool right : {false, true}) {
          const array values = astype(hashed(shape, 103), dtype);
          const auto v = values.to_vector<float>();
          Ints want;
          for (float x : v)
            want.push_back(int((right ? std::upper_bound(numbers.begin(), numbers.end(), x)
                                      : std::lower_bound(numbers.begin(), numbers.end(), x)) -
                               numbers.begin()));
          const char* const side = right ? "right" : "left";
          SCOPED_TRACE(concat(dtype, " ", n, " ", shape, " ", side));
          ASSERT_EQ(searchsorted(sorted, values, side).to_vector<int>(), want);
          if (shape.empty()) continue;
          ASSERT_EQ(flip(searchsorted(flip(contiguous(flip(sorted))), flip(values), side))
                        .to_vector<int>(),
                    want);
        }
    }
  const array with_nan({1.0f, 2.0f, NAN});  // NaN is after all numbers
  EXPECT_EQ(searchsorted(with_nan, array({NAN, INFINITY}), "left").to_vector<int>(), (Ints{2, 2}));
  EXPECT_EQ(searchsorted(with_nan, array({NAN, INFINITY}), "right").to_vector<int>(), (Ints{3, 2}));
}

TEST(IndexLimits, MasksTakeInOrderAndAllThereIs) {
  for (Shape shape : {Shape{5}, Shape{40, 300}, Shape{3, 5, 7}}) {
    const array x = hashed(shape, 1000), mask = equal(hashed(shape, 3), array(1));
    const int taken = sum(astype(mask, int32)).item<int>();
    const array source = hashed({std::max(1, taken)}, 5000) + 10000;
    Ints want = x.to_vector<int>();
    const auto m = mask.to_vector<bool>();
    const Ints s = source.to_vector<int>();
    for (size_t i = 0, next = 0; i < want.size(); ++i)
      if (m[i]) want[i] = s[next++];
    for (const auto& [layout, hidden] : testing::layouts(mask)) {
      EXPECT_EQ(masked_scatter(x, hidden, source).to_vector<int>(), want) << layout;
      EXPECT_EQ(masked_scatter(flip(contiguous(flip(x))), hidden, flip(contiguous(flip(source))))
                    .to_vector<int>(),
                want);
    }
    if (taken > 1 && !testing::on_device()) {  // a kernel elsewhere cannot throw
      EXPECT_THROW(masked_scatter(x, mask, slice(source, {0}, {taken - 1})).eval(),
                   std::runtime_error);
    }
  }
}

TEST(IndexLimits, RangesAreCutWithoutATrace) {
  const ThreadsScope threads;
  for (int n : {65535, 65536, 65537, 200001})
    for (Dtype dtype : {int32, int64, float32, float64, uint8}) {
      const auto got = arange(3.0, 3.0 + 2.0 * n, 2.0, dtype).to_vector<double>();
      ASSERT_EQ(got.size(), size_t(n));
      for (int i = 0; i < n; i += i < 3 || n - i < 5 ? 1 : 97) {
        const double want = 3.0 + 2.0 * i;
        ASSERT_EQ(got[size_t(i)], dtype == uint8 ? double(uint8_t(int(want))) : want) << dtype << i;
      }
    }
}

}  // namespace
}  // namespace hearth
