// The header of NumPy's .npy format: a Python dictionary in text, read without evaluating anything.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/core/dtype.h"

namespace hearth {

struct NpyHeader {
  Dtype dtype;
  bool swapped;                // written by a big-endian machine
  bool fortran;                // the first axis runs fastest
  std::vector<int64_t> shape;  // each below 2^31
  size_t offset;               // of the values, from the start
  size_t bytes;                // of the values; they end where the file does, or before
};

/// Reads and checks the header of a whole .npy file of version 1, 2 or 3. Throws std::runtime_error
/// beginning with `name`: not .npy, cut short, a type hearth lacks, a shape beyond the file.
NpyHeader parse_npy_header(std::span<const std::byte> file, std::string_view name);

/// The bytes before the values, a multiple of 64, as NumPy writes them. Throws
/// std::invalid_argument for bfloat16, which NumPy lacks.
std::string make_npy_header(Dtype dtype, std::span<const int32_t> shape);

}  // namespace hearth
