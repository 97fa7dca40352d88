// Trains a small ConvNet on MNIST, as PyTorch's example does, and draws the loss as it falls.
#include <chrono>
#include <cmath>
#include <cstdio>

#include "hearth/io/idx.h"
#include "hearth/nn/dropout.h"
#include "hearth/nn/functional.h"
#include "hearth/nn/optim.h"
#include "hearth/nn/pooling.h"
#include "hearth/ops/ops.h"

using namespace hearth;

constexpr char kUsage[] =
    "\nusage: example_mnist FOLDER [SEED [EPOCHS]]\nFOLDER holds the four files *-ubyte.gz of "
    "https://ossci-datasets.s3.amazonaws.com/mnist/\n";

struct Net {
  nn::Conv2d conv1{1, 32, 3}, conv2{32, 64, 3};
  nn::MaxPool2d pool{2};
  nn::Dropout dropout1{0.25f}, dropout2{0.5f};
  nn::Linear fc1{9216, 128}, fc2{128, 10};
  HEARTH_FIELDS(conv1, conv2, pool, dropout1, dropout2, fc1, fc2)
  array operator()(const array& images) const {  // (N, 28, 28, 1) -> (N, 10)
    const array flat = flatten(dropout1(pool(nn::relu(conv2(nn::relu(conv1(images)))))), 1);
    return nn::log_softmax(fc2(dropout2(nn::relu(fc1(flat)))));
  }
};

struct Digits {
  std::string path;
  array images = load_idx(path + "-images-idx3-ubyte.gz");
  array labels = load_idx(path + "-labels-idx1-ubyte.gz");
  int size = labels.shape(0);
  array batch(const array& which) const {  // brightness with mean 0 and deviation 1
    return (expand_dims(astype(take(images, which, 0), float32), 3) / 255.0f - 0.1307f) / 0.3081f;
  }
};

int main(int argc, char** argv) try {
  const std::string folder = argc > 1 ? argv[1] : "mnist";
  const Digits train{folder + "/train"}, test{folder + "/t10k"};
  random::seed(argc > 2 ? std::stoull(argv[2]) : 1);
  Net net;
  optim::AdaDelta optimizer{1.0f};
  const auto parameters = nn::parameters(net);
  const int epochs = argc > 3 ? std::stoi(argv[3]) : 1;
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    const auto start = std::chrono::steady_clock::now();
    nn::train(net);
    const array order = random::permutation(train.size);
    for (int i = 0; i < train.size; i += 64) {
      const array which = slice(order, {i}, {std::min(i + 64, train.size)});
      const array images = train.batch(which), labels = take(train.labels, which, 0);
      const auto [loss, gradients] = nn::value_and_grad(
          parameters, [&] { return nn::nll_loss(net(images), labels, -1, nn::Reduction::mean); });
      optimizer.learning_rate = 1 - (epoch - 1 + float(i) / train.size) / epochs;
      optimizer.update(parameters, gradients);
      nn::eval(parameters);
      if (i / 64 % 50 > 0) continue;
      const float shown = loss.item<float>();
      const std::string bar(size_t(25 * std::sqrt(shown)), '#');
      std::printf("batch %4d  loss %.3f  %s\n", i / 64, shown, bar.c_str());
    }
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    nn::train(net, false);
    int right = 0;
    for (int i = 0; i < test.size; i += 500) {
      const array which = arange(i, std::min(i + 500, test.size));
      right += sum(argmax(net(test.batch(which)), 1) == take(test.labels, which, 0)).item<int>();
    }
    std::printf("epoch %d in %.3f s: %.2f %% of %d are told right\n", epoch, taken.count(),
                100.0 * right / test.size, test.size);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s%s", error.what(), kUsage);
  return 1;
}
