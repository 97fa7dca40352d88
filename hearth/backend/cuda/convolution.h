// Convolutions of halves over one or two axes, of one group, of channels in multiples of 8.
#pragma once
#include "hearth/backend/cuda/cuda.h"
#include "hearth/ops/primitives_fast.h"

namespace hearth::cuda {

void convolution(const Convolution& op, const Args& args, CudaQueue& queue);
bool convolution_fits(const Primitive& op, std::span<const array> in);

}  // namespace hearth::cuda
