// Softmax and logsumexp: builders and shapes.
#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/rows.h"
#include "hearth/ops/wide.h"

namespace hearth {

array logsumexp(const array& a, const std::vector<int>& axes, bool keepdims, StreamOrDevice s) {
  StreamScope scope(s);
  const auto sorted = normalize_axes(axes, a.ndim(), "logsumexp");
  for (int axis : sorted)
    check(a.shape(axis) > 0, "logsumexp: axis ", axis, " of shape ", a.shape(),
          " is empty; there is no logsumexp of nothing");
  if (is_complex(a.dtype())) {
    const array highest = stop_gradient(max(real(a), axes, true));
    const array shift = where(isfinite(highest), highest, array(0.0f));
    return add(log(sum(exp(a - shift), axes, keepdims)),
               reshape(shift, reduced_shape(a, sorted, keepdims)));
  }
  const array x = astype(a, at_least_float(a.dtype()));
  return reshape(apply(std::make_shared<LogSumExp>(), {rows(x, sorted)}),
                 reduced_shape(a, sorted, keepdims));
}

array softmax(const array& a, const std::vector<int>& axes, bool, StreamOrDevice s) {
  StreamScope scope(s);
  const auto sorted = normalize_axes(axes, a.ndim(), "softmax");
  if (is_complex(a.dtype())) {
    if (a.size() == 0) return a;
    const array e = exp(a - stop_gradient(max(real(a), axes, true)));
    return e / sum(e, axes, true);
  }
  const array x = astype(a, at_least_float(a.dtype()));
  return from_rows(apply(std::make_shared<Softmax>(), {rows(x, sorted)}), a, sorted);
}
array softmax(const array& a, bool precise, StreamOrDevice s) {
  return softmax(a, every_axis(a), precise, s);
}
array softmax(const array& a, int axis, bool precise, StreamOrDevice s) {
  return softmax(a, std::vector<int>{axis}, precise, s);
}
array log_softmax(const array& a, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  return in_wide([&](const array& x) { return x - logsumexp(x, axis, true); }, a);
}

Specs Softmax::infer(std::span<const array> in) const {
  check(in[0].ndim() > 0 && is_floating(in[0].dtype()), "softmax: wanted floats with an axis, got ",
        in[0].dtype(), " ", in[0].shape());
  return {{in[0].shape(), in[0].dtype()}};
}
Specs LogSumExp::infer(std::span<const array> in) const {
  check(in[0].ndim() > 0 && is_floating(in[0].dtype()),
        "logsumexp: wanted floats with an axis, got ", in[0].dtype(), " ", in[0].shape());
  Shape shape = in[0].shape();
  shape.back() = 1;
  return {{shape, in[0].dtype()}};
}

}  // namespace hearth
