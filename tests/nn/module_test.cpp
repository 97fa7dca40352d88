// Modules: names of parameters, and loading that names everything that is wrong at once.
#include "hearth/nn/module.h"

#include <gtest/gtest.h>

#include "hearth/nn/layers.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/random.h"
#include "hearth/ops/reduce.h"

namespace hearth::nn {
namespace {

struct Leaf {
  fast::Matrix weight{array({1.0f, 2.0f})};
  std::optional<array> bias;
  HEARTH_FIELDS(weight, bias)
};
struct Tree {
  Leaf first;
  std::vector<Leaf> layers{Leaf{}, Leaf{}};
  array scale = array(0.5f);
  int not_a_field = 3;
  HEARTH_FIELDS(first, layers, scale)
};

std::vector<std::string> names(Parameters p) {
  std::vector<std::string> out;
  for (auto& [name, where] : p) out.push_back(name);
  return out;
}

TEST(Module, NamesEveryParameter) {
  Tree tree;
  tree.layers[1].bias = array(1.0f);
  EXPECT_EQ(names(parameters(tree)),
            (std::vector<std::string>{"first.weight", "layers.0.weight", "layers.1.bias",
                                      "layers.1.weight", "scale"}));
}

TEST(Module, LoadsWhatTensorsGave) {
  Tree from, to;
  from.layers[1].weight = array({7.0f, 8.0f});
  from.scale = array(float16_t(2.0f));
  load(to, tensors(from));
  EXPECT_EQ(to.layers[1].weight.dense().to_vector<float>(), (std::vector<float>{7, 8}));
  EXPECT_EQ(to.scale.dtype(), float16);  // as stored
}

TEST(Module, NamesEverythingThatIsWrongAndChangesNothing) {
  Tree tree;
  Tensors wrong{{"first.weight", array({9.0f, 9.0f})},
                {"layers.0.weight", array({1.0f, 2.0f, 3.0f})},
                {"layers.7.weight", array({1.0f})},
                {"rotary", array({1.0f})},
                {"scale", array(1.0f)}};
  try {
    load(tree, wrong);
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(),
                 "load: the tensors are not those of the model: 1 missing: layers.1.weight; "
                 "2 unused: layers.7.weight, rotary; 1 of another shape: layers.0.weight is (3), "
                 "wanted (2)");
  }
  EXPECT_EQ(tree.first.weight.dense().to_vector<float>(), (std::vector<float>{1, 2}));
}

TEST(Module, RenamesKeysAndPassesSomeOver) {
  Leaf leaf;
  const auto rename = [](const std::string& key) {
    return key == "mask" ? "" : key.substr(std::string("model.").size());
  };
  load(leaf, {{"model.weight", array({3.0f, 4.0f})}, {"mask", array(1.0f)}}, rename);
  EXPECT_EQ(leaf.weight.dense().to_vector<float>(), (std::vector<float>{3, 4}));
  const auto both = [](const std::string&) { return std::string("weight"); };
  EXPECT_THROW(load(leaf, {{"a", array({3.0f, 4.0f})}, {"b", array({3.0f, 4.0f})}}, both),
               std::runtime_error);
}

TEST(Module, ValueAndGradIsByName) {
  Tree tree;
  tree.layers[0].bias = array({1, 1}, int32);  // has no gradient
  const auto loss = [&] { return sum(multiply(square(tree.first.weight.dense()), tree.scale)); };
  const auto [value, gradients] = value_and_grad(parameters(tree), loss);
  EXPECT_EQ(value.item<float>(), 2.5f);
  EXPECT_EQ(gradients.size(), 4u);
  EXPECT_EQ(gradients.at("first.weight").to_vector<float>(), (std::vector<float>{1, 2}));
  EXPECT_EQ(gradients.at("scale").item<float>(), 5);
  EXPECT_EQ(gradients.at("layers.1.weight").to_vector<float>(), (std::vector<float>{0, 0}));
  // A part of them; the others are constants.
  const auto part = value_and_grad({{"s", &tree.scale}}, loss).second;
  EXPECT_EQ(part.size(), 1u);
  EXPECT_EQ(part.at("s").item<float>(), 5);
}

struct Net {
  Embedding embed{7, 64};
  Linear up{64, 32};
  RMSNorm norm{32};
  HEARTH_FIELDS(embed, up, norm)
  array operator()(const array& ids) const { return norm(up(embed(ids))); }
};

TEST(Module, QuantizePacksWhatLayersMultiplyBy) {
  Net net, other;
  const array ids({3, 0, 6}, int32);
  quantize(net, 32, 8);
  EXPECT_EQ(names(parameters(net)),
            (std::vector<std::string>{"embed.weight", "norm.weight", "up.bias", "up.weight"}));
  const Tensors saved = tensors(net);
  EXPECT_EQ(saved.size(), 8u);
  EXPECT_EQ(saved.at("up.weight").dtype(), uint32);
  EXPECT_EQ(saved.at("up.scales").shape(), (Shape{32, 2}));
  EXPECT_TRUE(parameters(net).at("up.weight").packed());
  EXPECT_THROW(*parameters(net).at("up.weight"), std::invalid_argument);
  // As dense layers with the same values would.
  Net dense = net;
  dense.up.weight = fast::dequantize(net.up.weight);
  dense.embed.weight = fast::dequantize(net.embed.weight);
  EXPECT_TRUE(allclose(net(ids), dense(ids), 1e-5, 1e-5).item<bool>());
  const array x = random::normal({2, 64});
  EXPECT_TRUE(allclose(net.embed.as_linear(x), dense.embed.as_linear(x), 1e-5, 1e-5).item<bool>());
  // What was saved is taken by a module that is packed alike, and refused by others.
  quantize(other, 32, 8);
  load(other, saved);
  EXPECT_TRUE(array_equal(other(ids), net(ids)).item<bool>());
  Tensors without = saved;
  without.erase("up.scales");
  EXPECT_THROW(load(other, without), std::runtime_error);
  Net plain;
  EXPECT_THROW(load(plain, saved), std::runtime_error);
  // Gradients are those of what is not packed.
  const auto gradients =
      value_and_grad(parameters(net), [&] { return sum(square(net(ids))); }).second;
  EXPECT_EQ(gradients.size(), 2u);
  EXPECT_TRUE(gradients.contains("norm.weight") && gradients.contains("up.bias"));
  // Rows that are no whole groups are named.
  Leaf leaf;
  EXPECT_THROW(quantize(leaf), std::invalid_argument);
}

TEST(Module, EvalComputesEveryParameter) {
  Tree tree;
  tree.scale = add(tree.scale, tree.scale);
  tree.first.weight = square(tree.first.weight.dense());
  EXPECT_FALSE(tree.scale.is_available());
  eval(parameters(tree));
  EXPECT_TRUE(tree.scale.is_available() && tree.first.weight.dense().is_available());
}

TEST(Module, ValueAndGradLeavesTheParametersAsTheyWere) {
  Tree tree;
  const Node* before = &tree.scale.node();
  value_and_grad(parameters(tree), [&] { return square(tree.scale); });
  EXPECT_EQ(&tree.scale.node(), before);
  EXPECT_THROW(
      value_and_grad(parameters(tree), [&]() -> array { throw std::runtime_error("no loss"); }),
      std::runtime_error);
  EXPECT_EQ(&tree.scale.node(), before);
  EXPECT_THROW(value_and_grad({}, [&] { return tree.scale; }), std::invalid_argument);
}

}  // namespace
}  // namespace hearth::nn
