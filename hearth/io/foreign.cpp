#include "hearth/io/foreign.h"

#include <algorithm>

#include "hearth/core/primitive.h"
#include "hearth/ops/movement.h"

namespace hearth {

std::shared_ptr<std::byte> host_bytes(size_t bytes) {
  const Buffer buffer = host_memory().allocate(bytes);
  return {static_cast<std::byte*>(buffer.data), [buffer](auto*) { host_memory().release(buffer); }};
}

array foreign_array(std::shared_ptr<const void> keeper, const std::byte* data,
                    std::span<const int64_t> shape, Dtype dtype, std::string_view who) {
  // An array never writes foreign memory, so the const that is cast away here holds.
  array a(const_cast<std::byte*>(data), Shape(shape.begin(), shape.end()), dtype,
          [keeper = std::move(keeper)](void*) {});
  if (dtype == bool_) {  // C++ and vector code both take for granted that a bool is 0 or 1
    const bool valid =
        std::all_of(data, data + a.nbytes(), [](std::byte b) { return b <= std::byte{1}; });
    ensure(valid, who, ": a bool that is neither 0 nor 1");
  }
  return a;
}

array row_major(const array& a) {
  const array values = contiguous(a);
  values.eval();
  return values;
}

std::span<const std::byte> bytes_of(const array& a) { return {a.host_bytes(), a.nbytes()}; }

}  // namespace hearth
