// Reductions, scans, sorting and softmax: MLX's names, arguments, defaults and results.
#pragma once
#include <optional>
#include <tuple>
#include <vector>

#include "hearth/core/array.h"

namespace hearth {

/// 0, 1, ..., a.ndim() - 1.
std::vector<int> every_axis(const array& a);

// A reduction over `axes`, over one axis, or over all; reduced axes stay as size 1 if `keepdims`.
#define HEARTH_REDUCTION(name)                                                                \
  array name(const array& a, const std::vector<int>& axes, bool keepdims = false,             \
             StreamOrDevice s = {});                                                          \
  inline array name(const array& a, int axis, bool keepdims = false, StreamOrDevice s = {}) { \
    return name(a, std::vector<int>{axis}, keepdims, s);                                      \
  }                                                                                           \
  inline array name(const array& a, bool keepdims, StreamOrDevice s = {}) {                   \
    return name(a, every_axis(a), keepdims, s);                                               \
  }                                                                                           \
  inline array name(const array& a, StreamOrDevice s = {}) { return name(a, false, s); }

/// Halves and f32 in wide steps, rounded once; bool and integers below 64 bits give i32 or u32 and
/// wrap; of nothing 0.
HEARTH_REDUCTION(sum)
/// As sum; of nothing 1.
HEARTH_REDUCTION(prod)
/// Integers and bool give f32; of nothing NaN.
HEARTH_REDUCTION(mean)
/// NaN if one is NaN; complex by real part, then imaginary; throws on nothing.
HEARTH_REDUCTION(max)
HEARTH_REDUCTION(min)
/// Whether all are nonzero (NaN is); of nothing true.
HEARTH_REDUCTION(all)
/// Whether any is nonzero; of nothing false.
HEARTH_REDUCTION(any)
/// i32: how many are nonzero.
HEARTH_REDUCTION(count_nonzero)
/// log(sum(exp(a))) without overflow; integers give f32; throws on nothing.
HEARTH_REDUCTION(logsumexp)
/// The middle value, or the mean of the middle two; integers give f32; throws on nothing.
HEARTH_REDUCTION(median)
#undef HEARTH_REDUCTION

/// {min, max}
std::tuple<array, array> minmax(const array& a, const std::vector<int>& axes, bool keepdims = false,
                                StreamOrDevice s = {});
std::tuple<array, array> minmax(const array& a, int axis, bool keepdims = false,
                                StreamOrDevice s = {});
std::tuple<array, array> minmax(const array& a, bool keepdims, StreamOrDevice s = {});
inline std::tuple<array, array> minmax(const array& a, StreamOrDevice s = {}) {
  return minmax(a, false, s);
}

/// Mean of |a - mean|^2, the divisor lessened by ddof; integers give f32, complex the real type.
array var(const array& a, const std::vector<int>& axes, bool keepdims = false, int ddof = 0,
          StreamOrDevice s = {});
array var(const array& a, int axis, bool keepdims = false, int ddof = 0, StreamOrDevice s = {});
array var(const array& a, bool keepdims, int ddof = 0, StreamOrDevice s = {});
array var(const array& a, StreamOrDevice s = {});
/// sqrt(var(...))
array std(const array& a, const std::vector<int>& axes, bool keepdims = false, int ddof = 0,
          StreamOrDevice s = {});
array std(const array& a, int axis, bool keepdims = false, int ddof = 0, StreamOrDevice s = {});
array std(const array& a, bool keepdims, int ddof = 0, StreamOrDevice s = {});
array std(const array& a, StreamOrDevice s = {});

/// u32: where the largest lies, the first of equals; the first NaN if there is one. Without an axis
/// in the flattened array. Throws on nothing.
array argmax(const array& a, int axis, bool keepdims = false, StreamOrDevice s = {});
array argmax(const array& a, bool keepdims, StreamOrDevice s = {});
array argmax(const array& a, StreamOrDevice s = {});
/// The same for the smallest.
array argmin(const array& a, int axis, bool keepdims = false, StreamOrDevice s = {});
array argmin(const array& a, bool keepdims, StreamOrDevice s = {});
array argmin(const array& a, StreamOrDevice s = {});

/// The sum of the diagonal through (0, offset) of axis1 and axis2, as `dtype`.
array trace(const array& a, int offset, int axis1, int axis2, Dtype dtype, StreamOrDevice s = {});
array trace(const array& a, int offset, int axis1, int axis2, StreamOrDevice s = {});
array trace(const array& a, StreamOrDevice s = {});

// Running results along an axis (without one: of the flattened array). reverse: from the end;
// not inclusive: of the elements before, the operation's identity first.

/// Of bool i32, else the dtype of a, which becomes `dtype` before if that is given.
array cumsum(const array& a, bool reverse = false, bool inclusive = true,
             std::optional<Dtype> dtype = std::nullopt, StreamOrDevice s = {});
array cumsum(const array& a, int axis, bool reverse = false, bool inclusive = true,
             std::optional<Dtype> dtype = std::nullopt, StreamOrDevice s = {});
inline array cumsum(const array& a, bool reverse, bool inclusive, StreamOrDevice s) {
  return cumsum(a, reverse, inclusive, std::nullopt, s);
}
inline array cumsum(const array& a, int axis, bool reverse, bool inclusive, StreamOrDevice s) {
  return cumsum(a, axis, reverse, inclusive, std::nullopt, s);
}
/// The dtype of a, or the one given.
array cumprod(const array& a, bool reverse = false, bool inclusive = true,
              std::optional<Dtype> dtype = std::nullopt, StreamOrDevice s = {});
array cumprod(const array& a, int axis, bool reverse = false, bool inclusive = true,
              std::optional<Dtype> dtype = std::nullopt, StreamOrDevice s = {});
inline array cumprod(const array& a, bool reverse, bool inclusive, StreamOrDevice s) {
  return cumprod(a, reverse, inclusive, std::nullopt, s);
}
inline array cumprod(const array& a, int axis, bool reverse, bool inclusive, StreamOrDevice s) {
  return cumprod(a, axis, reverse, inclusive, std::nullopt, s);
}
/// NaN from the first NaN on.
array cummax(const array& a, bool reverse = false, bool inclusive = true, StreamOrDevice s = {});
array cummax(const array& a, int axis, bool reverse = false, bool inclusive = true,
             StreamOrDevice s = {});
array cummin(const array& a, bool reverse = false, bool inclusive = true, StreamOrDevice s = {});
array cummin(const array& a, int axis, bool reverse = false, bool inclusive = true,
             StreamOrDevice s = {});
/// Integers give f32.
array logcumsumexp(const array& a, bool reverse = false, bool inclusive = true,
                   StreamOrDevice s = {});
array logcumsumexp(const array& a, int axis, bool reverse = false, bool inclusive = true,
                   StreamOrDevice s = {});
/// a[i + 1] - a[i] along the axis, n times; of bool a[i + 1] != a[i].
array diff(const array& a, int n = 1, int axis = -1, StreamOrDevice s = {});

// Ascending, NaN last, equals in their order; without an axis of the flattened array.

array sort(const array& a, StreamOrDevice s = {});
array sort(const array& a, int axis, StreamOrDevice s = {});
/// u32: take_along_axis(a, argsort(a, axis), axis) is sort(a, axis).
array argsort(const array& a, StreamOrDevice s = {});
array argsort(const array& a, int axis, StreamOrDevice s = {});
/// The kth is where sort puts it, those before are not greater, those after not smaller; kth may
/// count from the end.
array partition(const array& a, int kth, StreamOrDevice s = {});
array partition(const array& a, int kth, int axis, StreamOrDevice s = {});
/// u32: the places that partition takes from.
array argpartition(const array& a, int kth, StreamOrDevice s = {});
array argpartition(const array& a, int kth, int axis, StreamOrDevice s = {});
/// The k largest along the axis (NaN counts as largest), in no promised order.
array topk(const array& a, int k, StreamOrDevice s = {});
array topk(const array& a, int k, int axis, StreamOrDevice s = {});

/// The different values of the flattened array, ascending, as `size` elements: cut off, or filled
/// with fill_value (the least of them if not given). Behind them, each if asked for: where each
/// occurs first (u32), which of them each element of a is (u32, of a's shape), how often each
/// occurs (i32, 0 of what was filled in). NaN equals NaN.
Arrays unique(const array& a, int size, bool return_index = false, bool return_inverse = false,
              bool return_counts = false, const std::optional<array>& fill_value = std::nullopt,
              StreamOrDevice s = {});

/// exp(a) / sum(exp(a)) over the axes, without overflow; integers give f32. Halves are computed in
/// f32 and rounded once whether `precise` or not.
array softmax(const array& a, const std::vector<int>& axes, bool precise = false,
              StreamOrDevice s = {});
array softmax(const array& a, bool precise = false, StreamOrDevice s = {});
array softmax(const array& a, int axis, bool precise = false, StreamOrDevice s = {});
/// a - logsumexp(a, axis, true)
array log_softmax(const array& a, int axis = -1, StreamOrDevice s = {});

}  // namespace hearth
