// One execution of a program, from its start to its end: how long, and what the system gave it.
#pragma once
#include <atomic>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/measure/reading.h"
#include "hearth/lab/run/child_process.h"

namespace hearth::lab {

/// What becomes of what a program writes.
enum class Output : uint8_t {
  none,     // to /dev/null
  discard,  // standard output through a pipe that is read to its end; errors to /dev/null
  show,     // where this process writes
  file,     // standard output; errors to /dev/null
  keep,     // both through a pipe, as Execution::text
};

struct Program {
  std::vector<std::string> args;         // args[0] is found in PATH
  std::vector<std::string> environment;  // "NAME=value", on top of this process's
  std::string input = "/dev/null";       // a file
  Output output = Output::none;
  std::string file;           // of Output::file; written anew
  double timeout_s = 0;       // 0: none
  bool watch_memory = false;  // of all processes that it starts
};

struct Execution {
  Clock::time_point begin, end;
  int exit_code = 0;  // 128 and the signal's number where one ended it
  // Of the program and all children of it that it waited for.
  double user_s = 0, system_s = 0;
  long minor_faults = 0, major_faults = 0;
  long voluntary_switches = 0, involuntary_switches = 0;
  /// The most that all its processes held at one time. Between two looks it is what the largest
  /// process had. Missing where it is less than what starting a program takes here.
  Reading<int64_t> peak_bytes;
  std::string text;       // of Output::keep
  bool text_cut = false;  // there was more than kLongestText
  double seconds() const { return std::chrono::duration<double>(end - begin).count(); }
};

constexpr size_t kLongestText = 16 << 20;

/// Runs the program in a process group of its own. The child is made before the clock starts: what
/// is timed begins with its exec. Throws EngineFault if it cannot be started or takes longer than
/// its time-out, Interrupted when asked to stop; its group is then gone.
Execution execute(const Program& program, const std::atomic<bool>* interrupted = nullptr);

/// While it lives, processes whose parents end become children of this process, so that none is
/// lost; at its end those that are left are killed. Children that were there before stay.
class Descendants {
 public:
  Descendants();
  ~Descendants();
  Descendants(const Descendants&) = delete;

 private:
  std::vector<pid_t> before_;
  bool was_reaper_ = false;
};

/// The words of a command line as a shell splits it: blanks, '...', "...", \x. Throws
/// std::invalid_argument where a quote is not closed.
std::vector<std::string> split_words(std::string_view line);

}  // namespace hearth::lab
