// Reading and writing at computed places. Indices are integers; negative ones count from the end.
// An index out of range throws when the array is evaluated; a GPU clamps it (docs/design.md).
#pragma once
#include "hearth/core/array.h"

namespace hearth {

/// Slices of `a` at indices: axis becomes the axes of `indices`; without an axis, of the flat
/// array.
array take(const array& a, const array& indices, int axis, StreamOrDevice s = {});
array take(const array& a, int index, int axis, StreamOrDevice s = {});
array take(const array& a, const array& indices, StreamOrDevice s = {});
array take(const array& a, int index, StreamOrDevice s = {});
/// out[..., i, ...] = a[..., indices[..., i, ...], ...]; other axes broadcast.
array take_along_axis(const array& a, const array& indices, int axis, StreamOrDevice s = {});
/// a with a[..., indices[..., i, ...], ...] = values[..., i, ...]; of equal indices the last wins.
array put_along_axis(const array& a, const array& indices, const array& values, int axis,
                     StreamOrDevice s = {});
/// The same with +=; equal indices add up, in order.
array scatter_add_axis(const array& a, const array& indices, const array& values, int axis,
                       StreamOrDevice s = {});

/// The blocks of slice_sizes that start at indices (on `axes`, from 0 up; 0 on others). The indices
/// broadcast to a shape I; the result is I + slice_sizes.
array gather(const array& a, const Arrays& indices, const std::vector<int>& axes,
             const Shape& slice_sizes, StreamOrDevice s = {});
array gather(const array& a, const array& indices, int axis, const Shape& slice_sizes,
             StreamOrDevice s = {});
/// a with blocks replaced at indices; updates is I + block shape (a.ndim() axes). Blocks apply in
/// row-major order of the indices: the same bits each time.
array scatter(const array& a, const Arrays& indices, const array& updates,
              const std::vector<int>& axes, StreamOrDevice s = {});
array scatter(const array& a, const array& indices, const array& updates, int axis,
              StreamOrDevice s = {});
array scatter_add(const array& a, const Arrays& indices, const array& updates,
                  const std::vector<int>& axes, StreamOrDevice s = {});
array scatter_add(const array& a, const array& indices, const array& updates, int axis,
                  StreamOrDevice s = {});
array scatter_prod(const array& a, const Arrays& indices, const array& updates,
                   const std::vector<int>& axes, StreamOrDevice s = {});
array scatter_prod(const array& a, const array& indices, const array& updates, int axis,
                   StreamOrDevice s = {});
array scatter_max(const array& a, const Arrays& indices, const array& updates,
                  const std::vector<int>& axes, StreamOrDevice s = {});
array scatter_max(const array& a, const array& indices, const array& updates, int axis,
                  StreamOrDevice s = {});
array scatter_min(const array& a, const Arrays& indices, const array& updates,
                  const std::vector<int>& axes, StreamOrDevice s = {});
array scatter_min(const array& a, const array& indices, const array& updates, int axis,
                  StreamOrDevice s = {});
/// a with the elements where mask is true replaced by those of src, in order.
array masked_scatter(const array& a, const array& mask, const array& src, StreamOrDevice s = {});

/// Where each value would be inserted to keep the sequence sorted (before equal ones: "left"). u32.
array searchsorted(const array& sorted_sequence, const array& values,
                   const std::string& side = "left", StreamOrDevice s = {});

}  // namespace hearth
