#include "hearth/llm/tokenizer/charsmap.h"

#include <cstring>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

// A unit of Darts' double array.
uint32_t label(uint32_t unit) { return unit & (1u << 31 | 0xFF); }
bool has_leaf(uint32_t unit) { return unit >> 8 & 1; }
uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }
uint32_t leaf_value(uint32_t unit) { return unit & ~(1u << 31); }

}  // namespace

Charsmap::Charsmap(std::string_view bytes) {
  uint32_t size = 0;
  ensure(bytes.size() > 4, "precompiled_charsmap: ", bytes.size(), " bytes are too few");
  for (int i = 0; i < 4; ++i) size |= uint32_t(static_cast<unsigned char>(bytes[i])) << 8 * i;
  bytes.remove_prefix(4);
  ensure(size >= 4 && size % 4 == 0 && size <= bytes.size(), "precompiled_charsmap: ", size,
         " bytes of table in ", bytes.size());
  units_.resize(size / 4);
  for (size_t i = 0; i < size; ++i)
    units_[i / 4] |= uint32_t(static_cast<unsigned char>(bytes[i])) << 8 * (i % 4);
  becomes_ = bytes.substr(size);
  ensure(valid_utf8(becomes_), "precompiled_charsmap: its texts are not UTF-8");
}

std::optional<Charsmap::Found> Charsmap::find(std::string_view text, bool longest) const {
  std::optional<Found> found;
  size_t at = offset(units_[0]);
  for (size_t i = 0; i < text.size() && text[i] != '\0'; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    at ^= byte;
    if (at >= units_.size() || label(units_[at]) != byte) break;
    const uint32_t unit = units_[at];
    at ^= offset(unit);
    if (at >= units_.size()) break;  // a damaged table
    if (!has_leaf(unit)) continue;
    const size_t place = leaf_value(units_[at]);
    if (place > becomes_.size()) break;
    const std::string_view rest = std::string_view(becomes_).substr(place);
    const std::string_view becomes = rest.substr(0, std::min(rest.find('\0'), rest.size()));
    if (!valid_utf8(becomes)) break;
    found = Found{i + 1, becomes};
    if (!longest) break;
  }
  return found;
}

}  // namespace hearth::llm
