#include "hearth/base/system.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace hearth {

namespace {
using std::filesystem::path;

/// The number after `key` in a file of lines "key number", or the first number when key is empty.
std::optional<size_t> number_in(const path& file, const std::string& key = "") {
  std::ifstream in(file);
  std::string word;
  size_t number = 0;
  if (key.empty()) return in >> number ? std::optional(number) : std::nullopt;
  while (in >> word)
    if (word == key) return in >> number ? std::optional(number) : std::nullopt;
  return std::nullopt;
}

struct GroupFiles {
  const char *limit, *usage, *inactive, *active;
};
constexpr GroupFiles kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes",
                               "total_inactive_file", "total_active_file"};
constexpr GroupFiles kVersion2{"memory.max", "memory.current", "inactive_file", "active_file"};

/// What the group and those above it leave; "max" as a limit, or no file, is no limit.
size_t left_in_group(const path& mount, path group, const GroupFiles& files) {
  size_t left = SIZE_MAX;
  for (;;) {
    const path folder = mount / group.relative_path();
    const auto limit = number_in(folder / files.limit);
    const auto usage = number_in(folder / files.usage);
    if (limit && usage) {
      // the group's file pages count as used, but go when memory is wanted
      const size_t cached = number_in(folder / "memory.stat", files.inactive).value_or(0) +
                            number_in(folder / "memory.stat", files.active).value_or(0);
      const size_t held = *usage - std::min(*usage, cached);
      left = std::min(left, *limit - std::min(*limit, held));
    }
    if (!group.has_relative_path()) return left;
    group = group.parent_path();
  }
}
}  // namespace

std::optional<size_t> available_memory_bytes(const path& root) {
  const auto kilobytes = number_in(root / "proc/meminfo", "MemAvailable:");
  if (!kilobytes) return std::nullopt;
  size_t left = *kilobytes * 1024;
  std::ifstream groups(root / "proc/self/cgroup");  // lines "number:controllers:/path"
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = ',' + line.substr(first + 1, second - first - 1) + ',';
    const path group = line.substr(second + 1);
    if (controllers == ",,")
      left = std::min(left, left_in_group(root / "sys/fs/cgroup", group, kVersion2));
    else if (controllers.find(",memory,") != controllers.npos)
      left = std::min(left, left_in_group(root / "sys/fs/cgroup/memory", group, kVersion1));
  }
  return left;
}

}  // namespace hearth
