// The square root of 2 by gradient descent; README.md shows this program.
#include <iostream>

#include "hearth/ops/ops.h"
#include "hearth/transforms/grad.h"
using namespace hearth;

int main() {
  auto slope = grad(UnaryFunction([](const array& w) { return mean(square(w * w - 2.0f)); }));
  array w(1.0f);
  for (int i = 0; i < 100; ++i) w = w - 0.1f * slope(w);
  std::cout << w.item<float>() << '\n';  // 1.41421
}
