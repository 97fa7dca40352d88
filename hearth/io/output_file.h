// A file written whole or not at all.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace hearth {

/// Writes beside the path under a temporary name; commit() puts it in place, replacing what was
/// there in one step. Without commit nothing changes. Arrays mapped from the old file stay valid.
/// A pipe or a device (/dev/stdout) is not replaced: it gets the bytes as they come, from the first
/// write on.
class OutputFile {
 public:
  /// Throws std::runtime_error with the path and the reason.
  explicit OutputFile(std::filesystem::path path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  void commit();

 private:
  std::filesystem::path path_, temporary_;  // temporary_: empty where bytes go straight to path_
  int fd_ = -1;
};

}  // namespace hearth
