// x[...]: NumPy's rules, held against what each index means element by element.
#include "hearth/ops/indexing.h"

#include <gtest/gtest.h>

#include "hearth/ops/ops.h"
#include "hearth/transforms/grad.h"
#include "tests/on_device.h"

namespace hearth {
namespace {

using Ints = std::vector<int>;

array counted(const Shape& shape) { return reshape(arange(int(element_count(shape))), shape); }

TEST(Indexing, ByNumbersAndSlices) {
  const array x = counted({3, 4});
  EXPECT_EQ(x[1].to_vector<int>(), (Ints{4, 5, 6, 7}));
  EXPECT_EQ(x[-1][-1].item<int>(), 11);
  EXPECT_EQ((x[{2, 1}].item<int>()), 9);
  EXPECT_EQ(x[Slice(1)].shape(), (Shape{2, 4}));
  EXPECT_EQ(x[Slice({}, 1)].shape(), (Shape{1, 4}));
  EXPECT_EQ((x[{Slice(), Slice(1, 4, 2)}].to_vector<int>()), (Ints{1, 3, 5, 7, 9, 11}));
  EXPECT_EQ((x[{0, Slice({}, {}, -1)}].to_vector<int>()), (Ints{3, 2, 1, 0}));
  EXPECT_EQ((x[{0, Slice(2, {}, -1)}].to_vector<int>()), (Ints{2, 1, 0}));
  EXPECT_EQ((x[{0, Slice({}, -3, -1)}].to_vector<int>()), (Ints{3, 2}));
  EXPECT_EQ((x[{ellipsis, 0}].to_vector<int>()), (Ints{0, 4, 8}));
  EXPECT_EQ((x[{newaxis, 1, newaxis}].shape()), (Shape{1, 1, 4}));
  EXPECT_EQ((x[{Slice(5, 9)}].shape()), (Shape{0, 4}));
  EXPECT_EQ(x[ellipsis].shape(), (Shape{3, 4}));
  EXPECT_EQ(get(x, {1, 2}).item<int>(), 6);
  EXPECT_EQ(take(x, {1, 2}).to_vector<int>(), (Ints{1, 2}));  // of the flat array
}

TEST(Indexing, ByArraysGoesWhereNumPyPutsThem) {
  const array x = counted({2, 3, 4, 5});
  const array two({0, 1}), three({{0, 2, 1}, {1, 0, 2}});
  // One array: its axes stand where its own stood.
  const array a = x[{Slice(), three}];
  ASSERT_EQ(a.shape(), (Shape{2, 2, 3, 4, 5}));
  EXPECT_EQ((a[{1, 0, 1, 2, 3}].item<int>()), (x[{1, 2, 2, 3}].item<int>()));
  // Side by side: at the first's place; parted by a slice: in front.
  EXPECT_EQ((x[{Slice(), two, two}].shape()), (Shape{2, 2, 5}));
  EXPECT_EQ((x[{two, Slice(), two}].shape()), (Shape{2, 3, 5}));
  EXPECT_EQ((x[{Slice(), two, Slice(), two}].shape()), (Shape{2, 2, 4}));
  EXPECT_EQ((x[{Slice(), two, Slice(), 3}].shape()), (Shape{2, 2, 4}));
  const array parted = x[{Slice(), two, Slice(), array({4, 2})}];
  EXPECT_EQ((parted[{1, 0, 3}].item<int>()), (x[{0, 1, 3, 2}].item<int>()));
  // They broadcast, and count from the end when negative.
  EXPECT_EQ((x[{array({{0}, {1}}), array({-1, 0, 1})}].shape()), (Shape{2, 3, 4, 5}));
  EXPECT_EQ((x[{array({-1}), array({-1})}][{0, 0, 0}].item<int>()), (x[{1, 2, 0, 0}].item<int>()));
  EXPECT_EQ(x[array({}, int32)].shape(), (Shape{0, 3, 4, 5}));
}

TEST(Indexing, ByMasks) {
  const array x = counted({3, 4});
  EXPECT_EQ(x[x > 8].to_vector<int>(), (Ints{9, 10, 11}));
  EXPECT_EQ((x[{Slice(1), array({true, false, false, true})}].to_vector<int>()),
            (Ints{4, 7, 8, 11}));
  EXPECT_EQ(x[array({false, true, false})].to_vector<int>(), (Ints{4, 5, 6, 7}));
  EXPECT_EQ(x[x > 100].shape(), (Shape{0}));
  EXPECT_THROW(x[array({true, false})], std::invalid_argument);
}

TEST(Indexing, AssignsToTheArrayAlone) {
  array x = counted({2, 3});
  const array before = x;
  x[0] = array({7, 8, 9});
  EXPECT_EQ(x.to_vector<int>(), (Ints{7, 8, 9, 3, 4, 5}));
  EXPECT_EQ(before.to_vector<int>(), (Ints{0, 1, 2, 3, 4, 5}));
  x[{Slice(), 1}] += 10;
  EXPECT_EQ(x.to_vector<int>(), (Ints{7, 18, 9, 3, 14, 5}));
  x[x > 10] = 0;
  EXPECT_EQ(x.to_vector<int>(), (Ints{7, 0, 9, 3, 0, 5}));
  x[{array({1, 0}), array({0, 2})}] = array({-1, -2});
  EXPECT_EQ(x.to_vector<int>(), (Ints{7, 0, -2, -1, 0, 5}));
  x[{1, Slice({}, {}, -1)}] = array({1, 2, 3});
  EXPECT_EQ(x.to_vector<int>(), (Ints{7, 0, -2, 3, 2, 1}));
  x[0] = x[1];
  EXPECT_EQ(x.to_vector<int>(), (Ints{3, 2, 1, 3, 2, 1}));
  x[{Slice(), array({2, 0})}] = array({{1, 2}, {3, 4}});
  EXPECT_EQ(x.to_vector<int>(), (Ints{2, 2, 1, 4, 2, 3}));
  x[Slice(0, 0)] = 9;
  x[ellipsis] *= 2;
  EXPECT_EQ(x.to_vector<int>(), (Ints{4, 4, 2, 8, 4, 6}));
  EXPECT_EQ(x.dtype(), int32);
  x[0] = 1.75f;  // as x's dtype
  EXPECT_EQ(x[0].to_vector<int>(), (Ints{1, 1, 1}));
}

TEST(Indexing, WhatWasReadIsAValue) {
  array x = counted({2, 2});
  auto row = x[0];
  x[0] = 9;
  EXPECT_EQ(row.to_vector<int>(), (Ints{0, 1}));
  row = row + 1;
  EXPECT_EQ(row.to_vector<int>(), (Ints{1, 2}));
  EXPECT_EQ(x.to_vector<int>(), (Ints{9, 9, 2, 3}));
  x += 1;
  EXPECT_EQ(x.to_vector<int>(), (Ints{10, 10, 3, 4}));
}

TEST(Indexing, HasGradients) {
  const array x({{1.0f, 2.0f}, {3.0f, 4.0f}});
  const array g = grad([](const array& of) {
    array y = of;
    y[0] = y[1] * 2.0f;
    y[{1, array({1, 0})}] += 1.0f;
    return sum(y * y) + sum(of[of > 3.0f]);
  })(x);
  EXPECT_EQ(g.to_vector<float>(), (std::vector<float>{0, 0, 8 * 3 + 2 * 4, 8 * 4 + 2 * 5 + 1}));
}

TEST(Indexing, RefusesWhatIsNotThere) {
  array x = counted({2, 3});
  EXPECT_THROW(x[2], std::out_of_range);
  EXPECT_THROW(x[-3], std::out_of_range);
  EXPECT_THROW((x[{0, 0, 0}]), std::out_of_range);
  EXPECT_THROW((x[{ellipsis, ellipsis}]), std::invalid_argument);
  EXPECT_THROW(x[Slice(0, 2, 0)], std::invalid_argument);
  EXPECT_THROW(x[array({0.5f})], std::invalid_argument);
  if (!testing::on_device()) {  // a kernel elsewhere cannot throw
    EXPECT_THROW(x[array({5})].eval(), std::runtime_error);
  }
  EXPECT_THROW(x[0] = array({1, 2}), std::invalid_argument);
  EXPECT_THROW(x[array(true)], std::invalid_argument);
  EXPECT_EQ(x.to_vector<int>(), (Ints{0, 1, 2, 3, 4, 5}));
}

}  // namespace
}  // namespace hearth
