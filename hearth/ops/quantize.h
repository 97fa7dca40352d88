// MLX's quantized operations: codes, scales and biases as arrays of their own. Modes: "affine" (2,
// 3, 4, 5, 6 or 8 bits, groups of 32, 64 or 128; 4 and 64 unless said otherwise), "mxfp4" (groups
// of 32), "mxfp8" (32), "nvfp4" (16).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "hearth/ops/matrix.h"

namespace hearth {

/// The packing of a mode; throws std::invalid_argument, beginning with `who`, for one that is not.
Packing packing_of_mode(std::string_view who, const std::string& mode,
                        std::optional<int> group_size, std::optional<int> bits);

/// w (..., out, in) -> codes (uint32), scales, and biases where the mode has them. Groups lie along
/// the last axis. `global_scale`, of "nvfp4" alone: float32, one number, the largest |w| as a rule;
/// w is multiplied by 2688 / global_scale first, so that the scales use all of e4m3.
std::vector<array> quantize(const array& w, std::optional<int> group_size = std::nullopt,
                            std::optional<int> bits = std::nullopt,
                            const std::string& mode = "affine",
                            const std::optional<array>& global_scale = std::nullopt,
                            StreamOrDevice s = {});
/// What quantize() gave, as values again; dtype: that of the scales, bfloat16 where these are no
/// floats, float32 with a global scale.
array dequantize(const array& w, const array& scales,
                 const std::optional<array>& biases = std::nullopt,
                 std::optional<int> group_size = std::nullopt,
                 std::optional<int> bits = std::nullopt, const std::string& mode = "affine",
                 const std::optional<array>& global_scale = std::nullopt,
                 std::optional<Dtype> dtype = std::nullopt, StreamOrDevice s = {});
/// x w^T of both quantized, "nvfp4" or "mxfp8": x (..., k) is quantized here, and so is w (...,
/// out, k) where it has no scales. The result has x's dtype.
array qqmm(const array& x, const array& w, const std::optional<array>& w_scales = std::nullopt,
           std::optional<int> group_size = std::nullopt, std::optional<int> bits = std::nullopt,
           const std::string& mode = "nvfp4",
           const std::optional<array>& global_scale_x = std::nullopt,
           const std::optional<array>& global_scale_w = std::nullopt, StreamOrDevice s = {});
/// The same with matrices of x and w chosen by indices, as in gather_qmm.
array gather_qqmm(const array& x, const array& w,
                  const std::optional<array>& scales_w = std::nullopt,
                  const std::optional<array>& lhs_indices = std::nullopt,
                  const std::optional<array>& rhs_indices = std::nullopt,
                  std::optional<int> group_size = std::nullopt,
                  std::optional<int> bits = std::nullopt, const std::string& mode = "nvfp4",
                  const std::optional<array>& global_scale_x = std::nullopt,
                  const std::optional<array>& global_scale_w = std::nullopt,
                  bool sorted_indices = false, StreamOrDevice s = {});
/// x w^T, or x w where not `transpose`: x (..., k), w quantized, of 2 axes or more; batches
/// broadcast.
array quantized_matmul(const array& x, const array& w, const array& scales,
                       const std::optional<array>& biases = std::nullopt, bool transpose = true,
                       std::optional<int> group_size = std::nullopt,
                       std::optional<int> bits = std::nullopt, const std::string& mode = "affine",
                       StreamOrDevice s = {});
/// The same with matrices of x and w chosen by indices, which broadcast: x (..., m, k) by
/// lhs_indices, w (..., out, in) by rhs_indices into their batch axes taken as one; without
/// indices, each in its place.
array gather_qmm(const array& x, const array& w, const array& scales,
                 const std::optional<array>& biases = std::nullopt,
                 std::optional<array> lhs_indices = std::nullopt,
                 std::optional<array> rhs_indices = std::nullopt, bool transpose = true,
                 std::optional<int> group_size = std::nullopt,
                 std::optional<int> bits = std::nullopt, const std::string& mode = "affine",
                 bool sorted_indices = false, StreamOrDevice s = {});

namespace fast {
/// w, packed as MLX packs it, or into the blocks of GGUF files as llama.cpp packs it. For blocks,
/// `importance` (in), or (experts, in) of w (experts, out, in), says what the square of an error
/// counts in each column: float32, none negative.
Matrix quantize(const array& w, Packing packing, const std::optional<array>& importance = {},
                StreamOrDevice s = {});
}  // namespace fast

}  // namespace hearth
