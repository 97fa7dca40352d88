// Builders of reads and writes at computed places.
#include "hearth/ops/index.h"

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/movement_detail.h"
#include "hearth/ops/primitives_index.h"
#include "hearth/ops/wide.h"

namespace hearth {

namespace {

// Axes in the order of their indices. As in MLX they do not count from the back here.
SmallVector<int, 6> indexed_axes(const std::vector<int>& axes, int ndim, std::string_view who) {
  normalize_axes(axes, ndim, who);
  for (int axis : axes)
    check<std::out_of_range>(axis >= 0, who, ": axis ", axis, " counts from the back; wanted ",
                             axis + ndim);
  return {axes.begin(), axes.end()};
}

bool half(Dtype d) { return wide_of(d) != d; }

// a with updates at indices. Sums and products of halves are made in f32 and rounded once.
array scattered(const array& a, const Arrays& indices, const array& updates,
                const std::vector<int>& axes, Update mode, std::string_view who) {
  for (const array& i : indices) detail::check_indices(i, who);
  if (half(a.dtype()) && (mode == Update::add || mode == Update::prod))
    return astype(scattered(astype(a, float32), indices, updates, axes, mode, who), a.dtype());
  SmallVector<array, 3> in{a, astype(updates, a.dtype())};
  for (const array& i : broadcast_arrays(indices)) in.push_back(i);
  return hearth::apply(std::make_shared<Scatter>(mode, indexed_axes(axes, a.ndim(), who)),
                       std::move(in));
}

// indices with every axis but `axis` repeated to a's size, a's likewise.
std::pair<array, array> aligned(const array& a, const array& indices, int axis,
                                std::string_view who) {
  check(indices.ndim() == a.ndim(), who, ": indices of shape ", indices.shape(), " for shape ",
        a.shape());
  Shape left = a.shape(), right = indices.shape();
  left[size_t(axis)] = right[size_t(axis)] = 1;
  left = right = broadcast_shapes(left, right, who);
  left[size_t(axis)] = a.shape(axis), right[size_t(axis)] = indices.shape(axis);
  return {broadcast_to(a, left), broadcast_to(indices, right)};
}

array put(const array& a, const array& indices, const array& values, int axis, Update mode,
          std::string_view who) {
  detail::check_indices(indices, who);
  if (half(a.dtype()) && mode == Update::add)
    return astype(put(astype(a, float32), indices, values, axis, mode, who), a.dtype());
  const int at = normalize_axis(axis, a.ndim(), who);
  check(indices.ndim() == a.ndim(), who, ": indices of shape ", indices.shape(), " for shape ",
        a.shape());
  Shape shape = a.shape();
  shape[size_t(at)] = indices.shape(at);
  return hearth::apply(
      std::make_shared<ScatterAxis>(mode, at),
      {a, broadcast_to(indices, shape), broadcast_to(astype(values, a.dtype()), shape)});
}

}  // namespace

array take(const array& a, const array& indices, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  const int at = normalize_axis(axis, a.ndim(), "take");
  detail::check_indices(indices, "take");
  check(a.shape(at) > 0 || indices.size() == 0, "take: indices into axis ", axis, " of shape ",
        a.shape(), ", which is empty");
  Shape sizes = a.shape();
  // Of an empty axis nothing is taken: a slice of size 0 then.
  sizes[size_t(at)] = std::min(1, a.shape(at));
  const array taken =
      gather(a, Arrays{indices}, std::vector<int>{at}, sizes);  // indices + a with axis of size 1
  Shape shape(taken.shape().begin(), taken.shape().begin() + indices.ndim());
  shape.insert(shape.end(), sizes.begin(), sizes.begin() + at);
  shape.insert(shape.end(), sizes.begin() + at + 1, sizes.end());
  const array flat = reshape(taken, shape);
  if (at == 0) return flat;
  std::vector<int> order;  // the indices' axes go where `axis` was
  const int n = indices.ndim();
  for (int i = 0; i < at; ++i) order.push_back(n + i);
  for (int i = 0; i < n; ++i) order.push_back(i);
  for (int i = n + at; i < int(shape.size()); ++i) order.push_back(i);
  return transpose(flat, order);
}
array take(const array& a, int index, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  const int at = normalize_axis(axis, a.ndim(), "take"), n = a.shape(at);
  check<std::out_of_range>(index >= -n && index < n, "take: index ", index,
                           " is out of range for axis ", axis, " of size ", n);
  Box box{Shape(a.shape().size(), 0), Shape(a.shape().size(), 1), a.shape()};
  box.start[size_t(at)] = index < 0 ? index + n : index;
  box.shape[size_t(at)] = 1;
  return squeeze(detail::take_box(a, box), at);
}
array take(const array& a, const array& indices, StreamOrDevice s) {
  return take(flatten(a, s), indices, 0, s);
}
array take(const array& a, int index, StreamOrDevice s) { return take(flatten(a, s), index, 0, s); }

array take_along_axis(const array& a, const array& indices, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  const int at = normalize_axis(axis, a.ndim(), "take_along_axis");
  const auto [from, places] = aligned(a, indices, at, "take_along_axis");
  return hearth::apply(std::make_shared<GatherAxis>(at), {from, places});
}
array put_along_axis(const array& a, const array& indices, const array& values, int axis,
                     StreamOrDevice s) {
  StreamScope scope(s);
  return put(a, indices, values, axis, Update::assign, "put_along_axis");
}
array scatter_add_axis(const array& a, const array& indices, const array& values, int axis,
                       StreamOrDevice s) {
  StreamScope scope(s);
  return put(a, indices, values, axis, Update::add, "scatter_add_axis");
}

array gather(const array& a, const Arrays& indices, const std::vector<int>& axes,
             const Shape& slice_sizes, StreamOrDevice s) {
  StreamScope scope(s);
  SmallVector<array, 3> in{a};
  for (const array& i : broadcast_arrays(indices)) in.push_back(i);
  return hearth::apply(
      std::make_shared<Gather>(indexed_axes(axes, a.ndim(), "gather"), slice_sizes), std::move(in));
}
array gather(const array& a, const array& indices, int axis, const Shape& slice_sizes,
             StreamOrDevice s) {
  return gather(a, Arrays{indices}, std::vector<int>{axis}, slice_sizes, s);
}

#define SCATTER(name, mode)                                                        \
  array name(const array& a, const Arrays& indices, const array& updates,          \
             const std::vector<int>& axes, StreamOrDevice s) {                     \
    StreamScope scope(s);                                                          \
    return scattered(a, indices, updates, axes, Update::mode, #name);              \
  }                                                                                \
  array name(const array& a, const array& indices, const array& updates, int axis, \
             StreamOrDevice s) {                                                   \
    return name(a, Arrays{indices}, updates, std::vector<int>{axis}, s);           \
  }
SCATTER(scatter, assign)
SCATTER(scatter_add, add)
SCATTER(scatter_prod, prod)
SCATTER(scatter_max, max)
SCATTER(scatter_min, min)
#undef SCATTER

array masked_scatter(const array& a, const array& mask, const array& src, StreamOrDevice s) {
  StreamScope scope(s);
  check(mask.dtype() == bool_, "masked_scatter: the mask is ", mask.dtype(), ", wanted bool");
  array over = mask;  // a mask of the first axes covers all of the others
  while (over.ndim() < a.ndim()) over = expand_dims(over, -1);
  return hearth::apply(std::make_shared<MaskedScatter>(),
                       {a, broadcast_to(over, a.shape()), flatten(astype(src, a.dtype()))});
}

array searchsorted(const array& sorted_sequence, const array& values, const std::string& side,
                   StreamOrDevice s) {
  StreamScope scope(s);
  check(side == "left" || side == "right", "searchsorted: side is '", side,
        "', wanted 'left' or 'right'");
  const Dtype dtype = promote_types(sorted_sequence.dtype(), values.dtype());
  return hearth::apply(std::make_shared<SearchSorted>(side == "right"),
                       {astype(sorted_sequence, dtype), astype(values, dtype)});
}

}  // namespace hearth
