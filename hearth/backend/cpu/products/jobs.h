// What linear() and matmul() become: products of one left side, and the ways to make them.
#pragma once
#include <cstring>
#include <span>

#include "hearth/backend/cpu/products/kernels.h"

namespace hearth::cpu {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

inline const std::byte* bytes(const void* p) { return static_cast<const std::byte*>(p); }
inline std::byte* bytes(void* p) { return static_cast<std::byte*>(p); }

/// One b of a product, and what becomes of it; strides in bytes.
struct Product {
  RawMatrix b;
  int64_t b_n, b_k;  // strides along n and k of what is dense
  int64_t n;
  std::byte* c;
  int64_t c_row;
  const std::byte* bias;
  Activation activation;
  const std::byte* residual;
  int64_t residual_row;
  const int64_t* c_rows = nullptr;  // where each row goes; null: in order
  RawMatrix times{};                // a second b, of the same strides, that c is multiplied by
  const std::byte* times_bias = nullptr;

  bool has_times() const { return times.planes[0]; }
  bool packed() const { return b.packed() || times.packed(); }

  void finish(Dtype dtype, int64_t row, int64_t column, int64_t count, const void* sums,
              const void* times_sums) const {
    const int64_t at = column * int64_t(size_of(dtype));
    if (c_rows) row = c_rows[row];
    const auto from = [&](const std::byte* p) { return p ? p + at : nullptr; };
    kernels::finish_row(
        dtype,
        {count, sums, from(bias), activation, has_times() ? times_sums : nullptr, from(times_bias),
         from(residual ? residual + row * residual_row : nullptr), c + row * c_row + at});
  }
};

/// The left side of a product: m x k, strides in bytes.
struct Left {
  const std::byte* data;
  int64_t m, k, row, col;
};

/// Up to so many rows streaming is faster than packing (Zen 4: twice as fast for 16, up to 96 for
/// large weights and up to 32 for those of 300 x 256).
inline constexpr int64_t kStreamed = 32;

/// A product of at most kStreamed rows of its own.
struct StreamedProduct {
  Left a;
  Product p;
};
/// All of them in one parallel region: rows of each b stream through registers, once.
void streamed(Dtype dtype, std::span<const StreamedProduct> products);

}  // namespace hearth::cpu
