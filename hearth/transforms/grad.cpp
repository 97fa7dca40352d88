#include "hearth/transforms/grad.h"

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/transforms/graph.h"

namespace hearth {

namespace {

void check_scalar(const Arrays& outputs) {
  check(!outputs.empty() && outputs[0].size() == 1,
        "grad: wanted a function with a scalar result, got ",
        outputs.empty() ? std::string("none") : to_string(outputs[0].shape()),
        "; sum or mean it, or use vjp");
  check(is_inexact(outputs[0].dtype()), "grad: the result is ", outputs[0].dtype(),
        ", wanted a floating-point one");
}

// argnums made non-negative.
std::vector<size_t> places_of(const std::vector<int>& argnums, const Arrays& inputs) {
  std::vector<size_t> places;
  const int count = int(inputs.size());
  for (int n : argnums) {
    check(n >= -count && n < count, "grad: argument ", n, " of ", count);
    const size_t place = size_t(n < 0 ? n + count : n);
    check(std::find(places.begin(), places.end(), place) == places.end(), "grad: argument ", place,
          " is named twice");
    check(is_inexact(inputs[place].dtype()), "grad: argument ", place, " is ",
          inputs[place].dtype(), ", wanted a floating-point one");
    places.push_back(place);
  }
  return places;
}

}  // namespace

std::pair<Arrays, Arrays> vjp(const Function& fun, const Arrays& primals,
                              const Arrays& cotangents) {
  graph::Tracing tracing;
  const Arrays args = graph::arguments(primals);
  Arrays outputs = fun(args);
  check(outputs.size() == cotangents.size(), "vjp: ", outputs.size(), " outputs and ",
        cotangents.size(), " cotangents");
  for (size_t i = 0; i < outputs.size(); ++i)
    check(outputs[i].shape() == cotangents[i].shape(), "vjp: output ", i, " has shape ",
          outputs[i].shape(), ", its cotangent ", cotangents[i].shape());
  Arrays d;
  for (size_t i = 0; i < outputs.size(); ++i)
    d.push_back(astype(cotangents[i], outputs[i].dtype()));
  Arrays grads = graph::backward(args, outputs, d);
  return {std::move(outputs), std::move(grads)};
}
std::pair<array, array> vjp(const UnaryFunction& fun, const array& primal, const array& cotangent) {
  const auto [out, grads] =
      vjp([&](const Arrays& x) { return Arrays{fun(x[0])}; }, {primal}, {cotangent});
  return {out[0], grads[0]};
}

ValueAndGradFn value_and_grad(const Function& fun, const std::vector<int>& argnums) {
  check(!argnums.empty(), "grad: wanted at least one argument number");
  return [fun, argnums](const Arrays& inputs) {
    graph::Tracing tracing;
    const auto places = places_of(argnums, inputs);
    Arrays chosen, all = inputs;
    for (size_t place : places) chosen.push_back(inputs[place]);
    const Arrays args = graph::arguments(chosen);
    for (size_t i = 0; i < places.size(); ++i) all[places[i]] = args[i];
    Arrays outputs = fun(all);
    check_scalar(outputs);
    const array one = ones(outputs[0].shape(), outputs[0].dtype());
    Arrays grads = graph::backward(args, {outputs[0]}, {one});
    return std::pair(std::move(outputs), std::move(grads));
  };
}
ValueAndGradFn value_and_grad(const Function& fun, int argnum) {
  return value_and_grad(fun, std::vector<int>{argnum});
}
SimpleValueAndGradFn value_and_grad(const ScalarFunction& fun, const std::vector<int>& argnums) {
  auto both = value_and_grad(Function([fun](const Arrays& x) { return Arrays{fun(x)}; }), argnums);
  return [both](const Arrays& inputs) {
    auto [outputs, grads] = both(inputs);
    return std::pair(outputs[0], std::move(grads));
  };
}
SimpleValueAndGradFn value_and_grad(const ScalarFunction& fun, int argnum) {
  return value_and_grad(fun, std::vector<int>{argnum});
}
std::function<std::pair<array, array>(const array&)> value_and_grad(const UnaryFunction& fun) {
  auto both = value_and_grad(ScalarFunction([fun](const Arrays& x) { return fun(x[0]); }), 0);
  return [both](const array& x) {
    const auto [value, grads] = both({x});
    return std::pair(value, grads[0]);
  };
}

std::function<Arrays(const Arrays&)> grad(const ScalarFunction& fun,
                                          const std::vector<int>& argnums) {
  return
      [both = value_and_grad(fun, argnums)](const Arrays& inputs) { return both(inputs).second; };
}
std::function<Arrays(const Arrays&)> grad(const ScalarFunction& fun, int argnum) {
  return grad(fun, std::vector<int>{argnum});
}
std::function<array(const array&)> grad(const UnaryFunction& fun) {
  return [both = value_and_grad(fun)](const array& x) { return both(x).second; };
}

}  // namespace hearth
