#include "hearth/ops/batched_products.h"

#include <cmath>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/movement_detail.h"
#include "hearth/ops/wide.h"

namespace hearth {

namespace {

// (-1, rows, columns), and where in it each of the batch lies.
struct Stack {
  array all, places;
};
Stack stacked(const array& m, const std::optional<array>& indices) {
  check(m.ndim() >= 2, "gather_mm: wanted matrices, got shape ", m.shape());
  const Shape batch(m.shape().begin(), m.shape().end() - 2);
  const int n = axis_size(int64_t(element_count(batch)), "gather_mm");
  if (indices) detail::check_indices(*indices, "gather_mm");
  return {reshape(m, {n, m.shape(-2), m.shape(-1)}),
          indices ? *indices : reshape(arange(n), batch)};
}

// A mask (..., rows, columns) of blocks as one of elements, cut to (..., m, n).
array of_elements(const array& mask, int block, int m, int n, Dtype dtype, std::string_view who) {
  const auto blocks = [&](int size) { return (int64_t(size) + block - 1) / block; };
  check(mask.ndim() >= 2 && mask.shape(-2) == blocks(m) && mask.shape(-1) == blocks(n), who,
        ": a mask of shape ", mask.shape(), " for blocks of ", block, " of (", m, ", ", n, ")");
  array wide = repeat(repeat(mask, block, -2), block, -1);
  Shape stop = wide.shape();
  stop.back() = n, stop[stop.size() - 2] = m;
  return astype(slice(wide, Shape(stop.size(), 0), stop), dtype);
}

// Hadamard's matrices as in MLX, a column in a number, its least bit first: 1 for -1.
constexpr uint32_t kHadamard12[] = {0x2,   0xaab, 0x3c8, 0x96e, 0xf20, 0x5ba,
                                    0xc8c, 0x6e6, 0x23c, 0xb96, 0x8f0, 0xe5a};
constexpr uint32_t kHadamard20[] = {0x6cc3e, 0xd1c5d, 0xab89b, 0x5f117, 0xb660f, 0x9cbde, 0x397bd,
                                    0x72b7b, 0xe52f7, 0xca5ef, 0xf79ac, 0xef758, 0xdeeb1, 0xbdd63,
                                    0x7bec6, 0xf0592, 0xe8b05, 0xd922a, 0xba074, 0x7c0c9};
constexpr uint32_t kHadamard28[] = {
    0x32961fe, 0x65283fd, 0xc85477b, 0x92a8e77, 0x2751c6f, 0x4ca785f, 0x994b0bf,
    0x4b9bf3c, 0x9537ef8, 0x2a6fdf1, 0x54dbbe3, 0xa9b37c7, 0x5366f8f, 0xa4cdf9e,
    0x79f8cda, 0xf1f5935, 0xe3ef26a, 0xc7de4d5, 0x8fbc9ab, 0x1f7d356, 0x3cfe62d,
    0xfd0ed66, 0xfa1dacd, 0xf63b51b, 0xee72ab6, 0xdee15ec, 0xbfc2b59, 0x7f856b3};

std::span<const uint32_t> hadamard_columns(int m) {
  if (m == 12) return kHadamard12;
  if (m == 20) return kHadamard20;
  return m == 28 ? std::span<const uint32_t>(kHadamard28) : std::span<const uint32_t>();
}

}  // namespace

array gather_mm(array a, array b, std::optional<array> lhs_indices,
                std::optional<array> rhs_indices, bool, StreamOrDevice s) {
  StreamScope scope(s);
  if (!lhs_indices && !rhs_indices) return matmul(a, b);
  const Stack x = stacked(a, lhs_indices), y = stacked(b, rhs_indices);
  return matmul(take(x.all, x.places, 0), take(y.all, y.places, 0));
}

array segmented_mm(array a, array b, array segments, StreamOrDevice s) {
  StreamScope scope(s);
  check(a.ndim() == 2 && b.ndim() == 2 && a.shape(1) == b.shape(0), "segmented_mm: wanted (m, k) ",
        "and (k, n), got ", a.shape(), " and ", b.shape());
  check(segments.ndim() >= 1 && segments.shape(-1) == 2 && is_integer(segments.dtype()),
        "segmented_mm: segments are ", segments.dtype(), " ", segments.shape(),
        ", wanted integers (..., 2)");
  const array bounds = astype(segments, int64), k = arange(0.0, double(a.shape(1)), int64);
  const array start = take(bounds, array({0}), -1), stop = take(bounds, array({1}), -1);
  const array inside = k >= start && k < stop;  // (..., k)
  return matmul(where(expand_dims(inside, -2), a, zeros({}, a.dtype())), b);
}

array block_masked_mm(array a, array b, int block_size, std::optional<array> mask_out,
                      std::optional<array> mask_lhs, std::optional<array> mask_rhs,
                      StreamOrDevice s) {
  StreamScope scope(s);
  const char* who = "block_masked_mm";
  check(block_size >= 1, who, ": blocks of ", block_size, " elements; wanted 1 or more");
  check(a.ndim() >= 2 && b.ndim() >= 2, who, ": wanted matrices, got ", a.shape(), " and ",
        b.shape());
  const int m = a.shape(-2), k = a.shape(-1), n = b.shape(-1);
  if (mask_lhs) a = a * of_elements(*mask_lhs, block_size, m, k, a.dtype(), who);
  if (mask_rhs) b = b * of_elements(*mask_rhs, block_size, k, n, b.dtype(), who);
  const array product = matmul(a, b);
  if (!mask_out) return product;
  return product * of_elements(*mask_out, block_size, m, n, product.dtype(), who);
}

array hadamard_transform(const array& a, std::optional<float> scale, StreamOrDevice s) {
  StreamScope scope(s);
  check(a.ndim() >= 1 && a.size() > 0, "hadamard_transform: nothing to transform in shape ",
        a.shape());
  const int n = a.shape(-1);
  int m = n, w = 1;
  while (m % 2 == 0 && hadamard_columns(m).empty()) m /= 2, w *= 2;
  const auto columns = hadamard_columns(m);
  check(m == 1 || !columns.empty(), "hadamard_transform: ", n,
        " elements are not m 2^k with m of 1, 12, 20 or 28");
  const auto transform = [&](const array& v) {
    array x = reshape(v, {-1, m, w});
    for (int half = 1; half < w; half *= 2) {
      const array pairs = reshape(x, {-1, 2, half});
      const array first = take(pairs, 0, 1), second = take(pairs, 1, 1);
      x = reshape(stack({first + second, first - second}, 1), {-1, m, w});
    }
    if (m > 1) {
      std::vector<float> signs;
      for (int i = 0; i < m; ++i)
        for (uint32_t column : columns) signs.push_back(column >> i & 1 ? -1.0f : 1.0f);
      x = matmul(array(signs, {m, m}, x.dtype()), x);
    }
    return reshape(x, v.shape()) *
           array(scale.value_or(float(1 / std::sqrt(double(n)))), x.dtype());
  };
  return in_wide(transform, astype(a, at_least_float(a.dtype())));
}

}  // namespace hearth
