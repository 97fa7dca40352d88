// Boxes of arrays, for builders and gradients.
#pragma once
#include "hearth/ops/primitives_movement.h"

namespace hearth::detail {

/// The elements of the box.
array take_box(const array& a, const Box& box);
/// `a` with the box updated; update has the box's shape and a's dtype.
array update_box(const array& a, const array& update, Update mode, const Box& box);
/// NumPy's start:stop:strides on an array of that shape.
Box normalize(Shape start, Shape stop, Shape strides, const Shape& shape, std::string_view who);

}  // namespace hearth::detail
