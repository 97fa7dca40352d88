// Text of others fit for a terminal, a chart, Markdown: what would be obeyed is not in it; how wide
// it is, cut or folded to a width. (XML's is escape_xml, CSV's to_csv, SQL's to_sql, JSON's
// json_text.)
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace hearth::lab {

/// Terminals obey control characters, and text is turned round by some of Unicode: all but new
/// lines become spaces, and what is no UTF-8 becomes "?".
std::string printable(std::string_view text);
/// The same in one line.
std::string one_line(std::string_view text);
/// A control character of the terminal: all of them but new line and tab.
bool is_control(int32_t code);
/// Each character that `picked` takes as `instead` has it, and what is no UTF-8 as "?".
std::string with_replaced(std::string_view text, bool (*picked)(int32_t),
                          const std::function<std::string(int32_t)>& instead);

/// One line of Markdown that shows these letters, within a table too.
std::string markdown_text(std::string_view text);
/// The same as code.
std::string markdown_code(std::string_view text);

/// Columns of a terminal: 2 of a wide character, 0 of one that combines. Of printable text.
size_t columns_of(std::string_view text);
/// A label that fits: its middle is left out where it is longer. Of printable text.
std::string shortened(std::string_view label, size_t columns);
/// Blanks up to as many columns.
std::string padded(std::string text, size_t columns);

/// Lines of at most `width` columns, broken at blanks; what goes on is indented by two more than
/// the line.
std::string folded(std::string_view text, size_t width = 80);
/// A command of a shell, folded so that it can be pasted: what goes on does so after a backslash.
/// Its words are plain or in single quotes.
std::string folded_command(std::string_view command, size_t width = 80);

}  // namespace hearth::lab
