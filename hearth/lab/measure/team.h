// Threads that measure a limit: their own, not the kernels' pool, so that a slow pool cannot hide.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace hearth::lab {

/// `size` threads, the caller among them, that wait spinning and so start together. Where the
/// process may use exactly `size` hardware threads, each is bound to one; the caller's binding is
/// restored.
class Team {
 public:
  explicit Team(int size);
  ~Team();
  Team(const Team&) = delete;

  int size() const { return size_; }
  /// Runs body(thread) on every thread; seconds from the start to the end of the last.
  double time(const std::function<void(int)>& body);

 private:
  void meet();  // returns when all have come

  int size_;
  std::atomic<int64_t> arrived_{0};
  const std::function<void(int)>* body_ = nullptr;  // null: go home
  std::vector<std::thread> others_;
  std::vector<int> restore_;  // the processors the caller was allowed, if bound
};

}  // namespace hearth::lab
