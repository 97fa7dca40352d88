// What device code shares: element types, loads and stores, strided walks.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "hearth/backend/cuda/cuda.h"

namespace hearth::cuda {

struct alignas(8) Complex {
  float re, im;
};

/// A dtype's element on the device: the same bytes.
template <class T>
struct OnDeviceOf {
  using type = T;
};
template <>
struct OnDeviceOf<float16_t> {
  using type = __half;
};
template <>
struct OnDeviceOf<bfloat16_t> {
  using type = __nv_bfloat16;
};
template <>
struct OnDeviceOf<complex64_t> {
  using type = Complex;
};
template <class T>
using OnDevice = typename OnDeviceOf<T>::type;

/// Half types are storage: widened to float, computed, narrowed once.
__device__ inline float widen(__half x) { return __half2float(x); }
__device__ inline float widen(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }
template <class T>
__device__ inline T narrow(float x) {
  if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(x);
  else if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return __float2bfloat16_rn(x);
  else
    return T(x);
}
template <class T>
__device__ inline T narrow(double x) {
  return T(x);
}

/// Blocks of `per_block` that cover n elements, at most `most` (kernels loop over the rest).
inline unsigned blocks_for(int64_t n, int64_t per_block, int64_t most = 1 << 20) {
  return unsigned(std::max<int64_t>(1, std::min((n + per_block - 1) / per_block, most)));
}

/// The axes of N operands of one shape, neighbours joined where all strides allow; passed to
/// kernels by value. Strides in elements.
constexpr int kMaxAxes = 12;
template <int N>
struct Axes {
  int count = 0;
  int size[kMaxAxes];
  int64_t stride[N][kMaxAxes];

  Axes(const Shape& shape, const std::array<Strides, N>& strides) {
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] == 1) continue;
      bool joins = count > 0 && int64_t(size[count - 1]) * shape[i] < (int64_t{1} << 31);
      for (int k = 0; joins && k < N; ++k) joins = stride[k][count - 1] == strides[k][i] * shape[i];
      if (!joins) {
        ensure(count < kMaxAxes, "cuda: an array of more than ", kMaxAxes, " axes: ", shape);
        size[count++] = 1;
      }
      size[count - 1] *= shape[i];
      for (int k = 0; k < N; ++k) stride[k][count - 1] = strides[k][i];
    }
  }
  /// Is every operand row-major and without gaps?
  bool contiguous() const {
    if (count == 0) return true;
    for (int k = 0; k < N; ++k)
      if (count != 1 || stride[k][0] != 1) return false;
    return true;
  }
  /// The operands' offsets of element i in row-major order.
  __device__ void offsets(int64_t i, int64_t (&at)[N]) const {
    for (int k = 0; k < N; ++k) at[k] = 0;
    if (i < (int64_t{1} << 31)) {  // 32-bit divisions are several times faster
      unsigned rest = unsigned(i);
#pragma unroll 1  // for the size of the code: there are few axes
      for (int axis = count - 1; axis >= 0; --axis) {
        const unsigned next = rest / unsigned(size[axis]),
                       here = rest - next * unsigned(size[axis]);
        for (int k = 0; k < N; ++k) at[k] += here * stride[k][axis];
        rest = next;
      }
    } else {
#pragma unroll 1
      for (int axis = count - 1; axis >= 0; --axis) {
        const int64_t next = i / size[axis], here = i - next * size[axis];
        for (int k = 0; k < N; ++k) at[k] += here * stride[k][axis];
        i = next;
      }
    }
  }
};

}  // namespace hearth::cuda
