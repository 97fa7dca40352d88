// Rows of keys and values in fewer bits: blocks of 32 elements with a scale, as GGUF files have
// them (q8_0, q4_0), of what a Walsh-Hadamard transform makes of each block: keys have elements far
// beyond the others, which it spreads over all. The last block of a row is filled up with zeros.
#pragma once
#include "hearth/core/array.h"
#include "hearth/ops/packing.h"

namespace hearth {

/// The packing that a text names: "q8" or "q4"; none for another.
std::optional<Packing> state_packing(std::string_view name);
/// "q8"; "" for dense.
std::string_view state_name(Packing p);

/// Elements of a row of so many, with those that fill it up.
constexpr int64_t state_elements(int64_t dims) { return (dims + 31) / 32 * 32; }
/// What a row lies in: so many elements, or bytes where it is packed.
constexpr int64_t state_row(Packing p, int64_t dims) {
  return p == Packing::dense ? dims : row_bytes(p, state_elements(dims));
}

/// One row of `dims` floats. What is not finite makes its block NaN.
void pack_state(Packing p, const float* x, int64_t dims, uint8_t* out);
/// The transform of each block of `count` floats, whole blocks, in place: its own inverse.
void turn_state(float* x, int64_t count);
/// Rows as arrays: x (..., dims) -> uint8 (..., state_row), and float32 back.
array packed_state(Packing p, const array& x);
array unpacked_state(Packing p, const array& rows, int dims);

}  // namespace hearth
