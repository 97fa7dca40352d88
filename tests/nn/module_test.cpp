// Modules: names of parameters, and loading that names everything that is wrong at once.
#include "hearth/nn/module.h"

#include <gtest/gtest.h>

#include "hearth/ops/elementwise.h"
#include "hearth/ops/reduce.h"

namespace hearth::nn {
namespace {

struct Leaf {
  Weight weight{array({1.0f, 2.0f})};
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
  from.layers[1].weight.dense = array({7.0f, 8.0f});
  from.scale = array(float16_t(2.0f));
  load(to, tensors(from));
  EXPECT_EQ(to.layers[1].weight.dense.to_vector<float>(), (std::vector<float>{7, 8}));
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
  EXPECT_EQ(tree.first.weight.dense.to_vector<float>(), (std::vector<float>{1, 2}));
}

TEST(Module, RenamesKeysAndPassesSomeOver) {
  Leaf leaf;
  const auto rename = [](const std::string& key) {
    return key == "mask" ? "" : key.substr(std::string("model.").size());
  };
  load(leaf, {{"model.weight", array({3.0f, 4.0f})}, {"mask", array(1.0f)}}, rename);
  EXPECT_EQ(leaf.weight.dense.to_vector<float>(), (std::vector<float>{3, 4}));
  const auto both = [](const std::string&) { return std::string("weight"); };
  EXPECT_THROW(load(leaf, {{"a", array({3.0f, 4.0f})}, {"b", array({3.0f, 4.0f})}}, both),
               std::runtime_error);
}

TEST(Module, ValueAndGradIsByName) {
  Tree tree;
  tree.layers[0].bias = array({1, 1}, int32);  // has no gradient
  const auto loss = [&] { return sum(multiply(square(tree.first.weight.dense), tree.scale)); };
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

TEST(Module, EvalComputesEveryParameter) {
  Tree tree;
  tree.scale = add(tree.scale, tree.scale);
  tree.first.weight.dense = square(tree.first.weight.dense);
  EXPECT_FALSE(tree.scale.is_available());
  eval(parameters(tree));
  EXPECT_TRUE(tree.scale.is_available() && tree.first.weight.dense.is_available());
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
