#include "hearth/lab/engines/operations.h"

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
  ensure(false, "hearth has no operation ", name, " yet");
  return {};
}

}  // namespace hearth::lab
