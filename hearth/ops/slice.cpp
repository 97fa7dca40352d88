// Builders of ranges of elements: slices, updates of slices, and what is made of them.
#include <numeric>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/movement_detail.h"

namespace hearth {

namespace detail {

Box normalize(Shape start, Shape stop, Shape strides, const Shape& shape, std::string_view who) {
  check(
      start.size() == shape.size() && stop.size() == shape.size() && strides.size() == shape.size(),
      who, ": ", start.size(), " starts, ", stop.size(), " stops and ", strides.size(),
      " strides for shape ", shape);
  Box box{start, strides, shape};
  for (size_t i = 0; i < shape.size(); ++i) {
    check(strides[i] != 0, who, ": the stride of axis ", i, " is 0");
    const int64_t n = shape[i], step = strides[i];
    int64_t first = start[i] < 0 ? start[i] + n : start[i];
    int64_t end = stop[i] < 0 ? stop[i] + n : stop[i];
    int64_t count;
    if (step > 0) {
      first = std::clamp<int64_t>(first, 0, n);
      end = std::clamp<int64_t>(end, first, n);
      count = (end - first + step - 1) / step;
    } else {
      first = std::clamp<int64_t>(first, -1, n - 1);
      end = std::clamp<int64_t>(end, -1, first);
      count = (first - end - step - 1) / -step;
    }
    box.start[i] = count ? ShapeElem(first) : 0;
    box.shape[i] = ShapeElem(count);
  }
  return box;
}

array take_box(const array& a, const Box& box) {
  bool whole = box.shape == a.shape();
  for (size_t i = 0; whole && i < box.shape.size(); ++i)
    whole = box.shape[i] <= 1 || box.strides[i] == 1;
  return whole ? a : apply(std::make_shared<StaticSlice>(box), {a});
}

array update_box(const array& a, const array& update, Update mode, const Box& box) {
  if (box.shape != a.shape()) {
    if (update.size() == 0) return a;
    return apply(std::make_shared<SliceUpdate>(mode, box), {a, update});
  }
  // All of it, perhaps backwards: plain elementwise operations.
  const array all = take_box(update, box);
  switch (mode) {
    case Update::assign: return all;
    case Update::add: return add(a, all);
    case Update::prod: return multiply(a, all);
    case Update::max: return maximum(a, all);
    default: return minimum(a, all);
  }
}

}  // namespace detail

array slice(const array& a, Shape start, Shape stop, Shape strides, StreamOrDevice s) {
  StreamScope scope(s);
  return detail::take_box(a, detail::normalize(std::move(start), std::move(stop),
                                               std::move(strides), a.shape(), "slice"));
}
array slice(const array& a, std::initializer_list<int> start, Shape stop, Shape strides,
            StreamOrDevice s) {
  return slice(a, Shape(start), std::move(stop), std::move(strides), s);
}
array slice(const array& a, Shape start, Shape stop, StreamOrDevice s) {
  Shape ones(start.size(), 1);
  return slice(a, std::move(start), std::move(stop), std::move(ones), s);
}
static SmallVector<int, 6> distinct(const std::vector<int>& axes, int ndim, std::string_view who) {
  normalize_axes(axes, ndim, who);
  SmallVector<int, 6> out;
  for (int axis : axes) out.push_back(normalize_axis(axis, ndim, who));
  return out;
}
array slice(const array& a, const array& start, std::vector<int> axes, Shape slice_size,
            StreamOrDevice s) {
  StreamScope scope(s);
  return apply(
      std::make_shared<DynamicSlice>(distinct(axes, a.ndim(), "slice"), std::move(slice_size)),
      {a, start});
}

static array updated(const array& src, const array& update, Update mode, Shape start, Shape stop,
                     std::optional<Shape> strides, StreamOrDevice s) {
  StreamScope scope(s);
  if (!strides) strides = Shape(start.size(), 1);
  const Box box = detail::normalize(std::move(start), std::move(stop), std::move(*strides),
                                    src.shape(), "slice_update");
  // Axes of size 1 in front of the slice's own are ignored, as in NumPy.
  array to = update;
  while (to.ndim() > src.ndim() && to.shape(0) == 1) to = squeeze(to, 0);
  return detail::update_box(src, broadcast_to(astype(to, src.dtype()), box.shape), mode, box);
}
array slice_update(const array& src, const array& update, Shape start, Shape stop, Shape strides,
                   StreamOrDevice s) {
  return updated(src, update, Update::assign, std::move(start), std::move(stop), strides, s);
}
array slice_update(const array& src, const array& update, Shape start, Shape stop,
                   StreamOrDevice s) {
  return updated(src, update, Update::assign, std::move(start), std::move(stop), {}, s);
}
array slice_update(const array& src, const array& update, const array& start, std::vector<int> axes,
                   StreamOrDevice s) {
  StreamScope scope(s);
  const auto at = distinct(axes, src.ndim(), "slice_update");
  array to = astype(update, src.dtype());
  while (to.ndim() < src.ndim()) to = expand_dims(to, 0);
  return apply(std::make_shared<DynamicSliceUpdate>(at), {src, to, start});
}
#define UPDATE(mode)                                                                        \
  array slice_update_##mode(const array& src, const array& update, Shape start, Shape stop, \
                            Shape strides, StreamOrDevice s) {                              \
    return updated(src, update, Update::mode, start, stop, strides, s);                     \
  }                                                                                         \
  array slice_update_##mode(const array& src, const array& update, Shape start, Shape stop, \
                            StreamOrDevice s) {                                             \
    return updated(src, update, Update::mode, start, stop, {}, s);                          \
  }
UPDATE(add)
UPDATE(prod)
UPDATE(max)
UPDATE(min)
#undef UPDATE

array detail::part(const array& a, int axis, int64_t start, int64_t stop) {
  Box box{Shape(a.shape().size(), 0), Shape(a.shape().size(), 1), a.shape()};
  box.start[size_t(axis)] = stop > start ? ShapeElem(start) : 0;
  box.shape[size_t(axis)] = ShapeElem(std::max<int64_t>(0, stop - start));
  return take_box(a, box);
}

Arrays split(const array& a, const Shape& indices, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  const int at = normalize_axis(axis, a.ndim(), "split");
  const int64_t n = a.shape(at);
  Arrays out;
  int64_t start = 0;
  for (size_t i = 0; i <= indices.size(); ++i) {
    int64_t stop = i < indices.size() ? indices[i] : n;
    stop = std::clamp<int64_t>(stop < 0 ? stop + n : stop, 0, n);
    out.push_back(detail::part(a, at, start, stop));
    start = stop;
  }
  return out;
}
Arrays split(const array& a, const Shape& indices, StreamOrDevice s) {
  return split(a, indices, 0, s);
}
Arrays split(const array& a, int num_splits, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  const int at = normalize_axis(axis, a.ndim(), "split"), n = a.shape(at);
  check(num_splits > 0, "split: ", num_splits, " parts; wanted 1 or more");
  check(n % num_splits == 0, "split: axis ", axis, " of shape ", a.shape(),
        " does not divide into ", num_splits, " equal parts; give indices instead");
  Arrays out;
  for (int i = 0; i < num_splits; ++i)
    out.push_back(
        detail::part(a, at, int64_t(n / num_splits) * i, int64_t(n / num_splits) * (i + 1)));
  return out;
}
Arrays split(const array& a, int num_splits, StreamOrDevice s) {
  return split(a, num_splits, 0, s);
}
Arrays unstack(const array& a, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  const int at = normalize_axis(axis, a.ndim(), "unstack");
  Arrays out;
  for (int i = 0; i < a.shape(at); ++i) out.push_back(squeeze(detail::part(a, at, i, i + 1), at));
  return out;
}
Arrays unstack(const array& a, StreamOrDevice s) { return unstack(a, 0, s); }

array flip(const array& a, const std::vector<int>& axes, StreamOrDevice s) {
  StreamScope scope(s);
  Box box{Shape(a.shape().size(), 0), Shape(a.shape().size(), 1), a.shape()};
  for (int axis : normalize_axes(axes, a.ndim(), "flip")) {
    box.start[size_t(axis)] = std::max(0, a.shape(axis) - 1);
    box.strides[size_t(axis)] = -1;
  }
  return detail::take_box(a, box);
}
array flip(const array& a, int axis, StreamOrDevice s) {
  return flip(a, std::vector<int>{axis}, s);
}
array flip(const array& a, StreamOrDevice s) {
  std::vector<int> axes(size_t(a.ndim()));
  std::iota(axes.begin(), axes.end(), 0);
  return flip(a, axes, s);
}

array roll(const array& a, const Shape& shift, const std::vector<int>& axes, StreamOrDevice s) {
  StreamScope scope(s);
  check(shift.size() >= axes.size(), "roll: ", shift.size(), " shifts for ", axes.size(), " axes");
  array out = a;
  for (size_t i = 0; i < axes.size(); ++i) {
    const int axis = normalize_axis(axes[i], a.ndim(), "roll");
    const int64_t n = a.shape(axis);
    if (n == 0) continue;
    const int64_t by = (shift[i] % n + n) % n;
    if (by > 0)
      out = concatenate({detail::part(out, axis, n - by, n), detail::part(out, axis, 0, n - by)},
                        axis);
  }
  return out;
}
// NumPy and MLX add up several shifts of one axis.
static int total(const Shape& shift) {
  int64_t sum = 0;
  for (auto v : shift) sum += v;
  check(sum >= INT32_MIN && sum <= INT32_MAX, "roll: the shifts add up to ", sum);
  return int(sum);
}
array roll(const array& a, int shift, StreamOrDevice s) {
  return reshape(roll(flatten(a, s), Shape{shift}, std::vector<int>{0}, s), a.shape(), s);
}
array roll(const array& a, const Shape& shift, StreamOrDevice s) {
  return roll(a, total(shift), s);
}
array roll(const array& a, int shift, int axis, StreamOrDevice s) {
  return roll(a, Shape{shift}, std::vector<int>{axis}, s);
}
array roll(const array& a, int shift, const std::vector<int>& axes, StreamOrDevice s) {
  return roll(a, Shape(axes.size(), shift), axes, s);
}
array roll(const array& a, const Shape& shift, int axis, StreamOrDevice s) {
  return roll(a, total(shift), axis, s);
}

// The element of [0, n) that stands at position i of an endless pattern.
static int border(const std::string& mode, int64_t i, int64_t n) {
  if (mode == "edge" || n == 1) return int(std::clamp<int64_t>(i, 0, n - 1));
  const bool symmetric = mode == "symmetric";  // the last one is repeated
  const int64_t period = symmetric ? 2 * n : 2 * n - 2;
  i = (i % period + period) % period;
  return int(i < n ? i : period - i - (symmetric ? 1 : 0));
}

array pad(const array& a, const std::vector<int>& axes, const Shape& low_pad_size,
          const Shape& high_pad_size, const array& pad_value, const std::string& mode,
          StreamOrDevice s) {
  StreamScope scope(s);
  check(low_pad_size.size() == axes.size() && high_pad_size.size() == axes.size(),
        "pad: ", low_pad_size.size(), " low and ", high_pad_size.size(), " high sizes for ",
        axes.size(), " axes");
  check(mode == "constant" || mode == "edge" || mode == "reflect" || mode == "symmetric",
        "pad: mode is '", mode, "', wanted constant, edge, reflect or symmetric");
  normalize_axes(axes, a.ndim(), "pad");
  Shape shape = a.shape();
  Box inside{Shape(shape.size(), 0), Shape(shape.size(), 1), shape};
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = size_t(normalize_axis(axes[i], a.ndim(), "pad"));
    check(low_pad_size[i] >= 0 && high_pad_size[i] >= 0, "pad: sizes ", low_pad_size[i], " and ",
          high_pad_size[i], " of axis ", axis, " must not be negative");
    shape[axis] = axis_size(int64_t(shape[axis]) + low_pad_size[i] + high_pad_size[i], "pad");
    inside.start[axis] = low_pad_size[i];
  }
  if (shape == a.shape()) return a;
  if (mode == "constant") {
    check(pad_value.size() == 1, "pad: the value has shape ", pad_value.shape(),
          ", wanted a scalar");
    return detail::update_box(full(shape, reshape(pad_value, {}), a.dtype()), a, Update::assign,
                              inside);
  }
  array out = a;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    const int64_t n = a.shape()[axis], low = inside.start[axis];
    if (shape[axis] == n) continue;
    check(n > 0, "pad: axis ", axis, " is empty and has no border");
    std::vector<int> from;
    for (int64_t i = 0; i < shape[axis]; ++i) from.push_back(border(mode, i - low, n));
    out = take(out, array(from.begin(), {shape[axis]}), int(axis));
  }
  return out;
}
array pad(const array& a, const std::vector<std::pair<int, int>>& pad_width, const array& pad_value,
          const std::string& mode, StreamOrDevice s) {
  std::vector<int> axes(pad_width.size());
  std::iota(axes.begin(), axes.end(), 0);
  Shape low, high;
  for (auto [l, h] : pad_width) low.push_back(l), high.push_back(h);
  return pad(a, axes, low, high, pad_value, mode, s);
}
array pad(const array& a, const std::pair<int, int>& pad_width, const array& pad_value,
          const std::string& mode, StreamOrDevice s) {
  return pad(a, std::vector<std::pair<int, int>>(size_t(a.ndim()), pad_width), pad_value, mode, s);
}
array pad(const array& a, int pad_width, const array& pad_value, const std::string& mode,
          StreamOrDevice s) {
  return pad(a, std::pair(pad_width, pad_width), pad_value, mode, s);
}

}  // namespace hearth
