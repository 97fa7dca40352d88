// Layers: structs with parameters and a call. What they hold at first is MLX's initialisation,
// which costs nothing until it is used.
#pragma once
#include <array>
#include <optional>

#include "hearth/nn/module.h"
#include "hearth/ops/fast.h"

namespace hearth::nn {

/// activation(x W^T + b) + residual: x (..., in) -> (..., out).
struct Linear {
  fast::Matrix weight;        // (out, in)
  std::optional<array> bias;  // (out)
  HEARTH_FIELDS(weight, bias)

  Linear(int in, int out, bool bias = true);
  array operator()(const array& x, fast::Activation activation = fast::Activation::none,
                   const std::optional<array>& residual = {}) const;
  /// For fast::linears: several layers on the same input in one pass.
  fast::Projection projection(fast::Activation activation = fast::Activation::none,
                              bool gates = false) const {
    return {weight, bias, activation, gates};
  }
  /// For fast::linear_sum.
  fast::Term term(const array& x) const { return {x, weight, bias}; }
};

/// Integers -> rows of the table: (...) -> (..., dims).
struct Embedding {
  fast::Matrix weight;  // (number, dims)
  HEARTH_FIELDS(weight)

  Embedding(int number, int dims);
  array operator()(const array& ids) const;
  /// Logits by the same table: (..., dims) -> (..., number).
  array as_linear(const array& x) const;
};

/// A convolution over (N, L, in) -> (N, M, out), M as in ops/conv.h, plus bias; each of the groups
/// sees in / groups channels. Throws std::invalid_argument for sizes below 1, or groups that do not
/// divide both numbers of channels.
struct Conv1d {
  array weight;               // (out, kernel_size, in / groups)
  std::optional<array> bias;  // (out)
  int stride, padding, dilation, groups;
  HEARTH_FIELDS(weight, bias)

  Conv1d(int in_channels, int out_channels, int kernel_size, int stride = 1, int padding = 0,
         int dilation = 1, int groups = 1, bool bias = true);
  array operator()(const array& x) const;
};

/// A number for each of N axes, or one for all.
template <int N>
struct PerAxis {
  std::array<int, N> numbers;
  PerAxis(int all) { numbers.fill(all); }
  template <class... Rest>
  requires(N > 1 && sizeof...(Rest) == N - 1) PerAxis(int first, Rest... rest)
      : numbers{first, int(rest)...} {}
  int operator[](int axis) const { return numbers[size_t(axis)]; }
};
using HeightWidth = PerAxis<2>;

/// The same over images: (N, H, W, in) -> (N, H', W', out).
struct Conv2d {
  array weight;               // (out, kernel height, kernel width, in / groups)
  std::optional<array> bias;  // (out)
  HeightWidth stride, padding, dilation;
  int groups;
  HEARTH_FIELDS(weight, bias)

  Conv2d(int in_channels, int out_channels, HeightWidth kernel_size, HeightWidth stride = 1,
         HeightWidth padding = 0, HeightWidth dilation = 1, int groups = 1, bool bias = true);
  array operator()(const array& x) const;
};

/// (x - mean) / sqrt(variance + eps) over the last axis; affine: times weight, plus bias.
struct LayerNorm {
  std::optional<array> weight, bias;  // (dims)
  float eps;
  HEARTH_FIELDS(weight, bias)

  explicit LayerNorm(int dims, float eps = 1e-5f, bool affine = true, bool bias = true);
  array operator()(const array& x) const;
  /// For fast::linears: what x goes through first.
  fast::Norm norm() const { return {weight, bias, eps}; }
};

/// x / sqrt(mean(x^2) + eps) over the last axis, times weight.
struct RMSNorm {
  array weight;  // (dims)
  float eps;
  HEARTH_FIELDS(weight)

  explicit RMSNorm(int dims, float eps = 1e-5f);
  array operator()(const array& x) const;
  fast::Norm norm() const { return {weight, std::nullopt, eps, true}; }
};

}  // namespace hearth::nn
