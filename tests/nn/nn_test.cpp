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
#include "hearth/nn/pooling.h"
#include "hearth/ops/create.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/random.h"
#include "hearth/transforms/grad.h"
#include "tests/close.h"
#include "tests/shared.h"

namespace hearth::nn {
namespace {

using nlohmann::json;
using Numbers = std::vector<float>;

array tensor(const json& j) {
  const auto shape = j["shape"].get<std::vector<int>>();
  const auto data = j["data"].get<std::vector<double>>();
  return array(data.begin(), Shape(shape.begin(), shape.end()), float32);
}
using testing::expect_close;

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

/// Pools in torch's words ("max_pool2d", with or without " slope"): what comes out, or the gradient
/// where the results have the weights in[1].
template <class Pool, class Sizes>
array pooled(const json& args, const Arrays& in, bool slope) {
  const auto sizes = [](const json& a) {
    if constexpr (std::is_same_v<Sizes, PerAxis<1>>)
      return Sizes(a.get<int>());
    else if constexpr (std::is_same_v<Sizes, PerAxis<2>>)
      return a.is_array() ? Sizes(a[0].get<int>(), a[1].get<int>()) : Sizes(a.get<int>());
    else
      return a.is_array() ? Sizes(a[0].get<int>(), a[1].get<int>(), a[2].get<int>())
                          : Sizes(a.get<int>());
  };
  const Pool pool(sizes(args[0]), sizes(args[1]), sizes(args[2]));
  if (!slope) return pool(in[0]);
  return vjp([&](const array& x) { return pool(x); }, in[0], in[1]).second;
}
array pooled(const std::string& op, const json& args, const Arrays& in) {
  const bool slope = op.ends_with(" slope"), of_max = op.starts_with("max");
  switch (op[8]) {
    case '1':
      return of_max ? pooled<MaxPool1d, PerAxis<1>>(args, in, slope)
                    : pooled<AvgPool1d, PerAxis<1>>(args, in, slope);
    case '2':
      return of_max ? pooled<MaxPool2d, PerAxis<2>>(args, in, slope)
                    : pooled<AvgPool2d, PerAxis<2>>(args, in, slope);
    default:
      return of_max ? pooled<MaxPool3d, PerAxis<3>>(args, in, slope)
                    : pooled<AvgPool3d, PerAxis<3>>(args, in, slope);
  }
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
  if (op.find("_pool") != op.npos) return pooled(op, p["args"], in);
  if (op == "adadelta") return steps(optim::AdaDelta{0.5f, 0.8f, 1e-3f}, in);
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
    const array got = run(c, in);
    expect_close(c["op"] == "step" ? astype(got, float32) : got, tensor(c["out"]),
                 {40, 1},  // some dozens of roundings here and there
                 c["op"].get<std::string>() + " " + c["params"].dump());
  }
}

TEST(NN, HalvesStayHalves) {
  const array x = astype(array({-2.0f, -0.5f, 0.5f, 2.0f}), float16);
  for (const auto& [name, f] : kActivations)
    EXPECT_EQ(f(x).dtype(), name == "step" ? int32 : float16) << name;
  EXPECT_EQ(cross_entropy(x, array(2), {}, -1, 0.1f).dtype(), float16);
}

// Losses of halves are those of the same numbers in f32, rounded once; so are their slopes.
TEST(NN, LossesOfHalvesAreRoundedOnce) {
  using Loss = std::function<array(const array&, const array&)>;
  const array ids({0, 2}, {2}, int32);
  const std::pair<const char*, Loss> losses[] = {
      {"cross_entropy", [&](auto& x, auto&) { return cross_entropy(x, ids); }},
      {"cross_entropy, smooth",
       [&](auto& x, auto&) { return cross_entropy(x, ids, {}, -1, 0.1f, Reduction::mean); }},
      {"cross_entropy of shares",
       [](auto& x, auto& y) { return cross_entropy(x, softmax(y, -1)); }},
      {"log_softmax", [](auto& x, auto&) { return log_softmax(x); }},
      {"softmax", [](auto& x, auto&) { return softmax(x, -1); }},
      {"logsumexp", [](auto& x, auto&) { return logsumexp(x, -1); }},
      {"binary_cross_entropy",
       [](auto& x, auto& y) {
         return binary_cross_entropy(x, sigmoid(y), {}, true, Reduction::none);
       }},
      {"mse_loss", [](auto& x, auto& y) { return mse_loss(x, y); }},
      {"l1_loss", [](auto& x, auto& y) { return l1_loss(x, y, Reduction::sum); }},
      {"smooth_l1_loss",
       [](auto& x, auto& y) { return smooth_l1_loss(x, y, 0.7f, Reduction::none); }},
      {"huber_loss", [](auto& x, auto& y) { return huber_loss(x, y); }},
      {"hinge_loss", [](auto& x, auto& y) { return hinge_loss(x, sign(y)); }},
      {"log_cosh_loss", [](auto& x, auto& y) { return log_cosh_loss(x, y); }},
      {"kl_div_loss", [](auto& x, auto& y) { return kl_div_loss(x, log_softmax(y)); }},
      {"nll_loss", [&](auto& x, auto&) { return nll_loss(x, ids); }},
      {"std", [](auto& x, auto&) { return hearth::std(x, 1); }},
      {"max", [](auto& x, auto&) { return max(x, 1); }},
      {"prod", [](auto& x, auto&) { return prod(x / array(50, x.dtype()), 1); }},
      {"cumprod", [](auto& x, auto&) { return cumprod(x / array(50, x.dtype()), 1); }},
      {"logcumsumexp", [](auto& x, auto&) { return logcumsumexp(x, 1); }},
  };
  for (Dtype d : {float16, bfloat16})
    for (float size : {1.0f, 300.0f}) {
      const array x = astype(array({3.1f, -1.7f, 0.4f, 2.2f, 3.3f, 2.9f}, {2, 3}) * size, d),
                  y = astype(array({1.3f, 0.2f, -1.1f, 2.1f, -0.3f, 1.9f}, {2, 3}), d);
      for (const auto& [name, f] : losses) {
        // What the targets of a loss are made of is rounded before it, in halves.
        const auto of = [&, f = f](const array& y) {
          return [=](const array& x) { return f(x, y); };
        };
        const array exact = of(astype(y, float32))(astype(x, float32));
        const auto [got, slope] = vjp(of(y), x, ones(exact.shape(), d));
        const auto [want, wide] =
            vjp(of(astype(y, float32)), astype(x, float32), ones(exact.shape()));
        const std::string what = concat(name, " of ", d, " times ", size);
        // Targets that were rounded once more cost what they are multiplied with.
        const bool made =
            what.find("shares") != what.npos || what.find("kl_") == 0 || what.find("binary") == 0;
        const testing::Tolerance t{made ? 2.0 : 1.0, made ? 4 * size : 0, 1e-6};
        expect_close(got, astype(want, d), t, what);
        expect_close(slope, astype(wide, d), {2, made ? 1.0 : 0, 1e-6}, "slope of " + what);
      }
    }
  // Near 1,000 a half has no digits behind the point.
  const array x({1000.0f, 999.0f, 998.5f}, {1, 3}, float16);
  EXPECT_NEAR(cross_entropy(x, array({1}, int32)).item<float>(), 1.464, 1e-3);
  EXPECT_NEAR(log_softmax(x).to_vector<float>()[0], -0.4644, 1e-3);
}

// Where probabilities are exactly 0 and 1, differences exactly 0, and targets none at all.
TEST(NN, LossesHaveSlopesAtTheirEdges) {
  for (Dtype d : {float32, float16, bfloat16, float64}) {
    const array p = astype(array({0.0f, 0.0f, 1.0f, 1.0f, 0.5f}), d),
                t = astype(array({0.0f, 1.0f, 0.0f, 1.0f, 0.0f}), d);
    const auto bce = [&](const array& x) {
      return binary_cross_entropy(x, t, {}, false, Reduction::none);
    };
    const auto [loss, slope] = vjp(bce, p, ones({5}, d));
    expect_close(loss, astype(array({0.0, 100.0, 100.0, 0.0, std::log(2.0)}, {5}, float64), d),
                 {1});
    expect_close(slope, astype(array({1.0f, 0.0f, 0.0f, -1.0f, 2.0f}), d), {1});
    const array same = astype(array({1.0f, 2.0f, -3.0f}), d),
                far = astype(array({1.0f, 2.5f, -5.0f}), d);
    for (float beta : {0.0f, 1.0f}) {
      const array g =
          vjp([&](const array& x) { return smooth_l1_loss(x, same, beta, Reduction::none); }, far,
              ones({3}, d))
              .second;
      EXPECT_EQ(g.to_vector<float>(), (std::vector<float>{0, beta > 0 ? 0.5f : 1.0f, -1})) << beta;
    }
    // A class that is ruled out, and has no probability.
    const array logits = astype(array({0.0f, -INFINITY, 0.0f}, {1, 3}), d),
                shares = astype(array({0.5f, 0.0f, 0.5f}, {1, 3}), d);
    const auto [ce, g] =
        vjp([&](const array& x) { return cross_entropy(x, shares); }, logits, ones({1}, d));
    expect_close(ce, array({std::log(2.0)}, {1}, d), {2});
    EXPECT_EQ(g.to_vector<float>(), (std::vector<float>{0, 0, 0}));
    const auto [kl, h] = vjp([&](const array& x) { return kl_div_loss(x, log(shares)); },
                             log_softmax(logits), ones({1}, d));
    EXPECT_NEAR(kl.item<float>(), 0, 1e-3);
    EXPECT_EQ(h.to_vector<float>()[1], 0);
  }
  EXPECT_THROW(smooth_l1_loss(array(1.0f), array(1.0f), -1), std::invalid_argument);
}

// A parameter that is a half moves as in f32, and is rounded once; small squares are not lost.
TEST(NN, OptimizersMoveHalvesAsFloats) {
  const std::pair<const char*, std::function<void(array&, const Arrays&)>> all[] = {
      {"Adam",
       [](array& w, const Arrays& g) {
         w = steps(optim::Adam{1e-3f}, {w, g[0], g[1], g[2]});
       }},
      {"Adam, corrected",
       [](array& w, const Arrays& g) {
         w = steps(optim::Adam{1e-2f, 0.9f, 0.999f, 1e-8f, true}, {w, g[0], g[1], g[2]});
       }},
      {"AdamW",
       [](array& w, const Arrays& g) {
         w = steps(optim::AdamW(1e-2f), {w, g[0], g[1], g[2]});
       }},
      {"AdaDelta",
       [](array& w, const Arrays& g) {
         w = steps(optim::AdaDelta{1.0f}, {w, g[0], g[1], g[2]});
       }},
      {"SGD", [](array& w, const Arrays& g) {
         w = steps(optim::SGD{1e-2f, 0.9f, 1e-3f, 0, true}, {w, g[0], g[1], g[2]});
       }}};
  const Numbers gradients[] = {
      {0, 1e-4f, 300, -2e-7f}, {0, 3e-4f, -200, 1e-7f}, {1e-3f, 0, 100, 0}};
  for (Dtype d : {float16, bfloat16})
    for (const auto& [name, move] : all) {
      Arrays halves, floats;
      for (const Numbers& g : gradients) {
        halves.push_back(array(g.begin(), {4}, d));
        floats.push_back(astype(halves.back(), float32));
      }
      array w({1.0f, 1.0f, 1.0f, -0.5f}, {4}, d), wide = astype(w, float32);
      // One step: exactly. More: the parameter was rounded in between.
      array one = w, wide_one = wide;
      optim::Adam a{1e-3f}, b{1e-3f};
      a.update({{"w", &one}}, {{"w", halves[0]}});
      b.update({{"w", &wide_one}}, {{"w", floats[0]}});
      expect_close(one, astype(wide_one, d), {}, name);
      EXPECT_EQ(a.v.at("w").dtype(), float32);
      move(w, halves), move(wide, floats);
      EXPECT_EQ(w.dtype(), d);
      expect_close(w, astype(wide, d), {2}, concat(name, " of ", d));
    }
  array w({1.0f, 1.0f, 1.0f}, {3}, float16);
  optim::Adam adam{1e-3f};
  adam.update({{"w", &w}}, {{"w", array({0.0f, 1e-4f, 300.0f}, {3}, float16)}});
  EXPECT_EQ(w.to_vector<float>()[0], 1);
  EXPECT_NEAR(w.to_vector<float>()[2], 0.9968f, 5e-4f);
  // A factor that a half does not hold.
  const auto [clipped, norm] = optim::clip_grad_norm({{"a", full({4}, 30000, float16)}}, 1e-3f);
  EXPECT_FLOAT_EQ(norm.item<float>(), 60000);
  expect_close(clipped.at("a"), full({4}, 5e-4f, float16), {1});
}

// What a golden leaves at its default: reductions, axes and parameters.
TEST(NN, ReductionsJoinTheLossesOfElements) {
  const array x({0.3f, -1.2f, 2.0f, 0.7f, -0.4f, 1.1f}, {2, 3}),
      y({1.0f, 0.5f, -0.2f, 0.1f, 0.9f, 0.0f}, {2, 3});
  const array ids({2, 0}, {2}, int32), odds = sigmoid(x), targets = abs(y);
  using Loss = std::function<array(Reduction)>;
  const std::pair<const char*, Loss> losses[] = {
      {"cross_entropy", [&](Reduction r) { return cross_entropy(x, ids, {}, -1, 0.1f, r); }},
      {"binary_cross_entropy",
       [&](Reduction r) { return binary_cross_entropy(x, targets, {}, true, r); }},
      {"binary_cross_entropy of probabilities",
       [&](Reduction r) { return binary_cross_entropy(odds, targets, {}, false, r); }},
      {"l1_loss", [&](Reduction r) { return l1_loss(x, y, r); }},
      {"mse_loss", [&](Reduction r) { return mse_loss(x, y, r); }},
      {"nll_loss", [&](Reduction r) { return nll_loss(x, ids, -1, r); }},
      {"kl_div_loss", [&](Reduction r) { return kl_div_loss(x, y, -1, r); }},
      {"smooth_l1_loss", [&](Reduction r) { return smooth_l1_loss(x, y, 0.5f, r); }},
      {"huber_loss", [&](Reduction r) { return huber_loss(x, y, 0.5f, r); }},
      {"hinge_loss", [&](Reduction r) { return hinge_loss(x, y, r); }},
      {"log_cosh_loss", [&](Reduction r) { return log_cosh_loss(x, y, r); }},
  };
  for (const auto& [name, loss] : losses) {
    const array each = loss(Reduction::none);
    EXPECT_GE(each.ndim(), 1) << name;
    expect_close(loss(Reduction::sum), sum(each), {4}, name);
    expect_close(loss(Reduction::mean), mean(each), {4}, name);
  }
  // Both ways to give a binary cross-entropy its probabilities agree, weighted too.
  const array weights({1.0f, 2.0f, 0.5f, 0.0f, 3.0f, 1.0f}, {2, 3});
  expect_close(binary_cross_entropy(x, targets, weights, true, Reduction::none),
               binary_cross_entropy(odds, targets, weights, false, Reduction::none), {16, 1});
  expect_close(cross_entropy(x, ids, array({2.0f, 3.0f})),
               multiply(cross_entropy(x, ids), array({2.0f, 3.0f})), {1});
  expect_close(smooth_l1_loss(array({0.2f, 3.0f}), zeros({2}), 0.5f, Reduction::none),
               array({0.04f, 2.75f}), {1});
  expect_close(huber_loss(array({0.2f, 3.0f}), zeros({2}), 0.5f), array({0.02f, 1.375f}), {1});
}

TEST(NN, AxesAreThoseAskedFor) {
  const array x = random::normal({3, 4, 5}, random::key(3)),
              y = random::normal({3, 4, 5}, random::key(4));
  const array ids = random::randint(0, 3, {4, 5}, int32, random::key(5));
  const auto turned = [](const array& a) { return moveaxis(a, 0, -1); };
  expect_close(cross_entropy(x, ids, {}, 0), cross_entropy(turned(x), ids), {4, 4});
  expect_close(cross_entropy(x, softmax(y, 0), {}, 0, 0.2f),
               cross_entropy(turned(x), softmax(turned(y), -1), {}, -1, 0.2f), {4, 4});
  expect_close(nll_loss(x, ids, 0), nll_loss(turned(x), ids), {});
  expect_close(kl_div_loss(x, y, 0), kl_div_loss(turned(x), turned(y)), {4, 16});
  expect_close(turned(softmin(x, 0)), softmax(negative(turned(x)), -1), {2});
  expect_close(turned(log_softmax(x, 0)), log_softmax(turned(x)), {2, 4});
  const array pair = concatenate({x, y}, 1);
  expect_close(glu(pair, 1), multiply(x, sigmoid(y)), {1});
}

TEST(NN, ActivationsTakeTheirParameters) {
  const array x({-3.0f, -0.5f, 0.25f, 2.0f});
  expect_close(leaky_relu(x, 0.5f), array({-1.5f, -0.25f, 0.25f, 2.0f}), {});
  expect_close(prelu(x, array({0.1f, 0.5f, 9.0f, 9.0f})), array({-0.3f, -0.25f, 0.25f, 2.0f}), {1});
  expect_close(elu(x, 2.0f),
               array({float(2 * std::expm1(-3.0)), float(2 * std::expm1(-0.5)), 0.25f, 2.0f}), {2});
  expect_close(softshrink(x, 0.25f), array({-2.75f, -0.25f, 0.0f, 1.75f}), {});
  expect_close(hard_shrink(x, 0.25f), array({-3.0f, -0.5f, 0.0f, 2.0f}), {});
  expect_close(hard_tanh(x, -0.75f, 1.5f), array({-0.75f, -0.5f, 0.25f, 1.5f}), {});
  EXPECT_EQ(step(x, 0.25f).to_vector<int>(), (std::vector<int>{0, 0, 0, 1}));
  EXPECT_EQ(step(x).to_vector<int>(), (std::vector<int>{0, 0, 1, 1}));
}

TEST(NN, OptimizersByTheirRules) {
  // v = 0.9 v + 0.75 g with a dampening of 0.25; the second step has a velocity.
  array w({1.0f});
  optim::SGD sgd{0.5f, 0.9f, 0.0f, 0.25f};
  sgd.update({{"w", &w}}, {{"w", array({2.0f})}});
  EXPECT_FLOAT_EQ(w.item<float>(), 1 - 0.5f * 1.5f);
  sgd.update({{"w", &w}}, {{"w", array({-4.0f})}});
  EXPECT_FLOAT_EQ(w.item<float>(), 0.25f - 0.5f * (0.9f * 1.5f - 3.0f));
  EXPECT_THROW((optim::SGD{0.1f, 0, 0, 0, true}).update({}, {}), std::invalid_argument);
  EXPECT_THROW((optim::SGD{0.1f, 0.9f, 0, 0.1f, true}).update({}, {}), std::invalid_argument);
  // Without correction the first step of Adam is rate * 0.1 g / sqrt(0.001 g^2), of 0.1 and 0.001
  // as floats.
  array v({1.0f, 1.0f});
  optim::Adam adam{0.1f};
  adam.update({{"v", &v}}, {{"v", array({3.0f, -0.5f})}});
  expect_close(v, array({float(1 - 0.01 / std::sqrt(0.001)), float(1 + 0.01 / std::sqrt(0.001))}),
               {0, 0, 3e-6});
  EXPECT_EQ(adam.step, 1);
  // With it the first step is the rate, whatever the gradient; and AdamW shrinks first.
  v = array({2.0f, 2.0f});
  optim::Adam corrected = optim::AdamW(0.1f, 0.9f, 0.999f, 1e-8f, 0.5f, true);
  corrected.update({{"v", &v}}, {{"v", array({3.0f, -0.5f})}});
  expect_close(v, array({2 * 0.95f - 0.1f, 2 * 0.95f + 0.1f}), {4});
  // What has no gradient stays.
  array still({7.0f});
  corrected.update({{"v", &v}, {"still", &still}}, {{"v", array({0.0f, 0.0f})}});
  EXPECT_EQ(still.item<float>(), 7);
}

TEST(NN, LayersBeginAsMlxs) {
  random::seed(3);
  const auto ends = [](const array& a) {
    return std::pair(min(a).item<float>(), max(a).item<float>());
  };
  const Linear linear(16, 1000);
  for (const array& a : {linear.weight.dense(), *linear.bias}) {
    const auto [low, high] = ends(a);
    EXPECT_GE(low, -0.25f);
    EXPECT_LT(low, -0.24f);
    EXPECT_LE(high, 0.25f);
    EXPECT_GT(high, 0.24f);
  }
  const Embedding embedding(1000, 16);
  EXPECT_NEAR(hearth::std(embedding.weight.dense()).item<float>(), 0.25f, 0.01f);
  EXPECT_NEAR(mean(embedding.weight.dense()).item<float>(), 0, 0.01f);
  // The eps of a norm counts.
  const array x({1.0f, -1.0f}, {1, 2});
  LayerNorm norm(2, 3.0f);
  expect_close(norm(x), array({0.5f, -0.5f}, {1, 2}), {2});
  expect_close(RMSNorm(2, 3.0f)(x), array({0.5f, -0.5f}, {1, 2}), {2});
  norm.weight = array({2.0f, 4.0f}), norm.bias = array({1.0f, 0.0f});
  expect_close(norm(x), array({2.0f, -2.0f}, {1, 2}), {2});
}

TEST(NN, LayersAreWhatTheyAreMadeOf) {
  const array x = random::normal({2, 3, 8}, random::key(1));
  Linear linear(8, 5);
  const array want = add(matmul(x, transpose(linear.weight.dense())), *linear.bias);
  expect_close(linear(x), want, {8, 1}, "linear");
  expect_close(linear(x, fast::Activation::relu, ones({2, 3, 5})), add(relu(want), array(1.0f)),
               {8, 1}, "linear, relu, residual");
  // A half layer on float input computes in float, as in MLX.
  linear.weight = astype(linear.weight.dense(), float16);
  EXPECT_EQ(linear(x).dtype(), float32);
  EXPECT_EQ(parameters(linear).size(), 2u);
  Linear plain(8, 5, false);
  EXPECT_EQ(parameters(plain).size(), 1u);
  for (float w : linear.weight.dense().to_vector<float>())
    EXPECT_LE(std::abs(w), 1 / std::sqrt(8.0f));

  Embedding embedding(11, 8);
  const array rows = embedding(array({3, 10}, int32));
  EXPECT_EQ(rows.shape(), (Shape{2, 8}));
  expect_close(slice(rows, {1, 0}, {2, 8}), slice(embedding.weight.dense(), {10, 0}, {11, 8}), {},
               "embedding");
  expect_close(embedding.as_linear(rows), matmul(rows, transpose(embedding.weight.dense())), {8, 1},
               "as_linear");

  LayerNorm norm(8);
  EXPECT_EQ(parameters(norm).size(), 2u);
  expect_close(mean(norm(x), -1), zeros({2, 3}), {0, 0, 1e-6}, "layer norm");
  LayerNorm bare(8, 1e-5f, false);
  EXPECT_EQ(parameters(bare).size(), 0u);
  RMSNorm rms(8, 0.0f);
  expect_close(mean(square(rms(x)), -1), ones({2, 3}), {8}, "rms norm");
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
      {"cross_entropy: targets are float32 (2), wanted indices of classes: integers of shape (2)",
       [&] { cross_entropy(x, zeros({2})); }},
      {"cross_entropy: targets are int32 (3), wanted indices of classes: integers of shape (2)",
       [&] { cross_entropy(x, zeros({3}, int32)); }},
      {"cross_entropy: logits are (2, 3), targets (2, 4): wanted probabilities of the same shape",
       [&] {
         cross_entropy(x, zeros({2, 4}));
       }},
      {"cross_entropy: logits are (2, 3), targets (): wanted", [&] { cross_entropy(x, array(1)); }},
      {"cross_entropy: there is no axis 2 in (2, 3)",
       [&] { cross_entropy(x, zeros({2}, int32), {}, 2); }},
      {"nll_loss: targets are float32 (2), wanted indices of classes",
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
