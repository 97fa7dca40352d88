// Completions for shells and the manual page, made by walking the commands and their options.
#pragma once
#include <string>

#include "hearth/cli/command.h"

namespace hearth::cli {

/// A script for "bash", "zsh" or "fish".
std::string completions_for(const std::string& shell, const Command& program);

/// roff, for man(1).
std::string manual_page(const Command& program);

}  // namespace hearth::cli
