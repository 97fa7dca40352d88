// A quantity, or the reason why it is missing.
#pragma once
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>

namespace hearth::lab {

/// A value, or the reason why there is none; never a zero that stands for "unknown".
template <class T>
struct Reading {
  std::optional<T> value;
  std::string reason;

  Reading() : reason("not measured") {}
  template <std::convertible_to<T> U>
  Reading(U&& v) : value(std::forward<U>(v)) {}
  static Reading missing(std::string why) { return Reading(nullptr, std::move(why)); }

 private:
  Reading(std::nullptr_t, std::string why) : reason(std::move(why)) {}
};

}  // namespace hearth::lab
