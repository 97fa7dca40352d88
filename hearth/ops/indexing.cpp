#include "hearth/ops/indexing.h"

#include "hearth/ops/create.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/movement_detail.h"
#include "hearth/ops/primitives_index.h"

namespace hearth {

namespace {

// An index on an array of some shape, in three steps that can be gone back: a box of the array; at
// places of some of its axes; as the shape of the result.
struct Plan {
  Box box;
  std::vector<int> axes;  // with places
  Arrays places;          // of one shape
  bool together = true;   // the axes with places stand side by side: the places' axes go there
  Shape kept;             // the box's axes that stay, with new ones
  size_t before = 0;      // of them in front of the places' axes

  Shape places_shape() const { return places.empty() ? Shape{} : places[0].shape(); }
  Shape result() const {
    Shape shape(kept.begin(), kept.begin() + long(before));
    const Shape middle = places_shape();
    shape.insert(shape.end(), middle.begin(), middle.end());
    shape.insert(shape.end(), kept.begin() + long(before), kept.end());
    return shape;
  }
};

// The indices of the true elements of a mask, one array for each of its axes.
Arrays places_of_true(const array& mask) {
  const array flat = flatten(mask);
  const auto values = flat.to_vector<bool>();
  std::vector<int> found;
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i]) found.push_back(int(i));
  array rest(found, int32);
  Arrays out(size_t(mask.ndim()), rest);
  for (int axis = mask.ndim(); axis-- > 0;) {
    const array n(std::max(1, mask.shape(axis)));
    out[size_t(axis)] = remainder(rest, n);
    rest = floor_divide(rest, n);
  }
  return out;
}

int axes_taken(const Index::Part& part) {
  if (const auto* a = std::get_if<array>(&part)) return a->dtype() == bool_ ? a->ndim() : 1;
  return std::holds_alternative<int>(part) || std::holds_alternative<Slice>(part);
}

Plan plan_of(const array& a, const Index& at) {
  const Shape& shape = a.shape();
  int taken = 0, ellipses = 0, arrays = 0;
  for (const Index::Part& part : at.parts) {
    taken += axes_taken(part);
    ellipses += std::holds_alternative<Ellipsis>(part);
    arrays += std::holds_alternative<array>(part);
  }
  check(ellipses <= 1, "index: only one ellipsis may stand in an index");
  check<std::out_of_range>(taken <= a.ndim(), "index: ", taken, " axes are named, shape ", shape,
                           " has ", a.ndim());
  Plan plan{{Shape(shape.size(), 0), Shape(shape.size(), 1), shape}, {}, {}, true, {}, 0};
  size_t axis = 0;
  long last_with_places = -1;
  const auto keep = [&](size_t count) {
    for (; count > 0; --count) plan.kept.push_back(plan.box.shape[axis++]);
  };
  const auto add_places = [&](const array& where, size_t part) {
    if (last_with_places < 0) plan.before = plan.kept.size();
    if (last_with_places >= 0 && long(part) > last_with_places + 1) plan.together = false;
    last_with_places = long(part);
    plan.axes.push_back(int(axis++));
    plan.places.push_back(where);
  };
  for (size_t i = 0; i < at.parts.size(); ++i) {
    const Index::Part& part = at.parts[i];
    if (const auto* index = std::get_if<int>(&part)) {
      const int n = shape[axis];
      check<std::out_of_range>(*index >= -n && *index < n, "index: ", *index,
                               " is out of range for axis ", axis, " of size ", n);
      const int place = *index < 0 ? *index + n : *index;
      if (arrays > 0) {
        add_places(array(place), i);
      } else {
        plan.box.start[axis] = place;
        plan.box.shape[axis++] = 1;
      }
    } else if (const auto* slice = std::get_if<Slice>(&part)) {
      const int n = shape[axis], back = -n - 1;  // before the first
      const Box one = detail::normalize({slice->start.value_or(slice->step > 0 ? 0 : n - 1)},
                                        {slice->stop.value_or(slice->step > 0 ? n : back)},
                                        {slice->step}, {n}, "index");
      plan.box.start[axis] = one.start[0], plan.box.strides[axis] = slice->step;
      plan.box.shape[axis] = one.shape[0];
      keep(1);
    } else if (const auto* places = std::get_if<array>(&part)) {
      if (places->dtype() != bool_) {
        detail::check_indices(*places, "index");
        add_places(*places, i);
        continue;
      }
      const Shape covered(shape.begin() + long(axis), shape.begin() + long(axis) + places->ndim());
      check(places->shape() == covered, "index: a mask of shape ", places->shape(),
            " for axes of shape ", covered);
      check(places->ndim() > 0, "index: a mask without axes; where(mask, x, y) takes one");
      for (const array& where : places_of_true(*places)) add_places(where, i);
    } else if (std::holds_alternative<NewAxis>(part)) {
      plan.kept.push_back(1);
    } else {
      keep(shape.size() - size_t(taken));
    }
  }
  keep(shape.size() - axis);
  if (!plan.together) plan.before = 0;
  plan.places = broadcast_arrays(plan.places);
  return plan;
}

}  // namespace

array get(const array& a, const Index& at, StreamOrDevice s) {
  StreamScope scope(s);
  const Plan plan = plan_of(a, at);
  const array box = detail::take_box(a, plan.box);
  if (plan.axes.empty()) return reshape(box, plan.result());
  Shape sizes = box.shape();
  for (int axis : plan.axes) sizes[size_t(axis)] = std::min(1, box.shape(axis));
  const Shape middle = plan.places_shape();
  if (element_count(middle) == 0) return zeros(plan.result(), a.dtype());
  const array blocks = gather(box, plan.places, plan.axes, sizes);  // the places', then the box's
  Shape shape = middle;
  shape.insert(shape.end(), plan.kept.begin(), plan.kept.end());
  const array places_first = reshape(blocks, shape);
  std::vector<int> order;
  const int m = int(middle.size()), n = int(shape.size());
  for (int i = 0; i < int(plan.before); ++i) order.push_back(m + i);
  for (int i = 0; i < m; ++i) order.push_back(i);
  for (int i = m + int(plan.before); i < n; ++i) order.push_back(i);
  return transpose(places_first, order);
}

array put(const array& a, const Index& at, const array& values, StreamOrDevice s) {
  StreamScope scope(s);
  const Plan plan = plan_of(a, at);
  const Shape result = plan.result();
  array to = astype(values, a.dtype());
  while (to.ndim() > int(result.size()) && to.shape(0) == 1) to = squeeze(to, 0);
  check(to.ndim() <= int(result.size()) &&
            broadcast_shapes(to.shape(), result, "index: the values") == result,
        "index: values of shape ", values.shape(), " for elements of shape ", result);
  to = broadcast_to(to, result);
  if (element_count(result) == 0) return a;
  if (plan.axes.empty())
    return detail::update_box(a, reshape(to, plan.box.shape), Update::assign, plan.box);
  // Back to the places' axes first, then the box's.
  std::vector<int> order;
  const int m = int(plan.places_shape().size()), before = int(plan.before);
  for (int i = 0; i < m; ++i) order.push_back(before + i);
  for (int i = 0; i < before; ++i) order.push_back(i);
  for (int i = before + m; i < int(result.size()); ++i) order.push_back(i);
  Shape blocks = plan.places_shape();
  for (size_t i = 0; i < plan.box.shape.size(); ++i) {
    const bool placed = std::find(plan.axes.begin(), plan.axes.end(), int(i)) != plan.axes.end();
    blocks.push_back(placed ? 1 : plan.box.shape[i]);
  }
  const array updates = reshape(transpose(to, order), blocks);
  const array box = detail::take_box(a, plan.box);
  return detail::update_box(a, scatter(box, plan.places, updates, plan.axes), Update::assign,
                            plan.box);
}

array array::operator[](const Index& at) const& { return get(*this, at); }
Indexed array::operator[](const Index& at) & { return {*this, at}; }
const array ArrayIterator::operator*() const { return take(of_, at_, 0); }

}  // namespace hearth
