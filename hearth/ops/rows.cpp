#include "hearth/ops/rows.h"

#include "hearth/ops/movement.h"

namespace hearth {

namespace {

bool named(int axis, std::span<const int> axes) {
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}
bool only_last(const array& a, std::span<const int> axes) {
  return axes.size() == 1 && axes[0] == a.ndim() - 1;
}

}  // namespace

std::vector<int> axes_last(int ndim, std::span<const int> axes) {
  std::vector<int> order;
  for (int i = 0; i < ndim; ++i)
    if (!named(i, axes)) order.push_back(i);
  order.insert(order.end(), axes.begin(), axes.end());
  return order;
}

Shape reduced_shape(const array& a, std::span<const int> axes, bool keepdims) {
  Shape shape;
  for (int i = 0; i < a.ndim(); ++i) {
    if (!named(i, axes))
      shape.push_back(a.shape()[size_t(i)]);
    else if (keepdims)
      shape.push_back(1);
  }
  return shape;
}

array rows(const array& a, std::span<const int> axes) {
  if (only_last(a, axes)) return a;
  Shape shape = reduced_shape(a, axes, false);
  int64_t n = 1;
  for (int axis : axes) n *= a.shape()[size_t(axis)];
  check(n <= INT32_MAX, "axes of ", n, " elements together are too long to be one");
  shape.push_back(int(n));
  return reshape(transpose(a, axes_last(a.ndim(), axes)), shape);
}

array from_rows(const array& r, const array& like, std::span<const int> axes) {
  if (only_last(like, axes)) return r;
  const std::vector<int> order = axes_last(like.ndim(), axes);
  Shape shape;
  std::vector<int> back(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    shape.push_back(like.shape()[size_t(order[i])]);
    back[size_t(order[i])] = int(i);
  }
  return transpose(reshape(r, shape), back);
}

}  // namespace hearth
