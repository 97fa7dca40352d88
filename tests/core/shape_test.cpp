#include "hearth/core/shape.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(Shape, BroadcastFollowsNumPy) {
  EXPECT_EQ(broadcast_shapes({2, 1, 4}, {3, 1}), (Shape{2, 3, 4}));
  EXPECT_EQ(broadcast_shapes({}, {5}), (Shape{5}));
  EXPECT_EQ(broadcast_shapes({0, 1}, {1, 3}), (Shape{0, 3}));
  EXPECT_THROW(broadcast_shapes({2}, {3}), std::invalid_argument);
}

TEST(Shape, ElementCountRefusesNonsense) {
  EXPECT_EQ(element_count({2, 3}), 6u);
  EXPECT_EQ(element_count({2147483647, 2147483647, 0}), 0u);
  EXPECT_THROW(element_count({2147483647, 2147483647, 2147483647}), std::overflow_error);
  EXPECT_THROW(element_count({2, -1}), std::invalid_argument);
}

TEST(Shape, ReshapeViewKeepsStridesWhereItCan) {
  const View transposed{{3, 4}, {1, 3}, 5};
  EXPECT_FALSE(reshape_view(transposed, {12}));
  const View rows{{4, 3, 2}, {12, 2, 1}, 0};  // a slice of rows of 6 out of 12
  auto joined = reshape_view(rows, {4, 6});
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->strides, (Strides{12, 1}));
  auto split = reshape_view(rows, {2, 2, 1, 3, 2});
  ASSERT_TRUE(split);
  EXPECT_EQ(split->strides[0], 24);
  EXPECT_EQ(split->strides[1], 12);
  EXPECT_EQ(split->strides[3], 2);
  EXPECT_FALSE(reshape_view(rows, {24}));
}

TEST(Shape, CollapseJoinsWhatEveryArrayWalksAsOne) {
  Shape shape{2, 1, 3, 4};
  Strides strides[] = {{12, 99, 4, 1}, {0, 7, 4, 1}};
  collapse(shape, strides);
  EXPECT_EQ(shape, (Shape{2, 12}));
  EXPECT_EQ(strides[0], (Strides{12, 1}));
  EXPECT_EQ(strides[1], (Strides{0, 1}));
}

TEST(Shape, CollapseJoinsOnlyWhatFitsAnAxis) {
  Shape shape{65536, 32768, 1, 3};
  Strides strides[] = {{98304, 3, 5, 1}};
  collapse(shape, strides);
  EXPECT_EQ(shape, (Shape{65536, 98304}));  // 3 * 2^31 is more than an axis holds
  EXPECT_EQ(strides[0], (Strides{98304, 1}));
  Shape just{1 << 16, 32767};
  Strides repeated[] = {{0, 0}};
  collapse(just, repeated);
  EXPECT_EQ(just, (Shape{32767 << 16}));
  Shape backwards{3, 4};
  Strides both[] = {{-4, -1}, {4, 1}};
  collapse(backwards, both);
  EXPECT_EQ(backwards, (Shape{12}));
  EXPECT_EQ(both[0], (Strides{-1}));
  Shape none{1, 1};
  Strides of_none[] = {{7, 9}};
  collapse(none, of_none);
  EXPECT_TRUE(none.empty() && of_none[0].empty());
}

TEST(Shape, CountsUpTo2To48) {
  EXPECT_EQ(element_count({1 << 24, 1 << 24}), size_t{1} << 48);
  EXPECT_THROW(element_count({1 << 24, (1 << 24) + 1}), std::overflow_error);
  EXPECT_EQ(element_count({}), 1u);
  EXPECT_THROW(element_count({0, -1}), std::invalid_argument);
}

TEST(Shape, KnowsWhatLiesInOnePiece) {
  EXPECT_EQ(row_major({2, 3, 4}), (Strides{12, 4, 1}));
  EXPECT_TRUE(row_contiguous({2, 3}, {3, 1}));
  EXPECT_FALSE(row_contiguous({2, 3}, {4, 1}));
  EXPECT_FALSE(row_contiguous({2, 3}, {3, 2}));
  EXPECT_FALSE(row_contiguous({2, 3}, {1, 2}));
  EXPECT_FALSE(row_contiguous({3}, {-1}));
  EXPECT_FALSE(row_contiguous({3}, {0}));
  EXPECT_TRUE(row_contiguous({1, 3, 1}, {99, 1, -5}));  // axes of size 1 lie anywhere
  EXPECT_TRUE(row_contiguous({2, 0}, {7, 7}));
  EXPECT_TRUE(row_contiguous({}, {}));
  EXPECT_EQ(broadcast_strides({3, 1, 2}, {2, 9, 1}, {5, 3, 4, 2}), (Strides{0, 2, 0, 1}));
}

TEST(Shape, NormalizeAxisTakesBothEnds) {
  EXPECT_EQ(normalize_axis(2, 3, "sum"), 2);
  EXPECT_EQ(normalize_axis(-3, 3, "sum"), 0);
  EXPECT_THROW(normalize_axis(3, 3, "sum"), std::out_of_range);
  EXPECT_THROW(normalize_axis(-4, 3, "sum"), std::out_of_range);
  EXPECT_THROW(normalize_axis(0, 0, "sum"), std::out_of_range);
}

// Every view that a reshape gives must read the elements in the order of before.
TEST(Shape, ReshapedViewsReadTheSameElements) {
  const auto offsets = [](const View& v) {
    std::vector<int64_t> all{v.offset};
    for (size_t axis = 0; axis < v.shape.size(); ++axis) {
      std::vector<int64_t> next;
      for (int64_t at : all)
        for (int i = 0; i < v.shape[axis]; ++i) next.push_back(at + i * v.strides[axis]);
      all = next;
    }
    return all;
  };
  const Shape targets[] = {{24},         {2, 12},    {12, 2}, {4, 6},    {2, 3, 4},      {4, 3, 2},
                           {2, 2, 2, 3}, {1, 24, 1}, {3, 8},  {8, 1, 3}, {2, 1, 2, 1, 6}};
  const View sources[] = {{{2, 3, 4}, {12, 4, 1}, 3},     {{2, 3, 4}, {24, 8, 2}, 0},
                          {{2, 3, 4}, {-12, -4, -1}, 23}, {{2, 3, 4}, {4, 8, 1}, 0},
                          {{2, 3, 4}, {0, 4, 1}, 0},      {{2, 3, 4}, {0, 0, 1}, 5},
                          {{4, 3, 2}, {1, 4, 12}, 0},     {{2, 1, 12}, {100, 7, 3}, 2},
                          {{24, 1}, {-2, 5}, 46},         {{2, 2, 6}, {0, 0, 0}, 1}};
  int views = 0;
  for (const View& from : sources)
    for (const Shape& shape : targets)
      if (const auto view = reshape_view(from, shape)) {
        ++views;
        EXPECT_EQ(view->shape, shape);
        EXPECT_EQ(offsets(*view), offsets(from)) << to_string(from.shape) << to_string(shape);
      }
  EXPECT_GE(views, 50);
}

TEST(Shape, NormalizeAxesSortsAndRefusesRepeats) {
  const int axes[] = {-1, 0};
  EXPECT_EQ(normalize_axes(axes, 3, "sum"), (SmallVector<int, 6>{0, 2}));
  const int twice[] = {1, -2};
  EXPECT_THROW(normalize_axes(twice, 3, "sum"), std::invalid_argument);
}

}  // namespace
}  // namespace hearth
