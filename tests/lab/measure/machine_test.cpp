#include "hearth/lab/measure/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hearth/base/error.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kX86[] =
    "processor\t: 0\nmodel name\t: Imaginary 9000 @ 3 GHz\nflags\t\t: fpu avx2 avx512f fma "
    "madeup\n\n"
    "processor\t: 1\nmodel name\t: Imaginary 9000 @ 3 GHz\nflags\t\t: fpu avx2 avx512f fma "
    "madeup\n";
constexpr char kArm[] =
    "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";

TEST(machine, reads_an_x86_machine) {
  testing::TempFolder root;
  root.write("proc/cpuinfo", kX86);
  root.write("proc/meminfo", "MemTotal:       2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\n");
  root.write("etc/os-release", "ID=toy\nPRETTY_NAME=\"Toy Linux 1\"\n");
  root.write("proc/sys/kernel/osrelease", "9.9-toy\n");
  for (auto cpu : {"cpu0", "cpu1"}) {  // one core of two threads
    std::string at = std::string("sys/devices/system/cpu/") + cpu;
    root.write(at + "/topology/thread_siblings_list", "0-1\n");
    root.write(at + "/cache/index0/level", "1\n");
    root.write(at + "/cache/index0/type", "Data\n");
    root.write(at + "/cache/index0/size", "48K\n");
    root.write(at + "/cache/index0/shared_cpu_list", "0-1\n");
  }
  root.write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
  root.write("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "4500000\n");
  root.write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  root.write("sys/devices/system/node/node0/cpulist", "0-1\n");
  root.write("sys/devices/system/node/node1/cpulist", "\n");

  root.write("sys/class/power_supply/AC/type", "Mains\n");
  root.write("sys/class/power_supply/AC/online", "1\n");
  root.write("proc/driver/nvidia/version",
             "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30\n"
             "GCC version:  gcc version 12.2.0\n");
  for (auto gpu : {"0000:02:00.0", "0000:01:00.0"})
    root.write(std::string("proc/driver/nvidia/gpus/") + gpu + "/information",
               std::string("Model: \t\t Imaginary GPU ") + gpu[6] + "\nIRQ:   \t\t 42\n");

  Facts facts = read_facts(root.path());
  EXPECT_EQ(facts.power_source.value, "mains");
  EXPECT_EQ(facts.gpu_driver.value, "NVIDIA 550.54.14");
  EXPECT_THAT(facts.gpus.value.value(), ElementsAre("Imaginary GPU 1", "Imaginary GPU 2"));
  EXPECT_EQ(facts.processor.value, "Imaginary 9000 @ 3 GHz");
  EXPECT_EQ(facts.cores.value, 1);
  EXPECT_EQ(facts.hardware_threads.value, 2);
  EXPECT_THAT(facts.instruction_sets.value.value(), ElementsAre("avx2", "fma", "avx512f"));
  EXPECT_EQ(facts.memory_total_bytes.value, 2048 * 1024);
  EXPECT_EQ(facts.memory_available_bytes.value, 1024 * 1024);
  EXPECT_EQ(facts.numa_nodes.value, 2);
  EXPECT_EQ(facts.huge_pages.value, "madvise");
  EXPECT_EQ(facts.os.value, "Toy Linux 1");
  EXPECT_EQ(facts.kernel.value, "9.9-toy");
  EXPECT_EQ(facts.hypervisor.value, "none");
  EXPECT_EQ(facts.governor.value, "performance");
  EXPECT_EQ(facts.clock_max_mhz.value, 4500.0);
  ASSERT_EQ(facts.caches.value.value().size(), 1u);
  const Cache& cache = facts.caches.value->front();
  EXPECT_EQ(cache.level, 1);
  EXPECT_EQ(cache.kind, "data");
  EXPECT_EQ(cache.bytes, 48 * 1024);
  EXPECT_EQ(cache.instances, 1);
}

// Four threads on two cores, which have caches of their own and one together.
TEST(machine, counts_cores_and_caches_once_each) {
  testing::TempFolder root;
  for (int cpu = 0; cpu < 4; ++cpu) {
    const std::string at = concat("sys/devices/system/cpu/cpu", cpu),
                      pair = cpu < 2 ? "0-1\n" : "2-3\n";
    root.write(at + "/topology/thread_siblings_list", pair);
    const auto cache = [&](int index, const char* level, const char* kind, const char* size,
                           const std::string& shared) {
      const std::string folder = concat(at, "/cache/index", index);
      root.write(folder + "/level", level);
      root.write(folder + "/type", kind);
      root.write(folder + "/size", size);
      root.write(folder + "/shared_cpu_list", shared);
    };
    cache(0, "1", "Data", "32K", pair);
    cache(1, "1", "Instruction", "64K", pair);
    cache(2, "3", "Unified", "8M", "0-3\n");
    cache(3, "2", "Unified", "1234", pair);
  }
  root.write("sys/devices/system/cpu/cpufreq/x", "");  // no processor
  const Facts facts = read_facts(root.path());
  EXPECT_EQ(facts.cores.value, 2);
  const auto caches = facts.caches.value.value();
  ASSERT_EQ(caches.size(), 4u);
  const std::tuple<int, const char*, int64_t, int> wanted[] = {{1, "data", 32 << 10, 2},
                                                               {1, "instruction", 64 << 10, 2},
                                                               {2, "unified", 1234, 2},
                                                               {3, "unified", 8 << 20, 1}};
  for (size_t i = 0; i < 4; ++i)
    EXPECT_EQ(std::tuple(caches[i].level, caches[i].kind, caches[i].bytes, caches[i].instances),
              wanted[i]);
  EXPECT_EQ(cache_bytes(facts).value, 8 << 20);
}

TEST(Machine, TheLargestCachesCountTogether) {
  Facts facts;
  facts.caches = Reading<std::vector<Cache>>::missing("not told");
  EXPECT_EQ(cache_bytes(facts).reason, "not told");
  facts.caches = std::vector<Cache>{
      {1, "data", 32 << 10, 16}, {2, "unified", 1 << 20, 16}, {3, "unified", 32 << 20, 2}};
  EXPECT_EQ(cache_bytes(facts).value, 64 << 20);
}

TEST(machine, reads_an_arm_machine) {
  testing::TempFolder root;
  root.write("proc/cpuinfo", kArm);
  Facts facts = read_facts(root.path());
  EXPECT_EQ(facts.processor.value, "ARM implementer 0x41 part 0xd0c");
  EXPECT_EQ(facts.hardware_threads.value, 1);
  EXPECT_THAT(facts.instruction_sets.value.value(), ElementsAre("asimd", "asimddp"));
  EXPECT_FALSE(facts.hypervisor.value);
}

template <class T>
void expect_missing(const Reading<T>& reading, const std::string& reason) {
  EXPECT_FALSE(reading.value);
  EXPECT_THAT(reading.reason, HasSubstr(reason));
}

TEST(machine, says_why_where_the_system_tells_nothing) {
  testing::TempFolder root;
  Facts facts = read_facts(root.path());
  expect_missing(facts.processor, "/proc/cpuinfo");
  expect_missing(facts.cores, "topology");
  expect_missing(facts.hardware_threads, "/proc/cpuinfo");
  expect_missing(facts.caches, "caches");
  expect_missing(facts.instruction_sets, "/proc/cpuinfo");
  expect_missing(facts.memory_total_bytes, "/proc/meminfo");
  expect_missing(facts.memory_available_bytes, "/proc/meminfo");
  expect_missing(facts.numa_nodes, "/sys/devices/system/node");
  expect_missing(facts.huge_pages, "transparent_hugepage");
  expect_missing(facts.os, "/etc/os-release");
  expect_missing(facts.kernel, "osrelease");
  expect_missing(facts.hypervisor, "/proc/cpuinfo");
  expect_missing(facts.governor, "scaling_governor");
  expect_missing(facts.clock_max_mhz, "cpufreq");
  expect_missing(facts.power_source, "/sys/class/power_supply");
  expect_missing(facts.gpus, "/proc/driver/nvidia");
  expect_missing(facts.gpu_driver, "/proc/driver/nvidia/version cannot be read");
}

TEST(machine, tells_mains_from_battery) {
  testing::TempFolder root;
  const std::string at = "sys/class/power_supply/";
  const auto source = [&] { return read_facts(root.path()).power_source; };
  root.write(at + "mouse/type", "Battery\n");
  root.write(at + "mouse/scope", "Device\n");
  root.write(at + "mouse/status", "Discharging\n");
  expect_missing(source(), "neither mains nor a battery");
  root.write(at + "BAT0/type", "Battery\n");
  root.write(at + "BAT0/status", "Discharging\n");
  root.write(at + "AC/type", "Mains\n");
  root.write(at + "AC/online", "0\n");
  EXPECT_EQ(source().value, "battery");
  root.write(at + "BAT0/status", "Full\n");
  EXPECT_EQ(source().value, "mains");
  root.write(at + "BAT0/status", "Discharging\n");  // it needs more than the supply gives
  root.write(at + "AC/online", "1\n");
  EXPECT_EQ(source().value, "mains");
}

TEST(machine, takes_garbage_for_missing) {
  testing::TempFolder root;
  root.write("proc/cpuinfo", std::string("\0\xff: :::\nmodel name\nflags :\n", 27));
  root.write("proc/meminfo", "MemTotal: plenty kB\nMemAvailable: -5\n");
  root.write("etc/os-release", "PRETTY_NAME=\n");
  root.write("proc/driver/nvidia/version", "NVRM version: none\n");
  root.write("proc/driver/nvidia/gpus/0/information", "Model:\n");
  root.write("sys/class/power_supply/AC/online", "1\n");
  root.write("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "fast\n");
  root.write("sys/devices/system/cpu/cpu0/cache/index0/level", "high\n");
  root.write("sys/devices/system/cpu/cpufreq/x", "a folder that is no processor\n");
  Facts facts = read_facts(root.path());
  expect_missing(facts.processor, "names no processor");
  expect_missing(facts.instruction_sets, "flags");
  expect_missing(facts.memory_total_bytes, "not a number of kB");
  expect_missing(facts.os, "PRETTY_NAME");
  expect_missing(facts.clock_max_mhz, "not a number");
  expect_missing(facts.caches, "no caches");
  expect_missing(facts.gpu_driver, "names no version");
  expect_missing(facts.gpus, "lists no GPU");
  expect_missing(facts.power_source, "neither");

  for (const char* none : {"99999999999999999999", "-1", "x1"}) {
    root.write("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", none);
    expect_missing(read_facts(root.path()).clock_max_mhz, "not a number");
  }
  root.write("proc/meminfo", "MemTotal: 5 MB\n");
  expect_missing(read_facts(root.path()).memory_total_bytes, "not a number of kB");
  root.write("proc/meminfo", "MemTotal: 99999999999999999999 kB\n");
  expect_missing(read_facts(root.path()).memory_total_bytes, "not a number of kB");
}

TEST(machine, reads_this_machine) {
  Facts facts = read_facts();
  EXPECT_GE(facts.usable_threads.value.value(), 1);
  EXPECT_GE(facts.hardware_threads.value.value(), facts.usable_threads.value.value());
  EXPECT_GT(facts.memory_total_bytes.value.value(), facts.memory_available_bytes.value.value());
}

}  // namespace
}  // namespace hearth::lab
