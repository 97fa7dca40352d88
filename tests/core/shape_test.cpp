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
  EXPECT_THROW(element_count({2147483647, 2147483647, 2147483647}), std::invalid_argument);
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

TEST(Shape, NormalizeAxesSortsAndRefusesRepeats) {
  const int axes[] = {-1, 0};
  EXPECT_EQ(normalize_axes(axes, 3, "sum"), (SmallVector<int, 6>{0, 2}));
  const int twice[] = {1, -2};
  EXPECT_THROW(normalize_axes(twice, 3, "sum"), std::invalid_argument);
}

}  // namespace
}  // namespace hearth
