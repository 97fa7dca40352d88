// --load-state and --save-state: what a model has read, from one run to the next.
#pragma once
#include <string>

#include "hearth/cli/command.h"
#include "hearth/llm/state_file.h"

namespace hearth::cli {

struct StateFiles {
  std::string from, to;
  bool deterministic = false;

  /// Is a file read or written?
  bool used() const { return !from.empty() || !to.empty(); }
  /// --load-state, --save-state, --deterministic. With `own_turns` a run has states of its own, and
  /// the last means something without the first.
  void add_to(Command& command, bool own_turns);
  /// Throws for a --save-state that cannot be written: before anything is computed.
  void check() const;
  /// What --load-state names; empty without it.
  llm::Beginning load(llm::LanguageModel& model) const;
  /// Writes what --save-state names, and says so on stderr.
  void save(llm::LanguageModel& model, const llm::Beginning& held) const;
};

}  // namespace hearth::cli
