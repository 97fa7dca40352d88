#include "hearth/ops/matmul.h"

#include <numeric>

#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/movement_detail.h"
#include "hearth/ops/primitives_fast.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/wide.h"

namespace hearth {
namespace {

// The operands with at least two axes, of one dtype, and the same batch axes.
struct Operands {
  array a, b;
  bool row = false, column = false;  // a (b) had one axis
};
Operands prepare(std::string_view op, const array& a, const array& b) {
  check(a.ndim() > 0 && b.ndim() > 0, op, ": wanted at least one axis, got ", a.shape(), " and ",
        b.shape());
  Operands x{a, b, a.ndim() == 1, b.ndim() == 1};
  if (x.row) x.a = reshape(a, {1, a.shape(0)});
  if (x.column) x.b = reshape(b, {b.shape(0), 1});
  check(x.a.shape(-1) == x.b.shape(-2), op, ": inner sizes differ: ", a.shape(), " x ", b.shape());
  const Dtype dtype = promote_types(a.dtype(), b.dtype());
  check(is_inexact(dtype), op, ": wanted a floating or complex dtype, got ", a.dtype(), " and ",
        b.dtype(), "; cast with astype");
  x.a = astype(x.a, dtype);
  x.b = astype(x.b, dtype);
  const auto outer = [](const array& m) { return Shape(m.shape().begin(), m.shape().end() - 2); };
  if (outer(x.a) != outer(x.b)) {
    const Shape batch = broadcast_shapes(outer(x.a), outer(x.b), op);
    const auto repeat = [&](const array& m) {
      Shape shape = batch;
      shape.insert(shape.end(), m.shape().end() - 2, m.shape().end());
      return broadcast_to(m, shape);
    };
    x.a = repeat(x.a);
    x.b = repeat(x.b);
  }
  return x;
}
Shape product_shape(const Operands& x) {
  Shape out = x.a.shape();
  out.back() = x.b.shape(-1);
  return out;
}
// Without the axes that vectors were given.
array drop(const Operands& x, const array& product) {
  if (!x.row && !x.column) return product;
  Shape shape = product.shape();
  if (x.column) shape.erase(shape.end() - 1);
  if (x.row) shape.erase(shape.end() - (x.column ? 1 : 2));
  return reshape(product, shape);
}

}  // namespace

std::optional<Cotangents> Matmul::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  Cotangents out{matmul(d[0], swapaxes(conjugate_of(in[1]), -1, -2)),
                 matmul(swapaxes(conjugate_of(in[0]), -1, -2), d[0])};
  if (add) out.push_back(d[0]);
  return out;
}

array matmul(const array& a, const array& b, StreamOrDevice s) {
  StreamScope scope(s);
  const Operands x = prepare("matmul", a, b);
  static const auto op = std::make_shared<Matmul>();
  return drop(x, apply(op, {x.a, x.b}));
}

array addmm(array c, array a, array b, const float& alpha, const float& beta, StreamOrDevice s) {
  StreamScope scope(s);
  const Dtype dtype = promote_types(c.dtype(), promote_types(a.dtype(), b.dtype()));
  const Operands x = prepare("addmm", astype(a, dtype), astype(b, dtype));
  c = astype(c, dtype);
  if (beta != 1) c = multiply(array(beta, dtype), c);
  if (alpha != 1 || x.row || x.column) {
    array product = matmul(astype(a, dtype), astype(b, dtype));
    if (alpha != 1) product = multiply(array(alpha, dtype), product);
    c = broadcast_to(c, broadcast_shapes(c.shape(), product.shape(), "addmm"));
    return add(product, c);
  }
  static const auto op = std::make_shared<Matmul>(true);
  return apply(op, {x.a, x.b, broadcast_to(c, product_shape(x))});
}

array inner(const array& a, const array& b, StreamOrDevice s) {
  StreamScope scope(s);
  if (a.ndim() == 0 || b.ndim() == 0) return multiply(a, b);
  check(a.shape(-1) == b.shape(-1), "inner: last axes differ: ", a.shape(), " and ", b.shape());
  return tensordot(a, b, {-1}, {-1});
}

array outer(const array& a, const array& b, StreamOrDevice s) {
  StreamScope scope(s);
  return multiply(reshape(a, {detail::flat_size(a, "outer"), 1}),
                  reshape(b, {1, detail::flat_size(b, "outer")}));
}

array tensordot(const array& a, const array& b, const int axis, StreamOrDevice s) {
  StreamScope scope(s);
  check(axis >= 0 && axis <= std::min(a.ndim(), b.ndim()), "tensordot: wanted 0 to ",
        std::min(a.ndim(), b.ndim()), " axes, got ", axis);
  std::vector<int> last(size_t(axis), 0), first(size_t(axis), 0);
  std::iota(last.begin(), last.end(), a.ndim() - axis);
  std::iota(first.begin(), first.end(), 0);
  return tensordot(a, b, last, first);
}

array tensordot(const array& a, const array& b, const std::vector<int>& axes_a,
                const std::vector<int>& axes_b, StreamOrDevice s) {
  StreamScope scope(s);
  check(axes_a.size() == axes_b.size(), "tensordot: got ", axes_a.size(), " and ", axes_b.size(),
        " axes, wanted as many");
  // Kept axes, then summed ones; and the other way round for b.
  const auto split = [](const array& x, const std::vector<int>& axes, bool summed_first) {
    std::vector<int> kept, summed;
    for (int axis : axes) summed.push_back(normalize_axis(axis, x.ndim(), "tensordot"));
    normalize_axes(axes, x.ndim(), "tensordot");  // none twice
    for (int i = 0; i < x.ndim(); ++i)
      if (std::find(summed.begin(), summed.end(), i) == summed.end()) kept.push_back(i);
    Shape kept_shape;
    int64_t kept_size = 1, summed_size = 1;
    for (int axis : kept) {
      kept_shape.push_back(x.shape(axis));
      kept_size *= x.shape(axis);
    }
    for (int axis : summed) summed_size *= x.shape(axis);
    const int rows = axis_size(kept_size, "tensordot"),
              columns = axis_size(summed_size, "tensordot");
    std::vector<int> order = summed_first ? summed : kept;
    const std::vector<int>& rest = summed_first ? kept : summed;
    order.insert(order.end(), rest.begin(), rest.end());
    return std::pair(
        reshape(transpose(x, order), summed_first ? Shape{columns, rows} : Shape{rows, columns}),
        kept_shape);
  };
  for (size_t i = 0; i < axes_a.size(); ++i)
    check(a.shape(axes_a[i]) == b.shape(axes_b[i]), "tensordot: axes ", axes_a[i], " and ",
          axes_b[i], " differ in size: ", a.shape(), " and ", b.shape());
  auto [left, shape] = split(a, axes_a, false);
  auto [right, more] = split(b, axes_b, true);
  shape.insert(shape.end(), more.begin(), more.end());
  return reshape(matmul(left, right), shape);
}

array vecdot(const array& a, const array& b, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  const auto last = [&](const array& x) {
    return moveaxis(x, normalize_axis(axis, x.ndim(), "vecdot"), -1);
  };
  const array x = last(is_complex(a.dtype()) ? conjugate(a) : a), y = last(b);
  check(x.shape(-1) == y.shape(-1), "vecdot: sizes differ along axis ", axis, ": ", a.shape(),
        " and ", b.shape());
  return squeeze(matmul(expand_dims(x, -2), expand_dims(y, -1)), {-2, -1});
}

array kron(const array& a, const array& b, StreamOrDevice s) {
  StreamScope scope(s);
  const int axes = std::max(a.ndim(), b.ndim());
  Shape left, right, out;  // a (n, 1, m, 1, ...) times b (1, p, 1, q, ...)
  for (int i = 0; i < axes; ++i) {
    const auto size = [&](const array& x) {
      const int at = i - (axes - x.ndim());
      return at < 0 ? 1 : x.shape(at);
    };
    left.push_back(size(a));
    left.push_back(1);
    right.push_back(1);
    right.push_back(size(b));
    out.push_back(axis_size(int64_t(size(a)) * size(b), "kron"));
  }
  return reshape(multiply(reshape(a, left), reshape(b, right)), out);
}

}  // namespace hearth
