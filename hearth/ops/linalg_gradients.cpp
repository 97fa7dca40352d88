// What the primitives of linear algebra mean: shapes and gradients. S. Giles, "Collected matrix
// derivative results" (2008), and J. Townsend, "Differentiating the SVD" (2016), whose letters
// these are.
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/linalg.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_linalg.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/wide.h"

namespace hearth::linalg {

namespace {

// a's batch, and then these axes.
Shape of_batch(const array& a, std::initializer_list<int> axes) {
  Shape shape(a.shape().begin(), a.shape().end() - 2);
  shape.insert(shape.end(), axes.begin(), axes.end());
  return shape;
}
array adjoint(const array& a) { return conjugate_of(swapaxes(a, -1, -2)); }
array symmetric(const array& a) { return (a + adjoint(a)) * array(0.5, a.dtype()); }
array as_diagonal(const array& v) {  // (..., n) -> (..., n, n)
  return expand_dims(v, -1) * eye(v.shape(-1), v.dtype());
}
array first_columns(const array& a, int count) {
  Shape stop = a.shape();
  stop.back() = count;
  return slice(a, Shape(stop.size(), 0), stop);
}
// 1 / (w_j - w_i), 0 on the diagonal and between equals.
array differences(const array& w) {
  const array gaps = expand_dims(w, -2) - expand_dims(w, -1), same = gaps == 0;
  return where(same, 0, 1 / where(same, 1, gaps));
}

}  // namespace

Specs LU::infer(std::span<const array> in) const {
  const array& a = in[0];
  const int m = a.shape(-2), n = a.shape(-1);
  return {
      {a.shape(), a.dtype()}, {of_batch(a, {std::min(m, n)}), uint32}, {of_batch(a, {m}), uint32}};
}

Specs Solve::infer(std::span<const array> in) const { return {{in[1].shape(), in[1].dtype()}}; }
std::optional<Cotangents> Solve::vjp(const Arrays& in, const Arrays& out, const Arrays& d) const {
  const array turned = swapaxes(in[0], -1, -2);
  const array by_b = triangular ? solve_triangular(turned, d[0], !upper) : solve(turned, d[0]);
  const array by_a = -matmul(by_b, swapaxes(out[0], -1, -2));
  return Cotangents{!triangular ? by_a : upper ? triu(by_a) : tril(by_a), by_b};
}

Specs Cholesky::infer(std::span<const array> in) const { return {{in[0].shape(), in[0].dtype()}}; }
std::optional<Cotangents> Cholesky::vjp(const Arrays& in, const Arrays& out,
                                        const Arrays& d) const {
  const array &l = out[0], turned = swapaxes(l, -1, -2);
  const array half = array(1, in[0].dtype()) - eye(l.shape(-1), l.dtype()) * array(0.5, l.dtype());
  const array phi = tril(matmul(turned, tril(d[0]))) * half;
  // L^-T phi L^-1
  const array left = solve_triangular(turned, phi, true);
  const array whole = swapaxes(solve_triangular(turned, swapaxes(left, -1, -2), true), -1, -2);
  return Cotangents{symmetric(whole)};
}

Specs QR::infer(std::span<const array> in) const {
  const int n = in[0].shape(-1);
  return {{in[0].shape(), in[0].dtype()}, {of_batch(in[0], {n, n}), in[0].dtype()}};
}
std::optional<Cotangents> QR::vjp(const Arrays&, const Arrays& out, const Arrays& d) const {
  const array &q = out[0], &r = out[1], dq = d[0], dr = triu(d[1]);
  const array m = matmul(r, swapaxes(dr, -1, -2)) - matmul(swapaxes(dq, -1, -2), q);
  const array from_lower =
      tril(m, -1) + swapaxes(tril(m, -1), -1, -2) + as_diagonal(diagonal(m, 0, -2, -1));
  const array before = dq + matmul(q, from_lower);
  // times R^-T
  return Cotangents{swapaxes(solve_triangular(r, swapaxes(before, -1, -2), true), -1, -2)};
}

Specs SVD::infer(std::span<const array> in) const {
  const array& a = in[0];
  const int m = a.shape(-2), n = a.shape(-1);
  const Spec s{of_batch(a, {std::min(m, n)}), a.dtype()};
  if (!vectors) return {s};
  return {{of_batch(a, {m, m}), a.dtype()}, s, {of_batch(a, {n, n}), a.dtype()}};
}
std::optional<Cotangents> SVD::vjp(const Arrays& in, const Arrays& out, const Arrays& d) const {
  const array& a = in[0];
  const int m = a.shape(-2), n = a.shape(-1), k = std::min(m, n);
  if (k == 0) return Cotangents{zeros_like(a)};
  const Arrays usv = vectors ? out : svd(a, true, {});
  const array u = first_columns(usv[0], k), s = usv[1];
  const array v = first_columns(swapaxes(usv[2], -1, -2), k), vt = swapaxes(v, -1, -2);
  const array along = expand_dims(s, -2);  // times columns
  if (!vectors) return Cotangents{matmul(u * expand_dims(d[0], -2), vt)};
  const array du = first_columns(d[0], k), dv = first_columns(swapaxes(d[2], -1, -2), k);
  const array f = differences(square(s)), ut = swapaxes(u, -1, -2);
  const array utdu = matmul(ut, du), vtdv = matmul(vt, dv);
  const array middle = (f * (utdu - swapaxes(utdu, -1, -2))) * along + as_diagonal(d[1]) +
                       expand_dims(s, -1) * (f * (vtdv - swapaxes(vtdv, -1, -2)));
  array grad = matmul(matmul(u, middle), vt);
  if (m > k) grad = grad + matmul((du - matmul(u, utdu)) / along, vt);
  if (n > k) grad = grad + matmul(u, swapaxes((dv - matmul(v, vtdv)) / along, -1, -2));
  return Cotangents{grad};
}

Specs Eigh::infer(std::span<const array> in) const {
  const array& a = in[0];
  const Dtype real = is_complex(a.dtype()) ? float32 : a.dtype();
  const Spec w{of_batch(a, {a.shape(-1)}), real};
  return vectors ? Specs{w, {a.shape(), a.dtype()}} : Specs{w};
}
std::optional<Cotangents> Eigh::vjp(const Arrays& in, const Arrays& out, const Arrays& d) const {
  const array v = vectors ? out[1] : eigh(in[0]).second;
  array middle = as_diagonal(astype(d[0], v.dtype()));
  if (vectors) middle = middle + astype(differences(out[0]), v.dtype()) * matmul(adjoint(v), d[1]);
  return Cotangents{symmetric(matmul(matmul(v, middle), adjoint(v)))};
}

Specs Eig::infer(std::span<const array> in) const {
  const Spec w{of_batch(in[0], {in[0].shape(-1)}), complex64};
  return vectors ? Specs{w, {in[0].shape(), complex64}} : Specs{w};
}

Specs Determinant::infer(std::span<const array> in) const {
  const Spec one{of_batch(in[0], {}), in[0].dtype()};
  return logarithm ? Specs{one, one} : Specs{one};
}
std::optional<Cotangents> Determinant::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  const array& a = in[0];
  const int n = a.shape(-1);
  if (n == 0) return Cotangents{zeros_like(a)};
  const auto to_matrix = [&](const array& v) { return reshape(v, of_batch(a, {1, 1})); };
  if (logarithm) return Cotangents{to_matrix(d[1]) * swapaxes(inv(a), -1, -2)};
  // The cofactors, also of singular matrices: det(U V^T) U diag(products of the other s) V^T.
  const Arrays usv = svd(a, true, {});
  const array& s = usv[1];
  const array others = cumprod(s, -1, false, false) * cumprod(s, -1, true, false);
  const array turn = stop_gradient(det(usv[0]) * det(usv[2]));  // 1 or -1
  return Cotangents{to_matrix(d[0] * turn) * matmul(usv[0] * expand_dims(others, -2), usv[2])};
}

}  // namespace hearth::linalg
