// Boxes of arrays, for builders and gradients.
#pragma once
#include "hearth/ops/primitives_movement.h"

namespace hearth::detail {

/// The elements of `a` as one axis.
inline ShapeElem flat_size(const array& a, std::string_view who) {
  return axis_size(int64_t(element_count(a.shape())), who);
}

/// Throws if they are no integers; `who` is what the user called.
inline void check_indices(const array& indices, std::string_view who) {
  check(is_integer(indices.dtype()), who, ": indices are ", indices.dtype(), ", wanted integers");
}

/// The elements of the box.
array take_box(const array& a, const Box& box);
/// Elements [start, stop) of an axis.
array part(const array& a, int axis, int64_t start, int64_t stop);
/// `a` with the box updated; update has the box's shape and a's dtype.
array update_box(const array& a, const array& update, Update mode, const Box& box);
/// NumPy's start:stop:strides on an array of that shape.
Box normalize(Shape start, Shape stop, Shape strides, const Shape& shape, std::string_view who);

}  // namespace hearth::detail
