// Commands as engines: any programs, in turns. A repetition is a process from its start to its end.
#pragma once
#include <set>

#include "hearth/lab/run/command_line.h"
#include "hearth/lab/run/runner.h"

namespace hearth::lab {

struct CommandOptions {
  std::vector<Command> commands;
  /// The shell, with its options; "-c" and the command follow. Empty: the command's own words.
  std::vector<std::string> shell = {"sh"};
  std::string input = "/dev/null";  // a file
  int warmups = 1;                  // of each command, not counted
  int least_runs = 10;
  std::optional<int> most_runs;
  double least_seconds = 3;         // of samples, for each command
  std::optional<double> target_ci;  // goes on until every interval is this narrow, 10 times at most
  bool take_turns = false;          // in two blocks, with the set-up before and the clean-up after
  bool ignore_failure = false;      // of every exit code but 0, or of `ignored` alone
  std::set<int> ignored;
  std::vector<std::string> metrics;  // each a regular expression, whose first group is a number
  double timeout_s = 0;              // of one execution; 0: none
  double telemetry_period_s = 0.1;   // 0: none
  bool watch = true;                 // what disturbs: else all pairs count as quiet
  std::string made_by;
  /// Is called after each run that is measured, and may write it down.
  std::function<void(const Addition&)> keep;
};

/// Runs them. When `interrupted` is set, what was measured comes back with plan.finished false; so
/// it does when a command fails, with the reason among its faults. Throws std::invalid_argument for
/// options without a meaning.
///
/// What the system accounts to a repetition stands in `own`: user_s, system_s, minor_faults,
/// major_faults, voluntary_switches, involuntary_switches, exit_code; where they are known
/// peak_memory_bytes and energy_j; shell_s, what was taken off; and each metric under its text.
Result run_commands(const CommandOptions& options, const std::atomic<bool>& interrupted,
                    const OnProgress& progress = {});

}  // namespace hearth::lab
