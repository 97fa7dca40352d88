// Arrays of the plain interpreter: numbers in row-major order, computed one by one in simple loops,
// beside how far hearth's may be from them.
#pragma once
#include <string>
#include <vector>

#include "hearth/core/array.h"

namespace hearth::testing {

/// Holds every value of every dtype, and computes with 11 digits more than a double.
using Real = long double;
static_assert(sizeof(int) == 4);

struct Value {
  Shape shape = {};
  Dtype dtype = float32;
  std::vector<Real> x = {};
  /// Of each element, beside its rounding to the dtype; empty: none.
  std::vector<Real> error = {};
};
using Values = std::vector<Value>;
using Operands = std::vector<const Value*>;
/// What a node has beside its operands: numbers, most of them integers.
using Parameters = std::vector<double>;
using Place = std::vector<int>;  // of an element, by axis

/// The integer in the dtype's bits.
Real wrapped(Dtype d, int64_t n);
/// One number of dtype `from` as `to`, by hearth's rule (core/dtype.h).
Real as(Dtype from, Dtype to, Real x);
Value as(const Value& v, Dtype to);
/// A result: rounded to its dtype.
Value rounded(Value v);

/// Half the distance from 1 to the next number of what the dtype is computed in: halves in f32.
Real unit_of(Dtype d);
/// The distance to the next number at x, of what the dtype is computed in.
Real step_at(Real x, Dtype d);

Value value_of(const array& a);  // evaluates
array array_of(const Value& v);
/// Empty if `got` is `want`, as far as it may be; else the first element that is not.
std::string unlike(const array& got, const Value& want);
/// "f32 (2, 3) {1, 2, ...}"
std::string to_string(const Value& v);

/// The sizes with one more in front of axis k.
Shape inserted(const Shape& shape, size_t k, int n);
/// Where the element at `at` lies.
size_t offset_of(const Shape& shape, const Place& at);
/// f(place, offset) for every element.
template <class F>
void each_place(const Shape& shape, F&& f) {
  Place at(shape.size(), 0);
  for (size_t i = 0, n = element_count(shape); i < n; ++i) {
    f(static_cast<const Place&>(at), i);
    for (size_t k = at.size(); k-- > 0 && ++at[k] == shape[k];) at[k] = 0;
  }
}
/// A new array of `from`'s dtype: element `at` is the one of `from` at f(at), or `fill` where that
/// is negative.
template <class F>
Value moved(const Value& from, Shape shape, F&& f, Real fill = 0) {
  Value out{std::move(shape), from.dtype};
  each_place(out.shape, [&](const Place& at, size_t) {
    const int64_t i = f(at);
    out.x.push_back(i < 0 ? fill : from.x[size_t(i)]);
  });
  return out;
}
/// A new array: element `at` is f(at).
template <class F>
Value made(Shape shape, Dtype dtype, F&& f) {
  Value out{std::move(shape), dtype};
  each_place(out.shape, [&](const Place& at, size_t) { out.x.push_back(Real(f(at))); });
  return out;
}
Value broadcast(const Value& v, const Shape& shape);
/// The numbers along `axis` at `at`.
std::vector<Real> along(const Value& v, Place at, size_t axis);

}  // namespace hearth::testing
