// unique, minmax, and scans of another dtype: values by hand, as MLX documents them.
#include <gtest/gtest.h>

#include <cmath>

#include "hearth/ops/ops.h"

namespace hearth {
namespace {

using Ints = std::vector<int>;

TEST(Unique, GivesValuesPlacesAndCounts) {
  const array a({{2, 1, 2}, {3, 1, 7}});
  const Arrays all = unique(a, 5, true, true, true, array(0));
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].to_vector<int>(), (Ints{1, 2, 3, 7, 0}));
  EXPECT_EQ(all[1].to_vector<int>(), (Ints{1, 0, 3, 5, 0}));
  EXPECT_EQ(all[2].to_vector<int>(), (Ints{1, 0, 1, 2, 0, 3}));
  EXPECT_EQ(all[2].shape(), a.shape());
  EXPECT_EQ(all[3].to_vector<int>(), (Ints{2, 2, 1, 1, 0}));
  EXPECT_EQ(all[1].dtype(), uint32);
  EXPECT_EQ(all[2].dtype(), uint32);
  EXPECT_EQ(all[3].dtype(), int32);
}

TEST(Unique, IsCutOffOrFilledUp) {
  const array a({5, 3, 5, 9, 3, 3});
  const Arrays cut = unique(a, 2, true, true, true);
  EXPECT_EQ(cut[0].to_vector<int>(), (Ints{3, 5}));
  EXPECT_EQ(cut[1].to_vector<int>(), (Ints{1, 0}));
  EXPECT_EQ(cut[2].to_vector<int>(), (Ints{1, 0, 1, 1, 0, 0}));
  EXPECT_EQ(cut[3].to_vector<int>(), (Ints{3, 2}));
  EXPECT_EQ(unique(a, 5)[0].to_vector<int>(), (Ints{3, 5, 9, 3, 3}));
  EXPECT_EQ(unique(a, 0)[0].shape(), (Shape{0}));
  EXPECT_EQ(unique(zeros({0}), 0)[0].shape(), (Shape{0}));
  EXPECT_EQ(unique(zeros({0}), 2, true, true, true, array(4))[0].to_vector<int>(), (Ints{4, 4}));
}

TEST(Unique, TakesEveryDtype) {
  for (int d = 0; d < kDtypes; ++d) {
    const array a = astype(array({1, 0, 1, 0}), Dtype(d));
    const Arrays got = unique(a, 2, false, false, true);
    EXPECT_EQ(got[0].dtype(), Dtype(d));
    EXPECT_EQ(got[0].to_vector<int>(), (Ints{0, 1})) << Dtype(d);
    EXPECT_EQ(got[1].to_vector<int>(), (Ints{2, 2})) << Dtype(d);
  }
  const auto counts = unique(array({NAN, 1.0f, NAN}), 2, false, false, true)[1];
  EXPECT_EQ(counts.to_vector<int>(), (Ints{1, 2}));
}

TEST(MinMax, IsBoth) {
  const array a({{3, 1, 2}, {9, 7, 8}});
  const auto [low, high] = minmax(a);
  EXPECT_EQ(low.item<int>(), 1);
  EXPECT_EQ(high.item<int>(), 9);
  const auto [lows, highs] = minmax(a, 1, true);
  EXPECT_EQ(lows.to_vector<int>(), (Ints{1, 7}));
  EXPECT_EQ(highs.shape(), (Shape{2, 1}));
  EXPECT_THROW(minmax(zeros({0})), std::invalid_argument);
}

TEST(Scans, TakeADtype) {
  const array a({100, 100, 3}, int8);
  EXPECT_EQ(cumsum(a, 0, false, true, int32).to_vector<int>(), (Ints{100, 200, 203}));
  EXPECT_EQ(cumsum(a, 0).dtype(), int8);
  EXPECT_EQ(cumsum(a, false, true, float16).dtype(), float16);
  EXPECT_EQ(cumprod(a, 0, false, true, int64).to_vector<int>(), (Ints{100, 10000, 30000}));
  EXPECT_EQ(cumprod(array({0.5f, 3.0f}), false, true, bool_).dtype(), bool_);
  EXPECT_EQ(cumsum(array({0.5f, 3.0f}), false, true, bool_).to_vector<int>(), (Ints{1, 2}));
}

}  // namespace
}  // namespace hearth
