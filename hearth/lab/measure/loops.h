// The inner loops of the probe: nothing but loads, or nothing but arithmetic.
#pragma once
#include <cstddef>
#include <cstdint>

#include "hearth/lab/measure/limits.h"

namespace hearth::lab {

/// Loads all `size` bytes in the widest vectors of the instruction set in use; returns their xor.
uint64_t read_memory(const std::byte* data, size_t size, Walk walk);

/// Runs `rounds` rounds of independent multiply-adds in registers; returns the operations done
/// (a multiply-add is two), 0 where no vector instruction set is in use.
int64_t fma_f32(int64_t rounds);

// The same by units that not every processor has, with sums in f32 or int32; 0 where the
// instruction set in use has none.
int64_t dot_bf16(int64_t rounds);   // AVX512-BF16: two products a lane
int64_t dot_int8(int64_t rounds);   // AVX512-VNNI: four
int64_t tile_bf16(int64_t rounds);  // AMX: a tile of 16 x 16 sums, of 32 products each
int64_t tile_int8(int64_t rounds);  // of 64

/// Runs n additions that each need the one before; false where no such chain is written. Additions
/// of registers: those of constants some processors fold while renaming.
bool chain_of_adds(int64_t n);

/// Ticks of the constant-rate counter (TSC, CNTVCT); 0 where there is none.
uint64_t ticks();

}  // namespace hearth::lab
