#include "hearth/lab/run/process_tree.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "hearth/base/error.h"
#include "hearth/lab/telemetry/files.h"

namespace hearth::lab {

namespace {

using std::chrono::microseconds;

constexpr size_t kMostProcesses = 10000;
constexpr microseconds kFirstLook{1000}, kLongestPause{50000};
constexpr int kCostLimit = 100;  // pauses are as many times as long as a look

std::vector<pid_t> pids_of(const std::string& text) {
  std::vector<pid_t> all;
  for (const std::string_view word : words_of(text))
    if (const auto pid = number_of(word); pid && *pid >= 1 && *pid <= 1 << 30)
      all.push_back(pid_t(*pid));
  return all;
}

/// "VmRSS:   1234 kB" in bytes.
std::optional<int64_t> line_of(const std::string& text, std::string_view name) {
  const size_t at = text.find(name);
  if (at == text.npos) return std::nullopt;
  const auto words = words_of(std::string_view(text).substr(at + name.size(), 40));
  const auto kib = words.empty() ? std::nullopt : number_of(words[0]);
  if (!kib || *kib < 0 || *kib > 1e15) return std::nullopt;
  return int64_t(*kib) * 1024;
}

/// Of this thread: on a busy machine a look lasts longer than it costs.
microseconds processor_time() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return microseconds(t.tv_sec * 1'000'000LL + t.tv_nsec / 1000);
}

std::string file_of(pid_t process, const char* name) {
  return concat("/proc/", process, "/", name);
}

}  // namespace

std::vector<pid_t> children_of(pid_t process) {
  std::vector<pid_t> all;
  const auto threads = list_names("/", file_of(process, "task"), "");
  if (!threads.value) return all;
  for (const std::string& thread : *threads.value) {
    const auto text = read_text("/", concat("/proc/", process, "/task/", thread, "/children"));
    if (!text.value) continue;
    const auto more = pids_of(*text.value);
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

std::optional<int64_t> peak_of_process(pid_t process) {
  const auto text = read_text("/", file_of(process, "status"));
  return text.value ? line_of(*text.value, "VmHWM:") : std::nullopt;
}

struct TreeWatch::State {
  const pid_t leader;
  const int started;
  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  int64_t peak = 0, resident_peak = 0;
  std::thread thread;

  State(pid_t leader, int started) : leader(leader), started(started) {}

  bool has_started() const {
    pollfd end{started, POLLIN, 0};
    return poll(&end, 1, 0) > 0;
  }

  /// The leader, its descendants, and those of its group whose parents have ended.
  std::vector<pid_t> tree() const {
    std::vector<pid_t> all = {leader};
    for (const pid_t mine : children_of(getpid()))
      if (mine != leader && getpgid(mine) == leader) all.push_back(mine);
    for (size_t i = 0; i < all.size() && all.size() < kMostProcesses; ++i)
      for (const pid_t child : children_of(all[i])) all.push_back(child);
    return all;
  }

  void look() {
    const std::vector<pid_t> all = tree();
    int64_t sum = 0, largest = 0;
    for (const pid_t pid : all)
      if (const auto text = read_text("/", file_of(pid, "status")); text.value) {
        sum += line_of(*text.value, "VmRSS:").value_or(0);
        largest = std::max(largest, line_of(*text.value, "VmHWM:").value_or(0));
      }
    int64_t together = all.size() > 1 ? 0 : sum;
    // Pages that processes share stand in each one's size. Counting them once walks all pages, so
    // it is done when there seem to be more than before.
    if (all.size() > 1 && sum > resident_peak + resident_peak / 20) {
      for (const pid_t pid : all) {
        const auto rollup = read_text("/", file_of(pid, "smaps_rollup"));
        const auto part = rollup.value ? line_of(*rollup.value, "\nPss:") : std::nullopt;
        if (part) together += *part;
      }
      resident_peak = sum;
    }
    const std::lock_guard lock(mutex);
    peak = std::max({peak, together, largest});
  }

  void run() {
    auto pause = kFirstLook;
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, pause, [&] { return stopping; })) {
      lock.unlock();
      const auto begin = processor_time();
      if (has_started()) look();
      const auto cost = processor_time() - begin;
      pause = std::max(std::min(2 * pause, kLongestPause), kCostLimit * cost);
      lock.lock();
    }
  }
};

TreeWatch::TreeWatch(pid_t leader, int started) : state_(std::make_unique<State>(leader, started)) {
  state_->thread = std::thread([this] { state_->run(); });
}

TreeWatch::~TreeWatch() { stop(); }

void TreeWatch::stop() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  if (state_->thread.joinable()) state_->thread.join();
}

int64_t TreeWatch::peak_bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->peak;
}

}  // namespace hearth::lab
