// Shapes, strides and views: pure functions, no memory.
#pragma once
#include <iosfwd>
#include <optional>
#include <string>

#include "hearth/base/small_vector.h"

namespace hearth {

using ShapeElem = int32_t;
using Shape = SmallVector<ShapeElem, 6>;
using Strides = SmallVector<int64_t, 6>;  // in elements, not bytes; 0 repeats, negative walks back

/// How an array lies in its storage.
struct View {
  Shape shape;
  Strides strides;
  int64_t offset = 0;  // elements from the start of the storage
};

std::string to_string(const Shape& shape);  // "(2, 3)"
std::ostream& operator<<(std::ostream& out, const Shape& shape);

/// The product of the sizes; throws when a size is negative, std::overflow_error when the product
/// exceeds 2^48.
size_t element_count(const Shape& shape);
/// Strides of a row-major array without gaps.
Strides row_major(const Shape& shape);
bool row_contiguous(const Shape& shape, const Strides& strides);

/// NumPy's rule; throws "who: shapes (2, 3) and (4) cannot be broadcast".
Shape broadcast_shapes(const Shape& a, const Shape& b, std::string_view who = "broadcast_shapes");
/// Strides that repeat `from` to the broadcast shape `to`: 0 where an axis is repeated.
Strides broadcast_strides(const Shape& from, const Strides& strides, const Shape& to);

/// A size that was computed in 64 bits, as an axis; throws std::overflow_error with the size if it
/// is more than an axis can have.
ShapeElem axis_size(int64_t n, std::string_view who);

/// axis in [-ndim, ndim) made non-negative; throws std::out_of_range: "who: axis 3 is out of range
/// for 2 dimensions".
int normalize_axis(int axis, int ndim, std::string_view who);
/// All of them, sorted; throws also when one repeats.
SmallVector<int, 6> normalize_axes(std::span<const int> axes, int ndim, std::string_view who);

/// The view as `shape` without a copy, if strides allow it.
std::optional<View> reshape_view(const View& from, const Shape& shape);

/// Joins neighbouring axes that every stride list walks as one, and drops axes of size 1. Kernels
/// then loop over few long axes. All lists have shape's rank and are changed in place.
void collapse(Shape& shape, std::span<Strides> strides);

}  // namespace hearth
