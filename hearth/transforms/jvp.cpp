// Tangents, from the gradients: what takes a cotangent d of an operation's outputs to those of its
// inputs is linear in d, and its own gradient takes tangents of the inputs to those of the outputs.
#include <unordered_map>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/primitives_fft.h"
#include "hearth/transforms/custom.h"
#include "hearth/transforms/graph.h"

namespace hearth {

namespace {

using Tangents = std::vector<std::optional<array>>;

Arrays tangents_of(Node& n, const Tangents& of_inputs) {
  const Arrays in(n.inputs.begin(), n.inputs.end());
  const Arrays out = outputs_of(array(Ref<Node>(&n)));
  StreamScope scope(n.stream);
  if (n.op->id == graph::Custom::kernel_id()) {
    const auto& custom = static_cast<const graph::Custom&>(*n.op);
    if (custom.functions->jvp) {
      Arrays given;
      std::vector<int> places;
      for (int i = 0; i < custom.primals; ++i)
        if (of_inputs[size_t(i)]) given.push_back(*of_inputs[size_t(i)]), places.push_back(i);
      Arrays own =
          (*custom.functions->jvp)(Arrays(in.begin(), in.begin() + custom.primals), given, places);
      check(own.size() == out.size(), "custom_function: its jvp gave ", own.size(),
            " tangents for ", out.size(), " outputs");
      return own;
    }
  }
  // A linear function of its one input: the tangent goes the same way.
  if (n.op->id == fft::Fourier::kernel_id())
    return {apply(n.op, {astype(*of_inputs[0], in[0].dtype())})};
  // Ones, where the linear function is itself: some gradients are written for d > 0 and d < 0
  // apart.
  Arrays ones_of;
  for (const array& y : out) ones_of.push_back(ones(y.shape(), y.dtype()));
  const Arrays d = graph::arguments(ones_of);
  const Cotangents grads = graph::gradients_of(n, graph::Sums(d.begin(), d.end()));
  Arrays linear, along;
  for (size_t i = 0; i < in.size(); ++i)
    if (of_inputs[i] && grads[i]) {
      linear.push_back(*grads[i]);
      along.push_back(astype(*of_inputs[i], grads[i]->dtype()));
    }
  return graph::backward(d, linear, along);
}

}  // namespace

std::pair<Arrays, Arrays> jvp(const Function& fun, const Arrays& primals, const Arrays& tangents) {
  check(primals.size() == tangents.size(), "jvp: ", primals.size(), " primals and ",
        tangents.size(), " tangents");
  for (size_t i = 0; i < primals.size(); ++i)
    check(primals[i].shape() == tangents[i].shape(), "jvp: primal ", i, " has shape ",
          primals[i].shape(), ", its tangent ", tangents[i].shape());
  graph::Tracing tracing;
  const Arrays args = graph::arguments(primals);
  Arrays outputs = fun(args);
  std::unordered_map<const Node*, Arrays> known;  // the tangents of all outputs of a node
  for (size_t i = 0; i < args.size(); ++i)
    known[&args[i].node()] = {astype(tangents[i], primals[i].dtype())};
  for (Node* n : graph::between(args, outputs)) {
    if (n->output > 0) {
      const array of = known.at(&n->inputs[0].node())[size_t(n->output)];
      known[n] = {of};
      continue;
    }
    Tangents of_inputs;
    for (const array& x : n->inputs) {
      const auto found = known.find(&x.node());
      of_inputs.push_back(found == known.end() ? std::nullopt : std::optional(found->second[0]));
    }
    known[n] = tangents_of(*n, of_inputs);
  }
  Arrays out;
  for (const array& y : outputs) {
    const auto found = known.find(&y.node());
    out.push_back(found == known.end() ? zeros_like(y) : astype(found->second[0], y.dtype()));
  }
  return {std::move(outputs), std::move(out)};
}
std::pair<array, array> jvp(const UnaryFunction& fun, const array& primal, const array& tangent) {
  const auto [out, along] =
      jvp([&](const Arrays& x) { return Arrays{fun(x[0])}; }, {primal}, {tangent});
  return {out[0], along[0]};
}

}  // namespace hearth
