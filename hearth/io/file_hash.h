// The hashes that a file on the Hub is known by.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace hearth {

/// Takes a file's bytes in pieces and gives its hash in hexadecimal digits.
class FileHash {
 public:
  /// SHA-256 of the bytes: files of Git LFS.
  static FileHash sha256();
  /// SHA-1 as Git names a blob, which begins with its size: all other files.
  static FileHash git_blob(uint64_t size);
  /// The one whose digits `like` is: 64 digits SHA-256, 40 a Git blob's.
  static FileHash like(std::string_view digits, uint64_t size);
  ~FileHash();
  FileHash(FileHash&&) noexcept;
  FileHash& operator=(FileHash&&) noexcept;

  void add(std::string_view bytes);
  /// Of all that was added; the hash is then used up.
  std::string digits();

 private:
  struct State;
  explicit FileHash(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Whether it is as many digits as SHA-1 or SHA-256 have, in lower case: then it is a safe name for
/// a file too.
bool is_hash(std::string_view text);

}  // namespace hearth
