// JSON from files that others wrote: strict, bounded in depth, and with errors that name the file,
// the field, what stands there and what was wanted.
#pragma once
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

/// Parses UTF-8 text; `name` (a file) begins the errors. Throws std::runtime_error with the byte
/// and the reason: syntax, NaN or Infinity, an object that repeats a key, nesting deeper than 64;
/// or with what the text is instead, such as a web page. A byte order mark is passed over.
nlohmann::json parse_json(std::string_view text, std::string_view name);
/// The same for a file; also throws when it cannot be read.
nlohmann::json read_json(const std::filesystem::path& path);

/// Text of a foreign file made fit for an error: in quotes, ASCII, cut to 100 characters.
std::string in_quotes(std::string_view text);

/// An object of a JSON file, read field by field. A field that is absent or null gives the
/// fallback, or without one throws "config.json: hidden_size is missing". A field of the wrong kind
/// throws std::runtime_error: `config.json: hidden_size: wanted a positive integer, got "abc"`.
class JsonObject {
 public:
  /// Throws also when the file holds something else than an object.
  static JsonObject read(const std::filesystem::path& path);
  /// `name` begins the errors.
  static JsonObject parse(std::string_view text, std::string_view name);

  bool has(std::string_view key) const;  // there, and not null
  int positive(std::string_view key, std::optional<int> fallback = {}) const;  // 1 to 2^31 - 1
  int natural(std::string_view key, std::optional<int> fallback = {}) const;   // 0 to 2^31 - 1
  double number(std::string_view key, std::optional<double> fallback = {}) const;
  double positive_number(std::string_view key, std::optional<double> fallback = {}) const;
  bool flag(std::string_view key, std::optional<bool> fallback = {}) const;
  std::string text(std::string_view key, std::optional<std::string> fallback = {}) const;
  /// One number or a list of them, as eos_token_id is; empty when absent.
  std::vector<int> naturals(std::string_view key) const;
  /// The object under `key`; empty when absent.
  JsonObject object(std::string_view key) const;

  std::vector<std::string> keys() const;
  const nlohmann::json& raw() const { return *value_; }
  const std::string& where() const { return where_; }  // "config.json"

 private:
  JsonObject(std::shared_ptr<const nlohmann::json> value, std::string where, std::string prefix);
  const nlohmann::json* find(std::string_view key) const;  // null: absent, or null
  /// read(field) or the fallback; read gives nothing when the field is not `wanted`.
  template <class T, class Read>
  T get(std::string_view key, const std::optional<T>& fallback, std::string_view wanted,
        Read&& read) const;

  std::shared_ptr<const nlohmann::json> value_;  // holds the whole file
  std::string where_;                            // the file
  std::string prefix_;                           // the path to this object: "rope_parameters."
};

}  // namespace hearth
