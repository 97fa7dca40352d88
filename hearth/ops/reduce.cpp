#include "hearth/ops/reduce.h"

#include <numeric>

#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives.h"

namespace hearth {

std::vector<int> every_axis(const array& a) {
  std::vector<int> axes(size_t(a.ndim()));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

namespace {

array reduce(Reduce::Kind kind, std::string_view who, const array& a, const std::vector<int>& axes,
             bool keepdims) {
  return apply(std::make_shared<Reduce>(kind, normalize_axes(axes, a.ndim(), who), keepdims), {a});
}

Dtype at_least_float(Dtype d) { return is_inexact(d) ? d : float32; }

/// The product of the sizes of the axes.
int64_t count(const array& a, const std::vector<int>& axes) {
  int64_t n = 1;
  for (int axis : axes) n *= a.shape(axis);
  return n;
}

/// Without the reduced axes, or with them as 1.
Shape reduced_shape(const array& a, const SmallVector<int, 6>& axes, bool keepdims) {
  Shape shape;
  for (int i = 0; i < a.ndim(); ++i) {
    const bool reduced = std::find(axes.begin(), axes.end(), i) != axes.end();
    if (!reduced)
      shape.push_back(a.shape()[i]);
    else if (keepdims)
      shape.push_back(1);
  }
  return shape;
}

/// The kept axes in order, then `axes`: how to transpose so that what is joined comes last.
std::vector<int> last(int ndim, const SmallVector<int, 6>& axes) {
  std::vector<int> order;
  for (int i = 0; i < ndim; ++i)
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) order.push_back(i);
  order.insert(order.end(), axes.begin(), axes.end());
  return order;
}
/// (kept..., n): the axes joined into one, the last.
array rows(const array& a, const SmallVector<int, 6>& axes) {
  if (axes.size() == 1 && axes[0] == a.ndim() - 1) return a;
  Shape shape = reduced_shape(a, axes, false);
  int64_t n = 1;
  for (int axis : axes) n *= a.shape()[axis];
  check(n <= INT32_MAX, "axes of ", n, " elements together are too long to be one");
  shape.push_back(int(n));
  return reshape(transpose(a, last(a.ndim(), axes)), shape);
}
/// The reverse of rows, for a result of the same shape.
array from_rows(const array& r, const array& like, const SmallVector<int, 6>& axes) {
  if (axes.size() == 1 && axes[0] == like.ndim() - 1) return r;
  const std::vector<int> order = last(like.ndim(), axes);
  Shape shape;
  std::vector<int> back(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    shape.push_back(like.shape()[size_t(order[i])]);
    back[size_t(order[i])] = int(i);
  }
  return transpose(reshape(r, shape), back);
}

array flat(const array& a) { return reshape(a, {-1}); }

}  // namespace

#define REDUCTION(name)                                                                       \
  array name(const array& a, const std::vector<int>& axes, bool keepdims, StreamOrDevice s) { \
    StreamScope scope(s);                                                                     \
    return reduce(Reduce::Kind::name, #name, a, axes, keepdims);                              \
  }
REDUCTION(sum)
REDUCTION(prod)
REDUCTION(mean)
REDUCTION(max)
REDUCTION(min)
REDUCTION(all)
REDUCTION(any)
#undef REDUCTION

array count_nonzero(const array& a, const std::vector<int>& axes, bool keepdims, StreamOrDevice s) {
  StreamScope scope(s);
  return sum(astype(a, bool_), axes, keepdims);
}

array logsumexp(const array& a, const std::vector<int>& axes, bool keepdims, StreamOrDevice s) {
  StreamScope scope(s);
  const auto sorted = normalize_axes(axes, a.ndim(), "logsumexp");
  check(a.size() > 0, "logsumexp: nothing to reduce in shape ", a.shape());
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

array median(const array& a, const std::vector<int>& axes, bool keepdims, StreamOrDevice s) {
  StreamScope scope(s);
  const auto sorted = normalize_axes(axes, a.ndim(), "median");
  const array x = sort(rows(a, sorted), -1);
  const int n = x.shape(-1);
  check(n > 0, "median: nothing to reduce in shape ", a.shape());
  // The mean of the middle two, or of one.
  Shape start(x.shape().size(), 0), stop = x.shape();
  start.back() = (n - 1) / 2, stop.back() = n / 2 + 1;
  const array middle = mean(slice(x, start, stop), -1);
  return reshape(middle, reduced_shape(a, sorted, keepdims));
}

array var(const array& a, const std::vector<int>& axes, bool keepdims, int ddof, StreamOrDevice s) {
  StreamScope scope(s);
  const Dtype dtype = at_least_float(a.dtype());
  const array x = astype(a, size_of(dtype) == 2 ? float32 : dtype);
  const array from_mean = x - mean(x, axes, true);
  const array squares =
      is_complex(dtype) ? real(from_mean * conjugate(from_mean)) : square(from_mean);
  const Dtype result = is_complex(dtype) ? float32 : dtype;
  if (ddof == 0) return astype(mean(squares, axes, keepdims), result);
  const double divisor = double(std::max<int64_t>(count(a, axes) - ddof, 0));
  return astype(sum(squares, axes, keepdims) / array(divisor, squares.dtype()), result);
}
array var(const array& a, int axis, bool keepdims, int ddof, StreamOrDevice s) {
  return var(a, std::vector<int>{axis}, keepdims, ddof, s);
}
array var(const array& a, bool keepdims, int ddof, StreamOrDevice s) {
  return var(a, every_axis(a), keepdims, ddof, s);
}
array var(const array& a, StreamOrDevice s) { return var(a, false, 0, s); }

array std(const array& a, const std::vector<int>& axes, bool keepdims, int ddof, StreamOrDevice s) {
  StreamScope scope(s);
  return sqrt(var(a, axes, keepdims, ddof));
}
array std(const array& a, int axis, bool keepdims, int ddof, StreamOrDevice s) {
  return std(a, std::vector<int>{axis}, keepdims, ddof, s);
}
array std(const array& a, bool keepdims, int ddof, StreamOrDevice s) {
  return std(a, every_axis(a), keepdims, ddof, s);
}
array std(const array& a, StreamOrDevice s) { return std(a, false, 0, s); }

namespace {

array arg_reduce(bool largest, const array& a, int axis, bool keepdims) {
  axis = normalize_axis(axis, a.ndim(), largest ? "argmax" : "argmin");
  return apply(std::make_shared<ArgReduce>(largest, axis, keepdims), {a});
}
array arg_reduce_all(bool largest, const array& a, bool keepdims) {
  return reshape(arg_reduce(largest, flat(a), 0, false), Shape(keepdims ? a.ndim() : 0, 1));
}

}  // namespace

array argmax(const array& a, int axis, bool keepdims, StreamOrDevice s) {
  StreamScope scope(s);
  return arg_reduce(true, a, axis, keepdims);
}
array argmax(const array& a, bool keepdims, StreamOrDevice s) {
  StreamScope scope(s);
  return arg_reduce_all(true, a, keepdims);
}
array argmax(const array& a, StreamOrDevice s) { return argmax(a, false, s); }
array argmin(const array& a, int axis, bool keepdims, StreamOrDevice s) {
  StreamScope scope(s);
  return arg_reduce(false, a, axis, keepdims);
}
array argmin(const array& a, bool keepdims, StreamOrDevice s) {
  StreamScope scope(s);
  return arg_reduce_all(false, a, keepdims);
}
array argmin(const array& a, StreamOrDevice s) { return argmin(a, false, s); }

array trace(const array& a, int offset, int axis1, int axis2, Dtype dtype, StreamOrDevice s) {
  StreamScope scope(s);
  return sum(astype(diagonal(a, offset, axis1, axis2), dtype), -1);
}
array trace(const array& a, int offset, int axis1, int axis2, StreamOrDevice s) {
  return trace(a, offset, axis1, axis2, a.dtype(), s);
}
array trace(const array& a, StreamOrDevice s) { return trace(a, 0, 0, 1, a.dtype(), s); }

#define SCAN(name, kind)                                                                   \
  array name(const array& a, int axis, bool reverse, bool inclusive, StreamOrDevice s) {   \
    StreamScope scope(s);                                                                  \
    axis = normalize_axis(axis, a.ndim(), #name);                                          \
    return apply(std::make_shared<Scan>(Scan::Kind::kind, axis, reverse, inclusive), {a}); \
  }                                                                                        \
  array name(const array& a, bool reverse, bool inclusive, StreamOrDevice s) {             \
    StreamScope scope(s);                                                                  \
    return name(flat(a), 0, reverse, inclusive);                                           \
  }
SCAN(cumsum, sum)
SCAN(cumprod, prod)
SCAN(cummax, max)
SCAN(cummin, min)
#undef SCAN
array logcumsumexp(const array& a, int axis, bool reverse, bool inclusive, StreamOrDevice s) {
  StreamScope scope(s);
  axis = normalize_axis(axis, a.ndim(), "logcumsumexp");
  return apply(std::make_shared<Scan>(Scan::Kind::logaddexp, axis, reverse, inclusive),
               {astype(a, at_least_float(a.dtype()))});
}
array logcumsumexp(const array& a, bool reverse, bool inclusive, StreamOrDevice s) {
  StreamScope scope(s);
  return logcumsumexp(flat(a), 0, reverse, inclusive);
}

array diff(const array& a, int n, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  check(n >= 0, "diff: n is ", n, "; it must not be negative");
  const size_t along = size_t(normalize_axis(axis, a.ndim(), "diff"));
  array x = a;
  for (int i = 0; i < n && x.shape()[along] > 0; ++i) {
    Shape start(x.shape().size(), 0), stop = x.shape();
    start[along] = 1;
    const array next = slice(x, start, stop);
    start[along] = 0, stop[along] -= 1;
    const array before = slice(x, start, stop);
    x = x.dtype() == bool_ ? next != before : next - before;
  }
  return x;
}

array sort(const array& a, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  return apply(std::make_shared<Sort>(normalize_axis(axis, a.ndim(), "sort"), false), {a});
}
array sort(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  return sort(flat(a), 0);
}
array argsort(const array& a, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  return apply(std::make_shared<Sort>(normalize_axis(axis, a.ndim(), "argsort"), true), {a});
}
array argsort(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  return argsort(flat(a), 0);
}

namespace {

array partition(const array& a, int kth, int axis, bool places) {
  const char* who = places ? "argpartition" : "partition";
  axis = normalize_axis(axis, a.ndim(), who);
  const int n = a.shape()[size_t(axis)], k = kth < 0 ? kth + n : kth;
  check(k >= 0 && k < n, who, ": kth ", kth, " is out of range for ", n, " elements");
  return apply(std::make_shared<Sort>(axis, places, k), {a});
}

}  // namespace

array partition(const array& a, int kth, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  return partition(a, kth, axis, false);
}
array partition(const array& a, int kth, StreamOrDevice s) {
  StreamScope scope(s);
  return partition(flat(a), kth, 0, false);
}
array argpartition(const array& a, int kth, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  return partition(a, kth, axis, true);
}
array argpartition(const array& a, int kth, StreamOrDevice s) {
  StreamScope scope(s);
  return partition(flat(a), kth, 0, true);
}

array topk(const array& a, int k, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  axis = normalize_axis(axis, a.ndim(), "topk");
  Shape start(a.shape().size(), 0), stop = a.shape();
  const int n = stop[size_t(axis)];
  check(k >= 0 && k <= n, "topk: k ", k, " is out of range for ", n, " elements");
  if (k == n) return a;
  start[size_t(axis)] = n - k;
  return slice(k == 0 ? a : partition(a, n - k, axis, false), start, stop);
}
array topk(const array& a, int k, StreamOrDevice s) {
  StreamScope scope(s);
  return topk(flat(a), k, 0);
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
  return a - logsumexp(a, axis, true);
}

// The primitives: names and shapes.

std::string_view Reduce::name() const {
  constexpr std::string_view names[] = {"sum", "prod", "mean", "max", "min", "all", "any"};
  return names[size_t(kind)];
}
std::string Reduce::state() const {
  std::string text = keepdims ? "keep" : "";
  for (int axis : axes) text += concat(" ", axis);
  return text;
}
Specs Reduce::infer(std::span<const array> in) const {
  const array& a = in[0];
  Dtype dtype = a.dtype();
  switch (kind) {
    case Kind::all:
    case Kind::any: dtype = bool_; break;
    case Kind::mean: dtype = at_least_float(dtype); break;
    case Kind::sum:
    case Kind::prod:
      if (dtype == bool_)
        dtype = int32;
      else if (is_integer(dtype) && size_of(dtype) < 8)
        dtype = kind_of(dtype) == hearth::Kind::u ? uint32 : int32;
      break;
    case Kind::max:
    case Kind::min:
      for (int axis : axes)
        check(a.shape()[size_t(axis)] > 0, name(), ": axis ", axis, " of shape ", a.shape(),
              " is empty; there is no ", name(), " of nothing");
  }
  return {{reduced_shape(a, axes, keepdims), dtype}};
}

Specs ArgReduce::infer(std::span<const array> in) const {
  const array& a = in[0];
  check(a.shape()[size_t(axis)] > 0, name(), ": axis ", axis, " of shape ", a.shape(), " is empty");
  return {{reduced_shape(a, {axis}, keepdims), uint32}};
}

std::string_view Scan::name() const {
  constexpr std::string_view names[] = {"cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"};
  return names[size_t(kind)];
}
std::string Scan::state() const {
  return concat(axis, reverse ? " reverse" : "", inclusive ? "" : " exclusive");
}
Specs Scan::infer(std::span<const array> in) const {
  const Dtype dtype = in[0].dtype();
  check(kind != Kind::logaddexp || is_floating(dtype), name(), ": ", dtype,
        " has no order of size; wanted a float");
  return {{in[0].shape(), kind == Kind::sum && dtype == bool_ ? int32 : dtype}};
}

std::string_view Sort::name() const {
  return kth < 0 ? (places ? "argsort" : "sort") : (places ? "argpartition" : "partition");
}
Specs Sort::infer(std::span<const array> in) const {
  return {{in[0].shape(), places ? uint32 : in[0].dtype()}};
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
