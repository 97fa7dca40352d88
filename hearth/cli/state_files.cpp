#include "hearth/cli/state_files.h"

#include <fmt/format.h>

#include "hearth/cli/interrupt.h"
#include "hearth/cli/options.h"
#include "hearth/cli/output.h"
#include "hearth/io/output_file.h"

namespace hearth::cli {

void StateFiles::add_to(Command& command, bool own_turns) {
  const auto named = [](const std::string& file) {
    return std::string(file.empty() ? "wanted the name of a file" : "");
  };
  command
      .add_option("--load-state", from,
                  "Begin with what --save-state kept: what the prompt shares with it is not read")
      ->type_name("FILE")
      ->check(named);
  command
      .add_option("--save-state", to,
                  "Keep what the model has read and written, for the same model and dtype")
      ->type_name("FILE")
      ->check(named);
  command.add_flag("--deterministic", deterministic,
                   "Of a state use only what has the bits of a run without it");
  if (!own_turns) needs_one_of(command, "--deterministic", {"--load-state"});
}

void StateFiles::check() const {
  if (!to.empty()) const OutputFile tried(to);
}

llm::Beginning StateFiles::load(llm::LanguageModel& model) const {
  return from.empty() ? llm::Beginning() : llm::load_state(from, model);
}

void StateFiles::save(llm::LanguageModel& model, const llm::Beginning& held) const {
  if (to.empty()) return;
  if (held.ids.empty()) return print_err(fmt::format("nothing was read: no state in {}\n", to));
  const IgnoreInterrupt whole;  // it takes a moment, and half of it is of no use
  llm::save_state(to, model, held);
  std::error_code none;  // of what is no file
  const auto bytes = std::filesystem::file_size(to, none);
  print_err(fmt::format("{} tokens of state in {}{}\n", held.ids.size(), to,
                        none ? "" : fmt::format(" ({:.1f} MB)", double(bytes) / 1e6)));
}

}  // namespace hearth::cli
