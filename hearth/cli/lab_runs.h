// What the subcommands of hearth lab that run engines share.
#pragma once
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "hearth/cli/commands.h"
#include "hearth/cli/output.h"
#include "hearth/lab/run/runner.h"

namespace hearth::cli {

/// How engines take turns: the same options wherever they do.
struct TurnOptions {
  int pairs = 12, starts = 0;
  double seconds, warmup, timeout = 600;
  bool ignore_others = false;

  /// --pairs, --starts, --seconds, --warmup, --timeout, --ignore-others.
  void add_to(Command& command, int fewest_pairs);
  /// With this program's engines.
  lab::RunOptions run_options() const;
};

/// Gone, with all in it, at its end.
struct TemporaryFolder {
  std::filesystem::path path;
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
};

/// The checkpoint that all engines load for a job: its model's folder, or, of random weights, one
/// that is written and lives as long as this. Empty for an operation.
class JobModel {
 public:
  /// Ctrl-C meanwhile ends the program: `undo_too` is called before.
  JobModel(const lab::Job& job, const std::string& dtype,
           const std::function<void()>& undo_too = {});
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::optional<TemporaryFolder> weights_;
  std::filesystem::path folder_;
};

/// One line that is rewritten on a terminal; elsewhere a line every ten seconds.
class ProgressLine {
 public:
  void operator()(const lab::Progress& p);
  ~ProgressLine();

 private:
  bool terminal_ = is_terminal(STDERR_FILENO), written_ = false;
  lab::Clock::time_point last_{};
};

}  // namespace hearth::cli
