#include "hearth/backend/cpu/rows.h"

#include <cstring>

namespace hearth::cpu {

void gather(const View& view, const std::byte* data, size_t item, std::byte* to) {
  Shape shape = view.shape;
  Strides strides = view.strides;
  collapse(shape, std::span(&strides, 1));
  if (shape.empty()) {
    std::memcpy(to, data, item);
    return;
  }
  for (int n : shape)
    if (n == 0) return;
  const int last = int(shape.size()) - 1;
  SmallVector<int, 6> at(shape.size(), 0);
  while (true) {
    if (strides[last] == 1) {
      std::memcpy(to, data, item * size_t(shape[last]));
      to += item * size_t(shape[last]);
    } else {
      for (int i = 0; i < shape[last]; ++i, to += item)
        std::memcpy(to, data + i * strides[last] * int64_t(item), item);
    }
    int axis = last - 1;
    for (; axis >= 0; --axis) {
      data += strides[axis] * int64_t(item);
      if (++at[axis] < shape[axis]) break;
      data -= strides[axis] * int64_t(item) * shape[axis];
      at[axis] = 0;
    }
    if (axis < 0) return;
  }
}

Rows rows_of(const array& a) {
  const Node& n = a.node();
  const int64_t length = n.shape.empty() ? 1 : n.shape.back();
  const int64_t count = length == 0 ? 0 : int64_t(a.size()) / length;
  Rows rows{n.data(), count, length, length, {}};
  if (a.size() == 0) return rows;
  bool plain = n.shape.empty() || length == 1 || n.strides.back() == 1;
  int64_t stride = 0, span = 1;  // span: rows seen so far, from the inner axes
  for (int axis = int(n.shape.size()) - 2; axis >= 0 && plain; --axis) {
    if (n.shape[axis] == 1) continue;
    if (span == 1)
      stride = n.strides[axis];
    else
      plain = n.strides[axis] == stride * span;
    span *= n.shape[axis];
  }
  if (plain) {
    if (span > 1) rows.stride = stride;
    return rows;
  }
  const size_t item = size_of(n.dtype);
  rows.copy.reset(new std::byte[a.size() * item]);
  gather(n.view(), n.data(), item, rows.copy.get());
  rows.data = rows.copy.get();
  return rows;
}

}  // namespace hearth::cpu
