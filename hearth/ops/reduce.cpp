#include "hearth/ops/reduce.h"

#include <numeric>

#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/rows.h"
#include "hearth/ops/wide.h"

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

/// The product of the sizes of the axes.
int64_t count(const array& a, const std::vector<int>& axes) {
  int64_t n = 1;
  for (int axis : axes) n *= a.shape(axis);
  return n;
}

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

std::tuple<array, array> minmax(const array& a, const std::vector<int>& axes, bool keepdims,
                                StreamOrDevice s) {
  return {min(a, axes, keepdims, s), max(a, axes, keepdims, s)};
}
std::tuple<array, array> minmax(const array& a, int axis, bool keepdims, StreamOrDevice s) {
  return minmax(a, std::vector<int>{axis}, keepdims, s);
}
std::tuple<array, array> minmax(const array& a, bool keepdims, StreamOrDevice s) {
  return minmax(a, every_axis(a), keepdims, s);
}

array count_nonzero(const array& a, const std::vector<int>& axes, bool keepdims, StreamOrDevice s) {
  StreamScope scope(s);
  return sum(astype(a, bool_), axes, keepdims);
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
  const array middle = mean(slice(x, start, stop), -1, true);
  start.back() = n - 1, stop.back() = n;  // where NaN lies, if there is one
  const array last = slice(x, start, stop);
  return reshape(where(isnan(last), last, middle), reduced_shape(a, sorted, keepdims));
}

// The variance, of halves in f32.
static array wide_variance(const array& a, const std::vector<int>& axes, bool keepdims, int ddof) {
  const array x = astype(a, wide_of(at_least_float(a.dtype())));
  const array from_mean = x - mean(x, axes, true);
  const array squares =
      is_complex(x.dtype()) ? real(from_mean * conjugate(from_mean)) : square(from_mean);
  if (ddof == 0) return mean(squares, axes, keepdims);
  const double divisor = double(std::max<int64_t>(count(a, axes) - ddof, 0));
  return sum(squares, axes, keepdims) / array(divisor, squares.dtype());
}
// What the deviations of a come as.
static Dtype deviation_dtype(const array& a) {
  const Dtype dtype = at_least_float(a.dtype());
  return is_complex(dtype) ? float32 : dtype;
}
array var(const array& a, const std::vector<int>& axes, bool keepdims, int ddof, StreamOrDevice s) {
  StreamScope scope(s);
  return astype(wide_variance(a, axes, keepdims, ddof), deviation_dtype(a));
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
  // The slope of the root is infinite at 0, that of the variance 0: together they are 0.
  const array v = wide_variance(a, axes, keepdims, ddof), zero = v == 0;
  return astype(where(zero, v, sqrt(where(zero, 1, v))), deviation_dtype(a));
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
  return reshape(arg_reduce(largest, flatten(a), 0, false), Shape(keepdims ? a.ndim() : 0, 1));
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

std::string_view Reduce::name() const {
  switch (kind) {
    case Kind::sum: return "sum";
    case Kind::prod: return "prod";
    case Kind::mean: return "mean";
    case Kind::max: return "max";
    case Kind::min: return "min";
    case Kind::all: return "all";
    case Kind::any: return "any";
  }
  return "reduce";
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
  return {{reduced_shape(a, std::span(&axis, 1), keepdims), uint32}};
}

}  // namespace hearth
