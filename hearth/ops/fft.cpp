#include "hearth/ops/fft.h"

#include <cmath>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_fft.h"
#include "hearth/ops/reduce.h"

namespace hearth::fft {

namespace {

using Kind = Fourier::Kind;

// An axis cut off or filled with zeros.
array resized(const array& a, int axis, int n) {
  const int have = a.shape(axis);
  if (have < n) return pad(a, std::vector<int>{axis}, Shape{0}, Shape{n - have});
  Shape stop = a.shape();
  stop[size_t(axis)] = n;
  return slice(a, Shape(stop.size(), 0), stop);
}

array along(const array& a, int axis, Kind kind, bool inverse, int n) {
  const array rows = moveaxis(a, axis, -1);
  return moveaxis(apply(std::make_shared<Fourier>(kind, inverse, n), {rows}), -1, axis);
}

// All of them: each axis is `n` long in the end.
array transformed(const array& a, Shape n, const std::vector<int>& axes, Kind kind, bool inverse,
                  FFTNorm norm, std::string_view who) {
  check(a.ndim() > 0, who, ": wanted at least one axis, got a scalar");
  check(n.size() == axes.size(), who, ": ", n.size(), " sizes for ", axes.size(), " axes");
  check(!axes.empty(), who, ": no axes to transform");
  normalize_axes(axes, a.ndim(), who);
  check(kind != Kind::real || !is_complex(a.dtype()), who,
        ": wanted real numbers, got complex64; fftn takes them");
  double count = 1;
  for (size_t i = 0; i < axes.size(); ++i) {
    check(n[i] > 0, who, ": a size of ", n[i], " along axis ", axes[i], "; wanted 1 or more");
    count *= n[i];
  }
  const size_t last = axes.size() - 1;
  array x = astype(a, kind == Kind::real ? float32 : complex64);
  const auto at = [&](size_t i) { return normalize_axis(axes[i], a.ndim(), who); };
  if (kind == Kind::real) x = along(resized(x, at(last), n[last]), at(last), kind, false, n[last]);
  const size_t others = kind == Kind::complex ? axes.size() : last;
  for (size_t i = 0; i < others; ++i)
    x = along(resized(x, at(i), n[i]), at(i), Kind::complex, inverse, n[i]);
  if (kind == Kind::to_real)
    x = along(resized(x, at(last), n[last] / 2 + 1), at(last), kind, true, n[last]);
  const bool here = inverse ? norm == FFTNorm::Backward : norm == FFTNorm::Forward;
  const double factor = norm == FFTNorm::Ortho ? 1 / std::sqrt(count) : here ? 1 / count : 1;
  return factor == 1 ? x : x * array(factor, x.dtype());
}

Shape sizes_of(const array& a, const std::vector<int>& axes, bool to_real, std::string_view who) {
  Shape n;
  for (int axis : axes) n.push_back(a.shape()[size_t(normalize_axis(axis, a.ndim(), who))]);
  if (to_real && !n.empty()) n.back() = axis_size(2 * (int64_t(n.back()) - 1), who);
  return n;
}

}  // namespace

#define HEARTH_FFT(name, kind, inverse)                                                           \
  array name(const array& a, const Shape& n, const std::vector<int>& axes, FFTNorm norm,          \
             StreamOrDevice s) {                                                                  \
    StreamScope scope(s);                                                                         \
    return transformed(a, n, axes, Kind::kind, inverse, norm, "fft::" #name);                     \
  }                                                                                               \
  array name(const array& a, const std::vector<int>& axes, FFTNorm norm, StreamOrDevice s) {      \
    return name(a, sizes_of(a, axes, Kind::kind == Kind::to_real, "fft::" #name), axes, norm, s); \
  }                                                                                               \
  array name(const array& a, FFTNorm norm, StreamOrDevice s) {                                    \
    return name(a, every_axis(a), norm, s);                                                       \
  }
HEARTH_FFT(fftn, complex, false)
HEARTH_FFT(ifftn, complex, true)
HEARTH_FFT(rfftn, real, false)
HEARTH_FFT(irfftn, to_real, true)
#undef HEARTH_FFT

array fftfreq(int n, double d, StreamOrDevice s) {
  StreamScope scope(s);
  check(n > 0, "fft::fftfreq: a size of ", n, "; wanted 1 or more");
  const int positive = (n + 1) / 2;
  const array steps = concatenate({arange(0, positive), arange(-(n / 2), 0)});
  return astype(astype(steps, float64) / array(n * d, float64), float32);
}
array rfftfreq(int n, double d, StreamOrDevice s) {
  StreamScope scope(s);
  check(n > 0, "fft::rfftfreq: a size of ", n, "; wanted 1 or more");
  return astype(astype(arange(0, n / 2 + 1), float64) / array(n * d, float64), float32);
}

static array shifted(const array& a, const std::vector<int>& axes, bool back, StreamOrDevice s) {
  Shape by;
  for (int axis : axes) {
    check(axis >= -a.ndim() && axis < a.ndim(), "fft::fftshift: axis ", axis, " of shape ",
          a.shape());
    const int n = a.shape()[size_t(normalize_axis(axis, a.ndim(), "fft::fftshift"))];
    by.push_back(back ? -(n / 2) : n / 2);
  }
  return roll(a, by, axes, s);
}
array fftshift(const array& a, const std::vector<int>& axes, StreamOrDevice s) {
  return shifted(a, axes, false, s);
}
array fftshift(const array& a, StreamOrDevice s) { return fftshift(a, every_axis(a), s); }
array ifftshift(const array& a, const std::vector<int>& axes, StreamOrDevice s) {
  return shifted(a, axes, true, s);
}
array ifftshift(const array& a, StreamOrDevice s) { return ifftshift(a, every_axis(a), s); }

Specs Fourier::infer(std::span<const array> in) const {
  Shape shape = in[0].shape();
  shape.back() = kind == Kind::real ? n / 2 + 1 : n;
  return {{shape, kind == Kind::to_real ? float32 : complex64}};
}
std::optional<Cotangents> Fourier::vjp(const Arrays&, const Arrays&, const Arrays& d) const {
  const array& g = d[0];
  const auto turn = [&](Kind as, bool back, const array& x) {
    return apply(std::make_shared<Fourier>(as, back, n), {x});
  };
  if (kind == Kind::complex) return Cotangents{turn(Kind::complex, !inverse, g)};
  if (kind == Kind::real) return Cotangents{real(turn(Kind::complex, true, resized(g, -1, n)))};
  // All but the first, and of an even size the last, stand for two results.
  const array k = arange(n / 2 + 1);
  const array times = where(k == 0 || k * 2 == n, array(1.0f), array(2.0f));
  return Cotangents{turn(Kind::real, false, g) * times};
}

}  // namespace hearth::fft
