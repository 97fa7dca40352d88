#include "hearth/core/dtype.h"

#include <algorithm>

namespace hearth {

Dtype promote_types(Dtype a, Dtype b) {
  if (a == b) return a;
  if (kind_of(a) > kind_of(b)) std::swap(a, b);  // now kind(a) <= kind(b)
  const Kind ka = kind_of(a), kb = kind_of(b);
  if (kb == Kind::c) return complex64;
  if (kb == Kind::f) {
    if (ka != Kind::f) return b;  // a float takes any integer without growing
    if (a == float64 || b == float64) return float64;
    return float32;  // f16 with bf16, or either with f32
  }
  if (ka == Kind::b) return b;
  if (ka == kb) return size_of(a) > size_of(b) ? a : b;
  // unsigned a with signed b: the smallest signed type that holds both
  if (size_of(b) > size_of(a)) return b;
  switch (size_of(a)) {
    case 1: return int16;
    case 2: return int32;
    case 4: return int64;
    default: return float32;  // nothing signed holds u64
  }
}

}  // namespace hearth
