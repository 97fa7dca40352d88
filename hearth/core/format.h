// Arrays, shapes, dtypes, devices and streams in the texts of std::format, where the compiler has
// it, and of fmt, where its header was included before this one: fmt::format("{}", x).
#pragma once
#include "hearth/core/array.h"

#if __has_include(<format>)
#include <format>
#endif

#define HEARTH_FORMAT(space, type)                                                      \
  template <>                                                                           \
  struct space::formatter<hearth::type> : space::formatter<std::string> {               \
    auto format(const hearth::type& x, auto& context) const {                           \
      return space::formatter<std::string>::format(std::string(to_string(x)), context); \
    }                                                                                   \
  };
#define HEARTH_FORMATS(space)  \
  HEARTH_FORMAT(space, array)  \
  HEARTH_FORMAT(space, Shape)  \
  HEARTH_FORMAT(space, Dtype)  \
  HEARTH_FORMAT(space, Device) \
  HEARTH_FORMAT(space, Stream)
#ifdef FMT_VERSION
HEARTH_FORMATS(fmt)
#endif
#ifdef __cpp_lib_format
HEARTH_FORMATS(std)
#endif
#undef HEARTH_FORMATS
#undef HEARTH_FORMAT
