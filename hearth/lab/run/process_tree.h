// A process and all that it started: who they are, and the memory that they hold together.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace hearth::lab {

/// The children of all its threads, by /proc; empty where the system does not list them.
std::vector<pid_t> children_of(pid_t process);

/// The most that the process itself held, in bytes (VmHWM); nothing of one that has ended.
std::optional<int64_t> peak_of_process(pid_t process);

/// Looks at the memory of a process's group and descendants from a thread of its own: after 1, 2,
/// 4, ... 50 ms, and seldom enough to take less than 1 % of a core.
class TreeWatch {
 public:
  /// Begins when `started` is at its end: the process has then become its program.
  TreeWatch(pid_t leader, int started);
  ~TreeWatch();
  TreeWatch(const TreeWatch&) = delete;
  void stop();
  /// The largest sum of all at one time, or the largest peak of a single one; 0: none was seen.
  /// Where there are several, each page counts once (PSS).
  int64_t peak_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearth::lab
