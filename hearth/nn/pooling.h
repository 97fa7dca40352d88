// Pooling: the largest, or the mean, of what a window sees at each place. MLX's layers and
// defaults.
#pragma once
#include "hearth/nn/layers.h"

namespace hearth::nn {

enum class Pooling { max, mean };

/// (N, L..., C) -> (N, M..., C), M = (L + 2 padding - kernel_size) / stride + 1 along each of the
/// axes L; the stride is the kernel's size unless given. max: of numbers of any real dtype, the
/// padding below all; mean: the zeros of the padding count. Where several elements are the largest,
/// each has its share of the slope. Throws std::invalid_argument for sizes below 1, for another
/// number of axes, and where no window fits.
template <Pooling kKind, int kAxes>
struct Pool {
  PerAxis<kAxes> kernel_size, stride, padding;
  HEARTH_FIELDS()

  explicit Pool(PerAxis<kAxes> kernel_size) : Pool(kernel_size, kernel_size) {}
  Pool(PerAxis<kAxes> kernel_size, PerAxis<kAxes> stride, PerAxis<kAxes> padding = 0);
  array operator()(const array& x) const;
};
using MaxPool1d = Pool<Pooling::max, 1>;
using MaxPool2d = Pool<Pooling::max, 2>;
using MaxPool3d = Pool<Pooling::max, 3>;
using AvgPool1d = Pool<Pooling::mean, 1>;
using AvgPool2d = Pool<Pooling::mean, 2>;
using AvgPool3d = Pool<Pooling::mean, 3>;

}  // namespace hearth::nn
