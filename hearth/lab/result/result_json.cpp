#include "hearth/lab/result/result_json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/io/mapped_file.h"
#include "hearth/io/output_file.h"

namespace hearth::lab {

using nlohmann::json;

namespace {

constexpr std::string_view kJobKinds[] = {"generate", "prefill", "batch", "op", "command"};
constexpr std::string_view kUnits[] = {"new token", "prompt", "new token", "call", "run"};
constexpr std::string_view kStatuses[] = {"ok", "partial", "failed", "unavailable"};
constexpr std::string_view kSamplings[] = {"unknown", "greedy", "sampled"};

std::span<const std::string_view> words(JobKind) { return kJobKinds; }
std::span<const std::string_view> words(EngineStatus) { return kStatuses; }
std::span<const std::string_view> words(Sampling) { return kSamplings; }

// What a field can be, beside a number, a text, true or false, and an enum.
template <class T>
struct Kind {
  static constexpr bool list = false, map = false, reading = false, maybe = false;
};
template <class T>
struct Kind<std::vector<T>> : Kind<void> {
  static constexpr bool list = true;
  using Item = T;
};
template <class T>
struct Kind<std::map<std::string, T>> : Kind<void> {
  static constexpr bool map = true;
  using Item = T;
};
template <class T>
struct Kind<Reading<T>> : Kind<void> {
  static constexpr bool reading = true;
  using Item = T;
};
template <class T>
struct Kind<std::optional<T>> : Kind<void> {
  static constexpr bool maybe = true;
  using Item = T;
};
template <class T>
concept Struct = requires {
  T::kName;
};
/// May be left out: what is then empty, or missing; and the fields `kNewer` of a struct, which
/// older files lack and which then have their defaults.
template <class T>
constexpr bool kOptional = Kind<T>::list || Kind<T>::map || Kind<T>::reading || Kind<T>::maybe;
template <class T>
constexpr bool newer(std::string_view name) {
  if constexpr (requires { T::kNewer; })
    return std::ranges::find(T::kNewer, name) != std::end(T::kNewer);
  return false;
}

template <class T>
json write(const T& value) {
  using K = Kind<T>;
  if constexpr (Struct<T>) {
    json out = json::object();
    value.fields([&](const char* name, const auto& field) { out[name] = write(field); });
    return out;
  } else if constexpr (K::list) {
    json out = json::array();
    for (const auto& item : value) out.push_back(write<typename K::Item>(item));
    return out;
  } else if constexpr (K::map) {
    json out = json::object();
    for (const auto& [key, item] : value) out[key] = write(item);
    return out;
  } else if constexpr (K::reading) {
    if (value.value) return {{"value", write(*value.value)}};
    return {{"value", nullptr}, {"reason", value.reason}};
  } else if constexpr (K::maybe) {
    return value ? write(*value) : json();
  } else if constexpr (std::is_enum_v<T>) {
    return words(value)[size_t(value)];
  } else {
    return value;
  }
}

/// Where in the file a value stands; its text is made only for an error.
struct Path {
  const Path* up;
  std::string_view key;
  size_t index = 0;
  std::string text() const {
    if (!up) return std::string(key);
    if (key.empty()) return concat(up->text(), "[", index, "]");
    return concat(up->text(), up->up ? "." : ": ", key);
  }
};

[[noreturn]] void wanted(const Path& at, const json& got, std::string_view what) {
  std::string shown = got.is_object()   ? "an object"
                      : got.is_array()  ? "a list"
                      : got.is_string() ? in_quotes(got.get_ref<const std::string&>())
                                        : got.dump();
  throw std::runtime_error(concat(at.text(), ": wanted ", what, ", got ", shown));
}

template <class T>
void read(const json& from, T& to, const Path& at) {
  using K = Kind<T>;
  if constexpr (Struct<T>) {
    if (!from.is_object()) wanted(at, from, "an object");
    size_t found = 0;
    to.fields([&](const char* name, auto& field) {
      const Path here{&at, name};
      const auto it = from.find(name);
      if (it != from.end()) {
        ++found;
        read(*it, field, here);
      } else {
        ensure(kOptional<std::decay_t<decltype(field)>> || newer<T>(name), here.text(),
               " is missing");
      }
    });
    if (found == from.size()) return;
    for (const auto& item : from.items()) {
      const std::string& key = item.key();
      bool known = false;
      to.fields([&](const char* name, auto&) { known |= key == name; });
      ensure(known, at.text(), ": the key ", in_quotes(key), " is not known");
    }
  } else if constexpr (K::list) {
    if (!from.is_array()) wanted(at, from, "a list");
    to.clear();
    for (size_t i = 0; i < from.size(); ++i) read(from[i], to.emplace_back(), Path{&at, {}, i});
  } else if constexpr (K::map) {
    if (!from.is_object()) wanted(at, from, "an object");
    for (const auto& [key, value] : from.items()) read(value, to[key], Path{&at, key});
  } else if constexpr (K::reading) {
    if (!from.is_object() || !from.contains("value")) wanted(at, from, "an object with a value");
    for (const auto& [key, value] : from.items())
      ensure(key == "value" || key == "reason", at.text(), ": the key ", in_quotes(key),
             " is not known");
    const json& value = from["value"];
    if (!value.is_null()) {
      read(value, to.value.emplace(), Path{&at, "value"});
    } else {
      const auto reason = from.find("reason");
      ensure(reason != from.end(), at.text(), ": value is null, but there is no reason");
      to.value.reset();
      read(*reason, to.reason, Path{&at, "reason"});
      ensure(!to.reason.empty(), at.text(), ": value is null, but the reason is empty");
    }
  } else if constexpr (K::maybe) {
    if (from.is_null())
      to.reset();
    else
      read(from, to.emplace(), at);
  } else if constexpr (std::is_enum_v<T>) {
    const auto names = words(to);
    for (size_t i = 0; i < names.size(); ++i)
      if (from.is_string() && from.get_ref<const std::string&>() == names[i]) {
        to = T(i);
        return;
      }
    std::string all;
    for (auto name : names) all += concat(all.empty() ? "" : ", ", name);
    wanted(at, from, "one of " + all);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!from.is_boolean()) wanted(at, from, "true or false");
    to = from.get<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    using Limits = std::numeric_limits<T>;
    const bool fits = from.is_number_unsigned()  ? from.get<uint64_t>() <= uint64_t(Limits::max())
                      : from.is_number_integer() ? from.get<int64_t>() >= Limits::min()
                                                 : false;
    if (!fits) wanted(at, from, sizeof(T) == 4 ? "an integer of 32 bits" : "an integer of 64 bits");
    to = from.get<T>();
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!from.is_number()) wanted(at, from, "a number");
    if (std::abs(from.get<double>()) > kLargest) wanted(at, from, "a number of at most 1e100");
    to = from.get<T>();
  } else {
    if (!from.is_string()) wanted(at, from, "a text");
    to = from.get<std::string>();
  }
}

/// The schema of T; structs go to `defs` once and are referred to.
template <class T>
json schema(json& defs) {
  using K = Kind<T>;
  if constexpr (Struct<T>) {
    const std::string name(T::kName);
    if (!defs.contains(name)) {
      defs[name] = nullptr;  // begun
      json properties = json::object(), required = json::array();
      T().fields([&](const char* key, auto& field) {
        using Field = std::decay_t<decltype(field)>;
        properties[key] = schema<Field>(defs);
        if (!kOptional<Field> && !newer<T>(key)) required.push_back(key);
      });
      defs[name] = {{"type", "object"},
                    {"properties", properties},
                    {"required", required},
                    {"additionalProperties", false}};
    }
    return {{"$ref", "#/$defs/" + name}};
  } else if constexpr (K::list) {
    return {{"type", "array"}, {"items", schema<typename K::Item>(defs)}};
  } else if constexpr (K::map) {
    return {{"type", "object"}, {"additionalProperties", schema<typename K::Item>(defs)}};
  } else if constexpr (K::reading) {
    const json value = schema<typename K::Item>(defs);
    const json known = {{"type", "object"},
                        {"properties", {{"value", value}, {"reason", {{"type", "string"}}}}},
                        {"required", {"value"}},
                        {"additionalProperties", false}};
    const json unknown = {
        {"type", "object"},
        {"properties",
         {{"value", {{"type", "null"}}}, {"reason", {{"type", "string"}, {"minLength", 1}}}}},
        {"required", {"value", "reason"}},
        {"additionalProperties", false}};
    return {{"anyOf", {known, unknown}}};
  } else if constexpr (K::maybe) {
    return {{"anyOf", {schema<typename K::Item>(defs), {{"type", "null"}}}}};
  } else if constexpr (std::is_enum_v<T>) {
    return {{"enum", words(T{})}};
  } else if constexpr (std::is_same_v<T, bool>) {
    return {{"type", "boolean"}};
  } else if constexpr (std::is_integral_v<T>) {
    return {{"type", "integer"},
            {"minimum", std::numeric_limits<T>::min()},
            {"maximum", std::numeric_limits<T>::max()}};
  } else if constexpr (std::is_floating_point_v<T>) {
    return {{"type", "number"}, {"minimum", -kLargest}, {"maximum", kLargest}};
  } else {
    return {{"type", "string"}};
  }
}

/// Objects one key a line, lists of plain values on one.
void lay_out(const json& value, int depth, std::string& out) {
  bool plain = !value.is_structured() || value.empty();
  if (value.is_array() && !plain) {
    plain = true;
    for (const json& item : value) plain &= !item.is_object();
  }
  if (value.is_object() && value.size() <= 2) {
    plain = true;
    for (const json& item : value) plain &= !item.is_structured();
  }
  if (plain) {
    out += json_text(value);
    return;
  }
  out += value.is_object() ? "{" : "[";
  bool first = true;
  for (const auto& [key, item] : value.items()) {
    out += first ? "\n" : ",\n";
    first = false;
    out.append(size_t(depth + 1), ' ');
    if (value.is_object()) out += json_text(json(key)) + ": ";
    lay_out(item, depth + 1, out);
  }
  out += "\n";
  out.append(size_t(depth), ' ');
  out += value.is_object() ? "}" : "]";
}

}  // namespace

std::string_view to_string(JobKind kind) { return kJobKinds[size_t(kind)]; }
std::string_view unit_of(JobKind kind) { return kUnits[size_t(kind)]; }
std::string_view to_string(EngineStatus status) { return kStatuses[size_t(status)]; }
std::string_view to_string(Sampling sampling) { return kSamplings[size_t(sampling)]; }

std::string json_text(const json& value, int indent) {
  return value.dump(indent, ' ', true, json::error_handler_t::replace);
}
std::string json_text(const nlohmann::ordered_json& value, int indent) {
  return value.dump(indent, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

json to_json(const Result& result) { return write(result); }

std::string to_text(const Result& result) {
  std::string text;
  lay_out(to_json(result), 0, text);
  return text + "\n";
}

Result parse_result(std::string_view text, std::string_view name) {
  const json from = parse_json(text, name);
  ensure(from.is_object() && from.contains("schema_version"), name,
         ": not a result of hearth lab: it has no schema_version");
  const json& version = from["schema_version"];
  ensure(version == kResultVersion, name, ": schema_version is ",
         version.is_number() ? version.dump() : "no number", ", but this hearth reads version ",
         kResultVersion);
  Result result;
  read(from, result, Path{nullptr, name});
  check_result(result, name);
  return result;
}

std::string to_line(const Addition& addition) { return json_text(write(addition)); }

Addition parse_addition(std::string_view line, std::string_view name) {
  Addition addition;
  read(parse_json(line, name), addition, Path{nullptr, name});
  return addition;
}

Result read_result(const std::filesystem::path& path) {
  std::error_code none;
  if (const auto journal = journal_of(path); std::filesystem::exists(journal, none)) {
    if (auto result = read_journal(journal)) return *std::move(result);
    ensure(std::filesystem::exists(path, none), journal.string(), ": nothing was measured yet");
  }
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  return parse_result({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

void write_result(const Result& result, const std::filesystem::path& path) {
  check_result(result, path.string());
  OutputFile file(path);
  file.write(std::string_view(to_text(result)));
  file.commit();
}

json result_schema() {
  json defs = json::object();
  json out = schema<Result>(defs);
  out["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  out["title"] = "A result of hearth lab";
  defs[std::string(Result::kName)]["properties"]["schema_version"] = {{"const", kResultVersion}};
  out["$defs"] = defs;
  return out;
}

}  // namespace hearth::lab
