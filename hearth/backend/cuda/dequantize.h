// Packed weights as dense ones.
#pragma once
#include "hearth/backend/cuda/cuda.h"

namespace hearth::cuda {

void dequantize(const fast::Dequantize& op, const Args& args, CudaQueue& queue);

}  // namespace hearth::cuda
