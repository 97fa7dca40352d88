// What the operating system says about this machine and to this process.
#pragma once
#include <cstddef>
#include <filesystem>
#include <optional>

namespace hearth {

/// Bytes that this process can still take without swapping: what the kernel calls available, cut to
/// what the control groups (a container's limit, v1 or v2) leave. Clean file pages count as free.
/// Empty where the system does not say. `root` stands for / in tests.
std::optional<size_t> available_memory_bytes(const std::filesystem::path& root = "/");

/// Processors that this process may use: those it may run on, or fewer where a control group limits
/// its time (2.5 of 8 count as 3). `root` stands for / in tests.
int usable_processors(const std::filesystem::path& root = "/");

/// The variable of the environment; null where it is unset or empty.
const char* setting(const char* name);

}  // namespace hearth
