// Arrays over bytes that io brought into memory: a mapped file, a decoded one.
#pragma once
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "hearth/core/array.h"

namespace hearth {

/// Bytes of the host's memory, 64-byte aligned and counted as active while held.
std::shared_ptr<std::byte> host_bytes(size_t bytes);

/// A row-major array at `data`, of any alignment, which is not copied and never written; `keeper`
/// holds the memory as long as any array uses it. Reads nothing but bools: a byte that is neither 0
/// nor 1 throws std::runtime_error beginning with `who`.
array foreign_array(std::shared_ptr<const void> keeper, const std::byte* data,
                    std::span<const int64_t> shape, Dtype dtype, std::string_view who);

/// The values row-major without gaps; evaluates. The same memory if they lie so.
array row_major(const array& a);

/// Of an evaluated row-major array: its bytes, while it lives.
std::span<const std::byte> bytes_of(const array& a);

}  // namespace hearth
