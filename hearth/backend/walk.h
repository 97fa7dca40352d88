// WalkAxes of strided memory and a walk over them, for kernels that split kept from reduced axes.
#pragma once
#include <cstddef>
#include <cstdint>

#include "hearth/base/small_vector.h"

namespace hearth {

/// One axis: its size, and its strides in the input and in the output, in elements.
struct WalkAxis {
  int64_t size, stride, to;
};
using WalkAxes = SmallVector<WalkAxis, 6>;

inline int64_t count(const WalkAxes& axes) {
  int64_t n = 1;
  for (const WalkAxis& a : axes) n *= a.size;
  return n;
}

/// Drops axes of size 1 and joins neighbours that both strides walk as one.
inline void merge(WalkAxes& axes) {
  size_t kept = 0;
  for (const WalkAxis& a : axes) {
    if (a.size == 1) continue;
    if (kept > 0 && axes[kept - 1].stride == a.stride * a.size &&
        axes[kept - 1].to == a.to * a.size)
      axes[kept - 1] = {axes[kept - 1].size * a.size, a.stride, a.to};
    else
      axes[kept++] = a;
  }
  axes.resize(kept);
}

/// Visits the positions of `axes` in row-major order, from the `first`th on.
class Walk {
 public:
  Walk(const WalkAxes& axes, int64_t first) : axes_(axes), at_(axes.size(), 0) {
    for (size_t i = axes.size(); i-- > 0 && first > 0;) {
      at_[i] = first % axes[i].size;
      first /= axes[i].size;
      from += at_[i] * axes[i].stride;
      to += at_[i] * axes[i].to;
    }
  }
  void next() {
    for (size_t i = axes_.size(); i-- > 0;) {
      const WalkAxis& a = axes_[i];
      from += a.stride, to += a.to;
      if (++at_[i] < a.size) return;
      from -= a.size * a.stride, to -= a.size * a.to;
      at_[i] = 0;
    }
  }
  int64_t from = 0, to = 0;  // offsets in the input and in the output, in elements

 private:
  const WalkAxes& axes_;
  SmallVector<int64_t, 6> at_;
};

}  // namespace hearth
