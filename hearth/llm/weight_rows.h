// Weights some rows at a time, as they are checked and packed.
#pragma once
#include <functional>
#include <string>

#include "hearth/ops/matrix.h"

namespace hearth::llm {

inline constexpr int64_t kWeightsAtOnce = 1 << 22;

/// How many rows lie along all axes but the last.
int64_t rows_in(const fast::Matrix& m);
/// Rows [first, first + count) of them.
fast::Matrix rows_of(const fast::Matrix& m, int64_t first, int64_t count);
/// The values of some rows: as they are stored, or float32 where they are packed; evaluated.
array values_of(const fast::Matrix& rows);
/// The largest weight by its size; not finite where one is not. x is evaluated and row-major.
float largest_weight(const array& x);

/// Reads all weights. Throws std::runtime_error for one that is NaN or infinite, or a scale that
/// makes some so: with `where`, the tensor, by `named` of its name, and the row.
void verify_weights(const std::string& where, const fast::Matrices& tensors,
                    const std::function<std::string(const std::string&)>& named = {});

}  // namespace hearth::llm
