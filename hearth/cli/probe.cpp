// hearth probe: what the machine is and what it can do at most.
#include "hearth/lab/measure/probe.h"

#include <nlohmann/json.hpp>

#include "hearth/cli/lab.h"
#include "hearth/cli/output.h"
#include "hearth/core/backend.h"
#include "hearth/lab/show/probe_report.h"
#include "hearth/lab/show/text.h"

namespace hearth::cli {

void add_probe(Command& app) {
  auto* command = app.add_subcommand("probe", "Show the machine and measure its limits");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print JSON (keys: docs/cli.md)");
  add_threads(*command);
  command->callback([as_json] {
    std::vector<Device> devices;
    for (const Backend* backend : backends())
      for (int i = 0; i < backend->device_count(); ++i) devices.emplace_back(backend->type(), i);
    lab::Machine machine = lab::probe_machine(devices);
    if (*as_json) return show_json(lab::to_json(machine));
    print_out(lab::printable(lab::to_text(machine)));
  });
}

}  // namespace hearth::cli
