// Linear algebra on the last two axes, one matrix or many: MLX's names, arguments and results.
// float32 and float64 unless it is said otherwise; integers, halves and others are errors. LAPACK
// computes it, on the CPU. What has no result (a singular matrix, NaN in a decomposition) throws
// when it is evaluated. Gradients: all but lu, lu_factor, eig and eigvals.
#pragma once
#include <optional>
#include <string>

#include "hearth/core/array.h"

namespace hearth::linalg {

/// Without ord the 2-norm of the axes together (at most 2 of them; all if none are given). ord: of
/// vectors any number, infinities too, 0 counts what is not 0; of matrices 1, -1, 2, -2,
/// infinities, "fro" and "nuc". Any numeric dtype.
array norm(const array& a, const double ord,
           const std::optional<std::vector<int>>& axis = std::nullopt, bool keepdims = false,
           StreamOrDevice s = {});
array norm(const array& a, const std::string& ord,
           const std::optional<std::vector<int>>& axis = std::nullopt, bool keepdims = false,
           StreamOrDevice s = {});
array norm(const array& a, const std::optional<std::vector<int>>& axis = std::nullopt,
           bool keepdims = false, StreamOrDevice s = {});
inline array norm(const array& a, const double ord, int axis, bool keepdims = false,
                  StreamOrDevice s = {}) {
  return norm(a, ord, std::vector<int>{axis}, keepdims, s);
}
inline array norm(const array& a, const std::string& ord, int axis, bool keepdims = false,
                  StreamOrDevice s = {}) {
  return norm(a, ord, std::vector<int>{axis}, keepdims, s);
}
inline array norm(const array& a, int axis, bool keepdims = false, StreamOrDevice s = {}) {
  return norm(a, std::vector<int>{axis}, keepdims, s);
}

/// {Q (m, k), R (k, n)} with a = Q R, k the smaller of m and n.
std::pair<array, array> qr(const array& a, StreamOrDevice s = {});
/// {U (m, m), S (k), Vt (n, n)}, S descending: a = U[:, :k] diag(S) Vt[:k]; or S alone. The
/// gradient takes what singular vectors beyond the k-th contribute as 0: they are not determined.
std::vector<array> svd(const array& a, bool compute_uv, StreamOrDevice s);
inline std::vector<array> svd(const array& a, StreamOrDevice s = {}) { return svd(a, true, s); }
array inv(const array& a, StreamOrDevice s = {});
/// Of the lower (upper) triangle; the other is not read.
array tri_inv(const array& a, bool upper = false, StreamOrDevice s = {});
/// The lower L with a = L L^T, of a's lower triangle; or the upper U with a = U^T U, of its upper.
array cholesky(const array& a, bool upper = false, StreamOrDevice s = {});
/// The inverse of L L^T (U^T U), given L (U).
array cholesky_inv(const array& a, bool upper = false, StreamOrDevice s = {});
/// Moore and Penrose's; singular values below eps max(m, n) of the largest count as 0.
array pinv(const array& a, StreamOrDevice s = {});
/// {P (m) uint32, L (m, k), U (k, n)}: a = L[P] U.
std::vector<array> lu(const array& a, StreamOrDevice s = {});
/// {L below the diagonal and U, which rows were exchanged: i with pivots[i]}
std::pair<array, array> lu_factor(const array& a, StreamOrDevice s = {});
/// x with a x = b; b is a vector (n), or (..., n, k). Batches broadcast.
array solve(const array& a, const array& b, StreamOrDevice s = {});
array solve_triangular(const array& a, const array& b, bool upper = false, StreamOrDevice s = {});
/// Of vectors of 2 or 3 elements along the axis; without a third it is 0. Any numeric dtype.
array cross(const array& a, const array& b, int axis = -1, StreamOrDevice s = {});
/// {eigenvalues, eigenvectors as columns}, complex64.
std::pair<array, array> eig(const array& a, StreamOrDevice s = {});
array eigvals(const array& a, StreamOrDevice s = {});
/// The same of a symmetric (complex64: Hermitian) matrix, of which the triangle UPLO is read:
/// eigenvalues are real and ascend.
std::pair<array, array> eigh(const array& a, std::string UPLO = "L", StreamOrDevice s = {});
array eigvalsh(const array& a, std::string UPLO = "L", StreamOrDevice s = {});
/// Integers give float32.
array det(const array& a, StreamOrDevice s = {});
/// {sign, log of the absolute value} of the determinant; {0, -inf} of a singular matrix.
std::pair<array, array> slogdet(const array& a, StreamOrDevice s = {});

}  // namespace hearth::linalg
