// Elementwise programs of several steps, compiled for the card at run time by NVRTC.
#pragma once
#include "hearth/backend/cuda/cuda.h"

namespace hearth::cuda::jit {

/// Is NVRTC there, and can it take this program?
bool fits(const Map& op, std::span<const array> in);
/// Runs a program that fits; compiles it when it is met for the first time.
void run(const Map& op, const Args& args, CudaQueue& queue);

}  // namespace hearth::cuda::jit
