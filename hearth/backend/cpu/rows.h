// Arrays as raw memory for kernels: rows of the last axis, and memory that a thread keeps.
#pragma once
#include <memory>
#include <new>

#include "hearth/core/backend.h"

namespace hearth::cpu {

/// Memory, 64-byte aligned, that grows and is kept: declare it thread_local.
class Scratch {
 public:
  template <class T = std::byte>
  T* get(size_t count) {
    if (count * sizeof(T) > size_) {
      data_.reset();
      size_ = 0;
      data_.reset(static_cast<std::byte*>(::operator new(count * sizeof(T), kAlign)));
      size_ = count * sizeof(T);
    }
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  static constexpr std::align_val_t kAlign{64};
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, kAlign); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

/// An array as `count` rows of `length` contiguous elements, `stride` elements apart.
struct Rows {
  const std::byte* data;
  int64_t count, length, stride;
  std::unique_ptr<std::byte[]> copy;  // of an array that does not lie so
};
Rows rows_of(const array& a);

/// Copies the elements of any layout to row-major `to`.
void gather(const View& view, const std::byte* data, size_t item, std::byte* to);

}  // namespace hearth::cpu
