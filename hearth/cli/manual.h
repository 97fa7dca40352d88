// Completions for shells and the manual page, made by walking the commands and their options.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace hearth::cli {

/// The commands of an application, or of a command, that are not hidden.
std::vector<const CLI::App*> shown_commands(const CLI::App& parent);

/// What stands for an option's value in the help: "N", "MODEL".
std::string value_name(const CLI::Option& option);

/// A script for "bash", "zsh" or "fish".
std::string completions_for(const std::string& shell, const CLI::App& app);

/// roff, for man(1).
std::string manual_page(const CLI::App& app);

}  // namespace hearth::cli
