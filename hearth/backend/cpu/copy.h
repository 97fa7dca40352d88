// Moving elements between layouts: the loops under copies, gathers and updates.
#pragma once
#include <algorithm>
#include <array>
#include <cstring>

#include "hearth/core/shape.h"

namespace hearth::cpu {

/// Copies elements of `item` bytes (1, 2, 4 or 8), at any alignment, from one layout to another, in
/// parallel when it is much. Strides in elements; the layouts must not overlap.
void copy_strided(const std::byte* from, const Strides& from_strides, std::byte* to,
                  const Strides& to_strides, const Shape& shape, size_t item);
/// The same on the calling thread.
void copy_strided_serial(const std::byte* from, const Strides& from_strides, std::byte* to,
                         const Strides& to_strides, const Shape& shape, size_t item);

template <class T>
T load(const std::byte* p) {
  T v;
  std::memcpy(&v, p, sizeof(T));
  return v;
}
template <class T>
void store(std::byte* p, T v) {
  std::memcpy(p, &v, sizeof(T));
}

/// Calls f<T>() with an unsigned T of that size.
template <class F>
void with_item(size_t item, F&& f) {
  if (item == 1) return f.template operator()<uint8_t>();
  if (item == 2) return f.template operator()<uint16_t>();
  if (item == 4) return f.template operator()<uint32_t>();
  return f.template operator()<uint64_t>();
}

/// Calls f(offsets) for every index of `shape` in row-major order, with the sum of index * strides
/// for each of the N operands.
template <size_t N, class F>
void each_index(const Shape& shape, const std::array<Strides, N>& strides, F&& f) {
  if (std::count(shape.begin(), shape.end(), 0) > 0) return;
  std::array<int64_t, N> at{};
  SmallVector<int, 6> index(shape.size(), 0);
  while (true) {
    f(at);
    size_t axis = shape.size();
    while (axis-- > 0) {
      for (size_t k = 0; k < N; ++k) at[k] += strides[k][axis];
      if (++index[axis] < shape[axis]) break;
      for (size_t k = 0; k < N; ++k) at[k] -= strides[k][axis] * shape[axis];
      index[axis] = 0;
    }
    if (axis == size_t(-1)) return;
  }
}

}  // namespace hearth::cpu
