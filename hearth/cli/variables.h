// Variables of a chat template on the command line: --set NAME=JSON.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "hearth/cli/command.h"

namespace hearth::cli {

void add_variables(Command& command, std::vector<std::string>& given);

/// Names and JSON. Throws UsageError for what has no name.
std::vector<std::pair<std::string, std::string>> parse_variables(
    const std::vector<std::string>& given);

}  // namespace hearth::cli
