// hearth probe: what the machine is and what it can do at most.
#include "hearth/lab/probe.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "hearth/cli/commands.h"

namespace hearth::cli {

void add_probe(CLI::App& app) {
  auto* command = app.add_subcommand("probe", "Show the machine and measure its limits");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print JSON (keys: docs/cli.md)");
  add_threads(*command);
  command->callback([as_json] {
    lab::Machine machine = lab::probe_machine();
    fmt::print("{}", *as_json ? lab::to_json(machine).dump(2) + "\n" : lab::to_text(machine));
  });
}

}  // namespace hearth::cli
