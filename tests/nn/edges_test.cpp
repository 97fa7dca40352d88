// Where activations, losses and layers change their mind: exactly at a limit, and just beyond it.
#include <gtest/gtest.h>

#include <functional>

#include "hearth/nn/functional.h"
#include "hearth/nn/layers.h"
#include "hearth/nn/optim.h"
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "tests/close.h"
#include "tests/temp_folder.h"

namespace hearth::nn {
namespace {

using Numbers = std::vector<float>;
using testing::error_of;

TEST(NNEdges, ActivationsAtTheirLimits) {
  const array x({-0.5f, 0.5f, -0.5000001f, 0.5000001f});
  EXPECT_EQ(hard_shrink(x).to_vector<float>(), (Numbers{0, 0, -0.5000001f, 0.5000001f}));
  const array edges({-3.0f, 3.0f, -1.0f, 1.0f, 6.0f, 0.0f});
  EXPECT_EQ(hardswish(edges).to_vector<float>()[0], 0);
  EXPECT_EQ(hardswish(edges).to_vector<float>()[1], 3);
  EXPECT_EQ(hard_tanh(edges).to_vector<float>(), (Numbers{-1, 1, -1, 1, 1, 0}));
  EXPECT_EQ(relu6(edges).to_vector<float>(), (Numbers{0, 3, 0, 1, 6, 0}));
  EXPECT_EQ(step(edges, 1.0f).to_vector<float>(), (Numbers{0, 1, 0, 0, 1, 0}));
  EXPECT_EQ(elu(array(0.0f), 5.0f).item<float>(), 0);
}

TEST(NNEdges, LossesAtTheirLimits) {
  const array zero = zeros({3}), x({1.0f, 1.5f, -1.0f});
  const auto none = Reduction::none;
  EXPECT_EQ(smooth_l1_loss(x, zero, 1.0f, none).to_vector<float>(), (Numbers{0.5f, 1, 0.5f}));
  EXPECT_EQ(huber_loss(x, zero, 1.0f, none).to_vector<float>(), (Numbers{0.5f, 1, 0.5f}));
  EXPECT_EQ(hinge_loss(array({1.0f, 2.0f, -0.5f}), ones({3}), none).to_vector<float>(),
            (Numbers{0, 0, 1.5f}));
}

TEST(NNEdges, LossesRefuseWhatDoesNotBelongTogether) {
  const array x = zeros({2, 3}), y = zeros({2, 1}), ids = zeros({2}, int32);
  const std::pair<const char*, std::function<void()>> wrong[] = {
      {"cross_entropy: wanted label_smoothing in [0, 1), got -0.1",
       [&] { cross_entropy(x, ids, {}, -1, -0.1f); }},
      {"cross_entropy: wanted label_smoothing in [0, 1), got 1",
       [&] { cross_entropy(x, ids, {}, -1, 1.0f); }},
      {"cross_entropy: wanted weights of shape (2), got (3)",
       [&] { cross_entropy(x, ids, zeros({3})); }},
      {"cross_entropy: there is no axis -3 in (2, 3)", [&] { cross_entropy(x, ids, {}, -3); }},
      {"binary_cross_entropy: inputs are (2, 3), targets (2, 1)",
       [&] { binary_cross_entropy(x, y); }},
      {"l1_loss: predictions are (2, 3), targets (2, 1)", [&] { l1_loss(x, y); }},
      {"mse_loss: predictions are (2, 3), targets (2, 1)", [&] { mse_loss(x, y); }},
      {"smooth_l1_loss: predictions are (2, 3), targets (2, 1)", [&] { smooth_l1_loss(x, y); }},
      {"smooth_l1_loss: wanted beta 0 or more, got -1", [&] { smooth_l1_loss(x, x, -1); }},
      {"nll_loss: there is no axis 2 in (2, 3)", [&] { nll_loss(x, ids, 2); }},
  };
  for (const auto& [sentence, call] : wrong)
    EXPECT_EQ(error_of<std::invalid_argument>(call).find(sentence), 0u)
        << error_of<std::invalid_argument>(call);
  EXPECT_EQ(cross_entropy(x, zeros({3}, int32), {}, -2).shape(), Shape{3});
}

TEST(NNEdges, LayersWithoutTheirOptionalParts) {
  EXPECT_EQ(parameters(*std::make_unique<LayerNorm>(4, 1e-5f, true, false)).size(), 1u);
  EXPECT_EQ(parameters(*std::make_unique<LayerNorm>(4, 1e-5f, false, true)).size(), 0u);
  EXPECT_EQ(parameters(*std::make_unique<Conv1d>(2, 2, 1, 1, 0, 1, 1, false)).size(), 1u);
  EXPECT_EQ(parameters(*std::make_unique<Conv2d>(2, 2, 1, 1, 0, 1, 1, false)).size(), 1u);
  EXPECT_EQ(error_of<std::invalid_argument>([] {
              Conv2d(2, 2, {3, 0});
            }),
            "Conv2d: a kernel of size 0, wanted 1 or more");
  EXPECT_EQ(error_of<std::invalid_argument>([] { Conv1d(2, 0, 3); }),
            "Conv1d: 2 channels in and 0 out, wanted 1 or more");
  EXPECT_EQ(error_of<std::invalid_argument>([] { Conv1d(2, 2, 3, 1, 0, 1, 0); }),
            "Conv1d: 2 channels in and 2 out cannot be split into 0 groups");
  EXPECT_EQ(error_of<std::invalid_argument>([] {
              Conv1d(1 << 20, 1, 1 << 11);
            }).find("Conv1d: a kernel of 2147483648 elements"),
            0u);
}

// A step of the optimizer counts, a norm exactly at the limit is left alone, and complex gradients
// count by their size.
TEST(NNEdges, OptimizersAtTheirLimits) {
  array w({2.0f});
  optim::SGD plain{0.5f, 0.0f, 0.25f};
  plain.update({{"w", &w}}, {{"w", array({1.0f})}});
  EXPECT_EQ(w.item<float>(), 2 - 0.5f * (1 + 0.25f * 2));
  EXPECT_TRUE(plain.velocity.empty());
  optim::Adam adam{0.1f, 0.9f, 0.99f, 1e-8f, true};
  array v({1.0f});
  for (float g : {1.0f, -3.0f}) adam.update({{"v", &v}}, {{"v", array({g})}});
  const double m = 0.9 * 0.1 - 0.1 * 3, s = 0.99 * 0.01 + 0.01 * 9;
  const double second = 0.1 * (m / (1 - 0.81)) / std::sqrt(s / (1 - 0.99 * 0.99));
  EXPECT_NEAR(v.item<float>(), 1 - 0.1 - second, 2e-6);
  const auto [kept, norm] = optim::clip_grad_norm({{"a", array({complex64_t(3, 4)}, {1})}}, 100);
  EXPECT_EQ(norm.item<float>(), 5);
  EXPECT_EQ(kept.at("a").item<complex64_t>(), complex64_t(3, 4));
}

}  // namespace
}  // namespace hearth::nn
