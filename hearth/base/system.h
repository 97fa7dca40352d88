// What the operating system says about this machine and to this process.
#pragma once
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace hearth {

/// Bytes that this process can still take without swapping: what the kernel calls available, cut to
/// what the control groups (a container's limit, v1 or v2) leave. Clean file pages count as free.
/// Empty where the system does not say. `root` stands for / in tests.
std::optional<size_t> available_memory_bytes(const std::filesystem::path& root = "/");

/// Processors that this process may use: those it may run on, or fewer where a control group limits
/// its time (2.5 of 8 count as 3). `root` stands for / in tests.
int usable_processors(const std::filesystem::path& root = "/");

/// What an errno means: "No such file or directory".
std::string reason(int error);

/// An open file, closed at the end; -1: none.
struct Descriptor {
  int fd = -1;
  Descriptor() = default;
  explicit Descriptor(int opened) : fd(opened) {}
  Descriptor(Descriptor&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd, other.fd);
    return *this;
  }
  ~Descriptor() { close(); }
  void close();
};

/// The variable of the environment; null where it is unset or empty.
const char* setting(const char* name);

}  // namespace hearth
