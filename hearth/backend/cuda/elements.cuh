// Elements of a dtype known only at run time, for kernels that are bound by other things.
#pragma once
#include "hearth/backend/cuda/device.cuh"

namespace hearth::cuda {

struct ComplexDouble {
  double re, im;
};

/// Element i of `data` as R: double or float (any real dtype), int64_t or uint64_t (bool and
/// integers), Complex or ComplexDouble (complex).
template <class R>
__device__ inline R load_as(const void* data, Dtype dtype, int64_t i) {
  if constexpr (std::is_class_v<R>) {
    const Complex v = static_cast<const Complex*>(data)[i];
    return {v.re, v.im};
  } else {
    switch (dtype) {
      case bool_: return R(static_cast<const uint8_t*>(data)[i] != 0);
      case uint8: return R(static_cast<const uint8_t*>(data)[i]);
      case uint16: return R(static_cast<const uint16_t*>(data)[i]);
      case uint32: return R(static_cast<const uint32_t*>(data)[i]);
      case uint64: return R(static_cast<const uint64_t*>(data)[i]);
      case int8: return R(static_cast<const int8_t*>(data)[i]);
      case int16: return R(static_cast<const int16_t*>(data)[i]);
      case int32: return R(static_cast<const int32_t*>(data)[i]);
      case int64: return R(static_cast<const int64_t*>(data)[i]);
      default: break;
    }
    if constexpr (std::is_floating_point_v<R>) switch (dtype) {
        case float16: return R(widen(static_cast<const __half*>(data)[i]));
        case bfloat16: return R(widen(static_cast<const __nv_bfloat16*>(data)[i]));
        case float32: return R(static_cast<const float*>(data)[i]);
        case float64: return R(static_cast<const double*>(data)[i]);
        default: break;
      }
    return R{};
  }
}

/// The other way, rounded or wrapped once; anything that is not 0 is true.
template <class R>
__device__ inline void store_as(void* data, Dtype dtype, int64_t i, R v) {
  if constexpr (std::is_class_v<R>) {
    static_cast<Complex*>(data)[i] = {float(v.re), float(v.im)};
  } else if constexpr (std::is_floating_point_v<R>) {
    switch (dtype) {
      case float16: static_cast<__half*>(data)[i] = narrow<__half>(v); break;
      case bfloat16: static_cast<__nv_bfloat16*>(data)[i] = narrow<__nv_bfloat16>(v); break;
      case float32: static_cast<float*>(data)[i] = float(v); break;
      default: static_cast<double*>(data)[i] = double(v);
    }
  } else {
    switch (dtype) {
      case bool_: static_cast<uint8_t*>(data)[i] = v != 0; break;
      case uint8:
      case int8: static_cast<uint8_t*>(data)[i] = uint8_t(v); break;
      case uint16:
      case int16: static_cast<uint16_t*>(data)[i] = uint16_t(v); break;
      case uint32:
      case int32: static_cast<uint32_t*>(data)[i] = uint32_t(v); break;
      default: static_cast<uint64_t*>(data)[i] = uint64_t(v);
    }
  }
}

/// a / b, of non-negative numbers; 32-bit divisions are several times faster.
__device__ inline int64_t quotient(int64_t a, int64_t b) {
  return (a | b) >> 32 ? a / b : int64_t(unsigned(a) / unsigned(b));
}

}  // namespace hearth::cuda
