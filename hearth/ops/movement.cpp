// Builders of what reorders and reshapes. Ranges of elements are in slice.cpp.
#include "hearth/ops/movement.h"

#include <numeric>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement_detail.h"

namespace hearth {

namespace {

array permuted(const array& a, SmallVector<int, 6> axes) {
  bool same = true;
  for (size_t i = 0; i < axes.size(); ++i) same = same && axes[i] == int(i);
  return same ? a : hearth::apply(std::make_shared<Transpose>(std::move(axes)), {a});
}
array reshaped(const array& a, Shape shape) {
  return shape == a.shape() ? a : hearth::apply(std::make_shared<Reshape>(std::move(shape)), {a});
}
SmallVector<int, 6> counted(int n) {
  SmallVector<int, 6> axes(size_t(n), 0);
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}
// The one -1 among `shape` filled in, so that it has `size` elements.
void infer_size(Shape& shape, size_t size, std::string_view who) {
  const auto unknown = std::find(shape.begin(), shape.end(), -1);
  if (unknown == shape.end()) return;
  *unknown = 1;
  check(std::find(shape.begin(), shape.end(), -1) == shape.end(), who, ": only one size can be -1");
  const size_t known = element_count(shape);
  check(known > 0, who, ": a size of -1 beside one of 0 can be anything: give it");
  check(size % known == 0, who, ": ", size, " elements do not divide into shape ", shape,
        " with one size to be found");
  *unknown = axis_size(int64_t(size / known), who);
}

}  // namespace

array copy(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  return hearth::apply(std::make_shared<Copy>(), {a});
}
array assign(const array& state, const array& values, StreamOrDevice s) {
  StreamScope scope(s);
  return hearth::apply(std::make_shared<Assign>(), {state, values});
}
array contiguous(const array& a, bool allow_col_major, StreamOrDevice s) {
  StreamScope scope(s);
  return hearth::apply(std::make_shared<Contiguous>(allow_col_major), {a});
}
array view(const array& a, Dtype dtype, StreamOrDevice s) {
  StreamScope scope(s);
  if (dtype == a.dtype()) return a;
  // A byte other than 0 and 1 is no bool of C++: any but 0 is true.
  if (dtype == bool_) return astype(view(a, uint8), bool_);
  return hearth::apply(std::make_shared<Reinterpret>(a.dtype(), dtype), {a});
}
array as_strided(const array& a, const Shape& shape, const Strides& strides, size_t offset,
                 StreamOrDevice s) {
  StreamScope scope(s);
  return hearth::apply(std::make_shared<AsStrided>(shape, strides, int64_t(offset)),
                       {contiguous(a)});
}
array number_of_elements(const array& a, const std::vector<int>& axes, bool inverted, Dtype dtype,
                         StreamOrDevice s) {
  StreamScope scope(s);
  double n = 1;
  for (int axis : axes) n *= a.shape(normalize_axis(axis, a.ndim(), "number_of_elements"));
  return array(inverted ? 1 / n : n, dtype);
}

array reshape(const array& a, Shape shape, StreamOrDevice s) {
  StreamScope scope(s);
  infer_size(shape, a.size(), "reshape");
  return reshaped(a, std::move(shape));
}
array flatten(const array& a, int start_axis, int end_axis, StreamOrDevice s) {
  StreamScope scope(s);
  const int n = a.ndim();
  if (n == 0) return reshaped(a, {1});
  // Beyond the last axis is the last one, before the first the first: as in MLX.
  const int first = std::max(0, start_axis < 0 ? start_axis + n : start_axis);
  const int last = std::min(n - 1, end_axis < 0 ? end_axis + n : end_axis);
  check(first <= last, "flatten: axes ", start_axis, " to ", end_axis, " of shape ", a.shape(),
        " are none");
  Shape shape(a.shape().begin(), a.shape().begin() + first);
  const Shape joined(a.shape().begin() + first, a.shape().begin() + last + 1);
  shape.push_back(axis_size(int64_t(element_count(joined)), "flatten"));
  shape.insert(shape.end(), a.shape().begin() + last + 1, a.shape().end());
  return reshaped(a, std::move(shape));
}
array flatten(const array& a, StreamOrDevice s) { return flatten(a, 0, -1, s); }
array unflatten(const array& a, int axis, Shape shape, StreamOrDevice s) {
  StreamScope scope(s);
  check(!shape.empty(), "unflatten: the shape must not be empty");
  const int at = normalize_axis(axis, a.ndim(), "unflatten");
  infer_size(shape, size_t(a.shape(at)), "unflatten");
  check(element_count(shape) == size_t(a.shape(at)), "unflatten: axis ", axis, " of shape ",
        a.shape(), " does not fill shape ", shape);
  Shape out(a.shape().begin(), a.shape().begin() + at);
  out.insert(out.end(), shape.begin(), shape.end());
  out.insert(out.end(), a.shape().begin() + at + 1, a.shape().end());
  return reshaped(a, std::move(out));
}
array squeeze(const array& a, const std::vector<int>& axes, StreamOrDevice s) {
  StreamScope scope(s);
  Shape shape = a.shape();
  const auto gone = normalize_axes(axes, a.ndim(), "squeeze");
  for (auto axis = gone.rbegin(); axis != gone.rend(); ++axis) {
    check(a.shape(*axis) == 1, "squeeze: axis ", *axis, " of shape ", a.shape(), " is not 1");
    shape.erase(shape.begin() + *axis);
  }
  return reshaped(a, std::move(shape));
}
array squeeze(const array& a, int axis, StreamOrDevice s) {
  return squeeze(a, std::vector<int>{axis}, s);
}
array squeeze(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  Shape shape;
  for (auto size : a.shape())
    if (size != 1) shape.push_back(size);
  return reshaped(a, std::move(shape));
}
array expand_dims(const array& a, const std::vector<int>& axes, StreamOrDevice s) {
  StreamScope scope(s);
  Shape shape = a.shape();
  for (int axis : normalize_axes(axes, a.ndim() + int(axes.size()), "expand_dims"))
    shape.insert(shape.begin() + axis, 1);
  return reshaped(a, std::move(shape));
}
array expand_dims(const array& a, int axis, StreamOrDevice s) {
  return expand_dims(a, std::vector<int>{axis}, s);
}

array atleast_1d(const array& a, StreamOrDevice s) {
  return a.ndim() == 0 ? reshape(a, {1}, s) : a;
}
array atleast_2d(const array& a, StreamOrDevice s) {
  return a.ndim() < 2 ? reshape(a, {1, detail::flat_size(a, "atleast_2d")}, s) : a;
}
array atleast_3d(const array& a, StreamOrDevice s) {
  if (a.ndim() == 2) return expand_dims(a, 2, s);
  return a.ndim() < 2 ? reshape(a, {1, detail::flat_size(a, "atleast_3d"), 1}, s) : a;
}
static Arrays each(const Arrays& all, array (*f)(const array&, StreamOrDevice), StreamOrDevice s) {
  Arrays out;
  for (const array& a : all) out.push_back(f(a, s));
  return out;
}
Arrays atleast_1d(const Arrays& a, StreamOrDevice s) { return each(a, atleast_1d, s); }
Arrays atleast_2d(const Arrays& a, StreamOrDevice s) { return each(a, atleast_2d, s); }
Arrays atleast_3d(const Arrays& a, StreamOrDevice s) { return each(a, atleast_3d, s); }

array transpose(const array& a, const std::vector<int>& axes, StreamOrDevice s) {
  StreamScope scope(s);
  check(int(axes.size()) == a.ndim(), "transpose: ", axes.size(), " axes for shape ", a.shape());
  for (int axis : axes)
    check(axis >= -a.ndim() && axis < a.ndim(), "transpose: axis ", axis, " of shape ", a.shape(),
          "; wanted each axis once");
  normalize_axes(axes, a.ndim(), "transpose");  // a permutation
  SmallVector<int, 6> order;
  for (int axis : axes) order.push_back(normalize_axis(axis, a.ndim(), "transpose"));
  return permuted(a, std::move(order));
}
array transpose(const array& a, std::initializer_list<int> axes, StreamOrDevice s) {
  return transpose(a, std::vector<int>(axes), s);
}
array transpose(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  const auto axes = counted(a.ndim());
  return permuted(a, {axes.rbegin(), axes.rend()});
}
array matrix_transpose(const array& a, StreamOrDevice s) { return swapaxes(a, -1, -2, s); }
array swapaxes(const array& a, int axis1, int axis2, StreamOrDevice s) {
  StreamScope scope(s);
  auto axes = counted(a.ndim());
  std::swap(axes[size_t(normalize_axis(axis1, a.ndim(), "swapaxes"))],
            axes[size_t(normalize_axis(axis2, a.ndim(), "swapaxes"))]);
  return permuted(a, std::move(axes));
}
array moveaxis(const array& a, int source, int destination, StreamOrDevice s) {
  StreamScope scope(s);
  const int from = normalize_axis(source, a.ndim(), "moveaxis");
  const int to = normalize_axis(destination, a.ndim(), "moveaxis");
  auto axes = counted(a.ndim());
  axes.erase(axes.begin() + from);
  axes.insert(axes.begin() + to, from);
  return permuted(a, std::move(axes));
}

array broadcast_to(const array& a, const Shape& shape, StreamOrDevice s) {
  StreamScope scope(s);
  return a.shape() == shape ? a : hearth::apply(std::make_shared<Broadcast>(shape), {a});
}
Arrays broadcast_arrays(const Arrays& inputs, StreamOrDevice s) {
  StreamScope scope(s);
  Shape shape;
  for (const array& a : inputs) shape = broadcast_shapes(shape, a.shape(), "broadcast_arrays");
  Arrays out;
  for (const array& a : inputs) out.push_back(broadcast_to(a, shape));
  return out;
}

array tile(const array& arr, std::vector<int> reps, StreamOrDevice s) {
  StreamScope scope(s);
  Shape shape = arr.shape();
  while (reps.size() < shape.size()) reps.insert(reps.begin(), 1);
  while (shape.size() < reps.size()) shape.insert(shape.begin(), 1);
  // Each axis as (repetition, element): the repetition costs nothing until the reshape.
  Shape apart, repeated, joined;
  for (size_t i = 0; i < shape.size(); ++i) {
    check(reps[i] >= 0, "tile: ", reps[i], " repetitions of axis ", i,
          " are not a number of times");
    apart.push_back(1), apart.push_back(shape[i]);
    repeated.push_back(reps[i]), repeated.push_back(shape[i]);
    joined.push_back(axis_size(int64_t(reps[i]) * shape[i], "tile"));
  }
  return reshaped(broadcast_to(reshaped(arr, apart), repeated), joined);
}
array repeat(const array& arr, int repeats, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  const int at = normalize_axis(axis, arr.ndim(), "repeat");
  check(repeats >= 0, "repeat: ", repeats, " is not a number of times");
  array apart = expand_dims(arr, at + 1);
  Shape shape = apart.shape();
  shape[size_t(at) + 1] = repeats;
  return flatten(broadcast_to(apart, shape), at, at + 1);
}
array repeat(const array& arr, int repeats, StreamOrDevice s) {
  return repeat(flatten(arr, s), repeats, 0, s);
}

array concatenate(const Arrays& arrays, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  check(!arrays.empty(), "concatenate: no arrays to join");
  const int at = normalize_axis(axis, arrays[0].ndim(), "concatenate");
  if (arrays.size() == 1) return arrays[0];
  Dtype dtype = arrays[0].dtype();
  for (const array& a : arrays) dtype = promote_types(dtype, a.dtype());
  SmallVector<array, 3> in;
  for (const array& a : arrays) in.push_back(astype(a, dtype));
  return hearth::apply(std::make_shared<Concatenate>(at), std::move(in));
}
array concatenate(const Arrays& arrays, StreamOrDevice s) {
  Arrays flat;
  for (const array& a : arrays) flat.push_back(flatten(a, s));
  return concatenate(flat, 0, s);
}
array stack(const Arrays& arrays, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  check(!arrays.empty(), "stack: no arrays to join");
  Arrays apart;
  for (const array& a : arrays) {
    check(a.shape() == arrays[0].shape(), "stack: shapes ", arrays[0].shape(), " and ", a.shape(),
          " differ");
    apart.push_back(expand_dims(a, axis));
  }
  return concatenate(apart, normalize_axis(axis, apart[0].ndim(), "stack"));
}
array stack(const Arrays& arrays, StreamOrDevice s) { return stack(arrays, 0, s); }

array diagonal(const array& a, int offset, int axis1, int axis2, StreamOrDevice s) {
  StreamScope scope(s);
  check(a.ndim() >= 2, "diagonal: shape ", a.shape(), " has no matrices; wanted two axes or more");
  const int rows = normalize_axis(axis1, a.ndim(), "diagonal");
  const int columns = normalize_axis(axis2, a.ndim(), "diagonal");
  check(rows != columns, "diagonal: axis1 and axis2 are both ", rows);
  auto order = counted(a.ndim());
  order.erase(order.begin() + std::max(rows, columns));
  order.erase(order.begin() + std::min(rows, columns));
  order.push_back(rows), order.push_back(columns);
  const array matrices = permuted(a, order);  // (..., rows, columns)
  // From the first element of the diagonal on, it is every (columns + 1)-th of the flat matrix:
  // the walk stays within min(rows, columns) steps.
  Shape shape = matrices.shape();
  const int64_t n_columns = shape.back();
  shape.pop_back();
  const int64_t n_rows = shape.back();
  shape.pop_back();
  const int64_t down = std::max<int64_t>(0, -int64_t(offset)), right = std::max(0, offset);
  const int64_t length = std::max<int64_t>(0, std::min(n_rows - down, n_columns - right));
  const array flat = flatten(matrices, -2, -1);
  Box box{Shape(shape.size() + 1, 0), Shape(shape.size() + 1, 1), shape};
  box.shape.push_back(ShapeElem(length));
  if (length > 0) box.start.back() = ShapeElem(down * n_columns + right);
  if (length > 1) box.strides.back() = axis_size(n_columns + 1, "diagonal");
  return detail::take_box(flat, box);
}
array diag(const array& a, int k, StreamOrDevice s) {
  StreamScope scope(s);
  check(a.ndim() == 1 || a.ndim() == 2, "diag: wanted a vector or a matrix, got shape ", a.shape());
  if (a.ndim() == 2) return diagonal(a, k);
  const int64_t n = int64_t(a.size()) + std::abs(int64_t(k));
  check<std::overflow_error>(n <= 46340, "diag: a matrix of ", n,
                             " rows is too large");  // 46340^2 < 2^31
  const int first = int(k >= 0 ? k : -k * n);
  Box box{{first}, {int(n + 1)}, a.shape()};
  return reshaped(detail::update_box(zeros({int(n * n)}, a.dtype()), a, Update::assign, box),
                  {int(n), int(n)});
}
static array triangle(const array& x, bool lower, int k, std::string_view who) {
  check(x.ndim() >= 2, who, ": wanted at least 2 axes, got shape ", x.shape());
  // Below the k-th diagonal is up to the one before; before the least there is nothing.
  const bool none = !lower && k == INT32_MIN;
  const array keep = none ? array(false) : tri(x.shape(-2), x.shape(-1), lower ? k : k - 1, bool_);
  const array zero = zeros({}, x.dtype());
  return lower ? where(keep, x, zero) : where(keep, zero, x);
}
array tril(const array& x, int k, StreamOrDevice s) {
  StreamScope scope(s);
  return triangle(x, true, k, "tril");
}
array triu(const array& x, int k, StreamOrDevice s) {
  StreamScope scope(s);
  return triangle(x, false, k, "triu");
}

Arrays meshgrid(const Arrays& arrays, bool sparse, const std::string& indexing, StreamOrDevice s) {
  StreamScope scope(s);
  check(indexing == "xy" || indexing == "ij", "meshgrid: indexing is '", indexing,
        "', wanted 'xy' or 'ij'");
  const bool swapped = indexing == "xy" && arrays.size() > 1;  // the first two axes change places
  Arrays out;
  Shape grid(arrays.size(), 1);
  for (size_t i = 0; i < arrays.size(); ++i) {
    const size_t axis = swapped && i < 2 ? 1 - i : i;
    Shape shape(arrays.size(), 1);
    grid[axis] = shape[axis] = detail::flat_size(arrays[i], "meshgrid");
    out.push_back(reshaped(arrays[i], shape));
  }
  if (!sparse)
    for (array& a : out) a = broadcast_to(a, grid);
  return out;
}

}  // namespace hearth
