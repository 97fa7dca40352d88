// A template as tokens, by Jinja2's rules with trim_blocks and lstrip_blocks on.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "hearth/llm/template/value.h"

namespace hearth::llm::jinja {

struct Token {
  enum class Kind {
    data,         // text between tags
    block_begin,  // {%
    block_end,
    print_begin,  // {{
    print_end,
    name,
    text,    // a string's value
    number,  // an int's or float's
    sign,    // an operator or a bracket
    end,     // of the template
  } kind;
  std::string text;  // of data, names, strings and signs
  Value value;       // of a number
  int line;
};

/// An error of the template's own text; the parser's errors are of this kind too.
struct SyntaxError : Error {
  SyntaxError(const std::string& what, int line) : Error(what), line(line) {}
  int line;
};

/// Throws SyntaxError. The last token is `end`.
std::vector<Token> tokens_of(std::string_view source);

}  // namespace hearth::llm::jinja
