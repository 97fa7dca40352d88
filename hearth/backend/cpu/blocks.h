// Rows of floats as the blocks of GGUF files.
#pragma once
#include <cstdint>

#include "hearth/ops/packing.h"

namespace hearth::cpu {

/// Packs a row into whole blocks, with the bits that the reference of llama.cpp gives. `importance`
/// says what the square of each weight's error counts, and is null where all count alike; packings
/// whose scales follow from the largest weight alone have no use for it. Weights are finite.
void pack_row(Packing packing, const float* row, const float* importance, int64_t in, uint8_t* to);

}  // namespace hearth::cpu
