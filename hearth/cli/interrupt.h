// Ctrl-C, obeyed between two steps so that what was measured is not lost.
#pragma once
#include <atomic>

namespace hearth::cli {

/// While it lives, Ctrl-C (and SIGTERM) sets a flag instead of ending the program; a second one
/// ends it.
class CatchInterrupt {
 public:
  CatchInterrupt();
  ~CatchInterrupt();
  CatchInterrupt(const CatchInterrupt&) = delete;
  static const std::atomic<bool>& flag();
  /// After the results were shown: throws Failure with 130 (143 for SIGTERM) if it was interrupted.
  static void fail_if_interrupted();
};

}  // namespace hearth::cli
