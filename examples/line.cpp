// Fits a line to points by gradient descent: lazy arrays, gradients, no copies anywhere.
#include <iostream>

#include "hearth/ops/ops.h"
#include "hearth/transforms/grad.h"

using namespace hearth;

int main() {
  const array x = random::uniform(array(-1.0f), array(1.0f), {100});
  const array y = 3.0f * x - 1.0f + 0.1f * random::normal({100});
  array w(0.0f), b(0.0f);
  const auto loss = value_and_grad(
      ScalarFunction([&](const Arrays& p) { return mean(square(x * p[0] + p[1] - y)); }),
      std::vector<int>{0, 1});
  for (int step = 0; step < 200; ++step) {
    const auto [value, slopes] = loss({w, b});  // nothing is computed yet
    w = w - 0.1f * slopes[0];
    b = b - 0.1f * slopes[1];
    eval(w, b);  // now it is
    if (step % 50 == 0) std::cout << "loss " << value.item<float>() << '\n';
  }
  std::cout << "y = " << w.item<float>() << " x + " << b.item<float>() << '\n';
}
