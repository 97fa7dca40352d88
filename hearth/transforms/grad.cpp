#include "hearth/transforms/grad.h"

#include <unordered_map>

#include "hearth/core/work.h"
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/primitives.h"

namespace hearth {

namespace {

// Marks where a function's arguments enter its graph: the same values, under a new node.
struct Argument : OwnOp<Argument> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "argument"; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), in[0].dtype()}}; }
  std::optional<View> view(const View& from) const override { return from; }
  std::optional<Cotangents> vjp(const Arrays&, const Arrays&, const Arrays& d) const override {
    return Cotangents{d[0]};
  }
};

Arrays arguments(const Arrays& values) {
  static const auto argument = std::make_shared<const Argument>();
  Arrays out;
  for (const array& x : values) {
    out.push_back(apply(argument, {x}));
    out.back().node().tracer = true;
  }
  return out;
}

// Nodes between the arguments and the outputs, arguments first.
std::vector<Node*> between(const Arrays& args, const Arrays& outputs) {
  std::unordered_map<Node*, bool> depends;  // seen; and does it need an argument?
  for (const array& a : args) depends[&a.node()] = true;
  std::vector<Node*> order;
  std::vector<std::pair<Node*, size_t>> path;
  auto visit = [&](Node& n) {
    if (n.tracer && depends.emplace(&n, false).second) path.emplace_back(&n, 0);
  };
  for (const array& out : outputs) {
    visit(out.node());
    while (!path.empty()) {
      auto& [node, next] = path.back();
      if (next < node->inputs.size()) {
        visit(node->inputs[next++].node());
        continue;
      }
      bool needs = false;
      for (const array& in : node->inputs) {
        auto found = depends.find(&in.node());
        needs = needs || (found != depends.end() && found->second);
      }
      depends[node] = needs;
      if (needs) order.push_back(node);
      path.pop_back();
    }
  }
  return order;
}

// The gradients that reached a node so far: one per output of its operation.
using Sums = std::vector<std::optional<array>>;
void accumulate(Sums& sums, size_t output, const array& d) {
  if (sums.size() <= output) sums.resize(output + 1);
  sums[output] = sums[output] ? add(*sums[output], d) : d;
}

Arrays backward(const Arrays& args, const Arrays& outputs, const Arrays& cotangents);

Cotangents gradients_of(Node& n, const Sums& sums) {
  const Arrays in(n.inputs.begin(), n.inputs.end());
  const Arrays out = outputs_of(array(Ref<Node>(&n)));
  StreamScope scope(n.stream);
  Arrays d;
  for (size_t i = 0; i < out.size(); ++i)
    d.push_back(i < sums.size() && sums[i] ? *sums[i] : zeros(out[i].shape(), out[i].dtype()));
  if (auto own = n.op->vjp(in, out, d)) return std::move(*own);
  const Arrays args = arguments(in);
  const auto simpler = n.op->decompose(args);
  check(simpler.has_value(), n.op->name(), ": has no gradient");
  const Arrays through = backward(args, *simpler, d);
  return Cotangents(through.begin(), through.end());
}

Arrays backward(const Arrays& args, const Arrays& outputs, const Arrays& cotangents) {
  std::unordered_map<Node*, Sums> reached;
  for (size_t i = 0; i < outputs.size(); ++i)
    accumulate(reached[&outputs[i].node()], 0, cotangents[i]);
  const auto order = between(args, outputs);
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    Node& n = **it;
    const auto found = reached.find(&n);
    if (found == reached.end()) continue;
    const Sums sums = std::move(found->second);
    reached.erase(found);
    if (n.output > 0) {
      accumulate(reached[&n.inputs[0].node()], size_t(n.output), *sums[0]);
      continue;
    }
    const Cotangents d = gradients_of(n, sums);
    for (size_t i = 0; i < n.inputs.size(); ++i)
      if (d[i] && n.inputs[i].node().tracer && is_inexact(n.inputs[i].dtype()))
        accumulate(reached[&n.inputs[i].node()], 0, *d[i]);
  }
  Arrays grads;
  for (const array& a : args) {
    const auto found = reached.find(&a.node());
    grads.push_back(found != reached.end() ? *found->second[0] : zeros(a.shape(), a.dtype()));
  }
  return grads;
}

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

// What a function computes itself keeps its edges until the outermost transform is done with it;
// kept longer, they would hold the whole graph's memory.
struct Tracing {
  struct Forget {
    ~Forget() {
      if (!TracingScope::active()) forget_traced();
    }
  } last;
  TracingScope scope;
};

}  // namespace

std::pair<Arrays, Arrays> vjp(const Function& fun, const Arrays& primals,
                              const Arrays& cotangents) {
  Tracing tracing;
  const Arrays args = arguments(primals);
  Arrays outputs = fun(args);
  check(outputs.size() == cotangents.size(), "vjp: ", outputs.size(), " outputs and ",
        cotangents.size(), " cotangents");
  for (size_t i = 0; i < outputs.size(); ++i)
    check(outputs[i].shape() == cotangents[i].shape(), "vjp: output ", i, " has shape ",
          outputs[i].shape(), ", its cotangent ", cotangents[i].shape());
  Arrays grads = backward(args, outputs, cotangents);
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
    Tracing tracing;
    const auto places = places_of(argnums, inputs);
    Arrays chosen, all = inputs;
    for (size_t place : places) chosen.push_back(inputs[place]);
    const Arrays args = arguments(chosen);
    for (size_t i = 0; i < places.size(); ++i) all[places[i]] = args[i];
    Arrays outputs = fun(all);
    check_scalar(outputs);
    const array one = ones(outputs[0].shape(), outputs[0].dtype());
    Arrays grads = backward(args, {outputs[0]}, {one});
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
