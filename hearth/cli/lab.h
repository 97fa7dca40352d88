// The subcommands of hearth lab, and what they share.
#pragma once
#include "hearth/cli/commands.h"

namespace hearth::cli {

void add_lab_telemetry(CLI::App& lab);

}  // namespace hearth::cli
