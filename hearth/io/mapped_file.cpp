#include "hearth/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "hearth/base/error.h"
#include "hearth/base/system.h"

namespace hearth {

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a pipe that nobody writes must not hang; files do not care.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  ensure(file.fd >= 0 || errno != ENOENT, path.string(), ": no such file");
  ensure(file.fd >= 0, path.string(), ": cannot be opened: ", reason(errno));
  struct stat info {};
  ensure(::fstat(file.fd, &info) == 0, path.string(), ": cannot be examined: ", reason(errno));
  ensure(!S_ISDIR(info.st_mode), path.string(), ": is a folder, wanted a file");
  ensure(S_ISREG(info.st_mode), path.string(), ": is not a regular file");
  ensure(info.st_size > 0, path.string(), ": the file is empty");
  const size_t size = size_t(info.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  ensure(data != MAP_FAILED, path.string(), ": cannot be mapped: ", reason(errno));
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, static_cast<const std::byte*>(data), size));
}

MappedFile::~MappedFile() { ::munmap(const_cast<std::byte*>(data_), size_); }

void MappedFile::advise(Advice advice, size_t offset, size_t bytes) const {
  if (offset >= size_) return;
  const size_t end = offset + std::min(bytes, size_ - offset);
  offset -= offset % size_t(::sysconf(_SC_PAGESIZE));  // madvise wants whole pages
  const int flag = advice == Advice::normal       ? MADV_NORMAL
                   : advice == Advice::sequential ? MADV_SEQUENTIAL
                                                  : MADV_WILLNEED;
  ::madvise(const_cast<std::byte*>(data_) + offset, end - offset, flag);
}

}  // namespace hearth
