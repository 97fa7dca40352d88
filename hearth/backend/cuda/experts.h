// Products of chosen experts for many rows.
#pragma once
#include <span>

#include "hearth/backend/cuda/cuda.h"

namespace hearth::cuda {

/// Choice c is of the expert ids[c] (an id beyond the experts is of the nearest) and meets row
/// c / per_x of x. On the device, of halves; x and weights at 16 bytes, k and x_stride in multiples
/// of 8.
struct ExpertChoices {
  Dtype dtype;
  const void* x;   // (count / per_x, k), x_stride elements between its rows
  const int* ids;  // (count)
  int64_t x_stride;
  int count, per_x, experts, k;

  static constexpr int kMostExperts = 8192, kMostChoices = 1 << 21;
};
struct ExpertProduct {
  const void *weight, *bias;  // (experts, n, k); (experts, n), or null
  void* y;                    // (count, n)
  int n;
  fast::Activation activation;
};
/// y = activation(x weight[id]^T + bias[id]) of each choice.
void expert_products(CudaQueue& queue, const ExpertChoices& choices,
                     std::span<const ExpertProduct> products);

}  // namespace hearth::cuda
