// JSON to values and back: keys keep their order, whole numbers all their digits.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "hearth/llm/template/value.h"

namespace hearth::llm::jinja {

class Interpreter;

/// How json.dumps writes.
struct JsonStyle {
  bool ascii = false, sorted = false;
  std::optional<std::string> indent;  // of each level; without it all is one line
  std::string between = ", ", colon = ": ";
};
Text json_of(Interpreter& in, const Value& value, const JsonStyle& style);

/// A JSON document; texts in it are marked as input if `from_input`. Throws std::runtime_error,
/// which begins with `name`, as hearth::parse_json does.
Value value_of_json(std::string_view text, std::string_view name, bool from_input);

}  // namespace hearth::llm::jinja
