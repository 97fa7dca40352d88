// Products by experts: each row of x meets the weights that were chosen for it.
#pragma once
#include "hearth/ops/fast.h"

namespace hearth::fast {

/// activation(x W^T + b) by the experts `ids` (..., K), integers: W and b are row ids[..., j] of a
/// projection's weight (E, n, k) and bias (E, n). x is (..., K, k), or (..., 1, k) where all K read
/// the same. For each projection (..., K, n), all in one parallel region; a gate and the projection
/// after it give one result, as in linears. An id out of range throws when it is evaluated.
Arrays expert_linears(const array& x, const array& ids, std::span<const Projection> projections,
                      StreamOrDevice s = {});

}  // namespace hearth::fast
