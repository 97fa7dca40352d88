// Exit codes, and a failure with one of its own.
#pragma once
#include <stdexcept>
#include <string>

namespace hearth::cli {

struct ExitCode {
  int code;
  const char* meaning;
};
inline constexpr ExitCode kExitCodes[] = {
    {0, "It is done."},
    {1, "It failed; a sentence on standard error says why."},
    {2, "It was asked wrongly; a sentence says what was not understood."},
    {3, "lab compare --strict: the engines took no turns, so drift is in the result."},
    {130, "Interrupted by Ctrl-C; what was measured until then is shown."},
};

struct Failure : std::runtime_error {
  Failure(int exit_code, const std::string& why) : std::runtime_error(why), exit_code(exit_code) {}
  int exit_code;
};

}  // namespace hearth::cli
