// Trains a small network of convolutions to tell which way the stripes of an image run.
#include <iostream>

#include "hearth/nn/functional.h"
#include "hearth/nn/layers.h"
#include "hearth/nn/optim.h"
#include "hearth/ops/ops.h"

using namespace hearth;

struct Net {
  nn::Conv2d conv{1, 8, 3};
  nn::Linear out{8, 2};
  HEARTH_FIELDS(conv, out)

  array operator()(const array& x) const {        // (N, 8, 8, 1)
    return out(mean(nn::relu(conv(x)), {1, 2}));  // (N, 6, 6, 8) -> (N, 8) -> (N, 2)
  }
};

struct Batch {
  array images, labels;  // (n, 8, 8, 1), (n)
};
Batch stripes(int n) {
  const array labels = random::randint(0, 2, {n});
  const array phase = random::uniform(0.0f, 6.28f, {n, 1, 1});
  const array across = broadcast_to(sin(reshape(2.0f * arange(8), {1, 8, 1}) + phase), {n, 8, 8});
  const array images = where(reshape(labels, {n, 1, 1}) == 0, across, swapaxes(across, 1, 2));
  return {expand_dims(images + random::normal({n, 8, 8}), 3), labels};
}

int main() {
  random::seed(1);
  Net net;
  optim::Adam optimizer = optim::AdamW(0.02f);
  const auto parameters = nn::parameters(net);  // "conv.weight", "out.bias", ...: where they lie
  for (int step = 0; step < 60; ++step) {
    const Batch batch = stripes(32);
    const auto [loss, gradients] = nn::value_and_grad(
        parameters, [&] { return mean(nn::cross_entropy(net(batch.images), batch.labels)); });
    optimizer.update(parameters, gradients);  // nothing is computed yet
    nn::eval(parameters);                     // now it is
    if (step % 10 == 0) std::cout << "loss " << loss.item<float>() << '\n';
  }
  const Batch fresh = stripes(500);
  const float right = mean(argmax(net(fresh.images), 1) == fresh.labels).item<float>();
  std::cout << 100 * right << " % of new images are told right\n";
  return right > 0.95f ? 0 : 1;
}
