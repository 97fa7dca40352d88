// Halves in programs' own code: compared, printed and computed with as floats. Kernels do not
// include this: there a half that is computed with by accident must not compile.
#pragma once
#include <compare>
#include <ostream>

#include "hearth/core/dtype.h"

namespace hearth {

namespace detail {
template <class T>
inline constexpr bool is_number = std::is_arithmetic_v<T> || is_half<T>;
template <class A, class B>
concept WithHalf = is_number<A> && is_number<B> &&(is_half<A> || is_half<B>);
/// A half as a float, all else as it is.
template <class T>
constexpr auto plain(T v) {
  if constexpr (is_half<T>)
    return float(v);
  else
    return v;
}
}  // namespace detail

// Of two alike, or a half and an integer, the half; of others what C++ makes of a float and the
// other.
#define HEARTH_HALVES(symbol)                                                               \
  template <class A, class B>                                                               \
  requires detail::WithHalf<A, B>                                                           \
  constexpr auto operator symbol(A a, B b) {                                                \
    const auto v = detail::plain(a) symbol detail::plain(b);                                \
    if constexpr (std::is_same_v<A, B> || std::is_integral_v<B>)                            \
      return A(float(v));                                                                   \
    else if constexpr (std::is_integral_v<A>)                                               \
      return B(float(v));                                                                   \
    else                                                                                    \
      return v;                                                                             \
  }                                                                                         \
  template <class A, class B>                                                               \
  requires(is_half<A> && detail::is_number<B>) constexpr A& operator symbol##=(A& a, B b) { \
    return a = A(float(detail::plain(a) symbol detail::plain(b)));                          \
  }
HEARTH_HALVES(+)
HEARTH_HALVES(-)
HEARTH_HALVES(*)
HEARTH_HALVES(/)
#undef HEARTH_HALVES

template <class A>
requires is_half<A>
constexpr A operator-(A a) { return A(-float(a)); }
template <class A, class B>
requires detail::WithHalf<A, B>
constexpr bool operator==(A a, B b) { return detail::plain(a) == detail::plain(b); }
template <class A, class B>
requires detail::WithHalf<A, B>
constexpr auto operator<=>(A a, B b) { return detail::plain(a) <=> detail::plain(b); }
template <class A>
requires is_half<A> std::ostream& operator<<(std::ostream& out, A a) { return out << float(a); }

}  // namespace hearth
