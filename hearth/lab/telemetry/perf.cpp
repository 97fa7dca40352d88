// perf_event: counters of the processor for one process. Refused where perf_event_paranoid is 3,
// and without a counter in most virtual machines.
#include "hearth/base/error.h"
#include "hearth/lab/telemetry/files.h"
#include "hearth/lab/telemetry/sources.h"

#if defined(__linux__)
#include <linux/perf_event.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace hearth::lab {
namespace {

enum What { cycles, instructions, time_ns, kCounters };
constexpr std::array kWhat = {"cycles", "instructions", "task time"};

// One counter over all threads of the process.
struct Counter {
  std::vector<int> files;
  std::string reason;  // why there are none
  std::optional<double> last;
};

class Perf : public Telemetry {
 public:
  Perf(pid_t process, const Path& root, PerfCalls calls) : calls_(std::move(calls)) {
    if (process == 0) process = getpid();
    // A counter is of one thread and of those it makes later.
    auto threads = list_names(root, concat("/proc/", process, "/task"), "");
    // Each of them takes files, of which others want some too.
    rlimit files{};
    if (threads.value && getrlimit(RLIMIT_NOFILE, &files) == 0 &&
        threads.value->size() * kCounters > files.rlim_cur / 2)
      threads = decltype(threads)::missing(
          concat("perf_event: ", threads.value->size(), " threads take more than half of the ",
                 files.rlim_cur, " files that may be open; raise it with ulimit -n"));
    for (int what = 0; what < kCounters; ++what) {
      perf_event_attr attr{};
      attr.size = sizeof attr;
      attr.type = what == time_ns ? PERF_TYPE_SOFTWARE : PERF_TYPE_HARDWARE;
      attr.config = what == time_ns        ? uint64_t(PERF_COUNT_SW_TASK_CLOCK)
                    : what == instructions ? uint64_t(PERF_COUNT_HW_INSTRUCTIONS)
                                           : uint64_t(PERF_COUNT_HW_CPU_CYCLES);
      attr.inherit = 1;
      attr.exclude_kernel = 1;  // all that perf_event_paranoid 2 allows
      attr.exclude_hv = 1;
      attr.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
      Counter& counter = counters_[what];
      if (!threads.value) counter.reason = threads.reason;
      for (const auto& name : threads.value.value_or(std::vector<std::string>())) {
        const auto thread = number_of(name);
        if (!thread) continue;
        const int file = calls_.open(&attr, pid_t(*thread));
        if (file >= 0)
          counter.files.push_back(file);
        else if (file != -ESRCH)  // the thread has ended meanwhile
          counter.reason = concat("perf_event: ", kWhat[what], ": ", std::strerror(-file),
                                  file == -ENOENT || file == -EOPNOTSUPP
                                      ? " (no such counter here; usual in a virtual machine)"
                                  : file == -EACCES || file == -EPERM
                                      ? " (see /proc/sys/kernel/perf_event_paranoid)"
                                      : "");
      }
      if (counter.files.empty() && counter.reason.empty())
        counter.reason = concat("perf_event: process ", process, " has no thread");
    }
  }
  ~Perf() override {
    for (const Counter& counter : counters_)
      for (int file : counter.files) ::close(file);
  }

  std::string_view source() const override { return "perf_event"; }
  const std::vector<Field>& fields() const override { return fields_; }

  std::vector<Reading<double>> sample(double) override {
    std::vector<Reading<double>> grown;
    for (Counter& counter : counters_) grown.push_back(growth(counter));
    return {ratio(grown[cycles], grown[time_ns], 1e3, "the process did not run"),
            ratio(grown[instructions], grown[cycles], 1, "the process did not run")};
  }

 private:
  Reading<double> growth(Counter& counter) const {
    if (counter.files.empty()) return Reading<double>::missing(counter.reason);
    double sum = 0;
    for (int file : counter.files) {
      struct {
        uint64_t value, enabled, running;
      } got{};
      const long bytes = calls_.read(file, &got, sizeof got);
      if (bytes != long(sizeof got))
        return Reading<double>::missing(concat("perf_event: a counter cannot be read (",
                                               bytes < 0 ? std::strerror(int(-bytes)) : "short",
                                               ")"));
      // With more counters than the processor has, each counts a part of the time.
      if (got.running > 0) sum += double(got.value) * double(got.enabled) / double(got.running);
    }
    const auto before = std::exchange(counter.last, sum);
    if (!before) return Reading<double>::missing("a rate needs a second sample");
    return std::max(sum - *before, 0.0);
  }

  static Reading<double> ratio(const Reading<double>& a, const Reading<double>& b, double scale,
                               const char* when_zero) {
    if (!a.value) return a;
    if (!b.value) return b;
    if (*b.value == 0) return Reading<double>::missing(when_zero);
    return *a.value / *b.value * scale;
  }

  PerfCalls calls_;
  std::array<Counter, kCounters> counters_;
  std::vector<Field> fields_ = {{"process_clock_mhz", "MHz"},
                                {"process_instructions_per_cycle", "per cycle"}};
};

}  // namespace

PerfCalls perf_of_kernel() {
  return {.open =
              [](perf_event_attr* attr, pid_t thread) {
                const long file =
                    syscall(SYS_perf_event_open, attr, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
                return file < 0 ? -errno : int(file);
              },
          .read =
              [](int file, void* to, size_t bytes) {
                const ssize_t got = ::read(file, to, bytes);
                return got < 0 ? -long(errno) : long(got);
              }};
}

std::unique_ptr<Telemetry> perf_telemetry(pid_t process, const Path& root, PerfCalls calls) {
  return std::make_unique<Perf>(process, root, std::move(calls));
}

namespace {
const TelemetrySource source{System::linux_os, 50,
                             [](const Path& root, pid_t process) -> std::unique_ptr<Telemetry> {
                               return process ? perf_telemetry(process, root) : nullptr;
                             }};
}  // namespace

}  // namespace hearth::lab

#endif
