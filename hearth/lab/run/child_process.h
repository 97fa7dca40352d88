// A child process that is spoken to in lines: its own process group, deadlines, bounded lines.
#pragma once
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::lab {

using Clock = std::chrono::steady_clock;

/// What a child did wrong: it hung, died, or spoke out of turn. It has been killed.
struct EngineFault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The user asked to stop.
struct Interrupted : std::runtime_error {
  Interrupted() : std::runtime_error("interrupted") {}
};

class ChildProcess {
 public:
  static constexpr size_t kLongestLine = 4 << 20;

  /// Starts args[0] (found in PATH) with `environment` ("NAME=value") on top of this process's.
  /// While `interrupted` is set, waiting throws Interrupted. Throws EngineFault if it cannot start.
  ChildProcess(std::vector<std::string> args, std::vector<std::string> environment = {},
               const std::atomic<bool>* interrupted = nullptr);
  /// Kills what is left of the group.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  struct Line {
    std::string text;  // without its end
    Clock::time_point arrived;
  };

  /// Sends the line; the time just before the system got the last of it.
  Clock::time_point write_line(std::string text, Clock::time_point deadline);
  /// Waits for the next line of its standard output. Throws EngineFault, with what it last wrote
  /// to standard error, when the deadline passes, the child ends (though a child of its own may
  /// still hold the pipe), or a line is longer than kLongestLine.
  Line read_line(Clock::time_point deadline);
  /// Closes its standard input and gives it until the deadline, or the interruption, to end by
  /// itself.
  void close(Clock::time_point deadline);
  /// Kills the whole group, at once; the fault to throw, `what` and its last words.
  EngineFault kill(const std::string& what);

  /// Stops its group where it stands, and lets it go on: an engine that waits takes no processor.
  void pause();
  void resume();

  pid_t pid() const { return pid_; }  // of the leader, and of the group

 private:
  enum class Event { ready, ended, late };
  Event poll_streams(Clock::time_point deadline, bool write);
  void drain_errors();
  bool ended();
  std::string how_it_ended();

  pid_t pid_ = -1;
  int in_ = -1, out_ = -1, err_ = -1;
  int end_ = -1;  // readable when the process has ended; -1 where the system has no such file
  bool reaped_ = false, paused_ = false;
  std::string buffer_, errors_;
  size_t searched_ = 0;  // of buffer_, that has no end of line
  Clock::time_point arrived_{}, sent_{};
  const std::atomic<bool>* interrupted_;
};

}  // namespace hearth::lab
