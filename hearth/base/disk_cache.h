// What is worth keeping between runs of a program, in the user's cache folder. A file that is not
// there, damaged or cannot be written is no error: what was kept is made again.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace hearth {

/// $XDG_CACHE_HOME or ~/.cache, then /hearth; empty when there is neither.
std::filesystem::path cache_folder();

/// Content by a key that says all it depends on; `suffix` tells people what the file is.
std::optional<std::string> read_cache(std::string_view key, std::string_view suffix);
void write_cache(std::string_view key, std::string_view suffix, std::string_view content);

/// Many small values in one file. Not thread-safe; processes may share a file, of two that write at
/// the same time one may lose what it added.
class CachedMap {
 public:
  /// `most`: values beyond which it starts anew.
  CachedMap(std::string key, size_t most) : key_(std::move(key)), most_(most) {}
  std::optional<std::string> find(const std::string& name);
  void put(const std::string& name, const std::string& value);

 private:
  void read();
  std::string key_;
  size_t most_;
  bool known_ = false;  // the file was read
  std::map<std::string, std::string> values_;
};

}  // namespace hearth
