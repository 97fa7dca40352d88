// Gradients of the primitives of reduce.h.
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/movement_detail.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/rows.h"
#include "hearth/ops/wide.h"

namespace hearth {

namespace {

/// 0, 1, ... along `axis`, of the other sizes 1.
array places_along(const array& x, int axis) {
  Shape shape(x.shape().size(), 1);
  shape[size_t(axis)] = x.shape()[size_t(axis)];
  return reshape(arange(0, x.shape()[size_t(axis)]), shape);
}

/// The product of all others, times d: by running products from both ends, so that zeros divide
/// nothing. x is (..., n), d (..., 1).
array product_gradient(const array& x, const array& d) {
  return cumprod(x, -1, false, false) * cumprod(x, -1, true, false) * d;
}

/// s with s[i] = d[i] + x[i + 1] s[i + 1]: what each d is times the x between. In log2(n) steps,
/// each of which doubles the stretch that is summed. Nothing is divided, so that zeros are no
/// exception, and the derivatives of this are right as well.
array sum_of_products(const array& x, const array& d, int axis) {
  const int n = x.shape()[size_t(axis)];
  array sums = d, products = detail::part(x, axis, 1, n);  // of stretches of `reach`
  for (int64_t reach = 1; reach < n; reach *= 2) {
    const int rest = n - int(reach);  // starts from which a whole stretch follows
    sums = concatenate(
        {detail::part(sums, axis, 0, rest) + products * detail::part(sums, axis, int(reach), n),
         detail::part(sums, axis, rest, n)},
        axis);
    if (reach < rest)
      products = detail::part(products, axis, 0, rest - int(reach)) *
                 detail::part(products, axis, int(reach), rest);
  }
  return sums;
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
      const array share =
          astype(in_wide([&](const array& v) { return v / array(n, v.dtype()); }, dk), x.dtype());
      return Cotangents{broadcast_to(share, x.shape())};
    }
    case Kind::max:
    case Kind::min: {
      if (auto grads = vjp_of_halves(*this, in, d)) return grads;
      const array same = astype(equal(x, reshape(out[0], kept)), d[0].dtype());
      const std::vector<int> joined(axes.begin(), axes.end());
      return Cotangents{same * (dk / sum(same, joined, true))};
    }
    case Kind::prod: {
      if (auto grads = vjp_of_halves(*this, in, d)) return grads;
      const array r = rows(conjugate_of(x), axes);
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
      if (auto grads = vjp_of_halves(*this, in, d)) return grads;
      // From the end if reverse, so flipped. Exclusive products lack their own element: the d of
      // each is that of the one after.
      const int n = x.shape()[size_t(axis)];
      if (n == 0) return Cotangents{x};
      const auto turn = [&](const array& v) { return reverse ? flip(v, axis) : v; };
      const array forward = turn(conjugate_of(x));
      array from_above = turn(d[0]);
      if (!inclusive)
        from_above = concatenate({detail::part(from_above, axis, 1, n),
                                  zeros_like(detail::part(from_above, axis, 0, 1))},
                                 axis);
      const array below = cumprod(forward, axis, false, false);
      return Cotangents{turn(below * sum_of_products(forward, from_above, axis))};
    }
    case Kind::max:
    case Kind::min: {
      // d goes to the place where the running extreme stood: the last one to reach it.
      const int n = x.shape()[size_t(axis)];
      const array extreme = inclusive           ? y
                            : kind == Kind::max ? cummax(x, axis, reverse, true)
                                                : cummin(x, axis, reverse, true);
      const array at = places_along(x, axis);
      const array hit = x == extreme || isnan(x);
      array from = reverse ? cummin(where(hit, at, array(n - 1)), axis, true)
                           : cummax(where(hit, at, array(0)), axis);
      array grad = d[0];
      if (!inclusive && n > 0) {
        from = reverse ? detail::part(from, axis, 1, n) : detail::part(from, axis, 0, n - 1);
        grad = reverse ? detail::part(grad, axis, 0, n - 1) : detail::part(grad, axis, 1, n);
      }
      return Cotangents{scatter_add_axis(zeros_like(x), from, grad, axis)};
    }
    case Kind::logaddexp: {
      if (auto grads = vjp_of_halves(*this, in, d)) return grads;
      // sum over j of d_j exp(x_i - y_j), positive and negative d apart, in logarithms.
      auto side = [&](const array& positive) {
        return exp(logcumsumexp(log(positive) - y, axis, !reverse, inclusive) + x);
      };
      // The least number stands for none: log(0) would make the next derivative NaN.
      const array least(x.dtype() == float64 ? 0x1p-1022 : 0x1p-126, x.dtype());
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

std::optional<Cotangents> Softmax::vjp(const Arrays& in, const Arrays& out, const Arrays& d) const {
  if (auto grads = vjp_of_halves(*this, in, d)) return grads;
  const array y = conjugate_of(out[0]), dy = d[0] * y;
  return Cotangents{dy - y * sum(dy, -1, true)};
}

std::optional<Cotangents> LogSumExp::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  if (auto grads = vjp_of_halves(*this, in, d)) return grads;
  return Cotangents{d[0] * conjugate_of(softmax(in[0], -1))};
}

}  // namespace hearth
