// Map: the vocabulary, and programs checked, written out and taken apart.
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives.h"

namespace hearth {

int new_primitive_id() {
  static std::atomic<int> next{primitive_id::count};
  return next++;
}

const ElementOpInfo& info(ElementOp op) {
  using enum ResultRule;
  static constexpr ElementOpInfo table[kElementOps] = {
#define UNARY(name, kinds, rule, value, gradient, ...) {#name, 1, kinds, rule, {{__VA_ARGS__}}},
#define BINARY(name, kinds, rule, value, ga, gb, lo_a, hi_a, lo_b, hi_b) \
  {#name, 2, kinds, rule, {{lo_a, hi_a}, {lo_b, hi_b}}},
#define TERNARY(name, kinds, rule, value, ga, gb, gc, lo_a, hi_a, lo_b, hi_b, lo_c, hi_c) \
  {#name, 3, kinds, rule, {{lo_a, hi_a}, {lo_b, hi_b}, {lo_c, hi_c}}},
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
      {"astype", 1, "buifc", Same, {{-8, 8}}},
  };
  return table[int(op)];
}

Dtype Map::dtype(int reg) const {
  const int n = int(inputs.size()), m = first_step();
  return reg < n ? inputs[reg] : reg < m ? constants[reg - n].dtype : steps[reg - m].dtype;
}

Specs Map::infer(std::span<const array> in) const {
  check(!steps.empty() && !results.empty() && registers() <= kMaxRegisters, "map: a program of ",
        steps.size(), " steps, ", registers(), " registers and ", results.size(),
        " results; wanted a step, a result and at most ", kMaxRegisters, " registers");
  check(in.size() == inputs.size(), name(), ": wanted ", inputs.size(), " inputs, got ", in.size());
  for (int r = first_step(); r < registers(); ++r) {
    const Step& s = steps[r - first_step()];
    for (int i = 0; i < info(s.op).arity; ++i)
      check(s.from[i] < r, "map: step ", r - first_step(), " reads register ", int(s.from[i]),
            ", which comes after it");
  }
  for (uint8_t r : results)
    check(r < registers(), "map: result ", int(r), " of ", registers(), " registers");
  Shape shape = in.empty() ? Shape() : in[0].shape();
  for (size_t i = 0; i < in.size(); ++i) {
    check(in[i].dtype() == inputs[i], name(), ": input ", i, " should be ", inputs[i], ", is ",
          in[i].dtype());
    if (in[i].shape() != shape) shape = broadcast_shapes(shape, in[i].shape(), name());
  }
  if (results.size() == 1) return {{std::move(shape), dtype(results[0])}};
  Specs out;
  for (uint8_t r : results) out.push_back({shape, dtype(r)});
  return out;
}

// Every register as an array, each step a node of its own.
Arrays Map::all_registers(const Arrays& in) const {
  Arrays regs = in;
  for (const Constant& c : constants)
    visit(AllTypes{}, c.dtype, name(), [&]<class T>() {
      regs.push_back(array(load_element<T>(c.value.data(), c.dtype), c.dtype));
    });
  for (const Step& s : steps) {
    auto map = std::make_shared<Map>();
    SmallVector<array, 3> from;
    for (int i = 0; i < info(s.op).arity; ++i) {
      map->inputs.push_back(dtype(s.from[i]));
      from.push_back(regs[s.from[i]]);
    }
    Step alone{s.op, s.dtype, {}};
    for (size_t i = 0; i < from.size(); ++i) alone.from[i] = uint8_t(i);
    map->results.push_back(map->add(alone));
    regs.push_back(hearth::apply(std::move(map), std::move(from)));
  }
  return regs;
}

std::optional<Arrays> Map::decompose(const Arrays& in) const {
  const Step& s = steps.back();
  bool alone = steps.size() == 1 && gives_last() && registers() == info(s.op).arity + 1;
  for (int i = 0; i < info(s.op).arity; ++i) alone = alone && s.from[i] == i;
  if (alone) return std::nullopt;
  const Arrays regs = all_registers(in);
  Arrays out;
  const Specs specs = infer(in);
  for (uint8_t r : results) out.push_back(broadcast_to(regs[r], specs[0].shape));
  return out;
}

}  // namespace hearth
