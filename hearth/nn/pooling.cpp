#include "hearth/nn/pooling.h"

#include <limits>

#include "hearth/ops/create.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/reduce.h"

namespace hearth::nn {
namespace {

/// The window along one axis.
struct Window {
  int size, stride, padding;
};

/// No number of the dtype is below it.
array lowest(Dtype dtype) {
  if (is_inexact(dtype)) return array(-std::numeric_limits<double>::infinity(), dtype);
  if (kind_of(dtype) != Kind::i) return array(0, dtype);
  return array(std::numeric_limits<int64_t>::min() >> (64 - 8 * size_of(dtype)), dtype);
}

/// x (N, L..., C) as windows: (N, M, K, ..., C), and which of its axes are K.
std::pair<array, std::vector<int>> windows(const std::string& who, array x,
                                           std::span<const Window> along, const array& outside) {
  std::vector<int> axes, inside;
  Shape padding, kept(size_t(x.ndim()), 0), stop = x.shape();
  Shape shape{x.shape(0)};
  bool apart = true, padded = false;  // no two windows share an element
  for (size_t i = 0; i < along.size(); ++i) {
    const Window& w = along[i];
    const int64_t wide = int64_t(x.shape(int(i) + 1)) + 2 * int64_t(w.padding);
    check(wide >= w.size, who, ": a window of ", w.size, " does not fit in axis ", i + 1, " of ",
          x.shape(), " with padding ", w.padding);
    const int places = axis_size((wide - w.size) / w.stride + 1, who);
    axes.push_back(int(i) + 1);
    padding.push_back(w.padding);
    inside.push_back(int(2 * i) + 2);
    shape.push_back(places), shape.push_back(w.size);
    apart = apart && w.stride == w.size;
    if (apart) stop[i + 1] = places * w.size;
    padded = padded || w.padding > 0;
  }
  shape.push_back(x.shape(-1));
  if (padded) x = pad(x, axes, padding, padding, outside);
  if (apart) return {reshape(slice(x, kept, stop), shape), inside};
  const Strides steps = row_major(x.shape());
  Strides strides{steps[0]};
  for (size_t i = 0; i < along.size(); ++i) {
    strides.push_back(steps[i + 1] * along[i].stride);
    strides.push_back(steps[i + 1]);
  }
  strides.push_back(1);
  return {as_strided(x, shape, strides, 0), inside};
}

}  // namespace

template <Pooling kKind, int kAxes>
Pool<kKind, kAxes>::Pool(PerAxis<kAxes> kernel_size, PerAxis<kAxes> stride, PerAxis<kAxes> padding)
    : kernel_size(kernel_size), stride(stride), padding(padding) {
  const std::string who = concat(kKind == Pooling::max ? "MaxPool" : "AvgPool", kAxes, "d");
  for (int i = 0; i < kAxes; ++i) {
    check(kernel_size[i] >= 1, who, ": a window of ", kernel_size[i], ", wanted 1 or more");
    check(stride[i] >= 1, who, ": a stride of ", stride[i], ", wanted 1 or more");
    check(padding[i] >= 0, who, ": a padding of ", padding[i], ", wanted 0 or more");
  }
}

template <Pooling kKind, int kAxes>
array Pool<kKind, kAxes>::operator()(const array& x) const {
  const std::string who = concat(kKind == Pooling::max ? "MaxPool" : "AvgPool", kAxes, "d");
  check(x.ndim() == kAxes + 2, who, ": wanted ", kAxes + 2, " axes, (N, ",
        kAxes == 1   ? "L"
        : kAxes == 2 ? "H, W"
                     : "D, H, W",
        ", C), got ", x.shape());
  std::array<Window, kAxes> along;
  for (int i = 0; i < kAxes; ++i) along[size_t(i)] = {kernel_size[i], stride[i], padding[i]};
  const bool of_max = kKind == Pooling::max;
  check(!of_max || !is_complex(x.dtype()), who, ": wanted real numbers, got ", x.dtype());
  const auto [seen, axes] =
      windows(who, x, along, of_max ? lowest(x.dtype()) : array(0, x.dtype()));
  return of_max ? max(seen, axes) : mean(seen, axes);
}

template struct Pool<Pooling::max, 1>;
template struct Pool<Pooling::max, 2>;
template struct Pool<Pooling::max, 3>;
template struct Pool<Pooling::mean, 1>;
template struct Pool<Pooling::mean, 2>;
template struct Pool<Pooling::mean, 3>;

}  // namespace hearth::nn
