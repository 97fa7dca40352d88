// The structs of linear algebra, on row-major matrices (..., m, n); k is the smaller of m and n.
#pragma once
#include "hearth/ops/op.h"

namespace hearth::linalg {

/// a -> L and U in one (..., m, n), pivots (..., k) u32, and the order (..., m) u32 of a's rows.
struct LU : OwnOp<LU> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "linalg::lu"; }
  Specs infer(std::span<const array> in) const override;
};

/// a (..., n, n), b (..., n, r) of the same batch -> x (..., n, r). If triangular, a's lower
/// (upper) triangle is a.
struct Solve : OwnOp<Solve> {
  bool triangular, upper;
  explicit Solve(bool triangular = false, bool upper = false)
      : triangular(triangular), upper(upper) {}
  HEARTH_FIELDS(triangular, upper)
  std::string_view name() const override {
    return triangular ? "linalg::solve_triangular" : "linalg::solve";
  }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// a (..., n, n) -> lower L (..., n, n), of a's lower triangle.
struct Cholesky : OwnOp<Cholesky> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "linalg::cholesky"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// a (..., m, n), m >= n -> Q (..., m, n), R (..., n, n)
struct QR : OwnOp<QR> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "linalg::qr"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// a -> S (..., k); and before and behind it, if vectors, U (..., m, m) and Vt (..., n, n)
struct SVD : OwnOp<SVD> {
  bool vectors;
  explicit SVD(bool vectors) : vectors(vectors) {}
  HEARTH_FIELDS(vectors)
  std::string_view name() const override { return "linalg::svd"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// a (..., n, n), Hermitian by its lower triangle -> w (..., n) real; and v (..., n, n) if vectors
struct Eigh : OwnOp<Eigh> {
  bool vectors;
  explicit Eigh(bool vectors) : vectors(vectors) {}
  HEARTH_FIELDS(vectors)
  std::string_view name() const override { return "linalg::eigh"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// a (..., n, n) -> w (..., n) c64; and v (..., n, n) c64 if vectors
struct Eig : OwnOp<Eig> {
  bool vectors;
  explicit Eig(bool vectors) : vectors(vectors) {}
  HEARTH_FIELDS(vectors)
  std::string_view name() const override { return "linalg::eig"; }
  Specs infer(std::span<const array> in) const override;
};

/// a (..., n, n) -> the determinant (...); or, if logarithm, its sign and the log of its size
struct Determinant : OwnOp<Determinant> {
  bool logarithm;
  explicit Determinant(bool logarithm) : logarithm(logarithm) {}
  HEARTH_FIELDS(logarithm)
  std::string_view name() const override { return logarithm ? "linalg::slogdet" : "linalg::det"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

}  // namespace hearth::linalg
