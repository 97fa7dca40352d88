// Members of tokenizer.json, read with their type checked. `where` names the part of the file in
// the std::runtime_error that is thrown. Null counts as absent.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "hearth/base/error.h"

namespace hearth::llm {

/// Of lists of steps: so deep within each other, so many together.
inline constexpr int kMostNested = 16;
inline constexpr size_t kMostSteps = 64;

/// What stands where something else was wanted.
inline std::string_view got(const nlohmann::json& value) {
  return value.is_null() ? "nothing" : value.type_name();
}

/// The member `key` of `object`, or null where it is absent.
inline const nlohmann::json& member(const nlohmann::json& object, const char* key,
                                    std::string_view where) {
  static const nlohmann::json null;
  ensure(object.is_object(), where, ": wanted an object, got ", got(object));
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

inline const std::string& string_of(const nlohmann::json& value, std::string_view where) {
  ensure(value.is_string(), where, ": wanted a string, got ", got(value));
  return value.get_ref<const std::string&>();
}

inline const std::string& string_member(const nlohmann::json& object, const char* key,
                                        std::string_view where) {
  return string_of(member(object, key, where), concat(where, ": ", key));
}

inline bool bool_member(const nlohmann::json& object, const char* key, bool absent,
                        std::string_view where) {
  const auto& value = member(object, key, where);
  if (value.is_null()) return absent;
  ensure(value.is_boolean(), where, ": ", key, ": wanted true or false, got ", got(value));
  return value.get<bool>();
}

inline const nlohmann::json& object_member(const nlohmann::json& object, const char* key,
                                           std::string_view where) {
  const auto& value = member(object, key, where);
  ensure(value.is_object(), where, ": ", key, ": wanted an object, got ", got(value));
  return value;
}

inline const nlohmann::json& array_member(const nlohmann::json& object, const char* key,
                                          std::string_view where) {
  const auto& value = member(object, key, where);
  ensure(value.is_array(), where, ": ", key, ": wanted an array, got ", got(value));
  return value;
}

/// A token's id: an integer from 0 to 2^31 - 1.
inline int id_of(const nlohmann::json& value, std::string_view where) {
  ensure(value.is_number_integer(), where, ": wanted an integer as id, got ", got(value),
         value.is_number() ? " with a fraction" : "");
  const bool fits =
      value.is_number_unsigned() ? value.get<uint64_t>() <= 0x7FFFFFFF : value.get<int64_t>() >= 0;
  ensure(fits, where, ": the id ", value.dump(), " is not between 0 and 2147483647");
  return value.get<int>();
}

}  // namespace hearth::llm
