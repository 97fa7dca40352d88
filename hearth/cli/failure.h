// A failure with an exit code of its own: docs/cli.md lists them.
#pragma once
#include <stdexcept>
#include <string>

namespace hearth::cli {

struct Failure : std::runtime_error {
  Failure(int exit_code, const std::string& why) : std::runtime_error(why), exit_code(exit_code) {}
  int exit_code;
};

}  // namespace hearth::cli
