// JSON on stdout. Names of files need not be UTF-8; JSON must be, so what is not becomes U+FFFD.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "hearth/cli/output.h"

namespace hearth::cli {

/// On lines of its own, or with `indent` -1 without any.
template <class Json>
std::string json_text(const Json& value, int indent = 2) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

template <class Json>
void print_json(const Json& value, int indent = 2) {
  print_out(json_text(value, indent) + "\n");
}

}  // namespace hearth::cli
