// Gradients of the primitives of reduce.h.
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/rows.h"

namespace hearth {

namespace {

/// 0, 1, ... along `axis`, of the other sizes 1.
array places_along(const array& x, int axis) {
  Shape shape(x.shape().size(), 1);
  shape[size_t(axis)] = x.shape()[size_t(axis)];
  return reshape(arange(0, x.shape()[size_t(axis)]), shape);
}

array part(const array& x, int axis, int from, int to) {
  Shape start(x.shape().size(), 0), stop = x.shape();
  start[size_t(axis)] = from, stop[size_t(axis)] = to;
  return slice(x, start, stop);
}

/// The product of all others, times d: by running products from both ends, so that zeros divide
/// nothing. x is (..., n), d (..., 1).
array product_gradient(const array& x, const array& d) {
  return cumprod(x, -1, false, false) * cumprod(x, -1, true, false) * d;
}

}  // namespace

std::optional<Cotangents> Reduce::vjp(const Arrays& in, const Arrays& out, const Arrays& d) const {
  const array& x = in[0];
  Shape kept = x.shape();
  for (int axis : axes) kept[size_t(axis)] = 1;
  const array dk = reshape(d[0], kept);
  switch (kind) {
    case Kind::sum: return Cotangents{broadcast_to(astype(dk, x.dtype()), x.shape())};
    case Kind::mean: {
      // In f32 for halves: the count may exceed what they hold.
      const double n = double(x.size()) / double(dk.size());
      const Dtype wide = size_of(dk.dtype()) == 2 ? float32 : dk.dtype();
      const array share = astype(astype(dk, wide) / array(n, wide), x.dtype());
      return Cotangents{broadcast_to(share, x.shape())};
    }
    case Kind::max:
    case Kind::min: {
      const array same = astype(equal(x, reshape(out[0], kept)), d[0].dtype());
      const std::vector<int> joined(axes.begin(), axes.end());
      return Cotangents{same * (dk / sum(same, joined, true))};
    }
    case Kind::prod: {
      const array r = rows(x, axes);
      Shape one = r.shape();
      one.back() = 1;
      return Cotangents{from_rows(product_gradient(r, reshape(d[0], one)), x, axes)};
    }
    case Kind::all:
    case Kind::any: return Cotangents{std::nullopt};
  }
  return std::nullopt;
}

std::optional<Cotangents> Scan::vjp(const Arrays& in, const Arrays& out, const Arrays& d) const {
  const array &x = in[0], &y = out[0];
  auto back = [&](const array& v) { return cumsum(v, axis, !reverse, inclusive); };
  switch (kind) {
    case Kind::sum: return Cotangents{astype(back(d[0]), x.dtype())};
    case Kind::prod: {
      // Behind its first zero a product is 0, and only that zero has a gradient there: that of the
      // products with 1 in its place.
      const array zero = x == 0;
      const array first = zero && (cumsum(zero, axis, reverse, true) == 1);
      const array others = cumprod(where(first, array(1, x.dtype()), x), axis, reverse, inclusive);
      const array none = array(0, x.dtype());
      const array divisor = where(zero, array(1, x.dtype()), x);
      return Cotangents{
          where(first, back(d[0] * others), where(zero, none, back(d[0] * y) / divisor))};
    }
    case Kind::max:
    case Kind::min: {
      // d goes to the place where the running extreme stood: the last one to reach it.
      const int n = x.shape()[size_t(axis)];
      const array extreme = inclusive           ? y
                            : kind == Kind::max ? cummax(x, axis, reverse, true)
                                                : cummin(x, axis, reverse, true);
      const array at = places_along(x, axis);
      const array hit = x == extreme;
      array from = reverse ? cummin(where(hit, at, array(n - 1)), axis, true)
                           : cummax(where(hit, at, array(0)), axis);
      array grad = d[0];
      if (!inclusive && n > 0) {
        from = reverse ? part(from, axis, 1, n) : part(from, axis, 0, n - 1);
        grad = reverse ? part(grad, axis, 0, n - 1) : part(grad, axis, 1, n);
      }
      return Cotangents{scatter_add_axis(zeros_like(x), from, grad, axis)};
    }
    case Kind::logaddexp: {
      // sum over j of d_j exp(x_i - y_j), positive and negative d apart, in logarithms.
      auto side = [&](const array& positive) {
        return exp(logcumsumexp(log(positive) - y, axis, !reverse, inclusive) + x);
      };
      // The least number stands for none: log(0) would make the next derivative NaN.
      const array least(x.dtype() == float16   ? 0x1p-24
                        : x.dtype() == float64 ? 0x1p-1022
                                               : 0x1p-126,
                        x.dtype());
      return Cotangents{side(maximum(d[0], least)) - side(maximum(-d[0], least))};
    }
  }
  return std::nullopt;
}

std::optional<Cotangents> Sort::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  if (places) return Cotangents{std::nullopt};
  const array from = kth < 0 ? argsort(in[0], axis) : argpartition(in[0], kth, axis);
  return Cotangents{take_along_axis(d[0], argsort(from, axis), axis)};
}

std::optional<Cotangents> Softmax::vjp(const Arrays&, const Arrays& out, const Arrays& d) const {
  const array dy = d[0] * out[0];
  return Cotangents{dy - out[0] * sum(dy, -1, true)};
}

std::optional<Cotangents> LogSumExp::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  return Cotangents{d[0] * softmax(in[0], -1)};
}

}  // namespace hearth
