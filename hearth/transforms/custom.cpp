#include "hearth/transforms/custom.h"

namespace hearth {

namespace graph {

Specs Custom::infer(std::span<const array> in) const {
  Specs specs;
  for (size_t i = size_t(primals); i < in.size(); ++i)
    specs.push_back({in[i].shape(), in[i].dtype()});
  return specs;
}
std::optional<Arrays> Custom::decompose(const Arrays& in) const {
  return Arrays(in.begin() + primals, in.end());
}
std::optional<Cotangents> Custom::vjp(const Arrays& in, const Arrays& out, const Arrays& d) const {
  Cotangents grads(in.size());
  if (!functions->vjp) {
    for (size_t i = 0; i < out.size(); ++i) grads[size_t(primals) + i] = d[i];
    return grads;
  }
  const Arrays own = (*functions->vjp)(Arrays(in.begin(), in.begin() + primals), d, out);
  check(int(own.size()) == primals, "custom_function: its vjp gave ", own.size(),
        " cotangents for ", primals, " primals");
  for (size_t i = 0; i < own.size(); ++i) {
    check(own[i].shape() == in[i].shape(), "custom_function: its vjp gave a cotangent of shape ",
          own[i].shape(), " for a primal of shape ", in[i].shape());
    grads[i] = own[i];
  }
  return grads;
}

}  // namespace graph

Function custom_function(Function fun, std::optional<CustomVjp> fun_vjp,
                         std::optional<CustomJvp> fun_jvp, std::optional<CustomVmap> fun_vmap) {
  check(bool(fun), "custom_function: the function is empty");
  if (!fun_vjp && !fun_jvp && !fun_vmap) return fun;
  auto functions = std::make_shared<const graph::Custom::Functions>(
      graph::Custom::Functions{std::move(fun_vjp), std::move(fun_jvp), std::move(fun_vmap)});
  return [fun, functions](const Arrays& primals) {
    const Arrays outputs = fun(primals);
    if (outputs.empty()) return outputs;
    Arrays in = primals;
    in.insert(in.end(), outputs.begin(), outputs.end());
    return apply_all(std::make_shared<graph::Custom>(functions, int(primals.size())), in);
  };
}
Function custom_vjp(Function fun, CustomVjp fun_vjp) {
  return custom_function(std::move(fun), std::move(fun_vjp));
}
Function checkpoint(Function fun) {
  check(bool(fun), "checkpoint: the function is empty");
  const CustomVjp again = [fun](const Arrays& primals, const Arrays& d, const Arrays&) {
    return vjp(fun, primals, d).second;
  };
  return custom_vjp(fun, again);
}

}  // namespace hearth
