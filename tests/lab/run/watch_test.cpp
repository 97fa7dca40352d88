// What disturbs an execution: by the accounts of a made-up system, and of this one.
#include "hearth/lab/run/watch.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "hearth/base/error.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using ::testing::HasSubstr;

/// The files of a system whose only processors are 0 and 1; both are this process's.
struct System {
  testing::TempFolder root;
  void stat(int user, int steal) {
    std::string text = "cpu  0 0 0 0 0 0 0 0 0 0\n";
    for (int cpu = 0; cpu < 512; ++cpu)
      text += concat("cpu", cpu, " ", cpu < 2 ? user : 0, " 0 0 1000 0 0 0 ", cpu < 2 ? steal : 0,
                     " 0 0\n");
    root.write("proc/stat", text);
  }
  std::string of_process(const std::string& file) const {
    return concat("proc/", getpid(), "/", file);
  }
};

TEST(Watch, TellsWhatOthersTook) {
  System system;
  system.stat(0, 0);
  system.root.write("proc/pressure/cpu", "some avg10=1 avg60=1 avg300=1 total=1000000\n");
  const std::string thread = system.of_process(concat("task/", getpid(), "/"));
  system.root.write(thread + "schedstat", "5 1000000000 3\n");
  system.root.write(thread + "status", "Name:\tx\nnonvoluntary_ctxt_switches:\t7\n");
  system.root.write(system.of_process("cgroup"), "0::/a/b\n");
  system.root.write("sys/fs/cgroup/a/cpu.stat", "nr_throttled 1\nthrottled_usec 500000\n");
  Watch watch(getpid(), system.root.path());
  watch.begin();
  system.stat(100, 50);  // a second of each processor, and half a second of steal
  system.root.write("proc/pressure/cpu", "some avg10=1 avg60=1 avg300=1 total=1250000\n");
  system.root.write(thread + "schedstat", "5 1125000000 3\n");
  system.root.write(thread + "status", "Name:\tx\nnonvoluntary_ctxt_switches:\t10\n");
  system.root.write("sys/fs/cgroup/a/cpu.stat", "nr_throttled 1\nthrottled_usec 750000\n");
  const Disturbance d = watch.end();
  // Of those that this process may run on, on any machine at least one of the two.
  const double both = d.others_s.value_or(0), n = std::min(2, d.processors);
  EXPECT_NEAR(both, 1.0 * n, 0.3);  // less what the test itself used
  EXPECT_NEAR(d.stolen_s.value_or(0), 0.5 * n, 1e-9);
  EXPECT_NEAR(d.pressure_s.value_or(0), 0.25, 1e-9);
  EXPECT_NEAR(d.waited_s.value_or(0), 0.125, 1e-9);
  EXPECT_EQ(d.switches, 3);
  EXPECT_NEAR(d.throttled_s.value_or(0), 0.25, 1e-9);
  for (const auto& [name, why] : watch.unseen()) EXPECT_EQ(name, "clock_mhz") << why;
}

TEST(Watch, WhatTheSystemDoesNotShowHasItsReason) {
  testing::TempFolder empty;
  Watch watch(getpid(), empty.path());
  watch.begin();
  const Disturbance d = watch.end();
  EXPECT_FALSE(d.others_s || d.stolen_s || d.waited_s || d.throttled_s || d.pressure_s ||
               d.switches);
  EXPECT_THAT(watch.unseen().at("others_s"), HasSubstr("/proc/stat"));
  EXPECT_THAT(watch.unseen().at("pressure_s"), HasSubstr("/proc/pressure/cpu"));
  EXPECT_THAT(watch.unseen().at("throttled_s"), HasSubstr("cgroup"));
}

// This process's own work is not others'.
TEST(Watch, OwnTimeIsNotOthers) {
  if (!std::filesystem::exists("/proc/stat")) GTEST_SKIP() << "no /proc/stat here";
  Watch watch(0);
  std::atomic<bool> stop{false};
  const auto before = std::chrono::steady_clock::now();
  watch.begin();
  std::thread busy([&] {
    for (volatile unsigned n = 0; !stop;) n = n + 1;
  });
  while (std::chrono::steady_clock::now() - before < std::chrono::milliseconds(300)) continue;
  stop = true;
  busy.join();
  const Disturbance d = watch.end();
  ASSERT_TRUE(d.others_s.has_value());
  // Two threads were busy for 0.3 s: had they counted, and on one processor, it were 0.3 at least.
  // Others may run here too, so only that it is less than all is known.
  EXPECT_LT(*d.others_s, 0.3 * d.processors + 0.1);
  EXPECT_GT(*d.others_s, -0.05 * d.processors);
}

}  // namespace
}  // namespace hearth::lab
