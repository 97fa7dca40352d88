#include "hearth/base/system.h"

#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>

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

/// What the group itself leaves; "max" as a limit, or no file, is no limit.
size_t left_in_group(const path& group, const GroupFiles& files) {
  const auto limit = number_in(group / files.limit), usage = number_in(group / files.usage);
  if (!limit || !usage) return SIZE_MAX;
  // the group's file pages count as used, but go when memory is wanted
  const size_t cached = number_in(group / "memory.stat", files.inactive).value_or(0) +
                        number_in(group / "memory.stat", files.active).value_or(0);
  const size_t held = *usage - std::min(*usage, cached);
  return *limit - std::min(*limit, held);
}

/// The group's share of time, in processors; infinite without a limit.
double quota_of_group(const path& group, bool version2) {
  if (!version2) {
    const auto quota = number_in(group / "cpu.cfs_quota_us");  // -1: none
    const auto period = number_in(group / "cpu.cfs_period_us");
    return quota && period && *period > 0 && *quota < SIZE_MAX / 2
               ? double(*quota) / double(*period)
               : INFINITY;
  }
  std::ifstream file(group / "cpu.max");  // "150000 100000", or "max 100000"
  double quota = 0, period = 0;
  return file >> quota >> period && period > 0 ? quota / period : INFINITY;
}

/// Calls visit(folder, is_version_2) for the groups of `controller` that this process is in, each
/// and those above it.
template <class Visit>
void for_each_group(const path& root, const std::string& controller, const Visit& visit) {
  std::ifstream groups(root / "proc/self/cgroup");  // lines "number:controllers:/path"
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = ',' + line.substr(first + 1, second - first - 1) + ',';
    const bool version2 = controllers == ",,";
    if (!version2 && controllers.find(',' + controller + ',') == controllers.npos) continue;
    const path mount = root / "sys/fs/cgroup" / (version2 ? "" : controller);
    for (path group = line.substr(second + 1);; group = group.parent_path()) {
      visit(mount / group.relative_path(), version2);
      if (!group.has_relative_path()) break;
    }
  }
}

}  // namespace

std::optional<size_t> available_memory_bytes(const path& root) {
  const auto kilobytes = number_in(root / "proc/meminfo", "MemAvailable:");
  if (!kilobytes) return std::nullopt;
  size_t left = *kilobytes * 1024;
  for_each_group(root, "memory", [&](const path& group, bool version2) {
    left = std::min(left, left_in_group(group, version2 ? kVersion2 : kVersion1));
  });
  return left;
}

int usable_processors(const path& root) {
  int count = int(std::thread::hardware_concurrency());
#ifdef __linux__
  cpu_set_t set;  // of up to 1,024 processors; on a larger machine the call fails
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
#endif
  for_each_group(root, "cpu", [&](const path& group, bool version2) {
    const double quota = std::ceil(quota_of_group(group, version2));
    if (quota < count) count = int(quota);
  });
  return std::max(count, 1);
}

std::string reason(int error) { return std::generic_category().message(error); }

void Descriptor::close() {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

const char* setting(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? value : nullptr;
}

}  // namespace hearth
