#include "hearth/lab/measure/team.h"

#include <chrono>

#include "hearth/base/error.h"
#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace hearth::lab {
namespace {

// The processors that the calling thread may run on; none if the system does not show them.
std::vector<int> allowed() {
  std::vector<int> processors;
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int i = 0; i < CPU_SETSIZE; i++)
      if (CPU_ISSET(i, &set)) processors.push_back(i);
#endif
  return processors;
}

// Binds the calling thread; a system that refuses leaves it free, which costs only evenness.
void bind_to([[maybe_unused]] const std::vector<int>& processors) {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int i : processors) CPU_SET(i, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
#endif
}

}  // namespace

Team::Team(int size) : size_(size) {
  check(size >= 1, "Team: got ", size, " threads, wants at least 1");
  std::vector<int> processors = allowed();
  bool bound = size > 1 && int(processors.size()) == size;
  for (int i = 1; i < size; i++)
    others_.emplace_back([this, i, bound, processors] {
      if (bound) bind_to({processors[i]});
      for (;;) {
        meet();
        if (!body_) return;
        (*body_)(i);
        meet();
      }
    });
  if (bound) {
    bind_to({processors[0]});
    restore_ = processors;
  }
}

Team::~Team() {
  body_ = nullptr;
  meet();
  for (auto& thread : others_) thread.join();
  if (!restore_.empty()) bind_to(restore_);
}

void Team::meet() {
  // A count that only grows: a round is over at the next multiple of size_, which nobody can pass
  // before all have come.
  int64_t mine = arrived_.fetch_add(1);
  int64_t full = (mine / size_ + 1) * size_;
  while (arrived_.load() < full) std::this_thread::yield();
}

double Team::time(const std::function<void(int)>& body) {
  using Clock = std::chrono::steady_clock;
  body_ = &body;
  auto start = Clock::now();  // before the start: after it, this thread may be the last to wake
  meet();
  body(0);
  meet();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace hearth::lab
