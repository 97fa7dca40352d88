// Decode's matrix-vector products: weights are read once, at the speed of the memory.
#pragma once
#include <span>

#include "hearth/backend/cuda/cuda.h"

namespace hearth::cuda {

/// y = activation(sum over terms of x_t W_t^T + b_t) + residual, for a few rows of x. Either one
/// term and several parts (outputs of one x), or several terms and one part.
struct StreamLinear {
  static constexpr int kMaxParts = 4, kMaxTerms = 2;
  struct Part {
    const void* weight[kMaxTerms] = {};  // (rows, k of the term)
    const void* bias[kMaxTerms] = {};    // (rows), or null
    void* y = nullptr;                   // (m, rows)
    int rows = 0;
    fast::Activation activation = fast::Activation::none;
  };
  Dtype dtype;
  int m = 1;
  int parts = 1, terms = 1;
  Part part[kMaxParts];
  const void* x[kMaxTerms] = {};  // (m, k)
  int k[kMaxTerms] = {};
  const void* residual = nullptr;  // (m, rows) of part 0, or null
  // The norm that x goes through first; of one term.
  bool norm = false, rms = false;
  float eps = 0;
  const void* norm_weight = nullptr;  // (k), or null
  const void* norm_bias = nullptr;    // (k), or null
  bool constant_weights = false;      // no kernel on its way writes them: they may be fetched early
};

/// Does the kernel take it: few rows, 16-byte aligned weights and rows, x fits in shared memory?
bool stream_fits(const StreamLinear& job, const Card& card);
void stream_linear(const StreamLinear& job, CudaQueue& queue);

}  // namespace hearth::cuda
