// The primitive of functions with transforms of their own.
#pragma once
#include "hearth/ops/op.h"
#include "hearth/transforms/transforms.h"

namespace hearth::graph {

/// (primals..., outputs...) -> the outputs. What a transform does not find here is that of the
/// function, through the outputs.
struct Custom : OwnOp<Custom> {
  struct Functions {
    std::optional<CustomVjp> vjp;
    std::optional<CustomJvp> jvp;
    std::optional<CustomVmap> vmap;
  };
  std::shared_ptr<const Functions> functions;
  int primals;
  uint64_t address;  // of the functions, by which it is compared
  Custom(std::shared_ptr<const Functions> of, int primals)
      : functions(std::move(of)), primals(primals), address(uintptr_t(functions.get())) {}
  HEARTH_FIELDS(primals, address)
  std::string_view name() const override { return "custom_function"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

}  // namespace hearth::graph
