// Inputs of kernels that take no gaps.
#pragma once
#include <vector>

#include "hearth/backend/cpu/copy.h"
#include "hearth/core/backend.h"

namespace hearth::cpu {

/// The elements of an array, row-major and aligned: where they are if they lie so, else copied to
/// `room`.
template <class T>
const T* whole(const array& a, std::vector<T>& room) {
  const Node& n = a.node();
  const bool aligned = reinterpret_cast<uintptr_t>(n.data()) % alignof(T) == 0;
  if (aligned && row_contiguous(n.shape, n.strides)) return ptr<T>(a);
  room.resize(a.size());
  if (!room.empty())
    copy_strided(n.data(), n.strides, reinterpret_cast<std::byte*>(room.data()), row_major(n.shape),
                 n.shape, sizeof(T));
  return room.data();
}

}  // namespace hearth::cpu
