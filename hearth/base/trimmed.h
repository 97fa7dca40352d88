// Text without the white space around it.
#pragma once
#include <string_view>

namespace hearth {

/// `text`, a part of it, without what `space` holds at both ends.
inline std::string_view trimmed(std::string_view text, std::string_view space = " \t\r\n") {
  const size_t first = text.find_first_not_of(space);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(space) + 1 - first);
}

}  // namespace hearth
