#include "hearth/io/json.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/io/mapped_file.h"
#include "hearth/io/recognize.h"

namespace hearth {

using nlohmann::json;

namespace {

constexpr size_t kMaxDepth = 64;

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (char c : text.substr(0, limit)) out += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > limit) out += "...";
  return out;
}

/// Builds the value from the parser's events, in time that grows with the text (json::parse with a
/// callback looks through all that an object holds whenever one in it ends), and refuses what
/// json::parse would take silently.
class Builder {
 public:
  Builder(std::string_view text, std::string_view name) : text_(text), name_(name) {}
  json take() { return std::move(root_); }

  bool null() { return put(nullptr); }
  bool boolean(bool v) { return put(v); }
  bool number_integer(int64_t v) { return put(v); }
  bool number_unsigned(uint64_t v) { return put(v); }
  bool number_float(double v, const std::string&) { return put(v); }
  bool string(std::string& v) { return put(std::move(v)); }
  bool binary(json::binary_t&) { return false; }  // not in text
  bool start_object(size_t) { return start(json::object()); }
  bool start_array(size_t) { return start(json::array()); }
  bool end_object() { return end(); }
  bool end_array() { return end(); }
  bool key(std::string& key) {
    auto [at, added] = open_.back()->get_ref<json::object_t&>().emplace(std::move(key), nullptr);
    if (!added) ensure(false, name_, ": the key ", in_quotes(at->first), " stands twice");
    member_ = &at->second;
    return true;
  }
  bool parse_error(size_t byte, const std::string& token, const json::exception& error);

 private:
  /// Where the next value belongs. Open objects and lists stay where they are: each is the last of
  /// its own list, or a member of a map.
  json& place(json value) {
    if (open_.empty()) return root_ = std::move(value);
    if (open_.back()->is_object()) return *member_ = std::move(value);
    return open_.back()->get_ref<json::array_t&>().emplace_back(std::move(value));
  }
  bool put(json value) {
    place(std::move(value));
    return true;
  }
  bool start(json empty) {
    ensure(open_.size() < kMaxDepth, name_, ": nested deeper than ", kMaxDepth, " levels");
    open_.push_back(&place(std::move(empty)));
    return true;
  }
  bool end() {
    open_.pop_back();
    return true;
  }

  std::string_view text_, name_;
  json root_;
  std::vector<json*> open_;  // outermost first
  json* member_ = nullptr;   // of the innermost object, whose key came last
};

/// What json's own sentence hides: Python writes NaN and Infinity, JSON has neither.
std::string_view not_a_number(std::string_view text, size_t byte) {
  for (std::string_view word : {"NaN", "-Infinity", "Infinity"})
    for (size_t back = 1; back <= 2 && back <= byte; ++back)
      if (text.substr(byte - back).starts_with(word)) return word;
  return {};
}

/// What json says, without its own names for it: "[json.exception.parse_error.101] ...".
std::string fault_of(const json::exception& e) {
  std::string_view why = e.what();
  for (std::string_view before : {"syntax error while ", "parse error at ", "] "})
    if (auto at = why.find(before); at != why.npos) {
      why.remove_prefix(at + (before == "] " ? 2 : 0));
      break;
    }
  return printable(why, 200);
}

bool Builder::parse_error(size_t byte, const std::string&, const json::exception& error) {
  refuse_foreign(std::as_bytes(std::span(text_)), name_, "JSON", true);
  byte = std::min(byte, text_.size());
  const auto word = not_a_number(text_, byte);
  ensure(word.empty(), name_, ": byte ", byte, ": ", word,
         " is not a value JSON knows; write a number or null");
  ensure(false, name_, ": not valid JSON: byte ", byte, ": ", fault_of(error));
  return false;
}

std::string shown(const json& value) {
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list " + printable(value.dump(), 100);
  return printable(value.dump(), 100);
}

std::optional<int> natural_of(const json& value, uint64_t least) {
  if (!value.is_number()) return {};
  const double n = value.get<double>();  // exact below 2^53; 2048.0 is the integer for Python too
  if (!(n >= double(least) && n <= std::numeric_limits<int>::max()) || n != std::floor(n))
    return {};
  return int(n);
}

std::optional<double> number_of(const json& value) {
  if (!value.is_number()) return {};
  return value.get<double>();  // finite: the parser refuses 1e999
}

}  // namespace

std::string in_quotes(std::string_view text) { return '"' + printable(text, 100) + '"'; }

json parse_json(std::string_view text, std::string_view name) {
  const size_t zero = text.find('\0');  // json::parse would end there and pass over the rest
  ensure(zero == text.npos, name, ": not valid JSON: byte ", zero + 1, " is zero");
  Builder builder(text, name);
  json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

json read_json(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

JsonObject::JsonObject(std::shared_ptr<const json> value, std::string where, std::string prefix)
    : value_(std::move(value)), where_(std::move(where)), prefix_(std::move(prefix)) {}

JsonObject JsonObject::read(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  return parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

JsonObject JsonObject::parse(std::string_view text, std::string_view name) {
  auto value = std::make_shared<const json>(parse_json(text, name));
  ensure(value->is_object(), name, ": wanted an object, got ", shown(*value));
  return JsonObject(std::move(value), std::string(name), "");
}

const json* JsonObject::find(std::string_view key) const {
  const auto it = value_->find(key);
  return it == value_->end() || it->is_null() ? nullptr : &*it;
}

bool JsonObject::has(std::string_view key) const { return find(key) != nullptr; }

template <class T, class Read>
T JsonObject::get(std::string_view key, const std::optional<T>& fallback, std::string_view wanted,
                  Read&& read) const {
  const json* field = find(key);
  if (!field) {
    ensure(fallback.has_value(), where_, ": ", prefix_, key, " is missing, wanted ", wanted);
    return *fallback;
  }
  std::optional<T> value = read(*field);
  ensure(value.has_value(), where_, ": ", prefix_, key, ": wanted ", wanted, ", got ",
         shown(*field));
  return *std::move(value);
}

int JsonObject::positive(std::string_view key, std::optional<int> fallback) const {
  return get<int>(key, fallback, "a positive integer below 2^31",
                  [](const json& v) { return natural_of(v, 1); });
}

int JsonObject::natural(std::string_view key, std::optional<int> fallback) const {
  return get<int>(key, fallback, "an integer from 0 to below 2^31",
                  [](const json& v) { return natural_of(v, 0); });
}

double JsonObject::number(std::string_view key, std::optional<double> fallback) const {
  return get<double>(key, fallback, "a number", number_of);
}

double JsonObject::positive_number(std::string_view key, std::optional<double> fallback) const {
  return get<double>(key, fallback, "a positive number", [](const json& v) {
    auto n = number_of(v);
    return n && *n > 0 ? n : std::nullopt;
  });
}

bool JsonObject::flag(std::string_view key, std::optional<bool> fallback) const {
  return get<bool>(key, fallback, "true or false", [](const json& v) -> std::optional<bool> {
    if (!v.is_boolean()) return {};
    return v.get<bool>();
  });
}

std::string JsonObject::text(std::string_view key, std::optional<std::string> fallback) const {
  return get<std::string>(key, fallback, "a text", [](const json& v) -> std::optional<std::string> {
    if (!v.is_string()) return {};
    return v.get<std::string>();
  });
}

std::vector<int> JsonObject::naturals(std::string_view key) const {
  using List = std::vector<int>;
  return get<List>(key, List{}, "an integer from 0 to below 2^31, or a list of them",
                   [](const json& v) -> std::optional<List> {
                     List list;
                     for (const json& item : v.is_array() ? v : json::array({v})) {
                       const auto n = natural_of(item, 0);
                       if (!n) return {};
                       list.push_back(*n);
                     }
                     return list;
                   });
}

JsonObject JsonObject::object(std::string_view key) const {
  static const auto empty = std::make_shared<const json>(json::object());
  const json* field = find(key);
  ensure(!field || field->is_object(), where_, ": ", prefix_, key, ": wanted an object, got ",
         field ? shown(*field) : "");
  return JsonObject(field ? std::shared_ptr<const json>(value_, field) : empty, where_,
                    concat(prefix_, key, "."));
}

std::vector<std::string> JsonObject::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : value_->items()) keys.push_back(key);
  return keys;
}

}  // namespace hearth
