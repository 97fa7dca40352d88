#include "hearth/transforms/graph.h"

#include <unordered_map>

#include "hearth/core/work.h"
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/primitives.h"

namespace hearth::graph {

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

void accumulate(Sums& sums, size_t output, const array& d) {
  if (sums.size() <= output) sums.resize(output + 1);
  sums[output] = sums[output] ? add(*sums[output], d) : d;
}

}  // namespace

Arrays arguments(const Arrays& values) {
  static const auto argument = std::make_shared<const Argument>();
  Arrays out;
  for (const array& x : values) {
    out.push_back(apply(argument, {x}));
    out.back().node().tracer = true;
  }
  return out;
}

bool computed(const Node& n) {
  return n.status.load(std::memory_order_acquire) == Node::Status::scheduled;
}

bool is_argument(const Node& n) { return n.op && n.op->id == Argument::kernel_id(); }

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

Cotangents gradients_of(Node& n, const Sums& sums) {
  const Arrays in(n.inputs.begin(), n.inputs.end());
  const Arrays out = outputs_of(array(Ref<Node>(&n)));
  StreamScope scope(n.stream);
  Arrays d;
  for (size_t i = 0; i < out.size(); ++i)
    d.push_back(i < sums.size() && sums[i] ? *sums[i] : zeros(out[i].shape(), out[i].dtype()));
  if (auto own = n.op->vjp(in, out, d)) return std::move(*own);
  Arrays args = in;  // those that no argument leads to stay as they are, and need no gradient
  for (array& x : args)
    if (x.node().tracer) x = arguments({x})[0];
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
      if (d[i] && n.inputs[i].node().tracer && n.inputs[i].dtype() != bool_)
        accumulate(reached[&n.inputs[i].node()], 0, astype(*d[i], n.inputs[i].dtype()));
  }
  Arrays grads;
  for (const array& a : args) {
    const auto found = reached.find(&a.node());
    grads.push_back(found != reached.end() ? astype(*found->second[0], a.dtype())
                                           : zeros(a.shape(), a.dtype()));
  }
  return grads;
}

}  // namespace hearth::graph
