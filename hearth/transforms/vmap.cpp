// vmap: the function is traced once on stand-ins for one example; its operations are then done
// again on the whole batch.
#include <unordered_map>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement.h"
#include "hearth/transforms/custom.h"
#include "hearth/transforms/graph.h"
#include "hearth/transforms/vmap_rules.h"

namespace hearth {

namespace {

// Stands for one example of a mapped argument. It has no value.
struct Example : OwnOp<Example> {
  Shape shape;
  Dtype dtype;
  Example(Shape shape, Dtype dtype) : shape(std::move(shape)), dtype(dtype) {}
  HEARTH_FIELDS(shape, dtype)
  std::string_view name() const override { return "vmap"; }
  Specs infer(std::span<const array>) const override { return {{shape, dtype}}; }
  std::optional<Arrays> decompose(const Arrays&) const override {
    check(false,
          "vmap: the function asks for a value of a mapped argument, or for a shape that "
          "depends on values (a mask as an index, item, eval)");
    return std::nullopt;
  }
};

class Batcher {
 public:
  explicit Batcher(int batch) : batch_(batch) {}
  void know(const array& one, const array& all) { known_[&one.node()] = {all}; }

  /// The outputs, with the batch in front, of what was traced from `from`, all of it known.
  std::vector<graph::Batched> run(const Arrays& from, const Arrays& outputs) {
    for (Node* n : graph::between(from, outputs)) batch_node(*n);
    std::vector<graph::Batched> out;
    for (const array& y : outputs) out.push_back(of(y));
    return out;
  }

 private:
  graph::Batched of(const array& x) const {
    const auto found = known_.find(&x.node());
    if (found == known_.end()) return {x, false};
    return {found->second[0], true};
  }

  void batch_node(Node& n) {
    if (known_.contains(&n)) return;
    if (n.output > 0) {
      const array one = known_.at(&n.inputs[0].node())[size_t(n.output)];
      known_[&n] = {one};
      return;
    }
    std::vector<graph::Batched> in;
    for (const array& x : n.inputs) in.push_back(of(x));
    StreamScope scope(n.stream);
    known_[&n] = outputs_of_batch(n, in);
  }

  Arrays outputs_of_batch(Node& n, const std::vector<graph::Batched>& in) {
    check(n.op->writes_into(0) < 0, "vmap: ", n.op->name(),
          " writes into an array that all "
          "examples share");
    if (n.op->id == graph::Custom::kernel_id()) return custom(n, in);
    if (auto out = graph::batch_by_rule(n.op, in, batch_)) return std::move(*out);
    // What it is made of, on the examples' stand-ins.
    const Arrays one(n.inputs.begin(), n.inputs.end());
    if (const auto simpler = n.op->decompose(one)) {
      kept_.insert(kept_.end(), simpler->begin(), simpler->end());  // no node of it dies
      Arrays out;
      for (const graph::Batched& y : run(mapped_inputs(one), *simpler)) out.push_back(whole(y));
      return out;
    }
    return graph::batch_by_loop(n.op, in, batch_, n.op->infer(one));
  }
  Arrays mapped_inputs(const Arrays& in) const {
    Arrays out;
    for (const array& x : in)
      if (known_.contains(&x.node())) out.push_back(x);
    return out;
  }
  array whole(const graph::Batched& y) const {
    if (y.mapped) return y.a;
    Shape shape = y.a.shape();
    shape.insert(shape.begin(), batch_);
    return broadcast_to(expand_dims(y.a, 0), shape);
  }

  // The batch keeps the gradients that the function was given.
  Arrays custom(Node& n, const std::vector<graph::Batched>& in) {
    const auto& op = static_cast<const graph::Custom&>(*n.op);
    const auto primals = size_t(op.primals);
    Arrays all;
    std::vector<int> axes;
    for (const graph::Batched& x : in) all.push_back(x.a), axes.push_back(x.mapped ? 0 : -1);
    if (op.functions->vmap) {
      auto [out, at] = (*op.functions->vmap)(Arrays(all.begin(), all.begin() + long(primals)),
                                             {axes.begin(), axes.begin() + long(primals)});
      check(out.size() == at.size() && out.size() == in.size() - primals,
            "custom_function: its vmap gave ", out.size(), " outputs and ", at.size(), " axes for ",
            in.size() - primals, " outputs");
      for (size_t i = 0; i < out.size(); ++i)
        out[i] = at[i] < 0 ? whole({out[i], false}) : moveaxis(out[i], at[i], 0);
      return out;
    }
    for (size_t i = 0; i < all.size(); ++i) all[i] = whole(in[i]);
    auto functions = std::make_shared<graph::Custom::Functions>();
    const size_t outputs = in.size() - primals;
    const auto part = [](const Arrays& x, size_t start, size_t count) {
      return Arrays(x.begin() + long(start), x.begin() + long(start + count));
    };
    if (op.functions->vjp)
      functions->vjp = [own = *op.functions->vjp, primals, outputs, part](
                           const Arrays& x, const Arrays& d, const Arrays& y) {
        const Function one = [&](const Arrays& z) {
          return own(part(z, 0, primals), part(z, primals, outputs),
                     part(z, primals + outputs, outputs));
        };
        Arrays together = x;
        together.insert(together.end(), d.begin(), d.end());
        together.insert(together.end(), y.begin(), y.end());
        return vmap(one)(together);
      };
    if (op.functions->jvp)
      functions->jvp = [own = *op.functions->jvp, primals, part](const Arrays& x, const Arrays& t,
                                                                 const std::vector<int>& places) {
        const Function one = [&](const Arrays& z) {
          return own(part(z, 0, primals), part(z, primals, z.size() - primals), places);
        };
        Arrays together = x;
        together.insert(together.end(), t.begin(), t.end());
        return vmap(one)(together);
      };
    return apply_all(std::make_shared<graph::Custom>(std::move(functions), op.primals), all);
  }

  int batch_;
  Arrays kept_;
  std::unordered_map<const Node*, Arrays> known_;  // all outputs of a node
};

// Nothing comes out mapped of what nothing mapped went into, and the other way round.
void check_axes(const std::vector<int>& in_axes, const std::vector<int>& out_axes) {
  const auto none = [](const std::vector<int>& axes) {
    return !axes.empty() && std::ranges::all_of(axes, [](int axis) { return axis == -1; });
  };
  if (out_axes.empty()) return;
  const bool none_in = none(in_axes);
  check(none_in == none(out_axes),
        none_in ? "vmap: no argument is mapped (in_axes are -1), so that no result can be"
                : "vmap: an argument is mapped, and no result (out_axes are -1)");
}

Arrays mapped_over(const Function& fun, std::vector<int> in_axes, std::vector<int> out_axes,
                   const Arrays& inputs) {
  if (!in_axes.empty() && !out_axes.empty() &&
      std::ranges::all_of(out_axes, [](int axis) { return axis == -1; }))
    return fun(inputs);  // check_axes: nothing is mapped
  if (in_axes.empty()) in_axes.resize(inputs.size(), 0);
  check(in_axes.size() == inputs.size(), "vmap: ", in_axes.size(), " in_axes for ", inputs.size(),
        " arguments");
  std::optional<int> batch;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (in_axes[i] == -1) continue;
    in_axes[i] = normalize_axis(in_axes[i], inputs[i].ndim(), "vmap");
    const int n = inputs[i].shape(in_axes[i]);
    check(!batch || *batch == n, "vmap: the mapped axes have ", batch.value_or(0), " and ", n,
          " elements");
    batch = n;
  }
  check(batch.has_value(), "vmap: no argument is mapped; an in_axis of -1 means none");
  graph::Tracing tracing;
  Batcher batcher(*batch);
  Arrays examples = inputs, mapped;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (in_axes[i] == -1) continue;
    Shape shape = inputs[i].shape();
    shape.erase(shape.begin() + in_axes[i]);
    examples[i] = apply(std::make_shared<Example>(shape, inputs[i].dtype()), {});
    examples[i].node().tracer = true;
    batcher.know(examples[i], moveaxis(inputs[i], in_axes[i], 0));
    mapped.push_back(examples[i]);
  }
  const Arrays outputs = fun(examples);
  if (out_axes.empty()) out_axes.resize(outputs.size(), 0);
  check(out_axes.size() == outputs.size(), "vmap: ", out_axes.size(), " out_axes for ",
        outputs.size(), " outputs");
  Arrays out;
  const auto all = batcher.run(mapped, outputs);
  for (size_t i = 0; i < all.size(); ++i) {
    if (!all[i].mapped && out_axes[i] == -1) {  // the same for each example, and wanted once
      out.push_back(all[i].a);
      continue;
    }
    Shape shape = all[i].a.shape();
    if (!all[i].mapped) shape.insert(shape.begin(), *batch);
    const array y = all[i].mapped ? all[i].a : broadcast_to(expand_dims(all[i].a, 0), shape);
    out.push_back(moveaxis(y, 0, out_axes[i]));
  }
  return out;
}

}  // namespace

Function vmap(const Function& fun, const std::vector<int>& in_axes,
              const std::vector<int>& out_axes) {
  check(bool(fun), "vmap: the function is empty");
  check_axes(in_axes, out_axes);
  return [=](const Arrays& inputs) { return mapped_over(fun, in_axes, out_axes, inputs); };
}
UnaryFunction vmap(const UnaryFunction& fun, int in_axis, int out_axis) {
  check_axes({in_axis}, {out_axis});
  return [=](const array& x) {
    const Function one = [&](const Arrays& in) { return Arrays{fun(in[0])}; };
    return mapped_over(one, {in_axis}, {out_axis}, {x})[0];
  };
}
BinaryFunction vmap(const BinaryFunction& fun, int in_axis_a, int in_axis_b, int out_axis) {
  check_axes({in_axis_a, in_axis_b}, {out_axis});
  return [=](const array& a, const array& b) {
    const Function one = [&](const Arrays& in) { return Arrays{fun(in[0], in[1])}; };
    return mapped_over(one, {in_axis_a, in_axis_b}, {out_axis}, {a, b})[0];
  };
}

}  // namespace hearth
