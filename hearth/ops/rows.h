// Axes brought to the end and joined into one, for operations on rows; and back.
#pragma once
#include "hearth/core/array.h"

namespace hearth {

/// 0, 1, ..., n - 1 with `axes` (sorted, not negative) behind the others.
std::vector<int> axes_last(int ndim, std::span<const int> axes);
/// The shape of `a` without the axes, or with them as 1.
Shape reduced_shape(const array& a, std::span<const int> axes, bool keepdims);
/// (others..., n), n the elements of the axes together. A view where the layout allows it.
array rows(const array& a, std::span<const int> axes);
/// The reverse of rows(like, axes), for a result of its shape.
array from_rows(const array& r, const array& like, std::span<const int> axes);

}  // namespace hearth
