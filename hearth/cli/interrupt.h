// Ctrl-C, obeyed between two steps so that what was measured is not lost.
#pragma once
#include <signal.h>

#include <atomic>
#include <functional>
#include <initializer_list>
#include <utility>
#include <vector>

namespace hearth::cli {

/// While it lives, Ctrl-C (and SIGTERM, and SIGHUP) sets a flag instead of ending the program; a
/// second one ends it. One at a time.
class CatchInterrupt {
 public:
  CatchInterrupt() : CatchInterrupt({SIGINT, SIGTERM, SIGHUP}) {}
  /// Only these signals.
  explicit CatchInterrupt(std::initializer_list<int> signals);
  ~CatchInterrupt();
  CatchInterrupt(const CatchInterrupt&) = delete;
  static const std::atomic<bool>& flag();
  /// Was it by SIGTERM or SIGHUP, which end a program that goes on after Ctrl-C?
  static bool is_order_to_end();
  /// 130 (143 for SIGTERM, 129 for SIGHUP) if it was interrupted, else `otherwise`.
  static int exit_code(int otherwise);
  /// After the results were shown: throws Failure with that code if it was interrupted.
  static void fail_if_interrupted();

 private:
  std::vector<std::pair<int, struct sigaction>> before_;
};

/// While it lives, Ctrl-C does nothing.
class IgnoreInterrupt {
 public:
  IgnoreInterrupt();
  ~IgnoreInterrupt();
  IgnoreInterrupt(const IgnoreInterrupt&) = delete;

 private:
  struct sigaction before_;
};

/// Does what knows nothing of Ctrl-C. With a CatchInterrupt alive Ctrl-C ends the program at once,
/// and `undo` is called first. `work` runs on a thread of its own.
void do_or_undo(const std::function<void()>& work, const std::function<void()>& undo);

}  // namespace hearth::cli
