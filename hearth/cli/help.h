// What helps where a name was wrong, and how long texts are broken.
#pragma once
#include <string>
#include <vector>

namespace hearth::cli {

/// Words of `text` in lines of at most `columns`, all but the first indented.
std::string wrapped(const std::string& text, size_t columns, size_t indent);

/// The word with the fewest edits from `word`, or "" if none is near enough to be meant.
std::string closest(const std::string& word, const std::vector<std::string>& candidates);

/// Of an unknown subcommand: "there is no command 'prob', did you mean 'probe'?"
std::string no_such_command(const std::string& word, const std::vector<std::string>& there);

}  // namespace hearth::cli
