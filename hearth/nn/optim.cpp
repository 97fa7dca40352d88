#include "hearth/nn/optim.h"

#include <cmath>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/wide.h"

namespace hearth::optim {
namespace {

array times(double factor, const array& x) { return multiply(array(factor, x.dtype()), x); }
array& parameter(const Parameters& parameters, const std::string& name) {
  const auto at = parameters.find(name);
  check(at != parameters.end(), "update: a gradient for ", name, ", which is no parameter");
  return *at->second;
}
// The state of a parameter; zeros at first. That of halves is f32: squares of small gradients are
// below what a half holds.
array& state_of(Tensors& state, const std::string& name, const array& parameter) {
  return state.try_emplace(name, zeros(parameter.shape(), wide_of(parameter.dtype())))
      .first->second;
}

}  // namespace

// Each parameter is widened, moved and rounded once.

void SGD::update(const Parameters& parameters, const Tensors& gradients) {
  check(!nesterov || (momentum > 0 && dampening == 0),
        "SGD: Nesterov's way needs a momentum and no dampening");
  for (const auto& [name, gradient] : gradients) {
    array& parameter = optim::parameter(parameters, name);
    const array w = widen(parameter);
    array g = widen(gradient);
    if (weight_decay != 0) g = add(g, times(weight_decay, w));
    if (momentum > 0) {
      array& v = state_of(velocity, name, w);
      v = add(times(momentum, v), dampening > 0 ? times(1 - dampening, g) : g);
      g = nesterov ? add(g, times(momentum, v)) : v;
    }
    parameter = astype(subtract(w, times(learning_rate, g)), parameter.dtype());
  }
}

void Adam::update(const Parameters& parameters, const Tensors& gradients) {
  ++step;
  for (const auto& [name, gradient] : gradients) {
    array& parameter = optim::parameter(parameters, name);
    array w = widen(parameter);
    const array g = widen(gradient);
    if (weight_decay != 0) w = times(1 - double(learning_rate) * weight_decay, w);
    array& mean = state_of(m, name, w);
    array& square_mean = state_of(v, name, w);
    mean = add(times(b1, mean), times(1 - double(b1), g));
    square_mean = add(times(b2, square_mean), times(1 - double(b2), square(g)));
    const double c1 = bias_correction ? 1 / (1 - std::pow(double(b1), step)) : 1;
    const double c2 = bias_correction ? 1 / (1 - std::pow(double(b2), step)) : 1;
    const array spread = times(std::sqrt(c2), sqrt(square_mean));
    const array change = divide(mean, add(spread, array(eps, spread.dtype())));
    parameter = astype(subtract(w, times(learning_rate * c1, change)), parameter.dtype());
  }
}

void AdaDelta::update(const Parameters& parameters, const Tensors& gradients) {
  check(rho >= 0 && eps >= 0, "AdaDelta: wanted rho and eps 0 or more, got ", rho, " and ", eps);
  for (const auto& [name, gradient] : gradients) {
    array& parameter = optim::parameter(parameters, name);
    const array w = widen(parameter), g = widen(gradient);
    array& square_mean = state_of(v, name, w);
    array& changes = state_of(u, name, w);  // of the squares of what w was moved by
    const auto running = [&](const array& mean, const array& x) {
      return add(times(rho, mean), times(1 - double(rho), square(x)));
    };
    const array small(eps, w.dtype());
    square_mean = running(square_mean, g);
    const array change =
        multiply(divide(sqrt(add(changes, small)), sqrt(add(square_mean, small))), g);
    changes = running(changes, change);
    parameter = astype(subtract(w, times(learning_rate, change)), parameter.dtype());
  }
}

std::pair<Tensors, array> clip_grad_norm(const Tensors& gradients, float max_norm) {
  array total(0.0f);
  for (const auto& [name, g] : gradients)
    total = add(total, sum(square(is_complex(g.dtype()) ? abs(g) : widen(g))));
  const array norm = sqrt(total);
  const array factor =
      minimum(divide(array(max_norm, norm.dtype()), add(norm, array(1e-6, norm.dtype()))),
              array(1, norm.dtype()));
  Tensors out;
  for (const auto& [name, g] : gradients) out.emplace(name, astype(multiply(g, factor), g.dtype()));
  return {out, norm};
}

}  // namespace hearth::optim
