// Text of others fit for a terminal or a chart: how wide it is, cut or folded to a width.
#pragma once
#include <string>
#include <string_view>

namespace hearth::lab {

/// Terminals obey control characters, and text is turned round by some of Unicode: all but new
/// lines become spaces, and what is no UTF-8 becomes "?".
std::string printable(std::string_view text);
/// The same in one line.
std::string one_line(std::string_view text);

/// Columns of a terminal: 2 of a wide character, 0 of one that combines. Of printable text.
size_t columns_of(std::string_view text);
/// A label that fits: its middle is left out where it is longer. Of printable text.
std::string shortened(std::string_view label, size_t columns);
/// Blanks up to as many columns.
std::string padded(std::string text, size_t columns);

/// Lines of at most `width` columns, broken at blanks; what goes on is indented by two more than
/// the line.
std::string folded(std::string_view text, size_t width = 80);

}  // namespace hearth::lab
