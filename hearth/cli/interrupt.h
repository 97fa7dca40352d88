// Ctrl-C, obeyed between two steps so that what was measured is not lost.
#pragma once
#include <signal.h>

#include <atomic>
#include <functional>

namespace hearth::cli {

/// While it lives, Ctrl-C (and SIGTERM, and SIGHUP) sets a flag instead of ending the program; a
/// second one ends it.
class CatchInterrupt {
 public:
  CatchInterrupt();
  ~CatchInterrupt();
  CatchInterrupt(const CatchInterrupt&) = delete;
  static const std::atomic<bool>& flag();
  /// 130 (143 for SIGTERM, 129 for SIGHUP) if it was interrupted, else `otherwise`.
  static int exit_code(int otherwise);
  /// After the results were shown: throws Failure with that code if it was interrupted.
  static void fail_if_interrupted();
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
