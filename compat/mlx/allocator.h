// MLX's allocator.h, in front of hearth: the host's memory by MLX's names. A Buffer knows its size,
// which hearth's allocator wants back; MLX's programs hand Buffers on by value, and that works.
#pragma once
#include <functional>
#include <utility>

#include "hearth/hearth.h"

namespace hearth::allocator {

class Buffer {
 public:
  explicit Buffer(void* ptr, size_t size = 0) : ptr_(ptr), size_(size) {}
  void* raw_ptr() { return ptr_; }
  void* ptr() { return ptr_; }
  const void* ptr() const { return ptr_; }
  size_t size() const { return size_; }

 private:
  void* ptr_;
  size_t size_;
};

class Allocator {
 public:
  Buffer malloc(size_t size) {
    const hearth::Buffer got = host_memory().allocate(size);
    return Buffer(got.data, got.size);
  }
  void free(Buffer buffer) {
    if (buffer.ptr()) host_memory().release({buffer.ptr(), buffer.size()});
  }
  size_t size(Buffer buffer) const { return buffer.size(); }
};
inline Allocator& allocator() {
  static Allocator one;
  return one;
}

using Deleter = std::function<void(Buffer)>;

/// A buffer and what gives it back.
class Data {
 public:
  Data(Buffer buffer, Deleter deleter) : buffer_(buffer), deleter_(std::move(deleter)) {
    check(bool(deleter_), "allocator::Data: the deleter is empty");
  }
  Data(Data&& other) noexcept
      : buffer_(other.buffer_), deleter_(std::exchange(other.deleter_, nullptr)) {}
  Data(const Data&) = delete;
  Data& operator=(const Data&) = delete;
  ~Data() {
    if (deleter_) deleter_(buffer_);
  }
  Buffer buffer() const { return buffer_; }

 private:
  Buffer buffer_;
  Deleter deleter_;
};
inline Data malloc(size_t size) {
  return Data(allocator().malloc(size), [](Buffer b) { allocator().free(b); });
}

}  // namespace hearth::allocator
