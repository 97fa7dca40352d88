// How close a result is to what is wanted: one measure for all tests.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>

#include "hearth/ops/movement.h"

namespace hearth::testing {

/// What may differ: units in the last place of the dtype at the wanted value, or at `scale` where
/// that is larger (what is left of numbers that cancel has their error), and `absolute`. A test
/// says why where it is more than a unit. NaN equals NaN, an infinity that infinity only, or with
/// `ulps` the largest number beside it. 0 and -0 differ where `signed_zero`.
struct Tolerance {
  double ulps = 0, scale = 0, absolute = 0;
  bool signed_zero = false;
};

/// The distance to the next larger float of dtype d from |x|.
inline double last_place(double x, Dtype d) {
  const int digits = d == float64 ? 53 : d == float16 ? 11 : d == bfloat16 ? 8 : 24;
  const int lowest = d == float64 ? -1074 : d == float16 ? -24 : d == bfloat16 ? -133 : -149;
  int e = 0;
  std::frexp(x, &e);
  return std::ldexp(1.0, std::max(e - digits, lowest));
}

inline double largest(Dtype d) {
  return d == float64    ? 0x1.fffffffffffffp1023
         : d == float16  ? 65504.0
         : d == bfloat16 ? 0x1.fep127
                         : 0x1.fffffep127;
}

/// Empty if `got`, of dtype d, is as close to `want` as allowed; else both, and how far apart.
inline std::string apart(double got, double want, Dtype d, const Tolerance& t) {
  const auto text = [&](double units) {
    std::ostringstream out;
    out.precision(17);
    out << got << " is not " << want;
    if (units > 0) out << " (" << units << " units in the last place)";
    return out.str();
  };
  if (got != got || want != want) return got != got && want != want ? "" : text(0);
  if (got == 0 && want == 0)
    return t.signed_zero && std::signbit(got) != std::signbit(want) ? text(0) : "";
  if (got == want) return "";
  if (!is_inexact(d)) return text(0);
  // Beyond the largest number one unit more stands for infinity.
  const double most = largest(d), unit = last_place(most, d);
  const bool is_double = d == float64;
  if (std::isinf(got) || std::abs(want) > most) {
    if (is_double) return text(0);
    const auto near = [&](double x) { return std::clamp(x, -most - unit, most + unit); };
    return std::abs(near(got) - near(want)) <= t.ulps * unit ? "" : text(0);
  }
  const double place = last_place(std::max(std::abs(want), t.scale), d), off = std::abs(got - want);
  return off <= t.ulps * place + t.absolute ? "" : text(off / place);
}
/// The same of elements in memory. Of complex numbers the units are those of the larger part.
inline std::string apart(const std::byte* got, const std::byte* want, Dtype d, Tolerance t) {
  if (d == complex64) {
    const auto g = load_element<complex64_t>(got, d), w = load_element<complex64_t>(want, d);
    const auto has_nan = [](complex64_t z) { return std::isnan(z.real()) || std::isnan(z.imag()); };
    if (has_nan(g) && has_nan(w)) return "";  // which part is it depends on the order of operations
    const double larger = std::max(std::abs(w.real()), std::abs(w.imag()));
    if (std::isfinite(larger)) t.scale = std::max(t.scale, larger);
    const std::string real = apart(g.real(), w.real(), float32, t);
    const std::string imag = apart(g.imag(), w.imag(), float32, t);
    return real.empty() && imag.empty() ? "" : "real part " + real + ", imaginary part " + imag;
  }
  if (is_inexact(d))
    return apart(load_element<double>(got, d), load_element<double>(want, d), d, t);
  if (!std::memcmp(got, want, size_of(d))) return "";
  std::ostringstream out;
  kind_of(d) == Kind::u
      ? out << load_element<uint64_t>(got, d) << " is not " << load_element<uint64_t>(want, d)
      : out << load_element<int64_t>(got, d) << " is not " << load_element<int64_t>(want, d);
  return out.str();
}

/// Empty if all elements are close, in shapes and dtypes that are the same; else the first that is
/// not.
inline std::string difference(const array& got, const array& want, const Tolerance& t) {
  if (got.shape() != want.shape() || got.dtype() != want.dtype())
    return concat("got ", got.dtype(), " ", got.shape(), ", wanted ", want.dtype(), " ",
                  want.shape());
  const array g = contiguous(got), w = contiguous(want);
  const std::byte *from = g.host_bytes(), *to = w.host_bytes();
  const size_t item = got.itemsize();
  size_t wrong = 0;
  std::string first;
  for (size_t i = 0; i < got.size(); ++i) {
    const std::string why = apart(from + i * item, to + i * item, got.dtype(), t);
    if (!why.empty() && wrong++ == 0) first = concat("element ", i, ": ", why);
  }
  return wrong > 1 ? concat(first, ", and ", wrong - 1, " more") : first;
}
inline void expect_close(const array& got, const array& want, const Tolerance& t,
                         const std::string& what = "") {
  const std::string why = difference(got, want, t);
  EXPECT_TRUE(why.empty()) << what << (what.empty() ? "" : ": ") << why;
}

}  // namespace hearth::testing
