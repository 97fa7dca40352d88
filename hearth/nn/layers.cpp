#include "hearth/nn/layers.h"

#include <cmath>

#include "hearth/ops/conv.h"
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/random.h"

namespace hearth::nn {
namespace {

// Between -1 / sqrt(in) and 1 / sqrt(in).
array spread(const Shape& shape, int in) {
  const float most = in > 0 ? 1 / std::sqrt(float(in)) : 0.0f;
  return random::uniform(-most, most, shape);
}

// A kernel of (out, sizes..., in / groups).
array kernel(std::string_view who, int in, int out, std::initializer_list<int> sizes, int groups) {
  check(in > 0 && out > 0, who, ": ", in, " channels in and ", out, " out, wanted 1 or more");
  check(groups > 0 && in % groups == 0 && out % groups == 0, who, ": ", in, " channels in and ",
        out, " out cannot be split into ", groups, " groups");
  Shape shape{out};
  int64_t seen = in;  // MLX takes all channels, whatever the groups
  for (const int size : sizes) {
    check(size > 0, who, ": a kernel of size ", size, ", wanted 1 or more");
    shape.push_back(size);
    seen *= size;
  }
  shape.push_back(in / groups);
  check(seen <= INT32_MAX, who, ": a kernel of ", seen, " elements for each output is too large");
  return spread(shape, int(seen));
}

array plus(const array& x, const std::optional<array>& bias) { return bias ? add(x, *bias) : x; }

}  // namespace

Linear::Linear(int in, int out, bool bias) : weight(spread({out, in}, in)) {
  if (bias) this->bias = spread({out}, in);
}
array Linear::operator()(const array& x, fast::Activation activation,
                         const std::optional<array>& residual) const {
  Dtype dtype = promote_types(x.dtype(), weight.dtype());
  if (bias) dtype = promote_types(dtype, bias->dtype());
  if (residual) dtype = promote_types(dtype, residual->dtype());
  const auto cast = [&](const std::optional<array>& a) {
    return a ? std::optional(astype(*a, dtype)) : std::nullopt;
  };
  return fast::linear(astype(x, dtype), weight.as(dtype), cast(bias), activation, cast(residual));
}

Embedding::Embedding(int number, int dims)
    : weight(random::normal({number, dims}, 0.0f, 1 / std::sqrt(float(dims)))) {}
array Embedding::operator()(const array& ids) const {
  return fast::dequantize(fast::take_rows(weight, ids));
}
array Embedding::as_linear(const array& x) const {
  const Dtype dtype = promote_types(x.dtype(), weight.dtype());
  return fast::linear(astype(x, dtype), weight.as(dtype));
}

Conv1d::Conv1d(int in_channels, int out_channels, int kernel_size, int stride, int padding,
               int dilation, int groups, bool bias)
    : weight(kernel("Conv1d", in_channels, out_channels, {kernel_size}, groups)),
      stride(stride),
      padding(padding),
      dilation(dilation),
      groups(groups) {
  if (bias) this->bias = zeros({out_channels});
}
array Conv1d::operator()(const array& x) const {
  return plus(conv1d(x, weight, stride, padding, dilation, groups), bias);
}

Conv2d::Conv2d(int in_channels, int out_channels, HeightWidth kernel_size, HeightWidth stride,
               HeightWidth padding, HeightWidth dilation, int groups, bool bias)
    : weight(kernel("Conv2d", in_channels, out_channels, {kernel_size[0], kernel_size[1]}, groups)),
      stride(stride),
      padding(padding),
      dilation(dilation),
      groups(groups) {
  if (bias) this->bias = zeros({out_channels});
}
array Conv2d::operator()(const array& x) const {
  const auto pair = [](const HeightWidth& both) { return std::pair(both[0], both[1]); };
  return plus(conv2d(x, weight, pair(stride), pair(padding), pair(dilation), groups), bias);
}

LayerNorm::LayerNorm(int dims, float eps, bool affine, bool bias) : eps(eps) {
  if (affine) weight = ones({dims});
  if (affine && bias) this->bias = zeros({dims});
}
array LayerNorm::operator()(const array& x) const { return fast::layer_norm(x, weight, bias, eps); }

RMSNorm::RMSNorm(int dims, float eps) : weight(ones({dims})), eps(eps) {}
array RMSNorm::operator()(const array& x) const { return fast::rms_norm(x, weight, eps); }

}  // namespace hearth::nn
