// The gradients of elementwise operations, from the table.
#include <cmath>
#include <mutex>
#include <unordered_map>

#include "hearth/ops/joined.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/wide.h"

namespace hearth {

namespace {

// What the gradients in the table speak of.
constexpr double kLn2 = 0.69314718055994530942, kLn10 = 2.30258509299404568402;
constexpr double kDegrees = 57.295779513082320877, kErf = 1.12837916709551257390;  // 2 / sqrt(pi)
constexpr double kPi = 3.14159265358979323846;
constexpr std::nullopt_t none = std::nullopt;

array like(double k, const array& x) { return array(k, x.dtype()); }
std::optional<array> imag_gradient(const array& d, const array& x) {
  if (!is_complex(x.dtype())) return none;
  return d * array(complex64_t(0, -1));
}
// x within [-most, most], beyond which a function is flat: so that infinity meets no 0.
array within(const array& x, double most) {
  return is_complex(x.dtype()) ? x : minimum(maximum(x, like(-most, x)), like(most, x));
}
// Of a branch that is not taken d is 0, and 0 times an infinite slope NaN, in the next derivative:
// so each branch is finite where it is not taken, too.

// Beyond 2^28 x * x + 1 is x * x in f64 and in f32, where x * x may be infinite.
array is_small(const array& x) { return abs(x) < (1 << 28); }
array arctan_gradient(const array& d, const array& x) {
  const array small = is_small(x), far = where(small, 1, x);
  return where(small, d / (x * x + 1), d / far / far);
}
array arcsinh_gradient(const array& x) {
  const array root = rsqrt(x * x + 1);
  if (is_complex(x.dtype())) return root;
  const array small = is_small(x);
  return where(small, root, 1 / abs(where(small, 1, x)));
}
// 1 / cosh(x)^2; 1 - y^2 would cancel.
array tanh_gradient(const array& x) { return sigmoid(x * 2) * sigmoid(x * -2) * 4; }
array silu_gradient(const array& of) {
  const array x = within(of, 800), s = sigmoid(x);  // e^-800 is 0
  return s + x * s * sigmoid(-x);
}
// Phi(x) + x phi(x). Below -1 Phi is gelu(x) / x: 1 + erf would cancel there.
array gelu_gradient(const array& of) {
  const array x = within(of, 40), half = like(0.5, x);
  const array low = minimum(x, like(-1, x));
  const array share = where(x < -1, gelu(low) / low, half * (1 + erf(x * like(std::sqrt(0.5), x))));
  return share + x * exp(-half * x * x) * like(std::sqrt(0.5 / kPi), x);
}
array gelu_approx_gradient(const array& of) {  // of x sigmoid(2 k (x + c x^3))
  const double k = 2 * std::sqrt(2 / kPi), c = 0.044715;
  const array x = within(of, 25), u = x * (1 + x * x * like(c, x)) * like(k, x), s = sigmoid(u);
  return s + x * s * sigmoid(-u) * (1 + x * x * like(3 * c, x)) * like(k, x);
}
array power_base(const array& a, const array& b) {  // at exponent 0 not 0 times infinity
  const array flat = b == 0 && abs(a) < 1e-37f;
  return where(flat, 0, b * power(where(flat, 1, a), b - 1));
}
array power_log(const array& a, const array& y) {
  const array flat = a == 0 || y == 0;
  return where(flat, 0, log(where(flat, 1, a)) * y);
}
// By a: b / (a^2 + b^2); by b: -a / (a^2 + b^2). Through the quotient that is at most 1: squares
// of the operands would overflow, or vanish.
array arctan2_gradient(const array& d, const array& a, const array& b, bool by_a) {
  const array steep = abs(a) > abs(b), more = where(steep, a, b), q = where(steep, b, a) / more;
  const array over = d / more / (q * q + 1);
  return by_a ? where(steep, over * q, over) : -where(steep, over, over * q);
}
// exp(a) / (exp(a) + exp(b)), half and half of equals, infinite ones too.
array share(const array& a, const array& b) { return sigmoid(where(a == b, 0, a - b)); }

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

// The gradient of a step by an operand, as one program of those of `operands` (the step's, its
// result, the result's gradient) that it uses. Without a program it is the last of them.
struct Slope {
  bool flows = true;
  std::shared_ptr<const Map> map;
  SmallVector<uint8_t, 5> uses;
};

Slope slope_of(ElementOp op, int by, std::span<const Dtype> operands, Dtype result) {
  // Stand-ins, of which the table's expression makes a graph.
  Arrays in, wide;
  for (Dtype d : operands) in.push_back(array(1, d));
  for (const array& x : in) wide.push_back(widen(x));
  const size_t arity = operands.size() - 2;
  array &y = wide[arity], d = conjugate_of(wide[arity + 1]);
  if (!y.same_node(in[arity])) {  // a half: y was rounded, so it is computed anew
    auto map = std::make_shared<Map>();
    SmallVector<array, 3> from(wide.begin(), wide.begin() + long(arity));
    for (const array& x : from) map->inputs.push_back(x.dtype());
    map->results.push_back(map->add({op, y.dtype(), {0, 1, 2}}));
    y = hearth::apply(std::move(map), std::move(from));
  }
  const auto at = [&](size_t i) -> const array& { return wide[std::min(i, arity - 1)]; };
  const auto g = gradients[int(op)][by](at(0), at(1), at(2), y, d);
  Slope slope;
  slope.flows = g.has_value();
  if (!g || g->same_node(d)) return slope;
  slope.map = joined(astype(conjugate_of(*g), result), in, slope.uses);
  return slope;
}

// Made once for each combination of dtypes.
const Slope& slope(ElementOp op, int by, std::span<const Dtype> operands, Dtype result) {
  uint64_t key = uint64_t(op) << 8 | uint64_t(by) << 4 | uint64_t(result);
  for (Dtype d : operands) key = key << 4 | uint64_t(d);
  static std::mutex mutex;
  static auto& known = *new std::unordered_map<uint64_t, Slope>;
  std::lock_guard lock(mutex);
  const auto [at, fresh] = known.try_emplace(key);
  if (fresh) at->second = slope_of(op, by, operands, result);
  return at->second;
}

// The axes of g along which an operand of `shape` was repeated.
std::vector<int> repeated_axes(const array& g, const Shape& shape) {
  std::vector<int> axes;
  const int extra = g.ndim() - int(shape.size());
  for (int i = 0; i < g.ndim(); ++i)
    if (i < extra || (shape[i - extra] == 1 && g.shape(i) != 1)) axes.push_back(i);
  return axes;
}

}  // namespace

std::optional<Cotangents> Map::vjp(const Arrays& in, const Arrays& out, const Arrays& d) const {
  const bool one_step = steps.size() == 1 && constants.empty() && gives_last();
  Arrays regs = in;
  if (one_step) {
    regs.push_back(out[0]);
  } else {
    regs = all_registers(in);
    for (size_t i = 0; i < out.size(); ++i)  // those already computed
      if (regs[results[i]].shape() == out[i].shape()) regs[results[i]] = out[i];
  }
  Cotangents grads;
  grads.resize(size_t(registers()));
  // Summed over what was repeated.
  const auto accumulate = [&](int r, array g, Dtype as) {
    const std::vector<int> repeated = repeated_axes(g, regs[r].shape());
    if (!repeated.empty()) g = sum(g, repeated);
    g = astype(reshape(g, regs[r].shape()), as);
    grads[r] = grads[r] ? *grads[r] + g : g;
  };
  for (size_t i = 0; i < out.size(); ++i) accumulate(results[i], d[i], d[i].dtype());
  for (int r = registers() - 1; r >= first_step(); --r) {
    if (!grads[r]) continue;
    const Step& s = steps[r - first_step()];
    Arrays known;  // what the step read, its result, and that one's gradient
    SmallVector<Dtype, 5> dtypes;
    for (int i = 0; i < info(s.op).arity; ++i) known.push_back(regs[s.from[i]]);
    known.push_back(regs[r]);
    known.push_back(*grads[r]);
    for (const array& x : known) dtypes.push_back(x.dtype());
    for (int i = 0; i < info(s.op).arity; ++i) {
      const int from = s.from[i];
      const bool constant = from >= int(in.size()) && from < first_step();
      if (constant || dtype(from) == bool_) continue;
      // Halves stay wide where more is added to them.
      const bool alone = one_step && repeated_axes(known.back(), regs[from].shape()).empty();
      const Dtype as = alone ? dtype(from) : wide_of(dtype(from));
      const Slope& slope = hearth::slope(s.op, i, dtypes, as);
      if (!slope.flows) continue;
      SmallVector<array, 3> uses;
      for (uint8_t k : slope.uses) uses.push_back(known[k]);
      accumulate(from, slope.map ? hearth::apply(slope.map, std::move(uses)) : known.back(), as);
    }
  }
  grads.resize(in.size());
  for (size_t i = 0; i < in.size(); ++i)
    if (grads[i]) grads[i] = astype(*grads[i], in[i].dtype());
  return grads;
}

}  // namespace hearth
