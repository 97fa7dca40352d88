// Kernels that somebody else wrote.
#pragma once
#include "hearth/backend/cuda/cuda.h"
#include "hearth/ops/custom_kernel.h"

namespace hearth::cuda {

void custom_kernel(const fast::CustomKernel& op, const Args& args, CudaQueue& queue);

}  // namespace hearth::cuda
