// What this program was built from; cmake/build_facts.cmake writes the values at each build.
#pragma once

namespace hearth::cli {

extern const char* const kVersion;  // "0.1.0"
/// "0ed98ba12345", "-dirty" after it if something was changed; empty outside of a repository.
extern const char* const kCommit;
extern const char* const kSourceDir;

}  // namespace hearth::cli
