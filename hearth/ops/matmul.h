// Matrix products. Sums are kept in float32 (float64 for float64) and rounded once.
#pragma once
#include <utility>
#include <vector>

#include "hearth/core/array.h"

namespace hearth {

/// (..., m, k) x (..., k, n) -> (..., m, n), batch axes broadcast. A 1-D a is a row, a 1-D b a
/// column, and the axis made for it is dropped again. Floating and complex dtypes, promoted.
array matmul(const array& a, const array& b, StreamOrDevice s = {});
/// alpha * matmul(a, b) + beta * c, with c broadcast to the product's shape.
array addmm(array c, array a, array b, const float& alpha = 1.0f, const float& beta = 1.0f,
            StreamOrDevice s = {});
/// Sums of products over the last axis of both: (..., k), (..., k) -> (..., ...).
array inner(const array& a, const array& b, StreamOrDevice s = {});
/// Both flattened: (m), (n) -> (m, n).
array outer(const array& a, const array& b, StreamOrDevice s = {});
/// Sums over the last `axis` axes of a and the first of b.
array tensordot(const array& a, const array& b, const int axis = 2, StreamOrDevice s = {});
/// Sums over axes_a of a, each with its partner of axes_b.
array tensordot(const array& a, const array& b, const std::vector<int>& axes_a,
                const std::vector<int>& axes_b, StreamOrDevice s = {});
/// Dot products along `axis`, which counts from the back; other axes broadcast. Conjugates a.
array vecdot(const array& a, const array& b, int axis = -1, StreamOrDevice s = {});
/// Kronecker's product: each element of a times all of b.
array kron(const array& a, const array& b, StreamOrDevice s = {});

}  // namespace hearth
