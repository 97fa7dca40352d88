// Files of the folder ../shared (or $HEARTH_SHARED), which may not be committed: tests that need
// one skip, with the reason, where it is not there.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "tests/paths.h"

namespace hearth::testing {

/// The folder of shared files: $HEARTH_SHARED if set, else ../shared beside the repository.
inline std::optional<std::filesystem::path> shared_dir() {
  const char* named = std::getenv("HEARTH_SHARED");
  std::filesystem::path folder = named ? std::filesystem::path(named) : source_dir() / "../shared";
  if (!std::filesystem::is_directory(folder)) return std::nullopt;
  return folder;
}

/// shared_dir() / name if that exists.
inline std::optional<std::filesystem::path> shared_path(const char* name) {
  const auto folder = shared_dir();
  if (!folder || !std::filesystem::exists(*folder / name)) return std::nullopt;
  return *folder / name;
}

/// A file or folder of the repository itself.
inline std::filesystem::path source_path(const char* name) { return source_dir() / name; }

}  // namespace hearth::testing

/// Declares `variable` as the path of the shared file `name`, or skips the test saying why.
#define HEARTH_SHARED_OR_SKIP(variable, name)                                                   \
  const auto variable##_if_there = ::hearth::testing::shared_path(name);                        \
  if (!variable##_if_there)                                                                     \
    GTEST_SKIP() << "needs " << (name) << " in ../shared (or $HEARTH_SHARED), which is absent"; \
  const std::filesystem::path variable = *variable##_if_there
