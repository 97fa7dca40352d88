#include "hearth/backend/pool.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <charconv>
#include <chrono>
#include <exception>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#include "hearth/base/error.h"
#include "hearth/base/system.h"

namespace hearth::cpu {
namespace {

// A decode step is some 40 loops a few microseconds apart, and waking a sleeper costs several: so
// threads look for work this long before they sleep.
constexpr std::chrono::microseconds kSpin{300};
constexpr int kJobs = 16;   // callers served at once; one more runs its loop alone
constexpr int kParts = 16;  // parts of a loop at most; more threads than that share them

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Spins until done() holds; false when the time is over first.
template <class Done>
bool spin_until(const Done& done) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return done();
}

/// One running loop, in parts: every thread begins with its own and helps with the others' after,
/// so that a loop which runs again finds its memory in the caches of the same core. `state` is
/// kOpen while workers may join, plus the number of those inside: the caller closes it and waits
/// for them, so nothing here is read after parallel_for has returned.
struct alignas(64) Job {
  static constexpr uint32_t kOpen = 1u << 31;
  std::atomic<uint32_t> state{0};
  void (*call)(const void*, int64_t);
  const void* body;
  int64_t run;
  int count;  // of parts
  std::exception_ptr error;
  std::atomic<bool> failed;
  struct alignas(64) Part {
    std::atomic<int64_t> next;
    int64_t end;
  } parts[kParts];

  void split(int64_t n, int threads) {
    run = std::max<int64_t>(1, n / (int64_t{64} * threads));
    count = int(std::min<int64_t>({n, threads, kParts}));
    for (int i = 0; i < count; ++i) {
      parts[i].next.store(n * i / count, std::memory_order_relaxed);
      parts[i].end = n * (i + 1) / count;
    }
  }
  void work(int thread) {
    for (int turn = 0; turn < count; ++turn) {
      Part& part = parts[(thread + turn) % count];
      if (part.next.load(std::memory_order_relaxed) >= part.end) continue;
      for (int64_t i; (i = part.next.fetch_add(run, std::memory_order_relaxed)) < part.end;) {
        try {
          for (const int64_t end = std::min(i + run, part.end); i < end; ++i) call(body, i);
        } catch (...) {
          if (!failed.exchange(true)) error = std::current_exception();
          for (int p = 0; p < count; ++p)
            parts[p].next.store(parts[p].end, std::memory_order_relaxed);
        }
      }
    }
  }
};

thread_local bool inside = false;  // this thread runs a body, so a loop in it runs inline

struct InsideScope {
  InsideScope() { inside = true; }
  ~InsideScope() { inside = false; }
};

class Pool {
 public:
  Pool() { start(default_threads()); }

  int threads() const { return threads_.load(std::memory_order_relaxed); }

  void resize(int n) {
    std::scoped_lock lock(resize_);
    stop_.store(true);
    wake();
    for (std::thread& t : workers_) t.join();
    workers_.clear();
    stop_.store(false);
    start(n);
  }

  void run(int64_t n, void (*call)(const void*, int64_t), const void* body) {
    const int slot = take_slot();
    if (slot < 0) {
      for (int64_t i = 0; i < n; ++i) call(body, i);
      return;
    }
    Job& job = jobs_[slot];
    job.call = call;
    job.body = body;
    job.split(n, threads());
    job.failed.store(false, std::memory_order_relaxed);
    job.state.store(Job::kOpen, std::memory_order_release);
    open_.fetch_or(1u << slot);
    wake();

    job.work(0);

    open_.fetch_and(~(1u << slot), std::memory_order_relaxed);
    uint32_t left = job.state.fetch_and(~Job::kOpen) & ~Job::kOpen;
    if (left != 0 && !spin_until([&] { return job.state.load(std::memory_order_acquire) == 0; }))
      while ((left = job.state.load(std::memory_order_acquire)) != 0) job.state.wait(left);
    const std::exception_ptr error = std::exchange(job.error, nullptr);
    free_.fetch_or(1u << slot, std::memory_order_release);
    if (error) std::rethrow_exception(error);
  }

 private:
  static int default_threads() {
    const int processors = usable_processors();
    const char* set = setting("HEARTH_THREADS");
    if (!set) return processors;
    const std::string_view text = set;
    int n = 0;
    const auto [end, error] = std::from_chars(text.begin(), text.end(), n);
    check(error == std::errc() && end == text.end() && n >= 1 && n <= processors,
          "HEARTH_THREADS: '", text, "', wanted a whole number from 1 to ", processors,
          ", the processors that this process may use");
    return n;
  }

  void start(int n) {
    try {
      for (int i = 1; i < n; ++i) workers_.emplace_back([this, i] { work(i); });
    } catch (const std::system_error&) {
    }  // the system gives no more threads: those there are do the work
    threads_.store(int(workers_.size()) + 1);
  }

  int take_slot() {
    uint32_t free = free_.load(std::memory_order_relaxed);
    while (free != 0) {
      const int slot = std::countr_zero(free);
      if (free_.compare_exchange_weak(free, free & ~(1u << slot), std::memory_order_acquire))
        return slot;
    }
    return -1;
  }

  void wake() {
    news_.fetch_add(1);
    if (sleepers_.load() != 0) news_.notify_all();
  }

  /// Enters an open job, or returns null.
  Job* join(uint32_t open, uint32_t preferred) {
    const int slot = std::countr_zero(open & preferred ? open & preferred : open);
    Job& job = jobs_[slot];
    uint32_t state = job.state.load(std::memory_order_relaxed);
    while (state & Job::kOpen)
      if (job.state.compare_exchange_weak(state, state + 1, std::memory_order_acquire)) return &job;
    return nullptr;
  }

  void work(int thread) {
    const InsideScope scope;
    uint32_t later = ~0u;  // slots above the last one served: takes turns among callers
    const auto news = [&] {
      return open_.load(std::memory_order_relaxed) != 0 || stop_.load(std::memory_order_relaxed);
    };
    while (!stop_.load(std::memory_order_relaxed)) {
      if (const uint32_t open = open_.load(std::memory_order_acquire)) {
        if (Job* job = join(open, later)) {
          const int slot = int(job - jobs_);
          job->work(thread);
          open_.fetch_and(~(1u << slot),
                          std::memory_order_relaxed);  // still inside: it is this job
          if (job->state.fetch_sub(1, std::memory_order_release) == 1) job->state.notify_all();
          later = ~0u << (slot + 1);
        }
      } else if (!spin_until(news)) {
        const uint32_t seen = news_.load();
        sleepers_.fetch_add(1);
        if (open_.load() == 0 && !stop_.load()) news_.wait(seen);
        sleepers_.fetch_sub(1);
      }
    }
  }

  std::atomic<uint32_t> open_{0};  // a bit for every job that wants workers
  alignas(64) std::atomic<uint32_t> free_{(1u << kJobs) - 1};
  alignas(64) std::atomic<uint32_t> news_{0};  // counts wake-ups; sleepers wait for its change
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::atomic<int> threads_{1};
  Job jobs_[kJobs];
  std::mutex resize_;
  std::vector<std::thread> workers_;
};

/// Never destroyed: streams may still be computing while the process runs its static destructors.
Pool& pool() {
  static Pool* const the = new Pool;
  return *the;
}

}  // namespace

int threads() { return pool().threads(); }

void set_threads(int n) {
  check(n >= 1, "set_threads: ", n, " threads; at least 1 is needed");
  check(!inside, "set_threads: called from inside a parallel_for");
  pool().resize(n);
}

namespace detail {

void parallel_for(int64_t n, void (*call)(const void*, int64_t), const void* body) {
  if (n <= 0) return;
  if (inside || pool().threads() == 1) {
    for (int64_t i = 0; i < n; ++i) call(body, i);
    return;
  }
  const InsideScope scope;
  pool().run(n, call, body);
}

}  // namespace detail
}  // namespace hearth::cpu
