#include "hearth/ops/depends.h"

#include "hearth/ops/op.h"

namespace hearth {

namespace {

/// (inputs..., dependencies...) -> the inputs
struct Depends : OwnOp<Depends> {
  int inputs;
  explicit Depends(int inputs) : inputs(inputs) {}
  HEARTH_FIELDS(inputs)
  std::string_view name() const override { return "depends"; }
  Specs infer(std::span<const array> in) const override {
    Specs specs;
    for (const array& x : in.first(size_t(inputs))) specs.push_back({x.shape(), x.dtype()});
    return specs;
  }
  std::optional<Arrays> decompose(const Arrays& in) const override {
    return Arrays(in.begin(), in.begin() + inputs);
  }
};

}  // namespace

Arrays depends(const Arrays& inputs, const Arrays& dependencies) {
  if (inputs.empty()) return {};
  Arrays all = inputs;
  all.insert(all.end(), dependencies.begin(), dependencies.end());
  return apply_all(std::make_shared<Depends>(int(inputs.size())), all);
}

}  // namespace hearth
