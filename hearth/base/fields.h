// HEARTH_FIELDS(a, b, c): lets a visitor walk the named members of a struct, in order:
// visitor("a", a), visitor("b", b), ... The names are checkpoint keys and JSON keys. At most 256.
#pragma once

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
#define HEARTH_EACH(x, ...) \
  visitor(#x, x);           \
  __VA_OPT__(HEARTH_AGAIN HEARTH_PARENS(__VA_ARGS__))
#define HEARTH_AGAIN() HEARTH_EACH
#define HEARTH_FIELDS(...)                  \
  template <class Visitor>                  \
  void fields(Visitor&& visitor) {          \
    HEARTH_EXPAND(HEARTH_EACH(__VA_ARGS__)) \
  }                                         \
  template <class Visitor>                  \
  void fields(Visitor&& visitor) const {    \
    HEARTH_EXPAND(HEARTH_EACH(__VA_ARGS__)) \
  }
