// HEARTH_FIELDS(a, b, c) names the members of a struct, in order. It gives
//   fields(visitor)  visitor("a", a), visitor("b", b), ...: the names are checkpoint and JSON keys
//   tied()           std::tie(a, b, c), and field_names() "a, b, c": see base/values.h
// HEARTH_EACH(f, a, b, c) is f(a) f(b) f(c). At most 256.
#pragma once
#include <tuple>

#define HEARTH_PARENS ()
#define HEARTH_EXPAND(...) \
  HEARTH_EXPAND4(HEARTH_EXPAND4(HEARTH_EXPAND4(HEARTH_EXPAND4(__VA_ARGS__))))
#define HEARTH_EXPAND4(...) \
  HEARTH_EXPAND3(HEARTH_EXPAND3(HEARTH_EXPAND3(HEARTH_EXPAND3(__VA_ARGS__))))
#define HEARTH_EXPAND3(...) \
  HEARTH_EXPAND2(HEARTH_EXPAND2(HEARTH_EXPAND2(HEARTH_EXPAND2(__VA_ARGS__))))
#define HEARTH_EXPAND2(...) \
  HEARTH_EXPAND1(HEARTH_EXPAND1(HEARTH_EXPAND1(HEARTH_EXPAND1(__VA_ARGS__))))
#define HEARTH_EXPAND1(...) __VA_ARGS__
#define HEARTH_EACH(f, ...) __VA_OPT__(HEARTH_EXPAND(HEARTH_EACH_FROM(f, __VA_ARGS__)))
#define HEARTH_EACH_FROM(f, x, ...) f(x) __VA_OPT__(HEARTH_EACH_AGAIN HEARTH_PARENS(f, __VA_ARGS__))
#define HEARTH_EACH_AGAIN() HEARTH_EACH_FROM

#define HEARTH_VISIT(x) visitor(#x, x);
#define HEARTH_FIELDS(...)                                \
  template <class Visitor>                                \
  void fields([[maybe_unused]] Visitor&& visitor) {       \
    HEARTH_EACH(HEARTH_VISIT, __VA_ARGS__)                \
  }                                                       \
  template <class Visitor>                                \
  void fields([[maybe_unused]] Visitor&& visitor) const { \
    HEARTH_EACH(HEARTH_VISIT, __VA_ARGS__)                \
  }                                                       \
  auto tied() const { return std::tie(__VA_ARGS__); }     \
  static constexpr const char* field_names() { return #__VA_ARGS__; }
