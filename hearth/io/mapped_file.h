// A file seen as memory: mapped, read-only, shared by all who look at it.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace hearth {

/// A whole file, mapped. Pages come from the page cache when they are first touched and can never
/// be written. Replacing the file by another (rename) is safe; cutting it short under the mapping
/// is not: the system answers a touch beyond its end with SIGBUS.
class MappedFile {
 public:
  enum class Advice { normal, sequential, will_need };

  /// Throws std::runtime_error with the path and the reason: missing, a folder, empty, unreadable.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  size_t size() const { return size_; }  // bytes, at least 1
  const std::filesystem::path& path() const { return path_; }
  /// A hint for the system about [offset, offset + bytes), cut to the file; never fails.
  void advise(Advice advice, size_t offset = 0, size_t bytes = SIZE_MAX) const;

 private:
  MappedFile(std::filesystem::path path, const std::byte* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}
  std::filesystem::path path_;
  const std::byte* data_;
  size_t size_;
};

}  // namespace hearth
