// Filters by name.
#pragma once
#include <map>
#include <string_view>

#include "hearth/llm/template/interpreter.h"

namespace hearth::llm::jinja {

using Filter = Value (*)(Interpreter&, const Value&, const Args&);
const std::map<std::string_view, Filter>& text_filters();
const std::map<std::string_view, Filter>& sequence_filters();

}  // namespace hearth::llm::jinja
