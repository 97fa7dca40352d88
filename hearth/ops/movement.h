// Shape, order and place: what moves elements without computing. Most are views and cost nothing.
// Names, argument order and results are MLX's.
#pragma once
#include <utility>

#include "hearth/core/array.h"

namespace hearth {

/// The values in new row-major memory.
array copy(const array& a, StreamOrDevice s = {});
/// The values, of the state's shape and dtype, written INTO the state's memory: other arrays on it
/// see them. The result is the state as it is then. In one eval, it is written after what the
/// outputs named before it need.
array assign(const array& state, const array& values, StreamOrDevice s = {});
/// The values row-major without gaps; the same memory if they lie so (or, if allowed,
/// column-major).
array contiguous(const array& a, bool allow_col_major = false, StreamOrDevice s = {});
/// The bytes as another dtype; when the item size changes, the last axis grows or shrinks.
array view(const array& a, Dtype dtype, StreamOrDevice s = {});
/// The elements offset + sum(index * strides) of the row-major values; all must be inside.
array as_strided(const array& a, const Shape& shape, const Strides& strides, size_t offset,
                 StreamOrDevice s = {});
/// The product of the sizes of `axes` as a scalar, or 1 over it.
array number_of_elements(const array& a, const std::vector<int>& axes, bool inverted,
                         Dtype dtype = int32, StreamOrDevice s = {});

/// As `shape`, row-major; one size may be -1.
array reshape(const array& a, Shape shape, StreamOrDevice s = {});
/// Axes [start_axis, end_axis] as one; a scalar becomes (1).
array flatten(const array& a, int start_axis, int end_axis = -1, StreamOrDevice s = {});
array flatten(const array& a, StreamOrDevice s = {});
/// One axis as several; one size may be -1.
array unflatten(const array& a, int axis, Shape shape, StreamOrDevice s = {});
/// Without the axes of size 1 that are named; or without all of them.
array squeeze(const array& a, const std::vector<int>& axes, StreamOrDevice s = {});
array squeeze(const array& a, int axis, StreamOrDevice s = {});
array squeeze(const array& a, StreamOrDevice s = {});
/// With axes of size 1 at these places of the result.
array expand_dims(const array& a, const std::vector<int>& axes, StreamOrDevice s = {});
array expand_dims(const array& a, int axis, StreamOrDevice s = {});
/// At least that many axes: () -> (1), (N) -> (1, N), (M, N) -> (M, N, 1), as NumPy.
array atleast_1d(const array& a, StreamOrDevice s = {});
Arrays atleast_1d(const Arrays& a, StreamOrDevice s = {});
array atleast_2d(const array& a, StreamOrDevice s = {});
Arrays atleast_2d(const Arrays& a, StreamOrDevice s = {});
array atleast_3d(const array& a, StreamOrDevice s = {});
Arrays atleast_3d(const Arrays& a, StreamOrDevice s = {});

/// Axis i of the result is axis axes[i] of `a`; without axes, reversed.
array transpose(const array& a, const std::vector<int>& axes, StreamOrDevice s = {});
array transpose(const array& a, std::initializer_list<int> axes, StreamOrDevice s = {});
array transpose(const array& a, StreamOrDevice s = {});
/// The last two axes exchanged.
array matrix_transpose(const array& a, StreamOrDevice s = {});
array swapaxes(const array& a, int axis1, int axis2, StreamOrDevice s = {});
array moveaxis(const array& a, int source, int destination, StreamOrDevice s = {});
/// Repeated to `shape` by NumPy's rule, without a copy.
array broadcast_to(const array& a, const Shape& shape, StreamOrDevice s = {});
Arrays broadcast_arrays(const Arrays& inputs, StreamOrDevice s = {});
/// Backwards along the axes, by default all.
array flip(const array& a, const std::vector<int>& axes, StreamOrDevice s = {});
array flip(const array& a, int axis, StreamOrDevice s = {});
array flip(const array& a, StreamOrDevice s = {});
/// Shifted, what leaves at one end enters at the other; without axes, as if flat.
array roll(const array& a, int shift, StreamOrDevice s = {});
array roll(const array& a, const Shape& shift, StreamOrDevice s = {});
array roll(const array& a, int shift, int axis, StreamOrDevice s = {});
array roll(const array& a, int shift, const std::vector<int>& axes, StreamOrDevice s = {});
array roll(const array& a, const Shape& shift, int axis, StreamOrDevice s = {});
array roll(const array& a, const Shape& shift, const std::vector<int>& axes, StreamOrDevice s = {});

/// Wider by low and high elements per axis: of pad_value ("constant") or of the border ("edge").
array pad(const array& a, const std::vector<int>& axes, const Shape& low_pad_size,
          const Shape& high_pad_size, const array& pad_value = array(0),
          const std::string& mode = "constant", StreamOrDevice s = {});
array pad(const array& a, const std::vector<std::pair<int, int>>& pad_width,
          const array& pad_value = array(0), const std::string& mode = "constant",
          StreamOrDevice s = {});
array pad(const array& a, const std::pair<int, int>& pad_width, const array& pad_value = array(0),
          const std::string& mode = "constant", StreamOrDevice s = {});
array pad(const array& a, int pad_width, const array& pad_value = array(0),
          const std::string& mode = "constant", StreamOrDevice s = {});
/// The array reps times along each axis: (N), {2, 3} -> (2, 3 N).
array tile(const array& arr, std::vector<int> reps, StreamOrDevice s = {});
/// Each element `repeats` times along the axis; without one, of the flat array.
array repeat(const array& arr, int repeats, int axis, StreamOrDevice s = {});
array repeat(const array& arr, int repeats, StreamOrDevice s = {});

/// Joined along a new axis; all of one shape, dtypes promoted.
array stack(const Arrays& arrays, int axis, StreamOrDevice s = {});
array stack(const Arrays& arrays, StreamOrDevice s = {});
Arrays unstack(const array& a, int axis, StreamOrDevice s = {});
Arrays unstack(const array& a, StreamOrDevice s = {});
/// Joined along an axis; without one, flat. Other sizes must agree, dtypes are promoted.
array concatenate(const Arrays& arrays, int axis, StreamOrDevice s = {});
array concatenate(const Arrays& arrays, StreamOrDevice s = {});
/// In equal parts, or cut at `indices`.
Arrays split(const array& a, int num_splits, int axis, StreamOrDevice s = {});
Arrays split(const array& a, int num_splits, StreamOrDevice s = {});
Arrays split(const array& a, const Shape& indices, int axis, StreamOrDevice s = {});
Arrays split(const array& a, const Shape& indices, StreamOrDevice s = {});

/// a[start:stop:strides] by NumPy's rules on every axis: a view. To walk back to the first element
/// give stop = -size - 1.
array slice(const array& a, Shape start, Shape stop, Shape strides, StreamOrDevice s = {});
array slice(const array& a, std::initializer_list<int> start, Shape stop, Shape strides,
            StreamOrDevice s = {});
array slice(const array& a, Shape start, Shape stop, StreamOrDevice s = {});
/// From computed places: start (len(axes)) on `axes`, 0 on others. Throws when evaluated if it
/// leaves the array.
array slice(const array& a, const array& start, std::vector<int> axes, Shape slice_size,
            StreamOrDevice s = {});
/// src with src[start:stop:strides] = update, which is broadcast; the result has src's dtype.
array slice_update(const array& src, const array& update, Shape start, Shape stop, Shape strides,
                   StreamOrDevice s = {});
array slice_update(const array& src, const array& update, Shape start, Shape stop,
                   StreamOrDevice s = {});
/// At computed places. Throws when evaluated if the update leaves the array.
array slice_update(const array& src, const array& update, const array& start, std::vector<int> axes,
                   StreamOrDevice s = {});
/// src[...] += update, and *=, max=, min=.
array slice_update_add(const array& src, const array& update, Shape start, Shape stop,
                       Shape strides, StreamOrDevice s = {});
array slice_update_add(const array& src, const array& update, Shape start, Shape stop,
                       StreamOrDevice s = {});
array slice_update_prod(const array& src, const array& update, Shape start, Shape stop,
                        Shape strides, StreamOrDevice s = {});
array slice_update_prod(const array& src, const array& update, Shape start, Shape stop,
                        StreamOrDevice s = {});
array slice_update_max(const array& src, const array& update, Shape start, Shape stop,
                       Shape strides, StreamOrDevice s = {});
array slice_update_max(const array& src, const array& update, Shape start, Shape stop,
                       StreamOrDevice s = {});
array slice_update_min(const array& src, const array& update, Shape start, Shape stop,
                       Shape strides, StreamOrDevice s = {});
array slice_update_min(const array& src, const array& update, Shape start, Shape stop,
                       StreamOrDevice s = {});

/// A vector as the k-th diagonal of a square matrix; of a matrix, its k-th diagonal.
array diag(const array& a, int k = 0, StreamOrDevice s = {});
/// The diagonals of the matrices over axis1 and axis2, as the last axis.
array diagonal(const array& a, int offset = 0, int axis1 = 0, int axis2 = 1, StreamOrDevice s = {});
/// The lower (upper) triangle, k-th diagonal included, zeros elsewhere.
array tril(const array& x, int k = 0, StreamOrDevice s = {});
array triu(const array& x, int k = 0, StreamOrDevice s = {});
/// Coordinates of a grid, each array repeated over the axes of the others; indexing "xy" or "ij".
Arrays meshgrid(const Arrays& arrays, bool sparse = false, const std::string& indexing = "xy",
                StreamOrDevice s = {});

}  // namespace hearth
