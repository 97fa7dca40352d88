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
  uint64_t share = 1;  // each counter had 1 of so many parts of the time
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
                  const uint64_t got[3] = {uint64_t(per_second[kind[file]] * seconds) / share,
                                           1000 * share, 1000};
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
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 200;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  for (int thread = 100; thread < 140; ++thread)
    root.write("proc/42/task/" + std::to_string(thread) + "/stat", "");
  const auto source = perf_telemetry(42, root.path(), kernel.calls());
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(kernel.kind.empty());
  EXPECT_THAT(read(*source, 1).why("process_clock_mhz"),
              HasSubstr("42 threads take more than half of the 200 files"));
}

}  // namespace
}  // namespace hearth::lab
