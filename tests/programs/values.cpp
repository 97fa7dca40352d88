#include "tests/programs/values.h"

#include <cmath>

#include "tests/close.h"

namespace hearth::testing {

Real wrapped(Dtype d, int64_t n) {
  Real out = 0;
  visit(AllTypes{}, d, "wrapped", [&]<class E>() {
    if constexpr (std::is_same_v<E, bool>)
      out = n != 0;
    else if constexpr (std::is_integral_v<E>)
      out = Real(E(n));
  });
  return out;
}
Real as(Dtype from, Dtype to, Real x) {
  if (from == to) return x;
  Real out = 0;
  visit(AllTypes{}, to, "as", [&]<class E>() {
    const E e = is_floating(from) ? convert<E>(double(x)) : convert<E>(int64_t(x));
    if constexpr (std::is_integral_v<E>)
      out = Real(e);
    else
      out = Real(convert<double>(e));
  });
  return out;
}
Value as(const Value& v, Dtype to) {
  Value out{v.shape, to, v.x};
  for (Real& x : out.x) x = as(v.dtype, to, x);
  return out;
}
Value rounded(Value v) {
  if (is_floating(v.dtype))
    for (Real& x : v.x) {
      if (v.dtype == float64)
        x = double(x);
      else if (v.dtype == float32)
        x = float(x);
      else
        x = as(float32, v.dtype, float(x));
    }
  v.error.clear();
  return v;
}

Real unit_of(Dtype d) { return d == float64 ? 0x1p-53L : 0x1p-24L; }
Real step_at(Real x, Dtype d) { return last_place(double(x), d == float64 ? float64 : float32); }

Value value_of(const array& a) {
  Value v{a.shape(), a.dtype()};
  if (is_floating(a.dtype()))
    for (double x : a.to_vector<double>()) v.x.push_back(x);
  else
    for (int64_t x : a.to_vector<int64_t>()) v.x.push_back(Real(x));
  return v;
}
array array_of(const Value& v) {
  if (!is_floating(v.dtype))
    return array(std::vector<int64_t>(v.x.begin(), v.x.end()), v.shape, v.dtype);
  return array(std::vector<double>(v.x.begin(), v.x.end()), v.shape, v.dtype);
}
std::string unlike(const array& got, const Value& want) {
  if (got.shape() != want.shape || got.dtype() != want.dtype)
    return concat("got ", got.dtype(), " ", got.shape(), ", wanted ", want.dtype, " ", want.shape);
  const Value g = value_of(got);
  for (size_t i = 0; i < g.x.size(); ++i) {
    const Real x = want.x[i], off = std::abs(g.x[i] - x);
    const Real most = Real(largest(want.dtype)) * (1 - unit_of(want.dtype));
    const bool fits = !is_floating(want.dtype) || (std::isfinite(x) && std::abs(x) <= most);
    Real may = want.error.empty() ? 0 : want.error[i];
    if (is_floating(want.dtype)) may += Real(last_place(double(x), want.dtype)) / 2;
    if (fits ? off <= may : g.x[i] == x || (std::isnan(g.x[i]) && std::isnan(x))) continue;
    if (!fits && std::isinf(g.x[i]) && std::abs(x) > most) continue;
    std::ostringstream out;
    out.precision(17);
    out << "element " << i << " is " << g.x[i] << ", wanted " << x << " to within " << may;
    return out.str();
  }
  return "";
}
std::string to_string(const Value& v) {
  std::ostringstream out;
  out.precision(9);
  out << short_name(v.dtype) << " " << v.shape << " {";
  for (size_t i = 0; i < v.x.size() && i < 64; ++i) out << (i ? ", " : "") << v.x[i];
  out << (v.x.size() > 64 ? ", ...}" : "}");
  return out.str();
}

Shape inserted(const Shape& shape, size_t k, int n) {
  Shape out;
  for (size_t i = 0; i <= shape.size(); ++i) {
    if (i == k) out.push_back(n);
    if (i < shape.size()) out.push_back(shape[i]);
  }
  return out;
}
size_t offset_of(const Shape& shape, const Place& at) {
  size_t i = 0;
  for (size_t k = 0; k < shape.size(); ++k) i = i * size_t(shape[k]) + size_t(at[k]);
  return i;
}
Value broadcast(const Value& v, const Shape& shape) {
  const size_t more = shape.size() - v.shape.size();
  return moved(v, shape, [&](const Place& at) {
    Place from(v.shape.size());
    for (size_t k = 0; k < from.size(); ++k) from[k] = v.shape[k] == 1 ? 0 : at[more + k];
    return int64_t(offset_of(v.shape, from));
  });
}
std::vector<Real> along(const Value& v, Place at, size_t axis) {
  std::vector<Real> out;
  for (int i = 0; i < v.shape[axis]; ++i) at[axis] = i, out.push_back(v.x[offset_of(v.shape, at)]);
  return out;
}

}  // namespace hearth::testing
