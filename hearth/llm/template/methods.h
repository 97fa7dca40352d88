// Methods of values, and what filters share with them.
#pragma once
#include "hearth/llm/template/interpreter.h"

namespace hearth::llm::jinja {

std::optional<Value> text_method(const Value& self, std::string_view name);
/// At most `most` times, below 0 as often as it stands there.
Text replaced(Interpreter& in, const Text& text, const Text& old, const Text& by, int64_t most);
bool is_lowercase(const Text& text);
bool is_uppercase(const Text& text);

}  // namespace hearth::llm::jinja
