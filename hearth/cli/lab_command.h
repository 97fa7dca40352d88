// The part of hearth lab run that measures commands: its options, and what is made of them.
#pragma once
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "hearth/cli/lab_runs.h"
#include "hearth/lab/run/commands.h"

namespace hearth::cli {

/// The options of `lab run --command`.
class CommandJob {
 public:
  void add_to(Command& command);
  /// Whether commands are to be measured; throws UsageError where an option of theirs was
  /// given without a command, or one of engines with one.
  bool wanted(const Command& command) const;
  /// What they ask for. `names` are those of -n.
  lab::CommandOptions options(const Command& command, const std::string& output,
                              const std::vector<std::string>& names) const;

 private:
  std::vector<Option*> ours_;
  std::vector<std::string> commands_, names_, prepare_, conclude_, metrics_;
  std::vector<std::tuple<std::string, std::string, std::string>> scans_;
  std::vector<std::pair<std::string, std::string>> lists_;
  std::string reference_, reference_name_, setup_, cleanup_, shell_ = "sh", input_ = "null", step_;
  std::string ignored_;
  int runs_ = 0, least_runs_ = 10, most_runs_ = 0;
  bool no_shell_ = false, show_output_ = false;
};

/// --export-json, --export-markdown, --export-csv: hyperfine's forms.
class Exports {
 public:
  void add_to(Command& command);
  /// Throws where one of the files cannot be written.
  void check() const;
  void write(const lab::Result& result) const;

 private:
  std::string json_, markdown_, csv_;
};

}  // namespace hearth::cli
