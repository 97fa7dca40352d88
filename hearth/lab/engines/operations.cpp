#include "hearth/lab/engines/operations.h"

#include <cmath>
#include <memory>

#include "hearth/nn/functional.h"
#include "hearth/nn/optim.h"
#include "hearth/nn/pooling.h"
#include "hearth/ops/ops.h"

namespace hearth::lab {
namespace {

/// What the lab asks of every engine of operations: -0.5 to 0.5, the same everywhere.
array operand(const Shape& shape, uint32_t seed, Dtype dtype) {
  array values = uninitialized(shape, float32);
  auto* to = static_cast<float*>(static_cast<void*>(values.node().data()));
  for (size_t i = 0; i < values.size(); ++i) {
    uint32_t x = (seed + uint32_t(i)) * 2654435761u;
    x ^= x >> 15;
    to[i] = float(double(x) / 4294967296.0 - 0.5);
  }
  return astype(values, dtype);
}

/// The network of examples/mnist.cpp, without dropout: engines must find the same losses.
struct Mnist {
  nn::Conv2d conv1{1, 32, 3}, conv2{32, 64, 3};
  nn::Linear fc1{9216, 128}, fc2{128, 10};
  nn::MaxPool2d pool{2};
  HEARTH_FIELDS(conv1, conv2, fc1, fc2)

  array operator()(const array& images) const {
    const array seen = pool(nn::relu(conv2(nn::relu(conv1(images)))));
    return fc2(nn::relu(fc1(flatten(seen, 1))));
  }
};

/// A step of training in each call, always on the same batch. What the engines compare is the loss
/// of the second step, which two are gone for at first: gradients and AdaDelta are in it.
Operation train_mnist(int batch, Dtype dtype) {
  struct Training {
    array images, labels;
    Mnist net = {};
    optim::AdaDelta optimizer{1.0f};
    nn::Parameters parameters = nn::parameters(net);

    array step() {
      const auto [loss, gradients] = nn::value_and_grad(parameters, [&] {
        return nn::cross_entropy(net(images), labels, {}, -1, 0, nn::Reduction::mean);
      });
      optimizer.update(parameters, gradients);
      nn::eval(parameters);
      return loss;
    }
  };
  const std::shared_ptr<Training> training(
      new Training{operand({batch, 28, 28, 1}, 0, dtype), remainder(arange(batch), array(10))});
  uint32_t seed = 1;
  for (const auto& [name, weight] : training->parameters) {  // conv1.bias, conv1.weight, ...
    const auto inputs = float(weight->size() / size_t(weight->shape(0)));
    const array values = operand(weight->shape(), seed++, float32);
    *weight = astype(values * array(2 / std::sqrt(inputs)), dtype);
  }
  training->step();
  const array second = training->step();
  return {{second}, [training, second](const Arrays&) {
            training->step();
            return second;
          }};
}

}  // namespace

Operation operation(const std::string& name, Dtype dtype, const std::vector<int>& s) {
  const auto sizes = [&](size_t n) {
    ensure(s.size() == n, name, " takes ", n, " sizes, got ", s.size());
    for (int size : s) ensure(size > 0, name, ": a size of ", size);
  };
  const auto one = [&](size_t n, std::function<array(const array&)> f) {
    sizes(n);
    return Operation{{operand(Shape(s.begin(), s.end()), 0, dtype)},
                     [f](const Arrays& in) { return f(in[0]); }};
  };
  if (name == "matmul") {
    sizes(3);
    return {{operand({s[0], s[1]}, 0, dtype), operand({s[1], s[2]}, 1, dtype)},
            [](const Arrays& in) { return matmul(in[0], in[1]); }};
  }
  if (name == "matvec") {
    sizes(2);
    return {{operand({s[0], s[1]}, 0, dtype), operand({s[1]}, 1, dtype)},
            [](const Arrays& in) { return matmul(in[0], in[1]); }};
  }
  if (name == "conv2d") {
    sizes(6);  // rows, height, width, channels, channels out, kernel
    return {
        {operand({s[0], s[1], s[2], s[3]}, 0, dtype), operand({s[4], s[5], s[5], s[3]}, 1, dtype)},
        [](const Arrays& in) { return conv2d(in[0], in[1]); }};
  }
  if (name == "softmax") return one(2, [](const array& x) { return softmax(x, -1); });
  if (name == "layer_norm")
    return one(2, [](const array& x) { return fast::layer_norm(x, {}, {}, 1e-5f); });
  if (name == "gelu") return one(1, [](const array& x) { return gelu_approx(x); });
  if (name == "sum") return one(1, [](const array& x) { return sum(x); });
  if (name == "sort") return one(1, [](const array& x) { return sort(x); });
  if (name == "train_mnist") {
    sizes(1);
    return train_mnist(s[0], dtype);
  }
  ensure(false, "hearth has no operation ", name, " yet");
  return {};
}

}  // namespace hearth::lab
