// Gradients of layers, activations and losses against central differences.
#include "tests/gradients.h"

#include "hearth/nn/functional.h"
#include "hearth/nn/layers.h"

namespace hearth::testing {
namespace {

using nn::Reduction;

TEST(NNGradients, OfActivationsAreTheirSlopes) {
  using Unary = std::function<array(const array&)>;
  const std::pair<const char*, Unary> activations[] = {
      {"gelu_fast_approx", nn::gelu_fast_approx},
      {"leaky_relu", [](const array& x) { return nn::leaky_relu(x, 0.1f); }},
      {"relu6", nn::relu6},
      {"relu2", nn::relu2},
      {"elu", [](const array& x) { return nn::elu(x, 1.3f); }},
      {"celu", [](const array& x) { return nn::celu(x, 1.5f); }},
      {"selu", nn::selu},
      {"softmin", [](const array& x) { return nn::softmin(x, 0); }},
      {"log_softmax", [](const array& x) { return nn::log_softmax(x); }},
      {"log_sigmoid", nn::log_sigmoid},
      {"softsign", nn::softsign},
      {"softshrink", [](const array& x) { return nn::softshrink(x, 0.3f); }},
      {"hard_shrink", [](const array& x) { return nn::hard_shrink(x, 0.3f); }},
      {"hard_tanh", [](const array& x) { return nn::hard_tanh(x, -0.5f, 0.6f); }},
      {"hardswish", nn::hardswish},
      {"mish", nn::mish},
      {"glu", [](const array& x) { return nn::glu(x); }},
  };
  for (const auto& [name, f] : activations)
    expect_gradients({name,
                      [&f = f](const Arrays& in) { return Arrays{f(in[0])}; },
                      {multiply(scattered({3, 4}), array(4.0, float64))}});
  expect_gradients({"prelu",
                    [](const Arrays& in) { return Arrays{nn::prelu(in[0], in[1])}; },
                    {scattered({3, 4}), scattered({4}, 1)}});
}

TEST(NNGradients, OfLossesAreTheirSlopes) {
  const array x = scattered({3, 4}), y = scattered({3, 4}, 1), ids({2, 0, 3}, {3}),
              weights = add(scattered({3}, 2), array(2.0, float64)),
              shares = softmax(scattered({3, 4}, 3), -1), signs = sign(scattered({3, 4}, 4));
  const array odds = sigmoid(y);
  using Loss = std::function<array(const Arrays&)>;
  struct Case {
    const char* name;
    Loss f;
    Arrays in;
  };
  const Case cases[] = {
      {"cross_entropy", [=](const Arrays& in) { return nn::cross_entropy(in[0], ids); }, {x}},
      {"cross_entropy, weights and smoothing",
       [=](const Arrays& in) {
         return nn::cross_entropy(in[0], ids, in[1], -1, 0.2f, Reduction::mean);
       },
       {x, weights}},
      {"cross_entropy of probabilities",
       [=](const Arrays& in) { return nn::cross_entropy(in[0], shares); },
       {x}},
      {"binary_cross_entropy",
       [=](const Arrays& in) { return nn::binary_cross_entropy(in[0], odds); },
       {x}},
      {"binary_cross_entropy of probabilities",
       [=](const Arrays& in) {
         return nn::binary_cross_entropy(in[0], shares, {}, false, Reduction::none);
       },
       {odds}},
      {"l1_loss", [](const Arrays& in) { return nn::l1_loss(in[0], in[1]); }, {x, y}},
      {"mse_loss", [](const Arrays& in) { return nn::mse_loss(in[0], in[1]); }, {x, y}},
      {"nll_loss", [=](const Arrays& in) { return nn::nll_loss(in[0], ids); }, {x}},
      {"kl_div_loss", [](const Arrays& in) { return nn::kl_div_loss(in[0], in[1]); }, {x, y}},
      {"smooth_l1_loss",
       [](const Arrays& in) { return nn::smooth_l1_loss(in[0], in[1], 0.7f); },
       {x, y}},
      {"huber_loss", [](const Arrays& in) { return nn::huber_loss(in[0], in[1], 0.7f); }, {x, y}},
      {"hinge_loss", [=](const Arrays& in) { return nn::hinge_loss(in[0], signs); }, {x}},
      {"log_cosh_loss", [](const Arrays& in) { return nn::log_cosh_loss(in[0], in[1]); }, {x, y}},
  };
  for (const Case& c : cases)
    expect_gradients({c.name, [&](const Arrays& in) { return Arrays{c.f(in)}; }, c.in});
}

TEST(NNGradients, OfLayersAreTheirSlopesByEveryParameter) {
  const array x = scattered({2, 4});
  nn::Linear linear(4, 3);
  expect_gradients({"linear",
                    [&](const Arrays& in) {
                      linear.weight = in[1], linear.bias = in[2];
                      return Arrays{linear(in[0], fast::Activation::silu, in[3])};
                    },
                    {x, scattered({3, 4}, 1), scattered({3}, 2), scattered({2, 3}, 3)}});
  nn::Embedding embedding(5, 4);
  expect_gradients({"embedding",
                    [&](const Arrays& in) {
                      embedding.weight = in[0];
                      const array rows = embedding(array({3, 1, 3}, {3}));
                      return Arrays{embedding.as_linear(square(rows))};
                    },
                    {scattered({5, 4})}});
  nn::LayerNorm layer_norm(4, 1e-3f);
  expect_gradients({"LayerNorm",
                    [&](const Arrays& in) {
                      layer_norm.weight = in[1], layer_norm.bias = in[2];
                      return Arrays{layer_norm(in[0])};
                    },
                    {x, scattered({4}, 1), scattered({4}, 2)}});
  nn::RMSNorm rms_norm(4, 1e-3f);
  expect_gradients({"RMSNorm",
                    [&](const Arrays& in) {
                      rms_norm.weight = in[1];
                      return Arrays{rms_norm(in[0])};
                    },
                    {x, scattered({4}, 1)}});
}

}  // namespace
}  // namespace hearth::testing
