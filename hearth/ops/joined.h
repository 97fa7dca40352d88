// Elementwise expressions as one program: read once, written once, nothing in between.
#pragma once
#include <functional>

#include "hearth/ops/primitives.h"

namespace hearth {

/// The constant as another dtype.
Map::Constant cast(const Map::Constant& c, Dtype d);
/// An expression made of elementwise operations as one program; what is no input and was not
/// computed is a constant. `uses`: the places of the inputs that it reads, in the program's order.
std::shared_ptr<const Map> joined(const array& expression, std::span<const array> inputs,
                                  SmallVector<uint8_t, 5>& uses);
/// f(operands), which must be such an expression, as one node.
array fused(const std::function<array(const Arrays&)>& f, const Arrays& operands);

}  // namespace hearth
