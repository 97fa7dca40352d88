// What the operating system says about this machine.
#pragma once
#include <cstddef>
#include <filesystem>
#include <optional>

namespace hearth {

/// Bytes that this process can still take without swapping: what the kernel calls available, cut to
/// what the control groups (a container's limit, v1 or v2) leave. Clean file pages count as free.
/// Empty where the system does not say. `root` stands for / in tests.
std::optional<size_t> available_memory_bytes(const std::filesystem::path& root = "/");

}  // namespace hearth
