// A primitive of your own, from outside the library: sign(x) |x|^p as one node, with a kernel for
// the CPU. Where the kernel does not fit, and for gradients, its plain definition is used.
#include <cmath>
#include <cstdio>

#include "hearth/core/backend.h"
#include "hearth/ops/ops.h"
#include "hearth/transforms/grad.h"
using namespace hearth;

struct SignedPower : OwnOp<SignedPower> {
  float p;
  explicit SignedPower(float p) : p(p) {}
  HEARTH_FIELDS(p)  // all parameters: equality, hash and text come from them
  std::string_view name() const override { return "signed_power"; }
  Specs infer(std::span<const array> in) const override {
    check(is_floating(in[0].dtype()), "signed_power: wanted a floating dtype, got ", in[0].dtype());
    return {{in[0].shape(), in[0].dtype()}};
  }
  std::optional<Arrays> decompose(const Arrays& in) const override {
    return Arrays{sign(in[0]) * power(abs(in[0]), array(p, in[0].dtype()))};
  }
};
array signed_power(const array& x, float p, StreamOrDevice s = {}) {
  StreamScope scope(s);
  return hearth::apply(std::make_shared<SignedPower>(p), {x});
}

// Takes f32 that lies row-major; outputs always do.
bool fits(const Primitive&, std::span<const array> in) {
  return in[0].dtype() == float32 && row_contiguous(in[0].shape(), in[0].node().strides);
}
int calls = 0;
void kernel(const SignedPower& op, const Args& args, Queue&) {
  const float* x = ptr<float>(args.in[0]);
  float* y = ptr<float>(args.out[0]);
  for (size_t i = 0; i < args.out[0].size(); ++i)
    y[i] = std::copysign(std::pow(std::abs(x[i]), op.p), x[i]);
  ++calls;
}

int main() {
  backend(Device::cpu)->kernels.add<&kernel>(fits);  // before it is first evaluated

  const array x = reshape(linspace(-2, 2, 12), {3, 4}), y = signed_power(x, 3);
  const bool right = allclose(y, x * x * x).item<bool>() && calls == 1;
  // Columns do not lie row-major, halves are not f32: the definition is evaluated.
  const array columns = transpose(x), halves = astype(x, float16);
  const bool others =
      allclose(signed_power(columns, 3), columns * columns * columns).item<bool>() &&
      allclose(signed_power(halves, 3), halves * halves * halves, 1e-2).item<bool>() && calls == 1;
  const array slope = grad([](const array& v) { return sum(signed_power(v, 3)); })(x);
  const bool gradient = allclose(slope, 3 * x * x, 1e-4).item<bool>();
  const SignedPower three(3), four(4);
  const bool told_apart = three.same_as(SignedPower(3)) && !three.same_as(four);
  std::printf("signed_power(%s): kernel %s, definition %s, gradient %s\n",
              three.parameters().c_str(), right ? "right" : "wrong", others ? "right" : "wrong",
              gradient ? "right" : "wrong");
  return right && others && gradient && told_apart ? 0 : 1;
}
