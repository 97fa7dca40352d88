// Pooling and dropout where PyTorch's numbers (nn_test.cpp) do not reach: dtypes, layouts, empty
// and odd sizes, ties, what is refused.
#include "hearth/nn/pooling.h"

#include <gtest/gtest.h>

#include "hearth/nn/dropout.h"
#include "hearth/ops/ops.h"
#include "tests/close.h"
#include "tests/gradients.h"
#include "tests/temp_folder.h"

namespace hearth::nn {
namespace {

using testing::error_of;
using testing::expect_close;
using Numbers = std::vector<float>;

// The same windows by hand, in float64; outside of x stands `outside`.
array by_hand(const array& x, int kernel, int stride, int padding, bool of_max) {
  const int n = x.shape(0), h = x.shape(1), w = x.shape(2), c = x.shape(3);
  const int out_h = (h + 2 * padding - kernel) / stride + 1,
            out_w = (w + 2 * padding - kernel) / stride + 1;
  const auto values = astype(x, float64).to_vector<double>();
  std::vector<double> out;
  for (int b = 0; b < n; ++b)
    for (int i = 0; i < out_h; ++i)
      for (int j = 0; j < out_w; ++j)
        for (int k = 0; k < c; ++k) {
          double most = -INFINITY, sum = 0;
          for (int u = i * stride - padding; u < i * stride - padding + kernel; ++u)
            for (int v = j * stride - padding; v < j * stride - padding + kernel; ++v)
              if (u >= 0 && u < h && v >= 0 && v < w) {
                const double value = values[size_t(((b * h + u) * w + v) * c + k)];
                most = std::max(most, value), sum += value;
              }
          out.push_back(of_max ? most : sum / (kernel * kernel));
        }
  return array(out.begin(), {n, out_h, out_w, c}, float64);
}

TEST(Pooling, IsTheWindowsOfEveryDtypeAndLayout) {
  const int ways[][3] = {{2, 2, 0}, {3, 3, 0}, {3, 2, 1}, {2, 1, 0},
                         {1, 1, 0}, {5, 5, 2}, {1, 3, 0}};
  for (const Dtype d : {float32, float16, bfloat16, float64, int32, uint8, int8, int64})
    for (const int sizes : {5, 6, 8})
      for (const auto& [kernel, stride, padding] : ways) {
        const array numbers =
            random::randint(0, 100, {2, sizes, sizes + 1, 3}, int32, random::key(uint64_t(sizes)));
        const array moved = d == uint8 ? numbers : numbers - 50;
        // As it is, and as a view with other strides.
        for (const array& x :
             {astype(moved, d),
              transpose(transpose(astype(moved, d), {0, 3, 1, 2}), {0, 2, 3, 1})}) {
          const std::string what =
              concat(d, " ", x.shape(), " ", kernel, " ", stride, " ", padding);
          const array most = MaxPool2d(kernel, stride, padding)(x);
          EXPECT_EQ(most.dtype(), d);
          expect_close(most, astype(by_hand(x, kernel, stride, padding, true), d), {}, what);
          const array mean = AvgPool2d(kernel, stride, padding)(x);
          const Dtype to = is_inexact(d) ? d : float32;
          EXPECT_EQ(mean.dtype(), to);
          expect_close(mean, astype(by_hand(x, kernel, stride, padding, false), to), {2, 16}, what);
        }
      }
}

TEST(Pooling, HasTheSlopesOfItsWindows) {
  const std::pair<const char*, std::function<array(const array&)>> pools[] = {
      {"apart", MaxPool2d(2)},
      {"with a rest", MaxPool2d{{2, 3}}},
      {"overlapping", MaxPool2d(3, 2, 1)},
      {"mean apart", AvgPool2d(2)},
      {"mean overlapping", AvgPool2d(3, {1, 2}, 1)}};
  for (const auto& [name, pool] : pools)
    testing::expect_gradients({name,
                               [&pool = pool](const Arrays& in) { return Arrays{pool(in[0])}; },
                               {testing::scattered({2, 5, 4, 2})}});
  // What is equally large has equal shares; halves are rounded once.
  for (const Dtype d : {float32, float16, bfloat16}) {
    const array x = astype(array({1.0f, 1.0f, 0.0f, 1.0f, 5.0f, 2.0f}, {1, 6, 1}), d);
    const array slope = vjp([](const array& v) { return MaxPool1d(3)(v); }, x,
                            astype(array({6.0f, 3.0f}, {1, 2, 1}), d))
                            .second;
    EXPECT_EQ(slope.dtype(), d);
    EXPECT_EQ(slope.to_vector<float>(), (Numbers{3, 3, 0, 0, 3, 0}));
  }
}

TEST(Pooling, TakesEmptyArraysAndNoNumbers) {
  EXPECT_EQ(MaxPool2d(2)(zeros({0, 4, 4, 3})).shape(), (Shape{0, 2, 2, 3}));
  EXPECT_EQ(MaxPool2d(3, 1)(zeros({2, 4, 4, 0})).shape(), (Shape{2, 2, 2, 0}));
  EXPECT_EQ(AvgPool3d(2)(zeros({1, 4, 4, 4, 0})).shape(), (Shape{1, 2, 2, 2, 0}));
  EXPECT_EQ(AvgPool1d(2)(zeros({0, 5, 1})).to_vector<float>(), Numbers{});
  const array x({1.0f, NAN, -INFINITY, -INFINITY}, {1, 4, 1});
  const auto most = MaxPool1d(2)(x).to_vector<float>();
  EXPECT_TRUE(std::isnan(most[0]));
  EXPECT_EQ(most[1], -INFINITY);
}

TEST(Pooling, SaysWhatItCannotTake) {
  const std::pair<const char*, std::function<void()>> wrong[] = {
      {"MaxPool2d: a window of 0, wanted 1 or more", [] { MaxPool2d(0); }},
      {"AvgPool1d: a stride of 0, wanted 1 or more", [] { AvgPool1d(2, 0); }},
      {"MaxPool3d: a padding of -1, wanted 0 or more",
       [] {
         MaxPool3d(2, 2, {0, -1, 0});
       }},
      {"MaxPool2d: wanted 4 axes, (N, H, W, C), got (4, 4, 1)",
       [] {
         MaxPool2d(2)(zeros({4, 4, 1}));
       }},
      {"AvgPool2d: a window of 5 does not fit in axis 1 of (1, 4, 6, 1) with padding 0",
       [] {
         AvgPool2d(5)(zeros({1, 4, 6, 1}));
       }},
      {"MaxPool1d: a window of 2 does not fit in axis 1 of (1, 0, 1)",
       [] {
         MaxPool1d(2)(zeros({1, 0, 1}));
       }},
      {"MaxPool1d: wanted real numbers, got complex64",
       [] {
         MaxPool1d(2)(zeros({1, 4, 1}, complex64));
       }},
  };
  for (const auto& [sentence, call] : wrong)
    EXPECT_EQ(error_of<std::invalid_argument>(call).find(sentence), 0u)
        << error_of<std::invalid_argument>(call);
  EXPECT_ANY_THROW(MaxPool1d(1, 1, INT32_MAX)(zeros({1, 4, 1})));
}

TEST(Dropout, ZerosItsShareAndKeepsTheMean) {
  random::seed(3);
  for (const Dtype d : {float32, float16, bfloat16})
    for (const float p : {0.25f, 0.5f, 0.9f}) {
      const array x = full({100, 200}, 3, d);
      const array y = Dropout(p)(x);
      EXPECT_EQ(y.dtype(), d);
      const array zero = equal(y, array(0, d));
      const array off = abs(astype(y, float32) * array(1 - p) - array(3.0f));
      EXPECT_TRUE(all(logical_or(zero, off < array(0.02f))).item<bool>()) << d << " " << p;
      EXPECT_NEAR(mean(astype(zero, float32)).item<float>(), p, 0.02);
    }
  // Another draw each time; what is dropped has no slope.
  Dropout half;
  const array x = ones({1000});
  EXPECT_FALSE(array_equal(half(x), half(x)).item<bool>());
  array seen = x;
  const array slope = vjp([&](const array& v) { return seen = half(v); }, x, x).second;
  EXPECT_TRUE(array_equal(slope, seen).item<bool>());
  EXPECT_EQ(Dropout(0.3f)(zeros({0, 2})).shape(), (Shape{0, 2}));
  // Even an infinity is dropped.
  const array y = Dropout()(full({100}, 2.0f));
  EXPECT_EQ(sum(astype(isnan(y), int32)).item<int>(), 0);
}

TEST(Dropout, OfChannelsDropsThemWhole) {
  random::seed(4);
  const auto drops_whole = [](const array& y, const std::vector<int>& axes, int channels) {
    const array zero = astype(equal(y, array(0.0f)), float32);
    const array share = mean(zero, axes);
    EXPECT_EQ(int(share.size()), channels);
    EXPECT_TRUE(all(logical_or(share == array(0.0f), share == array(1.0f))).item<bool>());
    EXPECT_NEAR(mean(share).item<float>(), 0.5, 0.2);
  };
  drops_whole(Dropout2d()(ones({10, 3, 4, 20})), {1, 2}, 200);
  drops_whole(Dropout2d()(ones({3, 4, 200})), {0, 1}, 200);
  drops_whole(Dropout3d()(ones({10, 2, 3, 4, 20})), {1, 2, 3}, 200);
  drops_whole(Dropout3d()(ones({2, 3, 4, 200})), {0, 1, 2}, 200);
}

struct Part {
  Dropout first{0.5f};
  Linear layer{2, 2};
  HEARTH_FIELDS(first, layer)
};
struct Whole {
  std::vector<Part> parts = std::vector<Part>(2);
  std::optional<Dropout2d> maybe = Dropout2d();
  MaxPool2d pool{2};
  HEARTH_FIELDS(parts, maybe, pool)
};

TEST(Dropout, AfterTrainingEverythingIsKept) {
  Whole net;
  EXPECT_EQ(parameters(net).size(), 4u);
  train(net, false);
  EXPECT_FALSE(net.parts[1].first.training);
  EXPECT_FALSE(net.maybe->training);
  const array x = ones({2, 2, 2});
  EXPECT_TRUE(net.parts[0].first(x).same_node(x));
  EXPECT_TRUE((*net.maybe)(x).same_node(x));
  train(net);
  EXPECT_TRUE(net.parts[0].first.training);
  EXPECT_TRUE(net.maybe->training);
}

TEST(Dropout, SaysWhatItCannotTake) {
  for (const float p : {-0.1f, 1.0f, NAN})
    EXPECT_EQ(error_of<std::invalid_argument>([&] {
                Dropout{p};
              }).find("Dropout: wanted a probability p with 0 <= p < 1, got "),
              0u);
  EXPECT_EQ(error_of<std::invalid_argument>([] {
              Dropout2d()(zeros({2, 3}));
            }),
            "Dropout2d: wanted 3 or 4 axes, channels last, got (2, 3)");
  EXPECT_EQ(error_of<std::invalid_argument>([] {
              Dropout3d()(zeros({2, 3, 4}));
            }),
            "Dropout3d: wanted 4 or 5 axes, channels last, got (2, 3, 4)");
}

}  // namespace
}  // namespace hearth::nn
