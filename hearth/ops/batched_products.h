// Matrix products of chosen matrices, of stretches, and of blocks.
#pragma once
#include <optional>

#include "hearth/core/array.h"

namespace hearth {

/// The products of a's matrices lhs_indices and b's matrices rhs_indices, which count through the
/// batch axes as one and broadcast with each other; without them each of the batch. Sorted indices
/// change nothing here.
array gather_mm(array a, array b, std::optional<array> lhs_indices = std::nullopt,
                std::optional<array> rhs_indices = std::nullopt, bool sorted_indices = false,
                StreamOrDevice s = {});
/// a (m, k), b (k, n), segments (..., 2) of starts and ends within k -> (..., m, n): the products
/// of a's columns and b's rows in each segment.
array segmented_mm(array a, array b, array segments, StreamOrDevice s = {});
/// matmul(a, b) with blocks of block_size x block_size of a, b and the product multiplied by masks
/// (bools: kept or 0) of ceil(rows / block_size) x ceil(columns / block_size).
array block_masked_mm(array a, array b, int block_size = 64,
                      std::optional<array> mask_out = std::nullopt,
                      std::optional<array> mask_lhs = std::nullopt,
                      std::optional<array> mask_rhs = std::nullopt, StreamOrDevice s = {});

/// The last axis, of m 2^k elements with m of 1, 12, 20 or 28, times Hadamard's matrix and `scale`,
/// by default 1 / sqrt(n).
array hadamard_transform(const array& a, std::optional<float> scale = std::nullopt,
                         StreamOrDevice s = {});

}  // namespace hearth
