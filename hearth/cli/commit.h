// Which source this program was built from; cmake/commit.cmake writes the text at each build.
#pragma once

namespace hearth::cli {

/// "0ed98ba12345", "-dirty" after it if something was changed; empty outside of a repository.
extern const char* const kCommit;

}  // namespace hearth::cli
