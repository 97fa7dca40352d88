// A small validator of JSON Schema: the keywords that docs/lab_result.schema.json uses, written
// from the specification and apart from the code that reads results.
#pragma once
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::testing {

/// What is wrong with `value`, with its place; empty if it is valid. Throws for unknown keywords.
inline std::string violation(const nlohmann::json& schema, const nlohmann::json& value,
                             const nlohmann::json& root, const std::string& at = "$") {
  const auto is = [&](const std::string& type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_boolean();
    if (type == "null") return value.is_null();
    if (type == "integer") return value.is_number_integer();
    if (type == "number") return value.is_number();
    throw std::logic_error("no such type: " + type);
  };
  for (const auto& [keyword, want] : schema.items()) {
    if (keyword == "$schema" || keyword == "title" || keyword == "$defs") continue;
    if (keyword == "$ref") {
      const auto name = want.get<std::string>().substr(std::string("#").size());
      const auto target = nlohmann::json::json_pointer(name);
      if (auto bad = violation(root.at(target), value, root, at); !bad.empty()) return bad;
    } else if (keyword == "type") {
      if (!is(want)) return at + ": not of type " + want.get<std::string>();
    } else if (keyword == "enum") {
      if (std::find(want.begin(), want.end(), value) == want.end()) return at + ": not in the enum";
    } else if (keyword == "const") {
      if (value != want) return at + ": not " + want.dump();
    } else if (keyword == "anyOf") {
      std::string first;
      bool any = false;
      for (const auto& option : want) {
        const auto bad = violation(option, value, root, at);
        any |= bad.empty();
        if (first.empty()) first = bad;
      }
      if (!any) return first;
    } else if (keyword == "required") {
      for (const auto& key : want)
        if (value.is_object() && !value.contains(key.get<std::string>()))
          return at + ": lacks " + key.get<std::string>();
    } else if (keyword == "properties") {
      for (const auto& [key, sub] : want.items())
        if (value.is_object() && value.contains(key))
          if (auto bad = violation(sub, value[key], root, at + "." + key); !bad.empty()) return bad;
    } else if (keyword == "additionalProperties") {
      for (const auto& [key, item] : value.items()) {
        if (!value.is_object() || schema.value("properties", nlohmann::json()).contains(key))
          continue;
        if (want == false) return at + ": has " + key;
        if (auto bad = violation(want, item, root, at + "." + key); !bad.empty()) return bad;
      }
    } else if (keyword == "items") {
      for (size_t i = 0; value.is_array() && i < value.size(); ++i)
        if (auto bad = violation(want, value[i], root, at + "[" + std::to_string(i) + "]");
            !bad.empty())
          return bad;
    } else if (keyword == "minLength") {
      if (value.is_string() && value.get<std::string>().size() < want) return at + ": too short";
    } else if (keyword == "minimum" || keyword == "maximum") {
      if (value.is_number() && (keyword == "minimum" ? value < want : value > want))
        return at + ": beyond the " + keyword;
    } else {
      throw std::logic_error("unknown keyword " + keyword);
    }
  }
  return {};
}

/// The same against the committed schema of results.
inline std::string result_violation(const nlohmann::json& value) {
  const auto schema = nlohmann::json::parse(content_of(source_path("docs/lab_result.schema.json")));
  return violation(schema, value, schema);
}

}  // namespace hearth::testing
