// The operations that a file of an exported function may hold, and how their parameters are
// written.
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "hearth/core/array.h"
#include "hearth/core/primitive.h"

namespace hearth::stored {

using nlohmann::json;

/// One line for each operation that can be written: its parameters, and the call that makes it
/// again. The calls are those of the API, which check what they are given.
struct Op {
  int id;
  const char* name;
  std::function<json(const Primitive&)> write;
  std::function<array(const json&, const Arrays&)> make;
};
const std::vector<Op>& ops();

// What a file says: throw std::invalid_argument where it is another kind of value.
Dtype dtype_of_name(const std::string& name);
int integer(const json& v);
bool flag(const json& v);
const json& list(const json& v);
const json& field(const json& v, const char* key);
std::string text(const json& v);
template <class List>
List integers(const json& v) {
  List out;
  for (const json& n : list(v)) out.push_back(integer(n));
  return out;
}
template <class List>
json numbers(const List& list) {
  return json(std::vector<int64_t>(list.begin(), list.end()));
}

}  // namespace hearth::stored
