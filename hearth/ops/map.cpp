// Map: the vocabulary, and programs checked, written out and taken apart.
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives.h"

namespace hearth {

int new_primitive_id() {
  static std::atomic<int> next{primitive_id::count};
  return next++;
}

// The letters by which ElementOpInfo::accepts knows kinds.
static_assert(int(Kind::b) == 0 && int(Kind::u) == 1 && int(Kind::i) == 2 && int(Kind::f) == 3 &&
              int(Kind::c) == 4);

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

namespace {

// One step on operands in order, as decompose makes them.
bool is_one_step(const Map& m) {
  if (m.steps.size() != 1 || !m.gives_last()) return false;
  const Map::Step& s = m.steps[0];
  bool in_order = m.registers() == info(s.op).arity + 1;
  for (int i = 0; i < info(s.op).arity; ++i) in_order = in_order && s.from[i] == i;
  return in_order;
}

// Nearly all programs, at a glance: the rest is for check_program.
bool is_plain(const Map& m) {
  if (m.steps.size() != 1 || m.results.size() != 1) return false;
  const int last = m.first_step();
  const auto& from = m.steps[0].from;
  return m.results[0] == last && from[0] < last && from[1] < last && from[2] < last;
}
[[gnu::noinline]] void check_program(const Map& m) {
  check(!m.steps.empty() && !m.results.empty() && m.registers() <= Map::kMaxRegisters,
        "map: a program of ", m.steps.size(), " steps, ", m.registers(), " registers and ",
        m.results.size(), " results; wanted a step, a result and at most ", Map::kMaxRegisters,
        " registers");
  for (int r = m.first_step(); r < m.registers(); ++r) {
    const Map::Step& s = m.steps[r - m.first_step()];
    for (int i = 0; i < info(s.op).arity; ++i)
      check(s.from[i] < r, "map: step ", r - m.first_step(), " reads register ", int(s.from[i]),
            ", which comes after it");
  }
  for (uint8_t r : m.results)
    check(r < m.registers(), "map: result ", int(r), " of ", m.registers(), " registers");
}

}  // namespace

Specs Map::infer(std::span<const array> in) const {
  if (!is_plain(*this)) check_program(*this);
  check(in.size() == inputs.size(), name(), ": wanted ", inputs.size(), " inputs, got ", in.size());
  Shape shape;
  if (!in.empty()) shape = in[0].shape();
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
  if (is_one_step(*this)) return std::nullopt;
  const Arrays regs = all_registers(in);
  Arrays out;
  const Specs specs = infer(in);
  for (uint8_t r : results) out.push_back(broadcast_to(regs[r], specs[0].shape));
  return out;
}

}  // namespace hearth
