// Arrays from nothing. Constants are one element, repeated by strides: they cost no memory.
#pragma once
#include "hearth/core/array.h"

namespace hearth {

/// start, start + step, ... before stop. int32 from ints, float32 from doubles; throws when the
/// length is not finite.
array arange(double start, double stop, double step, Dtype dtype, StreamOrDevice s = {});
array arange(double start, double stop, double step, StreamOrDevice s = {});
array arange(double start, double stop, Dtype dtype, StreamOrDevice s = {});
array arange(double start, double stop, StreamOrDevice s = {});
array arange(double stop, Dtype dtype, StreamOrDevice s = {});
array arange(double stop, StreamOrDevice s = {});
array arange(int start, int stop, int step, StreamOrDevice s = {});
array arange(int start, int stop, StreamOrDevice s = {});
array arange(int stop, StreamOrDevice s = {});
/// num values from start to stop, the last one stop itself unless endpoint is false.
array linspace(double start, double stop, int num, bool endpoint, Dtype dtype = float32,
               StreamOrDevice s = {});
array linspace(double start, double stop, int num = 50, Dtype dtype = float32,
               StreamOrDevice s = {});

/// `vals`, broadcast to `shape`: a view.
array full(const Shape& shape, const array& vals, Dtype dtype, StreamOrDevice s = {});
array full(const Shape& shape, const array& vals, StreamOrDevice s = {});
template <Scalar T>
array full(const Shape& shape, T val, Dtype dtype, StreamOrDevice s = {}) {
  return full(shape, array(val, dtype), s);
}
template <Scalar T>
array full(const Shape& shape, T val, StreamOrDevice s = {}) {
  return full(shape, array(val), s);
}
/// Of a's shape, and dtype if not given.
array full_like(const array& a, const array& vals, Dtype dtype, StreamOrDevice s = {});
array full_like(const array& a, const array& vals, StreamOrDevice s = {});
array zeros(const Shape& shape, Dtype dtype, StreamOrDevice s = {});
array zeros(const Shape& shape, StreamOrDevice s = {});
array zeros_like(const array& a, StreamOrDevice s = {});
array zeros_like(const array& a, Dtype dtype, StreamOrDevice s = {});
array ones(const Shape& shape, Dtype dtype, StreamOrDevice s = {});
array ones(const Shape& shape, StreamOrDevice s = {});
array ones_like(const array& a, StreamOrDevice s = {});
array ones_like(const array& a, Dtype dtype, StreamOrDevice s = {});

/// (n, m) with ones on the k-th diagonal.
array eye(int n, int m, int k, Dtype dtype, StreamOrDevice s = {});
array eye(int n, Dtype dtype, StreamOrDevice s = {});
array eye(int n, int m, StreamOrDevice s = {});
array eye(int n, int m, int k, StreamOrDevice s = {});
array eye(int n, StreamOrDevice s = {});
array identity(int n, Dtype dtype, StreamOrDevice s = {});
array identity(int n, StreamOrDevice s = {});
/// (n, m) with ones up to the k-th diagonal.
array tri(int n, int m, int k, Dtype type, StreamOrDevice s = {});
array tri(int n, Dtype type, StreamOrDevice s = {});

/// Windows of M points, symmetric, f32.
array hanning(int M, StreamOrDevice s = {});
array hamming(int M, StreamOrDevice s = {});
array bartlett(int M, StreamOrDevice s = {});
array blackman(int M, StreamOrDevice s = {});

}  // namespace hearth
