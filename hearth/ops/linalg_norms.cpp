// linalg::norm and linalg::cross, which need no decomposition but those of linalg.h.
#include <cmath>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/linalg.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/wide.h"

namespace hearth::linalg {

namespace {

using Axes = std::vector<int>;

array magnitudes(const array& a) { return abs(astype(a, at_least_float(a.dtype()))); }

array vector_norm(const array& a, double ord, int axis, bool keepdims) {
  const array x = magnitudes(a);
  if (std::isinf(ord)) return ord > 0 ? max(x, axis, keepdims) : min(x, axis, keepdims);
  if (ord == 0) return astype(count_nonzero(x, axis, keepdims), x.dtype());
  if (ord == 1) return sum(x, axis, keepdims);
  if (ord == 2)
    return in_wide([&](const array& v) { return sqrt(sum(square(v), axis, keepdims)); }, x);
  return in_wide(
      [&](const array& v) {
        const array p(ord, v.dtype()), one_over(1 / ord, v.dtype());
        return power(sum(power(v, p), axis, keepdims), one_over);
      },
      x);
}

// The singular values of the matrices over two axes, with these axes as 1 or gone.
template <class F>
array of_singular_values(const array& a, int row, int column, bool keepdims, F&& f) {
  Axes order;
  for (int i : every_axis(a))
    if (i != row && i != column) order.push_back(i);
  order.push_back(row), order.push_back(column);
  const array last = transpose(a, order);
  const array v = f(svd(astype(last, at_least_float(a.dtype())), false, {})[0]);
  return keepdims ? expand_dims(v, Axes{std::min(row, column), std::max(row, column)}) : v;
}

array matrix_norm(const array& a, double ord, int row, int column, bool keepdims) {
  if (std::abs(ord) == 2)
    return of_singular_values(a, row, column, keepdims,
                              [&](const array& s) { return ord > 0 ? max(s, -1) : min(s, -1); });
  const bool by_columns = std::abs(ord) == 1;
  check(by_columns || std::isinf(ord), "linalg::norm: a matrix has no norm of order ", ord,
        "; wanted 1, -1, 2, -2, an infinity, \"fro\" or \"nuc\"");
  const array sums = sum(magnitudes(a), by_columns ? row : column, true);
  const array out =
      ord > 0 ? max(sums, Axes{row, column}, true) : min(sums, Axes{row, column}, true);
  return keepdims ? out : squeeze(out, Axes{row, column});
}

Axes axes_of(const array& a, const std::optional<Axes>& axis) {
  if (!axis) return every_axis(a);
  normalize_axes(*axis, a.ndim(), "linalg::norm");
  Axes axes;
  for (int i : *axis) axes.push_back(normalize_axis(i, a.ndim(), "linalg::norm"));
  return axes;
}

}  // namespace

array norm(const array& a, const std::optional<Axes>& axis, bool keepdims, StreamOrDevice s) {
  StreamScope scope(s);
  const Axes axes = axes_of(a, axis);
  check(!axis || axes.size() <= 2, "linalg::norm: ", axes.size(), " axes; at most 2 make a norm");
  return in_wide([&](const array& v) { return sqrt(sum(square(v), axes, keepdims)); },
                 magnitudes(a));
}

array norm(const array& a, const double ord, const std::optional<Axes>& axis, bool keepdims,
           StreamOrDevice s) {
  StreamScope scope(s);
  const Axes axes = axes_of(a, axis);
  check(axes.size() == 1 || axes.size() == 2, "linalg::norm: an order for ", axes.size(),
        " axes of shape ", a.shape(), "; wanted 1 or 2");
  check(!std::isnan(ord), "linalg::norm: the order is NaN");
  return axes.size() == 1 ? vector_norm(a, ord, axes[0], keepdims)
                          : matrix_norm(a, ord, axes[0], axes[1], keepdims);
}

array norm(const array& a, const std::string& ord, const std::optional<Axes>& axis, bool keepdims,
           StreamOrDevice s) {
  StreamScope scope(s);
  const Axes axes = axes_of(a, axis);
  check(axes.size() == 2, "linalg::norm: '", ord, "' is a norm of matrices, got ", axes.size(),
        " axes of shape ", a.shape());
  check(ord == "fro" || ord == "f" || ord == "nuc", "linalg::norm: order '", ord,
        "', wanted 'fro' (or 'f') or 'nuc'");
  if (ord != "nuc") return norm(a, axes, keepdims);
  return of_singular_values(a, axes[0], axes[1], keepdims,
                            [](const array& values) { return sum(values, -1); });
}

array cross(const array& a, const array& b, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  const auto last = [&](const array& x) {
    const int at = normalize_axis(axis, x.ndim(), "linalg::cross");
    check(x.shape(at) == 2 || x.shape(at) == 3, "linalg::cross: wanted 2 or 3 elements along axis ",
          axis, ", got shape ", x.shape());
    return moveaxis(x, at, -1);
  };
  const array x = last(a), y = last(b);
  const Dtype dtype = promote_types(a.dtype(), b.dtype());
  const auto part = [&](const array& v, int i) {
    const array whole = astype(v, dtype);
    if (i >= v.shape(-1)) return zeros_like(take(whole, 0, -1));
    return take(whole, i, -1);
  };
  const auto component = [&](int i, int j) {
    return part(x, i) * part(y, j) - part(x, j) * part(y, i);
  };
  const array out = stack({component(1, 2), component(2, 0), component(0, 1)}, -1);
  return moveaxis(out, -1, axis < 0 ? axis : axis + out.ndim() - std::max(a.ndim(), b.ndim()));
}

}  // namespace hearth::linalg
