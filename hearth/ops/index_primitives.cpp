// What the primitives of indexing mean: shapes and gradients.
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/movement_detail.h"
#include "hearth/ops/primitives_index.h"
#include "hearth/ops/reduce.h"

namespace hearth {

namespace {

// Checks the indices (of one shape, which it returns) and the axes.
Shape index_shape(std::span<const array> indices, std::span<const int> axes, std::string_view who) {
  check(indices.size() == axes.size(), who, ": ", indices.size(), " index arrays for ", axes.size(),
        " axes");
  Shape shape;
  for (const array& i : indices) {
    detail::check_indices(i, who);
    shape = i.shape();
    check(shape == indices[0].shape(), who, ": index shapes ", indices[0].shape(), " and ", shape,
          " differ");
  }
  return shape;
}

// An index cannot address an axis without elements.
void check_not_empty(const Shape& shape, std::span<const int> axes, size_t count,
                     std::string_view who) {
  for (int axis : axes)
    check(count == 0 || shape[size_t(axis)] > 0, who, ": indices into axis ", axis, " of shape ",
          shape, ", which is empty");
}

// Where several updates meet one element, the last one stays: 1 for it, 0 for those before.
template <class Put, class Get>
array survivors(const array& updates, const Shape& shape, Put&& put, Get&& get) {
  const array id =
      reshape(arange(detail::flat_size(updates, "scatter: its gradient")), updates.shape());
  return equal(get(put(full(shape, array(-1)), id)), id);
}

}  // namespace

Specs Gather::infer(std::span<const array> in) const {
  const Shape& from = in[0].shape();
  Shape shape = index_shape(in.subspan(1), axes, "gather");
  check(sizes.size() == from.size(), "gather: ", sizes.size(), " slice sizes for shape ", from);
  for (size_t i = 0; i < sizes.size(); ++i)
    check(sizes[i] >= 0 && sizes[i] <= from[i], "gather: slice sizes ", sizes,
          " do not fit into shape ", from);
  check_not_empty(from, axes, element_count(shape), "gather");
  shape.insert(shape.end(), sizes.begin(), sizes.end());
  return {{shape, in[0].dtype()}};
}
std::optional<Cotangents> Gather::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  Cotangents out(in.size());
  out[0] = scatter_add(zeros_like(in[0]), Arrays(in.begin() + 1, in.end()), d[0],
                       {axes.begin(), axes.end()});
  return out;
}

Specs Scatter::infer(std::span<const array> in) const {
  const Shape &shape = in[0].shape(), &updates = in[1].shape();
  const Shape places = index_shape(in.subspan(2), axes, "scatter");
  check(in[1].dtype() == in[0].dtype(), "scatter: updates of ", in[1].dtype(), " for an array of ",
        in[0].dtype());
  check(updates.size() == places.size() + shape.size() &&
            std::equal(places.begin(), places.end(), updates.begin()),
        "scatter: updates have shape ", updates, ", wanted the indices' ", places, " and then ",
        shape.size(), " axes of a block");
  for (size_t i = 0; i < shape.size(); ++i)
    check(updates[places.size() + i] <= shape[i], "scatter: a block of updates ", updates,
          " does not fit into shape ", shape);
  check_not_empty(shape, axes, element_count(updates), "scatter");
  return {{shape, in[0].dtype()}};
}
std::optional<Cotangents> Scatter::vjp(const Arrays& in, const Arrays& out, const Arrays& d) const {
  const array &a = in[0], &updates = in[1];
  const Arrays indices(in.begin() + 2, in.end());
  const std::vector<int> at(axes.begin(), axes.end());
  const int block = updates.ndim() - a.ndim();
  const Shape sizes(updates.shape().begin() + block, updates.shape().end());
  auto get = [&](const array& from) { return gather(from, indices, at, sizes); };
  const array taken = get(d[0]), zero = zeros_like(updates);
  Cotangents result(in.size());
  if (mode == Update::assign) {
    const array last = survivors(
        updates, a.shape(),
        [&](const array& to, const array& id) { return scatter(to, indices, id, at); }, get);
    result[0] = scatter(d[0], indices, zero, at);
    result[1] = where(last, taken, zero);
  } else if (mode == Update::add) {
    result[0] = d[0], result[1] = taken;
  } else {
    check(mode != Update::prod, "scatter_prod: it has no gradient");
    const array kept = equal(out[0], a);  // who won gets it; the array before the updates
    result[0] = where(kept, d[0], zeros_like(d[0]));
    result[1] =
        where(logical_and(equal(get(out[0]), updates), logical_not(get(kept))), taken, zero);
  }
  return result;
}

static void check_along(const array& a, const array& indices, int axis, std::string_view who) {
  detail::check_indices(indices, who);
  Shape shape = indices.shape();
  check(shape.size() == a.shape().size(), who, ": indices of shape ", shape, " for shape ",
        a.shape());
  shape[size_t(axis)] = a.shape(axis);
  check(shape == a.shape(), who, ": indices of shape ", indices.shape(), " for shape ", a.shape(),
        " and axis ", axis);
  check_not_empty(a.shape(), std::array{axis}, indices.size(), who);
}

Specs GatherAxis::infer(std::span<const array> in) const {
  check_along(in[0], in[1], axis, name());
  return {{in[1].shape(), in[0].dtype()}};
}
std::optional<Cotangents> GatherAxis::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  return Cotangents{scatter_add_axis(zeros_like(in[0]), in[1], d[0], axis), std::nullopt};
}

Specs ScatterAxis::infer(std::span<const array> in) const {
  check_along(in[0], in[1], axis, name());
  check(in[2].shape() == in[1].shape() && in[2].dtype() == in[0].dtype(), "scatter_axis: values ",
        in[2].dtype(), " ", in[2].shape(), " for indices of shape ", in[1].shape(),
        " into an array of ", in[0].dtype());
  return {{in[0].shape(), in[0].dtype()}};
}
std::optional<Cotangents> ScatterAxis::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  auto get = [&](const array& from) { return take_along_axis(from, in[1], axis); };
  if (mode == Update::add) return Cotangents{d[0], std::nullopt, get(d[0])};
  const array last = survivors(
      in[2], in[0].shape(),
      [&](const array& to, const array& id) { return put_along_axis(to, in[1], id, axis); }, get);
  const array zero = zeros_like(in[2]);
  return Cotangents{put_along_axis(d[0], in[1], zero, axis), std::nullopt,
                    where(last, get(d[0]), zero)};
}

Specs MaskedScatter::infer(std::span<const array> in) const {
  check(in[1].dtype() == bool_ && in[1].shape() == in[0].shape() && in[2].ndim() == 1 &&
            in[2].dtype() == in[0].dtype(),
        "masked_scatter: a mask ", in[1].dtype(), " ", in[1].shape(), " and a source ",
        in[2].dtype(), " ", in[2].shape(), " for ", in[0].dtype(), " ", in[0].shape());
  return {{in[0].shape(), in[0].dtype()}};
}
std::optional<Cotangents> MaskedScatter::vjp(const Arrays& in, const Arrays&,
                                             const Arrays& d) const {
  const array& mask = in[1];
  const array zero = zeros_like(d[0]);
  // Masked elements go to where they came from, the others to a place behind the source.
  const int n = in[2].shape(0);
  const array count = cumsum(astype(flatten(mask), int32), 0);
  const array place = where(flatten(mask), subtract(count, array(1)), array(n));
  const array grad =
      scatter_add_axis(zeros({n + 1}, d[0].dtype()), place, flatten(where(mask, d[0], zero)), 0);
  return Cotangents{where(mask, zero, d[0]), std::nullopt, slice(grad, {0}, {n})};
}

Specs SearchSorted::infer(std::span<const array> in) const {
  check(in[0].ndim() == 1, "searchsorted: the sorted sequence has shape ", in[0].shape(),
        ", wanted one axis");
  check(in[0].dtype() == in[1].dtype(), "searchsorted: a sequence of ", in[0].dtype(),
        " and values of ", in[1].dtype());
  return {{in[1].shape(), uint32}};
}

Specs RandomBits::infer(std::span<const array> in) const {
  const array& keys = in[0];
  check(keys.dtype() == uint32 && keys.ndim() >= 1 && keys.shape().back() == 2,
        "random::bits: a key is uint32 (2), got ", keys.dtype(), " ", keys.shape());
  check(width == 1 || width == 2 || width == 4, "random::bits: width ", width,
        ", wanted 1, 2 or 4 bytes");
  Shape out(keys.shape().begin(), keys.shape().end() - 1);
  out.insert(out.end(), shape.begin(), shape.end());
  element_count(out);
  return {{out, width == 1 ? uint8 : width == 2 ? uint16 : uint32}};
}

}  // namespace hearth
