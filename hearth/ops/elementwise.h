// Elementwise operations: shapes broadcast as in NumPy, dtypes are promoted by promote_types. Names
// and results are MLX's. One line per operation: elementwise.inc.
#pragma once
#include <optional>

#include "hearth/ops/primitives_map.h"

namespace hearth {

// From the table: exp(x, s), add(a, b, s), where(condition, a, b, s), ... Errors: shapes that do
// not broadcast, dtypes that the operation does not take. Integer division by zero gives 0
// (floor_divide, remainder), INT_MIN / -1 gives INT_MIN; shifts beyond the width give 0, or -1 for
// right shifts of negative numbers; a negative integer power is the truncated quotient 1 / x^n.
// remainder has the divisor's sign, as in Python.
#define UNARY(name, ...) array name(const array& x, StreamOrDevice s = {});
#define BINARY(name, ...) array name(const array& a, const array& b, StreamOrDevice s = {});
#define TERNARY(name, ...) \
  array name(const array& a, const array& b, const array& c, StreamOrDevice s = {});
#include "hearth/ops/elementwise_names.inc"
#undef UNARY
#undef BINARY
#undef TERNARY

/// x as another dtype. Floats become integers towards zero; what does not fit saturates at 32 bits
/// for signed integers up to i32, at 64 bits for all others, and then wraps; NaN is 0.
array astype(array x, Dtype dtype, StreamOrDevice s = {});

/// x itself.
array positive(const array& x, StreamOrDevice s = {});
/// x, through which no gradient flows.
array stop_gradient(const array& x, StreamOrDevice s = {});
/// Rounded to a number of decimals; half to even.
array round(const array& x, int decimals, StreamOrDevice s = {});
/// x limited to [a_min, a_max], each of which may be absent, not both.
array clip(const array& x, const std::optional<array>& a_min = std::nullopt,
           const std::optional<array>& a_max = std::nullopt, StreamOrDevice s = {});
/// x with NaN and infinities replaced; by default infinities become the largest numbers.
array nan_to_num(const array& x, float nan = 0.0f, const std::optional<float> posinf = std::nullopt,
                 const std::optional<float> neginf = std::nullopt, StreamOrDevice s = {});
/// {floor_divide(a, b), remainder(a, b)}
std::vector<array> divmod(const array& a, const array& b, StreamOrDevice s = {});

/// |a - b| <= atol + rtol |b|, element by element; equal infinities are close.
array isclose(const array& a, const array& b, double rtol = 1e-5, double atol = 1e-8,
              bool equal_nan = false, StreamOrDevice s = {});
/// () of bool: isclose everywhere.
array allclose(const array& a, const array& b, double rtol = 1e-5, double atol = 1e-8,
               bool equal_nan = false, StreamOrDevice s = {});
/// () of bool: same shape, same values.
array array_equal(const array& a, const array& b, bool equal_nan, StreamOrDevice s = {});
inline array array_equal(const array& a, const array& b, StreamOrDevice s = {}) {
  return array_equal(a, b, false, s);
}

namespace detail {
array binary(ElementOp op, const array& a, const array& b);
array binary(ElementOp op, const array& a, const Map::Constant& b);
array binary(ElementOp op, const Map::Constant& a, const array& b);
}  // namespace detail

// A C++ scalar is promoted as an array of its type (double as float32): f16 + 1 is f16, f16 + 1.0f
// is f32.
#define HEARTH_OPERATOR(symbol, op)                              \
  inline array operator symbol(const array& a, const array& b) { \
    return detail::binary(ElementOp::op, a, b);                  \
  }                                                              \
  template <Scalar T>                                            \
  array operator symbol(const array& a, T b) {                   \
    return detail::binary(ElementOp::op, a, Map::Constant(b));   \
  }                                                              \
  template <Scalar T>                                            \
  array operator symbol(T a, const array& b) {                   \
    return detail::binary(ElementOp::op, Map::Constant(a), b);   \
  }
HEARTH_OPERATOR(+, add)
HEARTH_OPERATOR(-, subtract)
HEARTH_OPERATOR(*, multiply)
HEARTH_OPERATOR(/, divide)
HEARTH_OPERATOR(%, remainder)
HEARTH_OPERATOR(==, equal)
HEARTH_OPERATOR(!=, not_equal)
HEARTH_OPERATOR(<, less)
HEARTH_OPERATOR(<=, less_equal)
HEARTH_OPERATOR(>, greater)
HEARTH_OPERATOR(>=, greater_equal)
HEARTH_OPERATOR(&&, logical_and)
HEARTH_OPERATOR(||, logical_or)
HEARTH_OPERATOR(&, bitwise_and)
HEARTH_OPERATOR(|, bitwise_or)
HEARTH_OPERATOR(^, bitwise_xor)
HEARTH_OPERATOR(<<, left_shift)
HEARTH_OPERATOR(>>, right_shift)
#undef HEARTH_OPERATOR
inline array operator-(const array& x) { return negative(x); }
inline array operator!(const array& x) { return logical_not(x); }
inline array operator~(const array& x) { return bitwise_invert(x); }

}  // namespace hearth
