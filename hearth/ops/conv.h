// Convolutions as MLX has them: channels last, the kernel not flipped (a correlation) unless asked.
// Input (N, L..., C), weight (O, K..., C / groups) -> (N, M..., O), for one axis L or more;
// floating dtypes, promoted; sums in float32 (float64 for float64). Along an axis,
//   M = ((L - 1) input_dilation + padding_lo + padding_hi - (K - 1) kernel_dilation) / stride + 1.
#pragma once
#include <tuple>
#include <utility>
#include <vector>

#include "hearth/core/array.h"

namespace hearth {

/// Each vector has a value per axis, one value for all, or none: stride and dilations 1, padding 0.
/// A negative padding crops. input_dilation lays d - 1 zeros between neighbours of the input;
/// flip turns the kernel around along all its axes.
array conv_general(array input, array weight, std::vector<int> stride, std::vector<int> padding_lo,
                   std::vector<int> padding_hi, std::vector<int> kernel_dilation,
                   std::vector<int> input_dilation, int groups = 1, bool flip = false,
                   StreamOrDevice s = {});
/// The same padding on both sides.
array conv_general(const array& input, const array& weight, std::vector<int> stride = {},
                   std::vector<int> padding = {}, std::vector<int> kernel_dilation = {},
                   std::vector<int> input_dilation = {}, int groups = 1, bool flip = false,
                   StreamOrDevice s = {});

array conv1d(const array& input, const array& weight, int stride = 1, int padding = 0,
             int dilation = 1, int groups = 1, StreamOrDevice s = {});
array conv2d(const array& input, const array& weight, const std::pair<int, int>& stride = {1, 1},
             const std::pair<int, int>& padding = {0, 0},
             const std::pair<int, int>& dilation = {1, 1}, int groups = 1, StreamOrDevice s = {});
array conv3d(const array& input, const array& weight,
             const std::tuple<int, int, int>& stride = {1, 1, 1},
             const std::tuple<int, int, int>& padding = {0, 0, 0},
             const std::tuple<int, int, int>& dilation = {1, 1, 1}, int groups = 1,
             StreamOrDevice s = {});

/// The gradient of a convolution by its input, as an operation: input (N, L..., C), weight
/// (O, K..., C / groups) -> (N, M..., O), M = (L - 1) stride - 2 padding + (K - 1) dilation + 1 +
/// output_padding.
array conv_transpose1d(const array& input, const array& weight, int stride = 1, int padding = 0,
                       int dilation = 1, int output_padding = 0, int groups = 1,
                       StreamOrDevice s = {});
array conv_transpose2d(const array& input, const array& weight,
                       const std::pair<int, int>& stride = {1, 1},
                       const std::pair<int, int>& padding = {0, 0},
                       const std::pair<int, int>& dilation = {1, 1},
                       const std::pair<int, int>& output_padding = {0, 0}, int groups = 1,
                       StreamOrDevice s = {});
array conv_transpose3d(const array& input, const array& weight,
                       const std::tuple<int, int, int>& stride = {1, 1, 1},
                       const std::tuple<int, int, int>& padding = {0, 0, 0},
                       const std::tuple<int, int, int>& dilation = {1, 1, 1},
                       const std::tuple<int, int, int>& output_padding = {0, 0, 0}, int groups = 1,
                       StreamOrDevice s = {});

}  // namespace hearth
