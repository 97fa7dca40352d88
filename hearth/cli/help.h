// What the program says of itself: help, completions for shells, a manual page. All are made from
// the options themselves.
#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

namespace hearth::cli {

/// CLI11's help, with descriptions broken at the width of the terminal.
std::shared_ptr<CLI::FormatterBase> help_formatter();

/// The word with the fewest edits from `word`, or "" if none is near enough to be meant.
std::string closest(const std::string& word, const std::vector<std::string>& candidates);

/// Of an unknown subcommand: "there is no command 'prob', did you mean 'probe'?"
std::string no_such_command(const CLI::App& parent, const std::string& word);

}  // namespace hearth::cli
