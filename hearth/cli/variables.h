// Variables of a chat template on the command line: --set NAME=JSON.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

namespace hearth::cli {

void add_variables(CLI::App& command, std::vector<std::string>& given);

/// Names and JSON. Throws CLI::ValidationError for what has no name.
std::vector<std::pair<std::string, std::string>> parse_variables(
    const std::vector<std::string>& given);

}  // namespace hearth::cli
