// The same values in every memory layout a kernel can meet.
#pragma once
#include "hearth/ops/movement.h"

namespace hearth::testing {

/// Row-major bytes of `a`.
inline std::string row_major_bytes(const array& a) {
  const array flat = contiguous(a);
  flat.eval();
  return {reinterpret_cast<const char*>(flat.host_bytes()), flat.nbytes()};
}

/// An array of these row-major bytes, in foreign memory `shift` bytes off any alignment.
inline array from_bytes(const std::string& bytes, const Shape& shape, Dtype dtype,
                        size_t shift = 0) {
  auto* memory = new std::string(shift, 'x');
  *memory += bytes;
  return array(memory->data() + shift, shape, dtype, [memory](void*) { delete memory; });
}

/// x row-major; reversed; transposed; every second of a larger array; misaligned. All equal x.
inline std::vector<std::pair<std::string, array>> layouts(const array& x) {
  std::vector<std::pair<std::string, array>> all{{"row-major", x}};
  if (x.ndim() == 0) return all;
  all.emplace_back("reversed", flip(contiguous(flip(x))));
  all.emplace_back("transposed", transpose(contiguous(transpose(x))));
  Shape start(x.shape().size(), 1), stop, step(x.shape().size(), 2);
  for (auto n : x.shape()) stop.push_back(2 * n + 1);
  const array apart = slice_update(broadcast_to(array(7, x.dtype()), stop), x, start, stop, step);
  all.emplace_back("strided", slice(apart, start, stop, step));
  all.emplace_back("misaligned", from_bytes(row_major_bytes(x), x.shape(), x.dtype(), 1));
  for (auto& [name, a] : all) a.eval();
  return all;
}

}  // namespace hearth::testing
