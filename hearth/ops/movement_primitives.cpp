// What the primitives that move elements mean: shapes, views and gradients.
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/movement_detail.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/wide.h"

namespace hearth {

namespace {

Spec like(const array& a) { return {a.shape(), a.dtype()}; }

View no_elements(const Shape& shape, const View& from) {
  return {shape, row_major(shape), from.offset};
}

void check_box(const Box& box, const Shape& shape, std::string_view who) {
  check(box.shape.size() == shape.size() && box.start.size() == shape.size() &&
            box.strides.size() == shape.size(),
        who, ": wanted ", shape.size(), " starts, sizes and strides for shape ", shape);
  for (size_t i = 0; i < shape.size(); ++i) {
    if (box.shape[i] == 0) continue;
    const int64_t first = box.start[i],
                  last = first + int64_t(box.shape[i] - 1) * int64_t(box.strides[i]);
    check(box.shape[i] > 0 && first >= 0 && first < shape[i] && last >= 0 && last < shape[i], who,
          ": elements ", first, " to ", last, " of axis ", i, " leave shape ", shape);
  }
}

}  // namespace

std::string_view to_string(Update mode) {
  switch (mode) {
    case Update::assign: return "assign";
    case Update::add: return "add";
    case Update::prod: return "prod";
    case Update::max: return "max";
    case Update::min: return "min";
  }
  return "update";
}

Specs Copy::infer(std::span<const array> in) const { return {like(in[0])}; }
std::optional<Cotangents> Copy::vjp(const Arrays&, const Arrays&, const Arrays& d) const {
  return Cotangents{d[0]};
}

Specs Assign::infer(std::span<const array> in) const {
  check(in[0].shape() == in[1].shape() && in[0].dtype() == in[1].dtype(), "assign: the state is ",
        in[0].dtype(), " ", in[0].shape(), ", the values ", in[1].dtype(), " ", in[1].shape());
  return {like(in[0])};
}
std::optional<Cotangents> Assign::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  Cotangents out(in.size());
  out[1] = d[0];  // nothing is left of the state before
  return out;
}

Specs Contiguous::infer(std::span<const array> in) const { return {like(in[0])}; }
std::optional<View> Contiguous::view(const View& from) const {
  if (row_contiguous(from.shape, from.strides)) return from;
  if (!allow_col_major) return std::nullopt;
  const Shape shape(from.shape.rbegin(), from.shape.rend());
  const Strides strides(from.strides.rbegin(), from.strides.rend());
  return row_contiguous(shape, strides) ? std::optional(from) : std::nullopt;
}
std::optional<Cotangents> Contiguous::vjp(const Arrays&, const Arrays&, const Arrays& d) const {
  return Cotangents{d[0]};
}

Specs Reshape::infer(std::span<const array> in) const {
  check(in[0].size() == element_count(shape), "reshape: an array of shape ", in[0].shape(),
        " does not fill shape ", shape);
  return {{shape, in[0].dtype()}};
}
std::optional<View> Reshape::view(const View& from) const { return reshape_view(from, shape); }
std::optional<Cotangents> Reshape::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  return Cotangents{reshape(d[0], in[0].shape())};
}

Specs Transpose::infer(std::span<const array> in) const {
  Shape shape;
  for (int axis : axes) shape.push_back(in[0].shape()[size_t(axis)]);
  return {{shape, in[0].dtype()}};
}
std::optional<View> Transpose::view(const View& from) const {
  View out{{}, {}, from.offset};
  for (int axis : axes) {
    out.shape.push_back(from.shape[size_t(axis)]);
    out.strides.push_back(from.strides[size_t(axis)]);
  }
  return out;
}
std::optional<Cotangents> Transpose::vjp(const Arrays&, const Arrays&, const Arrays& d) const {
  std::vector<int> back(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) back[size_t(axes[i])] = int(i);
  return Cotangents{transpose(d[0], back)};
}

Specs Broadcast::infer(std::span<const array> in) const {
  check(broadcast_shapes(in[0].shape(), shape, "broadcast_to") == shape, "broadcast_to: shape ",
        in[0].shape(), " cannot be repeated to ", shape);
  element_count(shape);
  return {{shape, in[0].dtype()}};
}
std::optional<View> Broadcast::view(const View& from) const {
  return View{shape, broadcast_strides(from.shape, from.strides, shape), from.offset};
}
std::optional<Cotangents> Broadcast::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  const Shape& from = in[0].shape();
  const int added = int(shape.size() - from.size());
  std::vector<int> axes;
  for (int i = 0; i < int(shape.size()); ++i)
    if (i < added || (from[size_t(i - added)] == 1 && shape[size_t(i)] != 1)) axes.push_back(i);
  if (axes.empty()) return Cotangents{d[0]};
  return Cotangents{reshape(astype(sum(d[0], axes), in[0].dtype()), from)};
}

Specs StaticSlice::infer(std::span<const array> in) const {
  check_box(box, in[0].shape(), "slice");
  return {{box.shape, in[0].dtype()}};
}
std::optional<View> StaticSlice::view(const View& from) const {
  if (element_count(box.shape) == 0) return no_elements(box.shape, from);
  View out{box.shape, from.strides, from.offset};
  for (size_t i = 0; i < box.shape.size(); ++i) {
    out.offset += box.start[i] * from.strides[i];
    out.strides[i] *= box.strides[i];
  }
  return out;
}
std::optional<Cotangents> StaticSlice::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  return Cotangents{detail::update_box(zeros_like(in[0]), d[0], Update::assign, box)};
}

Specs AsStrided::infer(std::span<const array> in) const {
  check(shape.size() == strides.size(), "as_strided: ", shape.size(), " sizes but ", strides.size(),
        " strides");
  if (element_count(shape) > 0) {
    int64_t lowest = offset, highest = offset;
    bool fits = offset >= 0;
    for (size_t i = 0; i < shape.size(); ++i) {
      int64_t reach = 0;
      fits = fits && !__builtin_mul_overflow(int64_t(shape[i] - 1), strides[i], &reach);
      int64_t& end = reach < 0 ? lowest : highest;
      fits = fits && !__builtin_add_overflow(end, reach, &end);
    }
    check(fits && lowest >= 0 && highest < int64_t(in[0].size()), "as_strided: shape ", shape,
          " with strides ", text_of(strides), " and offset ", offset, " leaves an array of ",
          in[0].size(), " elements");
  }
  return {{shape, in[0].dtype()}};
}
std::optional<View> AsStrided::view(const View& from) const {
  if (element_count(shape) == 0) return no_elements(shape, from);
  return View{shape, strides, from.offset + offset};
}
std::optional<Cotangents> AsStrided::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  // Elements may be read more than once: their gradients add up.
  const int count = detail::flat_size(in[0], "as_strided: its gradient");
  array places = apply(std::make_shared<AsStrided>(*this), {arange(count)});
  array zero = zeros({count}, d[0].dtype());
  array flat = scatter_add_axis(zero, flatten(places), flatten(d[0]), 0);
  return Cotangents{reshape(flat, in[0].shape())};
}

Specs Reinterpret::infer(std::span<const array> in) const {
  Shape shape = in[0].shape();
  const int64_t old_size = int64_t(size_of(from)), new_size = int64_t(size_of(to));
  if (old_size != new_size) {
    check(!shape.empty(), "view: a scalar of ", from, " cannot be seen as ", to,
          ", whose size differs");
    const int64_t bytes = shape.back() * old_size;
    check(bytes % new_size == 0, "view: the last axis of shape ", shape, " has ", bytes,
          " bytes, not a multiple of ", to, "'s ", new_size);
    shape.back() = axis_size(bytes / new_size, "view");
  }
  return {{shape, to}};
}
std::optional<View> Reinterpret::view(const View& in) const {
  const int64_t old_size = int64_t(size_of(from)), new_size = int64_t(size_of(to));
  if (old_size == new_size) return in;
  View out = in;
  out.shape.back() = ShapeElem(in.shape.back() * old_size / new_size);
  if (element_count(out.shape) == 0)
    return in.offset == 0 ? std::optional(no_elements(out.shape, in)) : std::nullopt;
  if (in.strides.back() != 1 && in.shape.back() != 1) return std::nullopt;
  auto rescale = [&](int64_t& elements) {
    elements *= old_size;
    const bool whole = elements % new_size == 0;
    elements /= new_size;
    return whole;
  };
  bool fits = rescale(out.offset);
  for (size_t i = 0; i + 1 < out.strides.size(); ++i) fits = rescale(out.strides[i]) && fits;
  out.strides.back() = 1;
  return fits ? std::optional(out) : std::nullopt;
}
std::optional<Cotangents> Reinterpret::vjp(const Arrays&, const Arrays&, const Arrays&) const {
  return Cotangents{std::nullopt};  // bits have no gradient
}

Specs Concatenate::infer(std::span<const array> in) const {
  Shape shape = in[0].shape();
  int64_t total = 0;
  for (const array& a : in) {
    Shape other = a.shape();
    check(other.size() == shape.size() && a.dtype() == in[0].dtype(), "concatenate: ", a.dtype(),
          " ", other, " does not go with ", in[0].dtype(), " ", shape);
    total += other[size_t(axis)];
    other[size_t(axis)] = shape[size_t(axis)];
    check(other == shape, "concatenate: shapes ", in[0].shape(), " and ", a.shape(),
          " differ outside axis ", axis);
  }
  shape[size_t(axis)] = axis_size(total, "concatenate");
  return {{shape, in[0].dtype()}};
}
std::optional<Cotangents> Concatenate::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  Cotangents out;
  int start = 0;
  for (const array& a : in) {
    Box box{Shape(a.shape().size(), 0), Shape(a.shape().size(), 1), a.shape()};
    box.start[size_t(axis)] = start;
    start += a.shape(axis);
    out.push_back(detail::take_box(d[0], box));
  }
  return out;
}

Specs SliceUpdate::infer(std::span<const array> in) const {
  check_box(box, in[0].shape(), "slice_update");
  check(in[1].shape() == box.shape && in[1].dtype() == in[0].dtype(), "slice_update: an update ",
        in[1].dtype(), " ", in[1].shape(), " for a slice ", in[0].dtype(), " ", box.shape);
  return {like(in[0])};
}
std::optional<Cotangents> SliceUpdate::vjp(const Arrays& in, const Arrays& out,
                                           const Arrays& d) const {
  const array part = detail::take_box(d[0], box);
  auto with = [&](const array& in_box) {
    return detail::update_box(d[0], in_box, Update::assign, box);
  };
  const array was = detail::take_box(in[0], box);
  switch (mode) {
    case Update::assign: return Cotangents{with(zeros_like(part)), part};
    case Update::add: return Cotangents{d[0], part};
    case Update::prod:
      return Cotangents{with(multiply(part, conjugate_of(in[1]))),
                        multiply(part, conjugate_of(was))};
    default: {  // the larger (smaller) one gets it, the source of equals
      const array kept = equal(detail::take_box(out[0], box), was);
      return Cotangents{with(where(kept, part, zeros_like(part))),
                        where(kept, zeros_like(part), part)};
    }
  }
}

static void check_start(const array& start, std::span<const int> axes, const Shape& block,
                        const Shape& shape, std::string_view who) {
  check(is_integer(start.dtype()), who, ": start is ", start.dtype(), ", wanted integers");
  check(start.size() == axes.size() && start.ndim() <= 1, who, ": start has shape ", start.shape(),
        " for ", axes.size(), " axes");
  bool fits = block.size() == shape.size();
  for (size_t i = 0; fits && i < shape.size(); ++i) fits = block[i] >= 0 && block[i] <= shape[i];
  check(fits, who, ": a block of shape ", block, " does not fit into shape ", shape);
}

Specs DynamicSlice::infer(std::span<const array> in) const {
  check_start(in[1], axes, shape, in[0].shape(), "slice");
  return {{shape, in[0].dtype()}};
}
std::optional<Cotangents> DynamicSlice::vjp(const Arrays& in, const Arrays&,
                                            const Arrays& d) const {
  return Cotangents{
      apply(std::make_shared<DynamicSliceUpdate>(axes), {zeros_like(in[0]), d[0], in[1]}),
      std::nullopt};
}

Specs DynamicSliceUpdate::infer(std::span<const array> in) const {
  check_start(in[2], axes, in[1].shape(), in[0].shape(), "slice_update");
  check(in[1].dtype() == in[0].dtype(), "slice_update: an update of ", in[1].dtype(),
        " for an array of ", in[0].dtype());
  return {like(in[0])};
}
std::optional<Cotangents> DynamicSliceUpdate::vjp(const Arrays& in, const Arrays&,
                                                  const Arrays& d) const {
  return Cotangents{
      apply(std::make_shared<DynamicSliceUpdate>(axes), {d[0], zeros_like(in[1]), in[2]}),
      apply(std::make_shared<DynamicSlice>(axes, in[1].shape()), {d[0], in[2]}), std::nullopt};
}

Specs Arange::infer(std::span<const array>) const { return {{{size}, dtype}}; }

}  // namespace hearth
