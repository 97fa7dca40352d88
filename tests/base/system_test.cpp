#include "hearth/base/system.h"

#include <gtest/gtest.h>

#include "tests/temp_folder.h"

namespace hearth {
namespace {

constexpr size_t kMiB = size_t(1) << 20;
constexpr const char* kMeminfo = "MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: 4194304 kB\n";

TEST(AvailableMemory, IsTheKernelsWordWithoutGroups) {
  testing::TempFolder root;
  EXPECT_EQ(available_memory_bytes(root.path()), std::nullopt);
  root.write("proc/meminfo", kMeminfo);
  EXPECT_EQ(available_memory_bytes(root.path()), 4096 * kMiB);
}

TEST(AvailableMemory, IsCutToTheTightestGroupOfVersion2) {
  testing::TempFolder root;
  root.write("proc/meminfo", kMeminfo);
  root.write("proc/self/cgroup", "0::/box/inner\n");
  root.write("sys/fs/cgroup/box/inner/memory.max", "max\n");
  root.write("sys/fs/cgroup/box/inner/memory.current", "1048576\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 4096 * kMiB);
  root.write("sys/fs/cgroup/box/memory.max", std::to_string(100 * kMiB));
  root.write("sys/fs/cgroup/box/memory.current", std::to_string(60 * kMiB));
  EXPECT_EQ(available_memory_bytes(root.path()), 40 * kMiB);
  root.write("sys/fs/cgroup/box/memory.stat",  // file pages go when memory is wanted
             "anon 1\ninactive_file " + std::to_string(20 * kMiB) + "\nactive_file " +
                 std::to_string(10 * kMiB) + "\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 70 * kMiB);
  root.write("sys/fs/cgroup/memory.max", std::to_string(8 * kMiB));  // a container's own root
  root.write("sys/fs/cgroup/memory.current", std::to_string(9 * kMiB));
  EXPECT_EQ(available_memory_bytes(root.path()), 0u);
}

TEST(AvailableMemory, IsCutToTheGroupOfVersion1) {
  testing::TempFolder root;
  root.write("proc/meminfo", kMeminfo);
  root.write("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/box\n0::/\n");
  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");  // none
  root.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000000\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 4096 * kMiB);
  root.write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", std::to_string(50 * kMiB));
  root.write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", std::to_string(20 * kMiB));
  root.write("sys/fs/cgroup/memory/box/memory.stat",
             "total_inactive_file 1048576\ntotal_active_file 1048576\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 32 * kMiB);
}

TEST(AvailableMemory, IsKnownOnLinux) {
  if (!std::filesystem::exists("/proc/meminfo")) GTEST_SKIP() << "no /proc/meminfo here";
  EXPECT_GT(available_memory_bytes().value_or(0), 16 * kMiB);
}

TEST(UsableProcessors, AreThoseOfTheGroupsIfThatIsLess) {
  testing::TempFolder root;
  const int all = usable_processors(root.path());  // no groups: those that it may run on
  EXPECT_GE(all, 1);
  EXPECT_LE(usable_processors(), all);
  root.write("proc/self/cgroup", "0::/box/inner\n");
  root.write("sys/fs/cgroup/box/inner/cpu.max", "max 100000\n");
  EXPECT_EQ(usable_processors(root.path()), all);
  root.write("sys/fs/cgroup/box/cpu.max", "100000 100000\n");
  EXPECT_EQ(usable_processors(root.path()), 1);
  root.write("sys/fs/cgroup/box/cpu.max", "100001 100000\n");  // a little more than one: two
  EXPECT_EQ(usable_processors(root.path()), std::min(all, 2));
  root.write("sys/fs/cgroup/box/inner/cpu.max", "1000 100000\n");  // never none
  EXPECT_EQ(usable_processors(root.path()), 1);
}

TEST(UsableProcessors, AreThoseOfTheGroupOfVersion1) {
  testing::TempFolder root;
  const int all = usable_processors(root.path());
  root.write("proc/self/cgroup", "4:cpu,cpuacct:/box\n0::/\n");
  root.write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n");
  root.write("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(usable_processors(root.path()), all);
  root.write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "50000\n");
  EXPECT_EQ(usable_processors(root.path()), 1);
}

TEST(Setting, IsNullWhereItIsEmpty) {
  unsetenv("HEARTH_OF_THIS_TEST");
  EXPECT_EQ(setting("HEARTH_OF_THIS_TEST"), nullptr);
  setenv("HEARTH_OF_THIS_TEST", "", 1);
  EXPECT_EQ(setting("HEARTH_OF_THIS_TEST"), nullptr);
  setenv("HEARTH_OF_THIS_TEST", "x", 1);
  EXPECT_STREQ(setting("HEARTH_OF_THIS_TEST"), "x");
  unsetenv("HEARTH_OF_THIS_TEST");
}

}  // namespace
}  // namespace hearth
