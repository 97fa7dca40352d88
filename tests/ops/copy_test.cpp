// Copies of views: against the walk over elements that to_vector makes, which no kernel shares.
#include <gtest/gtest.h>

#include <random>

#include "hearth/backend/pool.h"
#include "hearth/ops/ops.h"
#include "tests/ops/layouts.h"

namespace hearth {
namespace {

constexpr Dtype kItems[] = {uint8, uint16, uint32, uint64};  // one of every size

array counted(const Shape& shape, Dtype dtype) {
  return astype(reshape(arange(int(element_count(shape))) * 2654435, shape), dtype);
}
void expect_copied(const array& view) {
  const array copied = copy(view), row_major = contiguous(view);
  ASSERT_EQ(copied.to_vector<uint64_t>(), view.to_vector<uint64_t>())
      << view.dtype() << " " << view.shape();
  ASSERT_EQ(row_major.to_vector<uint64_t>(), view.to_vector<uint64_t>());
}

TEST(Copy, TransposedAroundTheTiles) {
  for (Dtype dtype : kItems) {
    const int tile = int(64 / size_of(dtype));
    std::vector<int> sizes{1, 3, 4, 5, tile - 1, tile, tile + 1, 2 * tile + 3};
    for (int rows : sizes)
      for (int columns : sizes) {
        const array x = counted({rows, columns}, dtype);
        expect_copied(transpose(x));
        expect_copied(
            slice(transpose(x), {columns > 1, rows > 1}, {columns, rows}));  // off any alignment
      }
    for (int columns : {255, 256, 257, 300})
      expect_copied(transpose(counted({columns, tile + 1}, dtype)));
    expect_copied(transpose(counted({tile + 1, 3, 2 * tile}, dtype), {2, 1, 0}));
    expect_copied(transpose(counted({3, tile, 5, tile + 1}, dtype), {2, 3, 0, 1}));
    expect_copied(transpose(flip(counted({tile + 1, 2 * tile}, dtype))));
  }
}

TEST(Copy, InParallelWhereItIsMuch) {
  const int threads = cpu::threads();
  cpu::set_threads(3);
  for (Dtype dtype : {uint8, uint32, uint64})
    for (Shape shape : {Shape{700, 1031}, Shape{3, 1 << 18}, Shape{1 << 18, 3}, Shape{65, 129, 67},
                        Shape{1000001}}) {
      const array x = counted(shape, dtype);
      expect_copied(transpose(x));
      expect_copied(flip(x));
      Shape start(shape.size(), 1);
      expect_copied(slice(x, start, shape));
    }
  cpu::set_threads(threads);
}

TEST(Copy, LinesOfEveryLengthAndStep) {
  for (Dtype dtype : kItems)
    for (int n : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 127, 128, 129, 130}) {
      const array x = counted({3, 2 * n + 1}, dtype);
      expect_copied(slice(x, {0, 1}, {3, n + 1}));
      expect_copied(slice(x, {0, 1}, {3, 2 * n + 1}, {1, 2}));
      expect_copied(flip(slice(x, {0, 1}, {3, n + 1}), 1));
      expect_copied(broadcast_to(slice(x, {0, 1}, {3, 2}), {3, n}));
      expect_copied(broadcast_to(slice(x, {1, 0}, {2, n}), {5, n}));
    }
}

// Any view of any view.
TEST(Copy, ViewsOfViews) {
  std::mt19937 random(7);
  const auto below = [&](int n) { return int(random() % unsigned(n)); };
  for (int round = 0; round < 400; ++round) {
    array x = counted({1 + below(9), 1 + below(40), 1 + below(9)}, kItems[below(4)]);
    for (int step = 0, steps = 1 + below(4); step < steps; ++step) {
      const Shape& shape = x.shape();
      if (below(3) == 0) {
        std::vector<int> axes{0, 1, 2};
        std::shuffle(axes.begin(), axes.end(), random);
        x = transpose(x, axes);
      } else if (below(3) == 0) {
        x = flip(x, below(3));
      } else if (below(3) == 0) {
        x = broadcast_to(slice(x, {0, 0, 0}, {shape[0], 1, shape[2]}),
                         {shape[0], 1 + below(20), shape[2]});
      } else {
        Shape start, by;
        for (int n : shape) start.push_back(below(n)), by.push_back(1 + below(3));
        x = slice(x, start, shape, by);
      }
    }
    expect_copied(x);
    // The same view as an operand, as an index table, and as what is joined.
    const auto values = x.to_vector<uint64_t>();
    ASSERT_EQ((x + array(0, x.dtype())).to_vector<uint64_t>(), values);
    ASSERT_EQ(flatten(x).to_vector<uint64_t>(), values);
    ASSERT_EQ(take(x, arange(int(x.size()))).to_vector<uint64_t>(), values);
    const array twice = concatenate({x, x}, 1);
    ASSERT_EQ(slice(twice, {0, x.shape(1), 0}, twice.shape()).to_vector<uint64_t>(), values);
  }
}

// Elements seen as others, where the view's offset or strides do not divide: then they are copied.
TEST(Copy, SeenAsAnotherDtype) {
  std::vector<uint8_t> bytes(64);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = uint8_t(i * 7 + 1);
  const array x = reshape(array(bytes.begin(), {64}), {4, 16});
  for (Dtype to : {uint16, uint32, uint64, float16})
    for (int offset : {0, 1, 2, 4, 8})
      for (int width : {8, 16}) {
        if (offset + width > 16) continue;
        const array part = slice(x, {1, offset}, {4, offset + width});
        EXPECT_EQ(testing::row_major_bytes(view(part, to)), testing::row_major_bytes(part))
            << to << offset;
        const array turned = transpose(contiguous(transpose(part)));
        EXPECT_EQ(testing::row_major_bytes(view(turned, to)), testing::row_major_bytes(part))
            << to << offset;
        EXPECT_EQ(testing::row_major_bytes(view(flip(part, 1), to)),
                  testing::row_major_bytes(flip(part, 1)));
      }
  // Rows that begin at every byte, read as larger elements; and back.
  for (size_t offset : {0u, 1u}) {
    const array odd = as_strided(flatten(x), {5, 8}, {3, 1}, offset);
    for (Dtype to : {uint16, uint32, uint64})
      EXPECT_EQ(testing::row_major_bytes(view(odd, to)), testing::row_major_bytes(odd)) << to;
  }
  const array wide = view(slice(view(x, uint32), {1, 1}, {4, 3}), uint8);
  EXPECT_EQ(testing::row_major_bytes(wide), testing::row_major_bytes(slice(x, {1, 4}, {4, 12})));
  const array one = view(slice(x, {0, 3}, {4, 4}), int8);  // of the same size: any layout stays
  EXPECT_EQ(testing::row_major_bytes(one), testing::row_major_bytes(slice(x, {0, 3}, {4, 4})));
}

// Elementwise programs around their blocks of 1,024, rows of 256, and tasks of 32 blocks.
TEST(Copy, OperandsOfEveryLayoutAroundTheBlocks) {
  for (Shape shape :
       {Shape{3, 255}, Shape{3, 256}, Shape{3, 257}, Shape{2, 1023}, Shape{2, 1024}, Shape{2, 1025},
        Shape{3, 2047}, Shape{2, 2049}, Shape{1023}, Shape{1024}, Shape{1025}, Shape{32767},
        Shape{32768}, Shape{32769}, Shape{33, 1024}, Shape{5, 6, 256}, Shape{129, 255}}) {
    const int columns = shape.back(), n = int(element_count(shape)), rows = n / columns;
    const array a = reshape(arange(n), shape), row = arange(columns) * 3;
    Shape column_shape = shape;
    column_shape.back() = 1;
    const array column = reshape(arange(rows) * 5, column_shape);
    const array turned = transpose(contiguous(transpose(a))), back = flip(contiguous(flip(a)));
    for (Dtype dtype : {float32, int64, int8, complex64}) {
      const auto as = [&](const array& x) { return astype(remainder(x, array(61)), dtype); };
      const auto got =
          (as(a) + as(row) + as(column) + as(turned) + as(back) + array(1, dtype)).to_vector<int>();
      const auto views = as(turned + back).to_vector<int>();
      for (int i = 0; i < n; ++i) {
        const int sum = 3 * (i % 61) + i % columns * 3 % 61 + i / columns * 5 % 61 + 1;
        ASSERT_EQ(got[size_t(i)], dtype == int8 ? int(int8_t(sum)) : sum)
            << dtype << shape.size() << " " << columns;
        ASSERT_EQ(views[size_t(i)], 2 * i % 61);
      }
    }
  }
}

}  // namespace
}  // namespace hearth
