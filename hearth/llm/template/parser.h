// Tokens to a tree, by Jinja2's grammar.
#pragma once
#include <string_view>

#include "hearth/llm/template/tree.h"

namespace hearth::llm::jinja {

/// Throws SyntaxError: what is not Jinja, or is nested deeper than kMostNesting.
Body parse(std::string_view source);

constexpr int kMostNesting = 120;

}  // namespace hearth::llm::jinja
