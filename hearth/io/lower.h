// Words of formats that do not tell capitals from small letters: header fields, tags, signatures.
#pragma once
#include <string>
#include <string_view>

namespace hearth {

/// With small letters for A to Z; all other bytes stay.
inline std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = char(c + 32);
  return out;
}

}  // namespace hearth
