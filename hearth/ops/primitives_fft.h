// The struct of Fourier transforms.
#pragma once
#include "hearth/ops/op.h"

namespace hearth::fft {

/// Along the last axis, without a factor; the exponent is positive if `inverse`.
///   complex  c64 (..., n) -> c64 (..., n)
///   real     f32 (..., n) -> c64 (..., n / 2 + 1), of the forward transform
///   to_real  c64 (..., n / 2 + 1) -> f32 (..., n), of the inverse one
struct Fourier : OwnOp<Fourier> {
  enum class Kind : uint8_t { complex, real, to_real };
  Kind kind;
  bool inverse;
  int n;
  Fourier(Kind kind, bool inverse, int n) : kind(kind), inverse(inverse), n(n) {}
  HEARTH_FIELDS(kind, inverse, n)
  std::string_view name() const override { return "fft"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

}  // namespace hearth::fft
