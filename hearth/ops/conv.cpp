#include "hearth/ops/conv.h"

#include <array>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/movement_detail.h"
#include "hearth/ops/primitives_fast.h"

namespace hearth {
namespace {

using Ints = std::vector<int>;

/// A padding that was computed in 64 bits.
int padding(int64_t n) {
  check<std::overflow_error>(n >= INT32_MIN && n <= INT32_MAX, "convolution: a padding of ", n,
                             " is too large");
  return int(n);
}

/// d - 1 zeros between neighbours along an axis of x.
array spread(const array& x, int axis, int d) {
  if (d == 1) return x;
  Shape apart = x.shape();
  apart[size_t(axis)] = axis_size(int64_t(x.shape(axis)) * d, "convolution");
  array y = expand_dims(x, axis + 1);
  y = reshape(pad(y, {axis + 1}, Shape{0}, Shape{d - 1}), apart);
  Shape stop = apart;
  stop[size_t(axis)] = std::max(0, apart[size_t(axis)] - (d - 1));
  return slice(y, Shape(stop.size(), 0), stop);
}

/// x (N, L..., C) with zeros between and around its elements, and what is cropped left out.
array padded(array x, const std::vector<Sweep>& axes) {
  Ints wider;
  Shape low, high, start(size_t(x.ndim()), 0), stop;
  for (size_t i = 0; i < axes.size(); ++i) {
    wider.push_back(int(i) + 1);
    low.push_back(std::max(0, axes[i].low));
    high.push_back(std::max(0, axes[i].high));
    start[i + 1] = int(std::clamp<int64_t>(-int64_t(axes[i].low), 0, INT32_MAX));
    x = spread(x, int(i) + 1, axes[i].input_dilation);
  }
  if (std::any_of(low.begin(), low.end(), [](int p) { return p > 0; }) ||
      std::any_of(high.begin(), high.end(), [](int p) { return p > 0; }))
    x = pad(x, wider, low, high);
  stop = x.shape();
  for (size_t i = 0; i < axes.size(); ++i)
    stop[i + 1] = int(std::max<int64_t>(0, stop[i + 1] + std::min<int64_t>(0, axes[i].high)));
  return slice(x, start, stop);
}

/// What the kernel sees at each place: a view (groups, N, M..., K..., C / groups) of x as it is
/// padded, and as a matrix (groups, N M..., K... C / groups).
array windows(const array& x, const Shape& weight, const Shape& out, const std::vector<Sweep>& axes,
              int groups) {
  const int n = int(axes.size()), channels = x.shape(-1) / groups;
  const Strides steps = row_major(x.shape());
  Shape shape{groups, x.shape(0)};
  Strides strides{channels, steps[0]};
  for (int i = 1; i <= n; ++i) {
    shape.push_back(out[size_t(i)]);
    strides.push_back(steps[size_t(i)] * axes[size_t(i) - 1].stride);
  }
  for (int i = 1; i <= n; ++i) {
    shape.push_back(weight[size_t(i)]);
    strides.push_back(steps[size_t(i)] * axes[size_t(i) - 1].kernel_dilation);
  }
  shape.push_back(channels);
  strides.push_back(1);
  const size_t rows = element_count(Shape(out.begin(), out.end() - 1)),
               columns = element_count(Shape(weight.begin() + 1, weight.end()));
  check<std::overflow_error>(rows <= INT32_MAX && columns <= INT32_MAX, "convolution: ", rows,
                             " places of ", columns,
                             " elements are too many; take fewer rows of the input at a time");
  return reshape(as_strided(x, shape, strides, 0), {groups, int(rows), int(columns)});
}

/// (O, ...) -> (groups, O / groups, the rest in one)
array by_group(const array& weight, int groups) {
  const int64_t rest = int64_t(weight.size()) / std::max(1, weight.shape(0));
  return reshape(weight, {groups, weight.shape(0) / groups, axis_size(rest, "convolution")});
}

/// (N, M..., O) -> (groups, N M..., O / groups)
array rows_by_group(const array& y, int groups) {
  const int channels = y.shape(-1);
  const int rows = axis_size(int64_t(y.size()) / std::max(1, channels), "convolution");
  return swapaxes(reshape(y, {rows, groups, channels / groups}), 0, 1);
}

}  // namespace

int64_t Sweep::places(int64_t n, int64_t k) const {
  const int64_t wide = (n > 0 ? (n - 1) * input_dilation + 1 : 0) + low + high;
  const int64_t left = wide - (k - 1) * kernel_dilation - 1;
  return left < 0 ? 0 : left / stride + 1;
}

Specs Convolution::infer(std::span<const array> in) const {
  const Shape &x = in[0].shape(), &w = in[1].shape();
  Shape out{x[0]};
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t places = axes[i].places(x[i + 1], w[i + 1]);
    check(places >= 1, "convolution: weight ", w, " does not fit in an input of ", x,
          " along axis ", i + 1, " with padding ", axes[i].low, " and ", axes[i].high,
          ", dilation ", axes[i].kernel_dilation);
    out.push_back(axis_size(places, "convolution"));
  }
  out.push_back(w[0]);
  return {{out, in[0].dtype()}};
}

std::optional<Arrays> Convolution::decompose(const Arrays& in) const {
  const Shape out = infer(in)[0].shape;
  const array seen = windows(padded(in[0], axes), in[1].shape(), out, axes, groups);
  const array y = matmul(seen, swapaxes(by_group(in[1], groups), 1, 2));  // (groups, rows, O / g)
  return Arrays{reshape(swapaxes(y, 0, 1), out)};
}

// By the input: the same kind of convolution over d, whose stride and input dilation change roles,
// with the kernel turned around and its channels exchanged.
std::optional<Cotangents> Convolution::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  const array &x = in[0], &w = in[1];
  std::vector<Sweep> back;
  Ints spatial;
  for (size_t i = 0; i < axes.size(); ++i) {
    const Sweep& a = axes[i];
    const int64_t reach = int64_t(a.kernel_dilation) * (w.shape(int(i) + 1) - 1);
    const int64_t low = reach - a.low;
    const int64_t wide = int64_t(d[0].shape(int(i) + 1) - 1) * a.stride + 1;
    const int64_t wanted = int64_t(x.shape(int(i) + 1) - 1) * a.input_dilation + reach + 1;
    back.push_back({a.input_dilation, padding(low), padding(wanted - wide - low), a.kernel_dilation,
                    a.stride});
    spatial.push_back(int(i) + 1);
  }
  Shape split = w.shape();  // (groups, O / groups, K..., C / groups)
  split[0] /= groups;
  split.insert(split.begin(), groups);
  Shape turned = w.shape();  // (C, K..., O / groups)
  turned[0] = x.shape(-1);
  turned.back() = w.shape(0) / groups;
  const array kernel = reshape(swapaxes(reshape(flip(w, spatial), split), 1, -1), turned);
  const Shape sizes(w.shape().begin() + 1, w.shape().end() - 1);
  return Cotangents{apply(std::make_shared<Convolution>(std::move(back), groups), {d[0], kernel}),
                    apply(std::make_shared<ConvolutionWeight>(axes, groups, sizes), {x, d[0]})};
}

Specs ConvolutionWeight::infer(std::span<const array> in) const {
  Shape out{in[1].shape(-1)};
  out.insert(out.end(), kernel.begin(), kernel.end());
  out.push_back(in[0].shape(-1) / groups);
  return {{out, in[0].dtype()}};
}

std::optional<Arrays> ConvolutionWeight::decompose(const Arrays& in) const {
  const array &x = in[0], &d = in[1];
  const Shape out = infer(in)[0].shape;
  const array seen = windows(padded(x, axes), out, d.shape(), axes, groups);
  return Arrays{reshape(matmul(swapaxes(rows_by_group(d, groups), 1, 2), seen), out)};
}

array conv_general(array input, array weight, Ints stride, Ints padding_lo, Ints padding_hi,
                   Ints kernel_dilation, Ints input_dilation, int groups, bool flip_kernel,
                   StreamOrDevice s) {
  StreamScope scope(s);
  check(input.ndim() >= 3 && input.ndim() == weight.ndim(),
        "convolution: wanted input (N, L..., C) and weight (O, K..., C), got ", input.shape(),
        " and ", weight.shape());
  const size_t n = size_t(input.ndim()) - 2;
  const auto at = [&](const Ints& values, size_t i, int otherwise, int least, const char* name) {
    check(values.empty() || values.size() == 1 || values.size() == n, "convolution: ", name,
          " has ", values.size(), " values, wanted 0, 1 or ", n);
    const int value = values.empty() ? otherwise : values[values.size() == 1 ? 0 : i];
    check(value >= least, "convolution: ", name, " of ", value, ", wanted at least ", least);
    return value;
  };
  std::vector<Sweep> axes;
  for (size_t i = 0; i < n; ++i)
    axes.push_back({at(stride, i, 1, 1, "stride"), at(padding_lo, i, 0, INT32_MIN, "padding"),
                    at(padding_hi, i, 0, INT32_MIN, "padding"),
                    at(kernel_dilation, i, 1, 1, "kernel dilation"),
                    at(input_dilation, i, 1, 1, "input dilation")});
  check(groups >= 1 && weight.shape(0) % groups == 0, "convolution: ", groups,
        " groups do not divide the ", weight.shape(0), " outputs of weight ", weight.shape());
  check(int64_t(weight.shape(-1)) * groups == input.shape(-1), "convolution: input ", input.shape(),
        " has ", input.shape(-1), " channels (its last axis), weight ", weight.shape(),
        " (O, K..., C / groups) with ", groups, " groups wants ",
        int64_t(weight.shape(-1)) * groups);
  check(weight.size() > 0 || weight.shape(0) == 0, "convolution: an empty kernel ", weight.shape());
  const Dtype dtype = promote_types(input.dtype(), weight.dtype());
  check(is_floating(dtype), "convolution: wanted a floating dtype, got ", input.dtype(), " and ",
        weight.dtype(), "; cast with astype");
  if (flip_kernel) {
    Ints spatial(n);
    for (size_t i = 0; i < n; ++i) spatial[i] = int(i) + 1;
    weight = flip(weight, spatial);
  }
  return apply(std::make_shared<Convolution>(std::move(axes), groups),
               {astype(input, dtype), astype(weight, dtype)});
}
array conv_general(const array& input, const array& weight, Ints stride, Ints padding,
                   Ints kernel_dilation, Ints input_dilation, int groups, bool flip,
                   StreamOrDevice s) {
  return conv_general(input, weight, std::move(stride), padding, padding,
                      std::move(kernel_dilation), std::move(input_dilation), groups, flip, s);
}

namespace {

template <typename Tuple>
Ints list(const Tuple& values) {
  return std::apply([](auto... v) { return Ints{v...}; }, values);
}

array conv(int axes, const array& input, const array& weight, const Ints& stride,
           const Ints& padding, const Ints& dilation, int groups, StreamOrDevice s) {
  check(input.ndim() == axes + 2, "conv", axes, "d: wanted an input of ", axes + 2, " axes, got ",
        input.shape());
  return conv_general(input, weight, stride, padding, dilation, {}, groups, false, s);
}

// The input's neighbours come to lie `stride` apart, and the kernel goes over them turned around.
array transposed(int axes, const array& input, const array& weight, const Ints& stride,
                 const Ints& padding, const Ints& dilation, const Ints& output_padding, int groups,
                 StreamOrDevice s) {
  check(input.ndim() == axes + 2 && weight.ndim() == axes + 2, "conv_transpose", axes,
        "d: wanted input and weight of ", axes + 2, " axes, got ", input.shape(), " and ",
        weight.shape());
  Ints low, high;
  for (size_t i = 0; i < size_t(axes); ++i) {
    const int64_t reach = int64_t(dilation[i]) * (weight.shape(int(i) + 1) - 1);
    low.push_back(hearth::padding(reach - padding[i]));
    high.push_back(hearth::padding(reach - padding[i] + output_padding[i]));
  }
  return conv_general(input, weight, {}, low, high, dilation, stride, groups, true, s);
}

}  // namespace

array conv1d(const array& input, const array& weight, int stride, int padding, int dilation,
             int groups, StreamOrDevice s) {
  return conv(1, input, weight, {stride}, {padding}, {dilation}, groups, s);
}
array conv2d(const array& input, const array& weight, const std::pair<int, int>& stride,
             const std::pair<int, int>& padding, const std::pair<int, int>& dilation, int groups,
             StreamOrDevice s) {
  return conv(2, input, weight, list(stride), list(padding), list(dilation), groups, s);
}
array conv3d(const array& input, const array& weight, const std::tuple<int, int, int>& stride,
             const std::tuple<int, int, int>& padding, const std::tuple<int, int, int>& dilation,
             int groups, StreamOrDevice s) {
  return conv(3, input, weight, list(stride), list(padding), list(dilation), groups, s);
}
array conv_transpose1d(const array& input, const array& weight, int stride, int padding,
                       int dilation, int output_padding, int groups, StreamOrDevice s) {
  return transposed(1, input, weight, {stride}, {padding}, {dilation}, {output_padding}, groups, s);
}
array conv_transpose2d(const array& input, const array& weight, const std::pair<int, int>& stride,
                       const std::pair<int, int>& padding, const std::pair<int, int>& dilation,
                       const std::pair<int, int>& output_padding, int groups, StreamOrDevice s) {
  return transposed(2, input, weight, list(stride), list(padding), list(dilation),
                    list(output_padding), groups, s);
}
array conv_transpose3d(const array& input, const array& weight,
                       const std::tuple<int, int, int>& stride,
                       const std::tuple<int, int, int>& padding,
                       const std::tuple<int, int, int>& dilation,
                       const std::tuple<int, int, int>& output_padding, int groups,
                       StreamOrDevice s) {
  return transposed(3, input, weight, list(stride), list(padding), list(dilation),
                    list(output_padding), groups, s);
}

}  // namespace hearth
