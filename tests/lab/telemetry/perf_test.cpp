// perf_event with a kernel of our own.
#include <linux/perf_event.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/lab/telemetry/readings.h"

namespace hearth::lab {
namespace {

using ::testing::HasSubstr;
using testing::read;
using testing::Readings;
using testing::TempFolder;

// Two threads; a counter of each kind for each. The files are real ones, for they get closed.
struct Kernel {
  int refuse = 0;  // the error of every open
  bool only_time = false;
  double seconds = 0;
  uint64_t share = 1;  // each counter had 1 of so many parts of the time; 0: it had none
  std::map<int, uint64_t> kind;

  PerfCalls calls() {
    return {.open =
                [this](perf_event_attr* attr, pid_t) {
                  if (refuse) return -refuse;
                  if (only_time && attr->type == PERF_TYPE_HARDWARE) return -ENOENT;
                  const int file = dup(0);
                  kind[file] = attr->type == PERF_TYPE_SOFTWARE ? 2 : attr->config;
                  return file;
                },
            .read =
                [this](int file, void* to, size_t bytes) {
                  const double per_second[] = {3.0e9, 6.0e9, 1e9};  // cycles, instructions, ns
                  const uint64_t count = uint64_t(per_second[kind[file]] * seconds);
                  const uint64_t got[3] = {share ? count / share : 0, share ? 1000 * share : 1000,
                                           share ? 1000u : 0};
                  std::memcpy(to, got, std::min(bytes, sizeof got));
                  return long(sizeof got);
                }};
  }
};

class Perf : public ::testing::Test {
 protected:
  Perf() {
    root.write("proc/42/task/42/stat", "");
    root.write("proc/42/task/43/stat", "");
  }
  TempFolder root;
  Kernel kernel;
};

TEST_F(Perf, TellsTheBusyClockAndInstructionsPerCycle) {
  for (const uint64_t share : {1, 4}) {
    kernel = {.share = share, .kind = {}};
    const auto source = perf_telemetry(42, root.path(), kernel.calls());
    EXPECT_EQ(kernel.kind.size(), 6u);
    EXPECT_THAT(read(*source, 1).why("process_clock_mhz"), HasSubstr("second sample"));
    kernel.seconds = 0.5;
    const Readings r = read(*source, 2);
    EXPECT_DOUBLE_EQ(r["process_clock_mhz"], 3000);
    EXPECT_DOUBLE_EQ(r["process_instructions_per_cycle"], 2);
    EXPECT_THAT(read(*source, 3).why("process_clock_mhz"), HasSubstr("did not run"));
  }
}

TEST_F(Perf, CountersThatNeverRanOrWentBackAreNoClock) {
  kernel.share = 0;
  const auto source = perf_telemetry(42, root.path(), kernel.calls());
  read(*source, 1);
  kernel.seconds = 0.5;
  EXPECT_THAT(read(*source, 2).why("process_clock_mhz"), HasSubstr("did not run"));
  kernel.share = 1;
  EXPECT_DOUBLE_EQ(read(*source, 3)["process_clock_mhz"], 3000);
  kernel.seconds = 0.25;  // as when a thread ends
  EXPECT_THAT(read(*source, 4).why("process_clock_mhz"), HasSubstr("did not run"));
  kernel.seconds = 0.75;
  EXPECT_DOUBLE_EQ(read(*source, 5)["process_instructions_per_cycle"], 2);
}

TEST_F(Perf, SaysWhyItIsRefused) {
  kernel.refuse = EACCES;
  EXPECT_THAT(read(*perf_telemetry(42, root.path(), kernel.calls()), 1).why("process_clock_mhz"),
              HasSubstr("perf_event_paranoid"));
  kernel.refuse = ENOENT;
  EXPECT_THAT(read(*perf_telemetry(42, root.path(), kernel.calls()), 1).why("process_clock_mhz"),
              HasSubstr("virtual machine"));
  kernel.refuse = ESRCH;
  EXPECT_THAT(read(*perf_telemetry(42, root.path(), kernel.calls()), 1).why("process_clock_mhz"),
              HasSubstr("has no thread"));
  EXPECT_THAT(read(*perf_telemetry(7, root.path(), kernel.calls()), 1).why("process_clock_mhz"),
              HasSubstr("/proc/7/task is absent"));
}

TEST_F(Perf, AVirtualMachineHasTimeAndNoCycles) {
  kernel.only_time = true;
  const auto source = perf_telemetry(42, root.path(), kernel.calls());
  read(*source, 1);
  EXPECT_THAT(read(*source, 2).why("process_clock_mhz"), HasSubstr("no such counter"));
}

TEST_F(Perf, MoreThreadsThanFilesMayBeOpenAreNotCounted) {
  for (int thread = 100; thread < 140; ++thread)
    root.write("proc/42/task/" + std::to_string(thread) + "/stat", "");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto limited = [&](rlim_t most) {
    rlimit few = before;
    few.rlim_cur = most;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    auto source = perf_telemetry(42, root.path(), kernel.calls());
    setrlimit(RLIMIT_NOFILE, &before);
    return source;
  };
  EXPECT_THAT(read(*limited(251), 1).why("process_clock_mhz"),
              HasSubstr("42 threads take more than half of the 251 files"));
  EXPECT_TRUE(kernel.kind.empty());
  limited(252);  // 126 are half
  EXPECT_EQ(kernel.kind.size(), 126u);
}

}  // namespace
}  // namespace hearth::lab
