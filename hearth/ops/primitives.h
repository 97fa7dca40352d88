// The one list of primitives, and their structs: parameters only. How they run is a backend's
// business.
#pragma once
#include "hearth/core/primitive.h"

namespace hearth {

// A primitive's place in this list is its id, by which backends find their kernels.
// clang-format off
#define HEARTH_PRIMITIVES(X) \
  X(Copy) \
  X(Map) X(StopGradient) \
  X(Reduce) X(ArgReduce) X(Scan) X(Sort) X(Softmax) X(LogSumExp)
// clang-format on

namespace primitive_id {
enum : int {
#define X(name) name,
  HEARTH_PRIMITIVES(X)
#undef X
      count
};
}  // namespace primitive_id

/// Opens a primitive: its id and its name. `struct Copy : Op<primitive_id::Copy> { ... };`
template <int Id>
struct Op : Primitive {
  static constexpr int kId = Id;
  Op() : Primitive(Id) {}
};

/// The input's values, row-major. (...) -> the same.
struct Copy : Op<primitive_id::Copy> {
  std::string_view name() const override { return "copy"; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), in[0].dtype()}}; }
  std::optional<Cotangents> vjp(const Arrays&, const Arrays&, const Arrays& d) const override {
    return Cotangents{d[0]};
  }
};

}  // namespace hearth

#include "hearth/ops/primitives_map.h"
#include "hearth/ops/primitives_reduce.h"
