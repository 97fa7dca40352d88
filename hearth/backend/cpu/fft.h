// The kernel of Fourier transforms.
#pragma once
#include "hearth/backend/cpu/cpu.h"
#include "hearth/ops/primitives_fft.h"

namespace hearth::cpu {

void fourier(const fft::Fourier& op, const Args& args, CpuQueue& queue);

}  // namespace hearth::cpu
