// 8-bit floats (E4M3: four bits of exponent, three of digits, largest number 448) as bytes.
#pragma once
#include "hearth/core/array.h"

namespace hearth {

/// u8: the nearest, ties to the even code; beyond 448 it is 448, NaN stays NaN.
array to_fp8(array x, StreamOrDevice s = {});
array from_fp8(array x, Dtype dtype = bfloat16, StreamOrDevice s = {});

}  // namespace hearth
