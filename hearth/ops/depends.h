// Order without data.
#pragma once
#include "hearth/core/array.h"

namespace hearth {

/// The inputs, which are there when the dependencies are computed too.
Arrays depends(const Arrays& inputs, const Arrays& dependencies);

}  // namespace hearth
