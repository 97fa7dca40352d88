// Products of matrices: cuBLASLt where it is installed, kernels of ours where it is not.
#pragma once
#include "hearth/backend/cuda/cuda.h"

namespace hearth::cuda {

/// d = activation(a b + bias) + c, in matrices of one dtype, `batch` times. Strides in elements;
/// they may be anything. Halves are summed in f32 and rounded once; f32 is true f32, unless
/// HEARTH_TF32=1. d must not overlap the rest.
struct Gemm {
  struct Matrix {
    const void* data = nullptr;
    int64_t row = 0, col = 0, batch = 0;  // strides
  };
  Dtype dtype;
  int64_t m, n, k;
  int64_t batch = 1;
  Matrix a;                    // (m, k)
  Matrix b;                    // (k, n); of a weight (n, k): row 1, col k
  Matrix c = {};               // (m, n), or no data
  const void* bias = nullptr;  // (n), its elements side by side
  fast::Activation activation = fast::Activation::none;
  void* d;  // (m, n), rows without gaps within
  int64_t d_row, d_batch = 0;
};
/// Asks for the queue's scratch memory. The first call for a large shape, outside of a capture,
/// tries several algorithms and keeps the fastest.
void gemm(CudaQueue& queue, const Gemm& job);

/// Kernels of ours for the same; no library, no scratch.
void gemm_tiles(CudaQueue& queue, const Gemm& job);
/// For b of strides (1, k or more) and few rows; reads b once. False: not for this job.
bool gemm_rows(CudaQueue& queue, const Gemm& job);
/// The job's bias, activation and c applied to `product`, (batch, m, n) without gaps, which is of
/// f32 when the job is of halves, else of the job's dtype, and may be d.
void gemm_finish(CudaQueue& queue, const Gemm& job, const void* product);

}  // namespace hearth::cuda
