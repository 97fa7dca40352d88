#include "hearth/ops/joined.h"

#include <unordered_map>

namespace hearth {

namespace {

// The registers of a program that is still being collected: inputs by their number, constants and
// steps from these on.
constexpr int kConstants = 1000, kSteps = 2000;

struct Joiner {
  Map map;
  std::vector<std::array<int, 3>> from;        // of each step
  std::unordered_map<const Node*, int> known;  // their registers

  int constant(const Map::Constant& c) {
    map.constants.push_back(c);
    return kConstants + int(map.constants.size()) - 1;
  }
  int step(const Map::Step& s, const std::array<int, 3>& of) {
    const bool folds = s.op == ElementOp::astype && of[0] >= kConstants && of[0] < kSteps;
    if (folds) return constant(cast(map.constants[size_t(of[0] - kConstants)], s.dtype));
    map.steps.push_back(s);
    from.push_back(of);
    return kSteps + int(from.size()) - 1;
  }
  int add(const array& a) {
    const Node& n = a.node();
    if (const auto at = known.find(&n); at != known.end()) return at->second;
    if (!n.op) {
      check(a.size() == 1, "joined: an operand of shape ", a.shape(), " is no constant");
      Map::Constant c(0, n.dtype);
      std::memcpy(c.value.data(), n.data(), size_of(n.dtype));
      return known[&n] = constant(c);
    }
    check(n.op->id == primitive_id::Map, "joined: ", n.op->name(), " is not elementwise");
    const Map& m = static_cast<const Map&>(*n.op);
    std::vector<int> regs;
    for (const array& x : n.inputs) regs.push_back(add(x));
    for (const Map::Constant& c : m.constants) regs.push_back(constant(c));
    for (const Map::Step& s : m.steps) {
      std::array<int, 3> of{};
      for (int i = 0; i < info(s.op).arity; ++i) of[size_t(i)] = regs[s.from[size_t(i)]];
      regs.push_back(step(s, of));
    }
    return known[&n] = regs[m.results[0]];
  }
};

}  // namespace

Map::Constant cast(const Map::Constant& c, Dtype d) {
  Map::Constant out(0, d);
  visit(AllTypes{}, d, "constant",
        [&]<class T>() { out = Map::Constant(load_element<T>(c.value.data(), c.dtype), d); });
  return out;
}

std::shared_ptr<const Map> joined(const array& expression, std::span<const array> inputs,
                                  SmallVector<uint8_t, 5>& uses) {
  Joiner j;
  for (size_t i = 0; i < inputs.size(); ++i) j.known[&inputs[i].node()] = int(i);
  const int last = j.add(expression);
  check(last == kSteps + int(j.from.size()) - 1, "joined: the expression computes nothing");
  // Only what a step reads is kept: inputs in the order in which they are first read.
  const size_t steps = j.from.size(), constants = j.map.constants.size();
  std::vector<int> place(size_t(kSteps), -1);
  uses.clear();
  int next = 0;
  for (size_t s = 0; s < steps; ++s)
    for (int i = 0; i < info(j.map.steps[s].op).arity; ++i) {
      const int r = j.from[s][size_t(i)];
      if (r >= kSteps || place[size_t(r)] >= 0) continue;
      place[size_t(r)] = r < kConstants ? next++ : 0;
      if (r >= kConstants) continue;
      uses.push_back(uint8_t(r));
      j.map.inputs.push_back(inputs[size_t(r)].dtype());
    }
  SmallVector<Map::Constant, 1> kept;
  for (size_t k = 0; k < constants; ++k)
    if (int& at = place[kConstants + k]; at == 0) at = next++, kept.push_back(j.map.constants[k]);
  j.map.constants = std::move(kept);
  check(next + int(steps) <= Map::kMaxRegisters, "joined: ", next + int(steps),
        " registers, there are ", Map::kMaxRegisters);
  for (size_t s = 0; s < steps; ++s)
    for (int i = 0; i < info(j.map.steps[s].op).arity; ++i) {
      const int r = j.from[s][size_t(i)];
      j.map.steps[s].from[size_t(i)] = uint8_t(r >= kSteps ? next + r - kSteps : place[size_t(r)]);
    }
  j.map.results.push_back(uint8_t(next + int(steps) - 1));
  return std::make_shared<Map>(std::move(j.map));
}

array fused(const std::function<array(const Arrays&)>& f, const Arrays& operands) {
  Arrays stand_ins;
  for (const array& x : operands) stand_ins.push_back(array(1, x.dtype()));
  SmallVector<uint8_t, 5> uses;
  auto map = joined(f(stand_ins), stand_ins, uses);
  SmallVector<array, 3> in;
  for (uint8_t i : uses) in.push_back(operands[i]);
  return hearth::apply(std::move(map), std::move(in));
}

}  // namespace hearth
