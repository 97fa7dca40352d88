// Builders of arrays from nothing.
#include "hearth/ops/create.h"

#include <cmath>
#include <numbers>

#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_movement.h"

namespace hearth {

array arange(double start, double stop, double step, Dtype dtype, StreamOrDevice s) {
  StreamScope scope(s);
  check(dtype != bool_, "arange: dtype is bool, wanted numbers");
  check(step != 0, "arange: step is 0");
  // Whatever the step, the first element is there if it lies before `stop`.
  const bool any = step > 0 ? start < stop : start > stop;
  const double length = any && std::isinf(step) ? 1 : std::ceil((stop - start) / step);
  check(!std::isnan(length) && std::isfinite(start) && length <= INT32_MAX, "arange: from ", start,
        " to ", stop, " by ", step, " has no length below 2^31");
  check(!is_integer(dtype) || (start >= -0x1p63 && start < 0x1p64), "arange: no ", dtype, " is ",
        start);
  double by = std::isfinite(step) ? step : 0;  // the one element is start
  if (is_integer(dtype) || dtype == bool_)     // NumPy's rule: the second value fixes the step
    by = std::trunc(start + by) - std::trunc(start), start = std::trunc(start);
  return apply(std::make_shared<Arange>(start, by, std::max(0, int(std::max(length, 0.0))), dtype),
               {});
}
array arange(double start, double stop, double step, StreamOrDevice s) {
  return arange(start, stop, step, float32, s);
}
array arange(double start, double stop, Dtype dtype, StreamOrDevice s) {
  return arange(start, stop, 1.0, dtype, s);
}
array arange(double start, double stop, StreamOrDevice s) {
  return arange(start, stop, 1.0, float32, s);
}
array arange(double stop, Dtype dtype, StreamOrDevice s) {
  return arange(0.0, stop, 1.0, dtype, s);
}
array arange(double stop, StreamOrDevice s) { return arange(0.0, stop, 1.0, float32, s); }
array arange(int start, int stop, int step, StreamOrDevice s) {
  return arange(double(start), double(stop), double(step), int32, s);
}
array arange(int start, int stop, StreamOrDevice s) { return arange(start, stop, 1, s); }
array arange(int stop, StreamOrDevice s) { return arange(0, stop, 1, s); }

array linspace(double start, double stop, int num, bool endpoint, Dtype dtype, StreamOrDevice s) {
  StreamScope scope(s);
  check(num >= 0, "linspace: ", num, " values; wanted 0 or more");
  const int steps = endpoint ? num - 1 : num;
  const double step = steps > 0 ? (stop - start) / steps : 0;
  const auto last = endpoint && num > 1 ? std::optional(stop) : std::nullopt;
  // Integers are cut off from the exact values, so those are needed first.
  const Dtype exact = is_inexact(dtype) ? dtype : float64;
  return astype(apply(std::make_shared<Arange>(start, step, num, exact, last), {}), dtype);
}
array linspace(double start, double stop, int num, Dtype dtype, StreamOrDevice s) {
  return linspace(start, stop, num, true, dtype, s);
}

array full(const Shape& shape, const array& vals, Dtype dtype, StreamOrDevice s) {
  StreamScope scope(s);
  element_count(shape);
  return broadcast_to(astype(vals, dtype), shape);
}
array full(const Shape& shape, const array& vals, StreamOrDevice s) {
  return full(shape, vals, vals.dtype(), s);
}
array full_like(const array& a, const array& vals, Dtype dtype, StreamOrDevice s) {
  return full(a.shape(), vals, dtype, s);
}
array full_like(const array& a, const array& vals, StreamOrDevice s) {
  return full(a.shape(), vals, a.dtype(), s);
}
array zeros(const Shape& shape, Dtype dtype, StreamOrDevice s) {
  return full(shape, array(0, dtype), s);
}
array zeros(const Shape& shape, StreamOrDevice s) { return zeros(shape, float32, s); }
array zeros_like(const array& a, StreamOrDevice s) { return zeros(a.shape(), a.dtype(), s); }
array zeros_like(const array& a, Dtype dtype, StreamOrDevice s) {
  return zeros(a.shape(), dtype, s);
}
array ones(const Shape& shape, Dtype dtype, StreamOrDevice s) {
  return full(shape, array(1, dtype), s);
}
array ones(const Shape& shape, StreamOrDevice s) { return ones(shape, float32, s); }
array ones_like(const array& a, StreamOrDevice s) { return ones(a.shape(), a.dtype(), s); }
array ones_like(const array& a, Dtype dtype, StreamOrDevice s) { return ones(a.shape(), dtype, s); }

// (n, 1) of row + k and (1, m) of columns, to be compared.
static std::pair<array, array> coordinates(int n, int m, int k, std::string_view who) {
  check(n >= 0 && m >= 0, who, ": sizes ", n, " and ", m, " must not be negative");
  const double offset = k;
  return {reshape(arange(offset, offset + n, int64), {n, 1}),
          reshape(arange(0.0, double(m), int64), {1, m})};
}
array eye(int n, int m, int k, Dtype dtype, StreamOrDevice s) {
  StreamScope scope(s);
  const auto [row, column] = coordinates(n, m, k, "eye");
  return astype(equal(row, column), dtype);
}
array eye(int n, Dtype dtype, StreamOrDevice s) { return eye(n, n, 0, dtype, s); }
array eye(int n, int m, StreamOrDevice s) { return eye(n, m, 0, float32, s); }
array eye(int n, int m, int k, StreamOrDevice s) { return eye(n, m, k, float32, s); }
array eye(int n, StreamOrDevice s) { return eye(n, n, 0, float32, s); }
array identity(int n, Dtype dtype, StreamOrDevice s) { return eye(n, n, 0, dtype, s); }
array identity(int n, StreamOrDevice s) { return eye(n, s); }
array tri(int n, int m, int k, Dtype type, StreamOrDevice s) {
  StreamScope scope(s);
  const auto [row, column] = coordinates(n, m, k, "tri");
  return astype(greater_equal(row, column), type);
}
array tri(int n, Dtype type, StreamOrDevice s) { return tri(n, n, 0, type, s); }

// a + b cos(2 pi i / (M - 1)) + c cos(4 pi i / (M - 1)), computed in f64.
static array cosine_window(int M, double a, double b, double c) {
  if (M <= 1) return ones({std::max(0, M)});
  const double last = 2 * std::numbers::pi;
  const array angle = linspace(0, last, M, float64);
  array sum = add(array(a, float64), multiply(array(b, float64), cos(angle)));
  if (c != 0)
    sum = add(sum, multiply(array(c, float64), cos(multiply(angle, array(2.0, float64)))));
  return astype(sum, float32);
}
array hanning(int M, StreamOrDevice s) {
  StreamScope scope(s);
  return cosine_window(M, 0.5, -0.5, 0);
}
array hamming(int M, StreamOrDevice s) {
  StreamScope scope(s);
  return cosine_window(M, 0.54, -0.46, 0);
}
array blackman(int M, StreamOrDevice s) {
  StreamScope scope(s);
  return cosine_window(M, 0.42, -0.5, 0.08);
}
array bartlett(int M, StreamOrDevice s) {
  StreamScope scope(s);
  if (M <= 1) return ones({std::max(0, M)});
  const array x = linspace(-1, 1, M, float64);
  return astype(subtract(array(1.0, float64), abs(x)), float32);
}

}  // namespace hearth
