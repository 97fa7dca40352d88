#include "hearth/io/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "hearth/base/error.h"

namespace hearth {

namespace {
std::string reason(int error) { return std::generic_category().message(error); }
}  // namespace

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
  static std::atomic<unsigned> count = 0;  // several threads may write the same path
  temporary_ = path_;
  temporary_ += concat(".", ::getpid(), ".", count++, ".partial");
  ensure(!std::filesystem::is_directory(path_), path_.string(),
         ": is a folder, wanted a file name");
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  ensure(fd_ >= 0, path_.string(), ": cannot be written: ", reason(errno));
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    ensure(n >= 0, path_.string(), ": cannot be written: ", reason(errno));
    bytes = bytes.subspan(size_t(n));
  }
}

void OutputFile::commit() {
  const int closed = ::close(std::exchange(fd_, -1));
  const int error = errno;
  if (closed == 0 && std::rename(temporary_.c_str(), path_.c_str()) == 0) return;
  const std::string why = reason(closed == 0 ? errno : error);
  ::unlink(temporary_.c_str());
  ensure(false, path_.string(), ": cannot be written: ", why);
}

}  // namespace hearth
