#include "hearth/io/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "hearth/base/error.h"
#include "hearth/base/system.h"

namespace hearth {

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
  static std::atomic<unsigned> count = 0;  // several threads may write the same path
  std::error_code none;
  const auto there = std::filesystem::status(path_, none);
  ensure(!is_directory(there), path_.string(), ": is a folder, wanted a file name");
  ensure(!is_block_file(there), path_.string(), ": is a disk, wanted a file name");
  if (exists(there) && !is_regular_file(there)) return;
  if (std::filesystem::is_symlink(path_, none) && exists(there)) {
    const auto file = std::filesystem::canonical(path_, none);
    if (none) return;  // /dev/stdout, a file that has lost its name
    path_ = file;      // the file changes, not what points to it
  }
  temporary_ = path_;
  temporary_ += concat(".", ::getpid(), ".", count++, ".partial");
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  ensure(fd_ >= 0, path_.string(), ": cannot be written: ", reason(errno));
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void OutputFile::write(std::span<const std::byte> bytes) {
  if (fd_ < 0 && temporary_.empty()) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    ensure(fd_ >= 0, path_.string(), ": cannot be written: ", reason(errno));
  }
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    ensure(n >= 0, path_.string(), ": cannot be written: ", reason(errno));
    bytes = bytes.subspan(size_t(n));
  }
}

void OutputFile::commit() {
  if (temporary_.empty()) return;
  // On the disk before it takes the old one's place: a crash leaves one of them whole.
  bool good = ::fsync(fd_) == 0;
  int error = errno;
  if (::close(std::exchange(fd_, -1)) != 0 && good) good = false, error = errno;
  if (good && std::rename(temporary_.c_str(), path_.c_str()) == 0) return;
  const std::string why = reason(good ? errno : error);
  ::unlink(temporary_.c_str());
  ensure(false, path_.string(), ": cannot be written: ", why);
}

}  // namespace hearth
