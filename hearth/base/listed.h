// A list of names in an error: a reader wants the first few and how many more there are.
#pragma once
#include <string>
#include <string_view>

#include "hearth/base/error.h"

namespace hearth {

/// "a, b, c"; of more than `most` names the first ones: "a, b, and 7 more".
template <class Names>
std::string listed(const Names& names, std::string_view between = ", ", size_t most = 20) {
  std::string text;
  size_t shown = 0;
  for (const auto& name : names) {
    if (shown == most) {
      text += concat(between, "and ", names.size() - shown, " more");
      break;
    }
    if (shown++) text += between;
    text += concat(name);
  }
  return text;
}

}  // namespace hearth
