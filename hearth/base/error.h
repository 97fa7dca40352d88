// The only way to fail: check() for bad arguments, ensure() for what goes wrong while running.
#pragma once
#include <charconv>
#include <concepts>
#include <stdexcept>
#include <string>
#include <string_view>

namespace hearth {

namespace detail {
inline void append(std::string& to, std::string_view text) { to += text; }
template <class T>
requires(std::integral<T> || std::floating_point<T>) void append(std::string& to, T v) {
  if constexpr (std::same_as<T, bool>)
    to += v ? "true" : "false";
  else if constexpr (std::same_as<T, char>)
    to += v;
  else if constexpr (std::floating_point<T>) {
    char text[64];  // the shortest that reads back the same: -1, 0.1, 1e+300
    to.append(text, std::to_chars(text, text + sizeof text, v).ptr);
  } else
    to += std::to_string(v);
}
template <class T>
requires(!std::convertible_to<const T&, std::string_view> && !std::integral<T> &&
         !std::floating_point<T>) void append(std::string& to, const T& v) {
  to += to_string(v);  // found beside the type
}
}  // namespace detail

/// The parts joined into one string: text, numbers, and whatever has a to_string beside its type.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string text;
  (detail::append(text, parts), ...);
  return text;
}

namespace detail {
// Out of line, so that a check costs its caller one compare and one call.
template <class Error, class... Parts>
[[noreturn, gnu::noinline, gnu::cold]] void fail(const Parts&... parts) {
  throw Error(concat(parts...));
}
}  // namespace detail

/// Throws std::invalid_argument with the joined parts unless `ok`: the caller's mistake.
/// Say the operation, what it got, what it wanted, and the next step if there is one.
/// check<std::out_of_range>(...) is for axes and places that are not there,
/// check<std::overflow_error>(...) for sizes that a shape cannot hold.
template <class Error = std::invalid_argument, class... Parts>
void check(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    detail::fail<Error>(parts...);
}

/// Throws std::runtime_error with the joined parts unless `ok`: the world's mistake (file, memory,
/// device).
template <class... Parts>
void ensure(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    detail::fail<std::runtime_error>(parts...);
}

}  // namespace hearth
