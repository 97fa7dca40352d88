// Map: the vocabulary, and programs checked, written out and taken apart.
#include "hearth/ops/primitives.h"

namespace hearth {

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
  check(in.size() == inputs.size(), name(), ": wanted ", inputs.size(), " inputs, got ", in.size());
  Shape shape = in[0].shape();
  for (size_t i = 0; i < in.size(); ++i) {
    check(in[i].dtype() == inputs[i], name(), ": input ", i, " should be ", inputs[i], ", is ",
          in[i].dtype());
    if (in[i].shape() != shape) shape = broadcast_shapes(shape, in[i].shape(), name());
  }
  return {{std::move(shape), steps.back().dtype}};
}

std::string Map::state() const {
  std::string text;
  for (Dtype d : inputs) text += concat(d, " ");
  for (const Constant& c : constants) {
    uint64_t bits = 0;
    std::memcpy(&bits, c.value.data(), size_of(c.dtype));
    text += concat(c.dtype, "=", bits, " ");
  }
  for (const Step& s : steps) {
    text += concat(info(s.op).name, ":", s.dtype);
    for (int i = 0; i < info(s.op).arity; ++i) text += concat(i ? "," : "(", int(s.from[i]));
    text += ") ";
  }
  return text;
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
    map->steps.push_back(alone);
    regs.push_back(hearth::apply(std::move(map), std::move(from)));
  }
  return regs;
}

std::optional<Arrays> Map::decompose(const Arrays& in) const {
  if (steps.size() == 1 && constants.empty()) return std::nullopt;
  return Arrays{all_registers(in).back()};
}

}  // namespace hearth
