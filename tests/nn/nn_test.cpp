// Activations, losses and optimizers against PyTorch (tools/goldens_nn.py); layers against what
// they are made of.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "hearth/nn/functional.h"
#include "hearth/nn/layers.h"
#include "hearth/nn/optim.h"
#include "hearth/ops/create.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/random.h"
#include "tests/shared.h"

namespace hearth::nn {
namespace {

using nlohmann::json;

array tensor(const json& j) {
  const auto shape = j["shape"].get<std::vector<int>>();
  const auto data = j["data"].get<std::vector<double>>();
  return array(data.begin(), Shape(shape.begin(), shape.end()), float32);
}
void expect_close(const array& got, const array& want, double tolerance, const std::string& what) {
  ASSERT_EQ(got.shape(), want.shape()) << what;
  const auto g = got.to_vector<double>(), w = want.to_vector<double>();
  for (size_t i = 0; i < g.size(); ++i)
    ASSERT_NEAR(g[i], w[i], tolerance * (1 + std::abs(w[i]))) << what << ", element " << i;
}

using Unary = array (*)(const array&);
const std::map<std::string, Unary> kActivations{
    {"gelu_fast_approx", gelu_fast_approx},
    {"leaky_relu", [](const array& x) { return leaky_relu(x); }},
    {"relu6", relu6},
    {"relu2", relu2},
    {"elu", [](const array& x) { return elu(x); }},
    {"celu", [](const array& x) { return celu(x, 1.5f); }},
    {"selu", selu},
    {"log_softmax", [](const array& x) { return log_softmax(x); }},
    {"softmin", [](const array& x) { return softmin(x); }},
    {"log_sigmoid", log_sigmoid},
    {"softsign", softsign},
    {"softshrink", [](const array& x) { return softshrink(x); }},
    {"hard_shrink", [](const array& x) { return hard_shrink(x); }},
    {"hard_tanh", [](const array& x) { return hard_tanh(x); }},
    {"hardswish", hardswish},
    {"mish", mish},
    {"step", [](const array& x) { return step(x); }},
    {"glu", [](const array& x) { return glu(x); }}};

// Three steps on one parameter.
template <class Optimizer>
array steps(Optimizer optimizer, const Arrays& in) {
  array w = in[0];
  for (size_t i = 1; i < in.size(); ++i) optimizer.update({{"w", &w}}, {{"w", in[i]}});
  return w;
}

/// A layer made by the arguments that torch's took, with its weights.
array convolution(const std::string& op, const json& args, const Arrays& in) {
  const auto arg = [&](size_t i, const json& usual) { return i < args.size() ? args[i] : usual; };
  const auto pair = [&](size_t i, int usual) {
    const json& a = arg(i, usual);
    return a.is_array() ? HeightWidth(a[0], a[1]) : HeightWidth(a.get<int>());
  };
  const auto with_weights = [&](auto layer) {
    EXPECT_EQ(layer.weight.shape(), in[1].shape());
    EXPECT_EQ(parameters(layer).size(), in.size() - 1);
    layer.weight = in[1];
    if (layer.bias) layer.bias = in[2];
    return layer(in[0]);
  };
  const int groups = arg(6, 1);
  const bool bias = arg(7, true);
  if (op == "Conv1d")
    return with_weights(
        Conv1d(args[0], args[1], args[2], arg(3, 1), arg(4, 0), arg(5, 1), groups, bias));
  return with_weights(
      Conv2d(args[0], args[1], pair(2, 0), pair(3, 1), pair(4, 0), pair(5, 1), groups, bias));
}

array run(const json& c, const Arrays& in) {
  const std::string op = c["op"];
  const json& p = c["params"];
  if (const auto f = kActivations.find(op); f != kActivations.end()) return f->second(in[0]);
  const auto ids = [](const array& a) { return astype(a, int32); };
  const auto none = Reduction::none;
  if (op == "prelu") return prelu(in[0], in[1]);
  if (op == "cross_entropy") {
    const array targets = in[1].ndim() == 1 ? ids(in[1]) : in[1];
    return cross_entropy(in[0], targets, in.size() > 2 ? std::optional(in[2]) : std::nullopt, -1,
                         p["smoothing"]);
  }
  if (op == "binary_cross_entropy") return binary_cross_entropy(in[0], in[1], {}, p["logits"]);
  if (op == "l1_loss") return l1_loss(in[0], in[1]);
  if (op == "mse_loss") return mse_loss(in[0], in[1]);
  if (op == "smooth_l1_loss") return smooth_l1_loss(in[0], in[1], p["beta"]);
  if (op == "huber_loss") return huber_loss(in[0], in[1], p["delta"], none);
  if (op == "hinge_loss") return hinge_loss(in[0], in[1]);
  if (op == "log_cosh_loss") return log_cosh_loss(in[0], in[1]);
  if (op == "nll_loss") return nll_loss(in[0], ids(in[1]));
  if (op == "kl_div_loss") return kl_div_loss(in[0], in[1]);
  if (op == "Conv1d" || op == "Conv2d") return convolution(op, p["args"], in);
  if (op == "sgd") return steps(optim::SGD{0.1f}, in);
  if (op == "sgd_momentum") return steps(optim::SGD{0.1f, 0.9f, 0.01f}, in);
  if (op == "sgd_nesterov") return steps(optim::SGD{0.1f, 0.8f, 0, 0, true}, in);
  if (op == "adam") return steps(optim::Adam{0.1f, 0.8f, 0.95f, 1e-6f, true}, in);
  if (op == "adamw") return steps(optim::AdamW(0.1f, 0.8f, 0.95f, 1e-6f, 0.2f, true), in);
  throw std::runtime_error("no such case: " + op);
}

TEST(NN, IsAsTorchSays) {
  std::ifstream file(testing::source_path("tests/data/nn.json"));
  const json cases = json::parse(file);
  ASSERT_GT(cases.size(), 30u);
  for (const json& c : cases) {
    Arrays in;
    for (const json& t : c["in"]) in.push_back(tensor(t));
    expect_close(run(c, in), tensor(c["out"]), 5e-6,
                 c["op"].get<std::string>() + " " + c["params"].dump());
  }
}

TEST(NN, HalvesStayHalves) {
  const array x = astype(array({-2.0f, -0.5f, 0.5f, 2.0f}), float16);
  for (const auto& [name, f] : kActivations)
    EXPECT_EQ(f(x).dtype(), name == "step" ? int32 : float16) << name;
  EXPECT_EQ(cross_entropy(x, array(2), {}, -1, 0.1f).dtype(), float16);
}

TEST(NN, LayersAreWhatTheyAreMadeOf) {
  const array x = random::normal({2, 3, 8}, random::key(1));
  Linear linear(8, 5);
  const array want = add(matmul(x, transpose(linear.weight.dense)), *linear.bias);
  expect_close(linear(x), want, 1e-6, "linear");
  expect_close(linear(x, fast::Activation::relu, ones({2, 3, 5})), add(relu(want), array(1.0f)),
               1e-6, "linear, relu, residual");
  // A half layer on float input computes in float, as in MLX.
  linear.weight.dense = astype(linear.weight.dense, float16);
  EXPECT_EQ(linear(x).dtype(), float32);
  EXPECT_EQ(parameters(linear).size(), 2u);
  Linear plain(8, 5, false);
  EXPECT_EQ(parameters(plain).size(), 1u);
  for (float w : linear.weight.dense.to_vector<float>())
    EXPECT_LE(std::abs(w), 1 / std::sqrt(8.0f));

  Embedding embedding(11, 8);
  const array rows = embedding(array({3, 10}, int32));
  EXPECT_EQ(rows.shape(), (Shape{2, 8}));
  expect_close(slice(rows, {1, 0}, {2, 8}), slice(embedding.weight.dense, {10, 0}, {11, 8}), 0,
               "embedding");
  expect_close(embedding.as_linear(rows), matmul(rows, transpose(embedding.weight.dense)), 1e-6,
               "as_linear");

  LayerNorm norm(8);
  EXPECT_EQ(parameters(norm).size(), 2u);
  expect_close(mean(norm(x), -1), zeros({2, 3}), 1e-6, "layer norm");
  LayerNorm bare(8, 1e-5f, false);
  EXPECT_EQ(parameters(bare).size(), 0u);
  RMSNorm rms(8, 0.0f);
  expect_close(mean(square(rms(x)), -1), ones({2, 3}), 1e-6, "rms norm");
}

TEST(NN, ConvolutionsStartAsMlxsAndRefuseNonsense) {
  const Conv2d conv(3, 8, {5, 2});
  EXPECT_EQ(conv.weight.shape(), (Shape{8, 5, 2, 3}));
  const auto weights = conv.weight.to_vector<float>();
  const float most = 1 / std::sqrt(3.0f * 5 * 2);
  EXPECT_LE(std::abs(*std::max_element(weights.begin(), weights.end())), most);
  EXPECT_GT(*std::max_element(weights.begin(), weights.end()), 0.9f * most);
  EXPECT_EQ(conv.bias->to_vector<float>(), std::vector<float>(8, 0));
  EXPECT_EQ(Conv1d(4, 6, 3, 1, 0, 1, 2).weight.shape(), (Shape{6, 3, 2}));
  EXPECT_EQ(Conv1d(4, 6, 3)(ones({1, 5, 4}, float16)).shape(), (Shape{1, 3, 6}));
  EXPECT_THROW(Conv1d(4, 6, 0), std::invalid_argument);
  EXPECT_THROW(Conv1d(0, 6, 1), std::invalid_argument);
  EXPECT_THROW(Conv1d(4, 6, 3, 1, 0, 1, 4), std::invalid_argument);  // 6 outputs
  EXPECT_THROW(Conv2d(4, 6, 3, 1, 0, 1, 3), std::invalid_argument);  // 4 inputs
  EXPECT_THROW(Conv2d(4, 6, 3)(ones({1, 8, 8, 3})), std::invalid_argument);
}

TEST(NN, OptimizersNameStrangersAndClipNorms) {
  array w({3.0f, 4.0f});
  optim::SGD sgd{0.1f};
  EXPECT_THROW(sgd.update({{"w", &w}}, {{"v", w}}), std::invalid_argument);
  const auto [clipped, norm] =
      optim::clip_grad_norm({{"a", array({3.0f})}, {"b", array({4.0f})}}, 1);
  EXPECT_FLOAT_EQ(norm.item<float>(), 5);
  EXPECT_NEAR(clipped.at("a").item<float>(), 0.6f, 1e-6);
  const auto [same, small] = optim::clip_grad_norm({{"a", array({0.5f})}}, 1);
  EXPECT_EQ(same.at("a").item<float>(), 0.5f);
}

// An error names what the user called, not what it is made of.
TEST(Losses, ErrorsNameTheLoss) {
  const array x = zeros({2, 3});
  const std::pair<const char*, std::function<void()>> wrong[] = {
      {"cross_entropy: targets are f32 (2), wanted indices of classes: integers of shape (2)",
       [&] { cross_entropy(x, zeros({2})); }},
      {"cross_entropy: targets are i32 (3), wanted indices of classes: integers of shape (2)",
       [&] { cross_entropy(x, zeros({3}, int32)); }},
      {"cross_entropy: logits are (2, 3), targets (2, 4): wanted probabilities of the same shape",
       [&] {
         cross_entropy(x, zeros({2, 4}));
       }},
      {"cross_entropy: logits are (2, 3), targets (): wanted", [&] { cross_entropy(x, array(1)); }},
      {"cross_entropy: there is no axis 2 in (2, 3)",
       [&] { cross_entropy(x, zeros({2}, int32), {}, 2); }},
      {"nll_loss: targets are f32 (2), wanted indices of classes",
       [&] { nll_loss(x, zeros({2})); }},
      {"nll_loss: targets are bool (2)", [&] { nll_loss(x, zeros({2}, bool_)); }},
  };
  for (const auto& [sentence, call] : wrong) try {
      call();
      ADD_FAILURE() << sentence;
    } catch (const std::invalid_argument& error) {
      EXPECT_EQ(std::string(error.what()).find(sentence), 0u) << error.what();
    }
}

}  // namespace
}  // namespace hearth::nn
