// Options that take a number: one parser and one sentence for all of them.
#pragma once
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>
#include <vector>

#include "hearth/base/error.h"
#include "hearth/cli/commands.h"

namespace hearth::cli {

/// The number that all of the text is: decimal, finite, within its type. Nothing else is one.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if constexpr (std::is_floating_point_v<T>)
    if (!std::isfinite(value)) return std::nullopt;
  return value;
}

/// Without the white space at both ends.
std::string trimmed(const std::string& text);

/// What an option takes: from `least` to `most`, both included.
template <class T>
struct Range {
  T least = std::numeric_limits<T>::lowest(), most = std::numeric_limits<T>::max();
  std::string_view which = "";  // said after the range: ", the processors ..."
};

/// "a whole number from 1 to 8", "a number, 0 or more".
template <class T>
std::string to_string(const Range<T>& r) {
  std::string text = std::is_integral_v<T> ? "a whole number" : "a number";
  if (std::is_integral_v<T> || r.most < std::numeric_limits<T>::max())
    text += concat(" from ", r.least, " to ", r.most);
  else if (r.least > std::numeric_limits<T>::lowest())
    text += concat(", ", r.least, " or more");
  return text + std::string(r.which);
}

/// An option, that calls `set` with its number. What is no number in the
/// range is an error that names the option, what it got, and what it wanted.
template <class T>
Option* add_number(Command& command, const std::string& names, std::function<void(T)> set,
                   Range<T> range, const std::string& help) {
  auto* option = command.add_option_function(
      names, [set](const std::string& text) { set(*parse_number<T>(text)); }, help);
  option->check([range](const std::string& text) {
    const auto number = parse_number<T>(text);
    return number && *number >= range.least && *number <= range.most
               ? std::string()
               : concat("'", text, "', wanted ", range);
  });
  return option->type_name("N");
}

/// The same, that sets `value`; the help shows what it is without the option.
template <class T>
Option* add_number(Command& command, const std::string& names, T& value,
                   std::type_identity_t<Range<T>> range, const std::string& help) {
  return add_number<T>(
             command, names, [&value](T n) { value = n; }, range, help)
      ->default_str(concat(value));
}

/// An option that may be given several times: each text as it was typed.
Option* add_texts(Command& command, const std::string& names, std::vector<std::string>& texts,
                  const std::string& help);

/// The option alone would mean nothing: given without one of the others, it is an error that says
/// so. The others may be added later.
void needs_one_of(Command& command, const std::string& option,
                  const std::vector<std::string>& others);

}  // namespace hearth::cli
