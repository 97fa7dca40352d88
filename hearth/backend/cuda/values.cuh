// The values of elementwise operations as device functions, from the table: add_op::of(a, b).
#pragma once
#include "hearth/backend/cuda/math.cuh"
#include "hearth/backend/lanes.h"

namespace hearth::cuda::math {

#define UNARY(name, kinds, rule, value, ...) \
  struct name##_op {                         \
    template <class T>                       \
    static HEARTH_FN auto of(T x) {          \
      return value;                          \
    }                                        \
  };
#define BINARY(name, kinds, rule, value, ...) \
  struct name##_op {                          \
    template <class T>                        \
    static HEARTH_FN auto of(T a, T b) {      \
      return value;                           \
    }                                         \
  };
#define TERNARY(name, kinds, rule, value, ...)   \
  struct name##_op {                             \
    template <class T>                           \
    static HEARTH_FN auto of(bool a, T b, T c) { \
      return value;                              \
    }                                            \
  };
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY

// lane_f32, lane_c64, ...
#define X(name, type, kinds) using lane_##name = type;
HEARTH_LANES(X)
#undef X

}  // namespace hearth::cuda::math
