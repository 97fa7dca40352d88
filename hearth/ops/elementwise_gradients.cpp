// The gradients of elementwise operations, from the table.
#include <cmath>

#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/reduce.h"

namespace hearth {

namespace {

// What the gradients in the table speak of.
constexpr double kLn2 = 0.69314718055994530942, kLn10 = 2.30258509299404568402;
constexpr double kDegrees = 57.295779513082320877, kErf = 1.12837916709551257390;  // 2 / sqrt(pi)
constexpr double kPi = 3.14159265358979323846;
constexpr std::nullopt_t none = std::nullopt;

array like(double k, const array& x) { return array(k, x.dtype()); }
array conjugate_of(const array& x) { return is_complex(x.dtype()) ? conjugate(x) : x; }
std::optional<array> imag_gradient(const array& d, const array& x) {
  if (!is_complex(x.dtype())) return none;
  return d * array(complex64_t(0, -1));
}
array silu_gradient(const array& x, const array& y) {
  const array s = sigmoid(x);
  return s + y * (1 - s);
}
array gelu_gradient(const array& x) {  // Phi(x) + x phi(x)
  const array half = like(0.5, x);
  return half * (1 + erf(x * like(std::sqrt(0.5), x))) +
         x * exp(-half * x * x) * like(std::sqrt(0.5 / kPi), x);
}
array gelu_approx_gradient(const array& x) {
  const double k = std::sqrt(2 / kPi), c = 0.044715;
  const array half = like(0.5, x), t = tanh(x * (1 + x * x * like(c, x)) * like(k, x));
  return half * (1 + t) + half * x * (1 - t * t) * (1 + x * x * like(3 * c, x)) * like(k, x);
}
array power_base(const array& a, const array& b) {  // 0 where b is 0, also for a = 0
  return where(b == 0, 0, b * power(a, b - 1));
}
array power_log(const array& a, const array& y) { return where(a == 0, 0, log(a) * y); }

using Gradient = std::optional<array> (*)(const array& a, const array& b, const array& c,
                                          const array& y, const array& d);
#define GRADIENT(x, expression)                                                                  \
  [](const array& x, [[maybe_unused]] const array& b, [[maybe_unused]] const array& c,           \
     [[maybe_unused]] const array& y, [[maybe_unused]] const array& d) -> std::optional<array> { \
    (void)x;                                                                                     \
    return expression;                                                                           \
  }
// By operation and operand. A unary line calls its operand x.
constexpr Gradient gradients[kElementOps][3] = {
#define UNARY(name, kinds, rule, value, g, ...) {GRADIENT(x, g)},
#define BINARY(name, kinds, rule, value, ga, gb, ...) {GRADIENT(a, ga), GRADIENT(a, gb)},
#define TERNARY(name, kinds, rule, value, ga, gb, gc, ...) \
  {GRADIENT(a, ga), GRADIENT(a, gb), GRADIENT(a, gc)},
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
    {GRADIENT(x, astype(d, x.dtype()))},
};
#undef GRADIENT

// The gradient of a broadcast operand: summed over what was repeated.
array unbroadcast(const array& g, const Shape& shape) {
  if (g.shape() == shape) return g;
  std::vector<int> axes;
  const int extra = g.ndim() - int(shape.size());
  for (int i = 0; i < g.ndim(); ++i)
    if (i < extra || (shape[i - extra] == 1 && g.shape(i) != 1)) axes.push_back(i);
  return reshape(sum(g, axes), shape);
}

}  // namespace

std::optional<Cotangents> Map::vjp(const Arrays& in, const Arrays& out, const Arrays& d) const {
  Arrays regs = in;
  if (steps.size() == 1 && constants.empty() && gives_last()) {
    regs.push_back(out[0]);
  } else {
    regs = all_registers(in);
    for (size_t i = 0; i < out.size(); ++i)  // those already computed
      if (regs[results[i]].shape() == out[i].shape()) regs[results[i]] = out[i];
  }
  Cotangents grads;
  grads.resize(size_t(registers()));
  const auto accumulate = [&](int r, const array& g) {
    const array here = unbroadcast(g, regs[r].shape());
    grads[r] = grads[r] ? *grads[r] + here : here;
  };
  for (size_t i = 0; i < out.size(); ++i) accumulate(results[i], d[i]);
  for (int r = registers() - 1; r >= first_step(); --r) {
    if (!grads[r]) continue;
    const Step& s = steps[r - first_step()];
    for (int i = 0; i < info(s.op).arity; ++i) {
      const int from = s.from[i];
      const bool constant = from >= int(in.size()) && from < first_step();
      if (constant || !is_inexact(dtype(from))) continue;
      auto g = gradients[int(s.op)][i](regs[s.from[0]], regs[s.from[1]], regs[s.from[2]], regs[r],
                                       *grads[r]);
      if (g) accumulate(from, *g);
    }
  }
  grads.resize(in.size());
  return grads;
}

}  // namespace hearth
