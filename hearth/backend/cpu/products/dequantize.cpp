// Rows of packed weights as dense ones.
#include <algorithm>

#include "hearth/backend/cpu/products/kernels.h"
#include "hearth/backend/cpu/products/products.h"
#include "hearth/backend/cpu/rows.h"
#include "hearth/backend/pool.h"

namespace hearth::cpu {
namespace {

/// Row i of `rows` is row_at(i) of m, unpacked and rounded.
template <class RowAt>
void dequantize_some(const RawMatrix& m, int64_t in, int64_t rows, Dtype dtype, void* out,
                     const RowAt& row_at) {
  const int64_t size = int64_t(size_of(dtype));
  // MLX rounds affine weights twice, to the dtype of their scales: as the plain definition does.
  const bool plain = packing_info(m.packing).planes == 3;
  constexpr int64_t kPart = 4096;  // weights
  const int64_t parts = plain ? 1 : std::max<int64_t>(1, (in + kPart - 1) / kPart);
  parallel_for(rows * parts, [&](int64_t i) {
    const int64_t row = i / parts, first = i % parts * kPart, to = row * in + first;
    const int64_t count = plain ? in : std::min(kPart, in - first);
    thread_local Scratch scratch;
    float* const floats = scratch.get<float>(size_t(count));
    if (plain)
      unpack_rows(m, in, row_at(row), 1, floats);
    else
      kernels::unpack({1, in, first, count, m.from_row(row_at(row), in), floats, count});
    kernels::narrow(dtype, floats, count, static_cast<std::byte*>(out) + to * size);
  });
}

}  // namespace

void dequantize(const RawMatrix& m, int64_t in, int64_t first, int64_t count, Dtype dtype,
                void* out) {
  dequantize_some(m, in, count, dtype, out, [&](int64_t row) { return first + row; });
}
void dequantize(const RawMatrix& m, int64_t in, std::span<const int64_t> rows, Dtype dtype,
                void* out) {
  dequantize_some(m, in, int64_t(rows.size()), dtype, out,
                  [&](int64_t row) { return rows[size_t(row)]; });
}

}  // namespace hearth::cpu
