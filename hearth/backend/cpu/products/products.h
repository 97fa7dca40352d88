// Matrix products on the CPU, on raw memory: decode's streaming matrix-vector product and the
// packed, blocked product. Half types are widened in registers and summed in f32; every result is
// rounded once, after bias, activation and residual. Pointers may have any byte alignment. Results
// have the same bits from run to run and for any number of threads.
#pragma once
#include <cstdint>
#include <span>

#include "hearth/core/dtype.h"
#include "hearth/ops/activation.h"
#include "hearth/ops/packing.h"

namespace hearth::cpu {

/// Within about 1e-6 of the operation that it names, relative (simd-inl.h).
using fast::Activation;

/// One weight matrix of linear(): y = activation(x W^T + bias) + residual.
struct LinearJob {
  RawMatrix weight;            // (n, k), rows contiguous, as checkpoints store it
  int64_t n;                   // outputs
  void* y;                     // (m, n)
  int64_t y_stride;            // elements between rows of y
  const void* bias = nullptr;  // (n), or null
  Activation activation = Activation::none;
  const void* residual = nullptr;  // (m, n), or null; may be y
  int64_t residual_stride = 0;     // elements between rows of residual
  /// y = activation(x W^T + bias) (x V^T + times_bias) + residual: V (n, k), or null for none.
  RawMatrix times{};
  const void* times_bias = nullptr;  // (n), or null
};

/// Several layers on the same input x (m, k), rows x_stride elements apart, in one parallel region:
/// q, k, v and fc1 of a decode step cost one start. All arrays have the same dtype: f16, bf16, f32
/// or f64. Weights may be packed, each in its own way: then k is whole blocks, and dtype not f64.
/// Up to 32 rows stream the weights, read once from memory; more go to the blocked product.
/// No y may overlap x or another y. k = 0 gives activation(bias) + residual.
void linear(Dtype dtype, int64_t m, int64_t k, const void* x, int64_t x_stride,
            std::span<const LinearJob> layers);

/// One product of linear_groups(): layer(x) for m rows of its own. Row i goes to row y_rows[i] of
/// y.
struct LinearGroup {
  const void* x;  // (m, k)
  int64_t m;
  int64_t x_stride;  // elements between rows of x
  const int64_t* y_rows;
  LinearJob layer;  // without a residual
};
/// Many products of one k, each row in the bits that linear() gives it: those of up to 32 rows in
/// one parallel region, the others one after the other.
void linear_groups(Dtype dtype, int64_t k, std::span<const LinearGroup> groups);

/// c = activation(a b + bias) + residual for any strides of a and b, in elements (0 and negative
/// ones too), for one or many pairs of matrices.
struct MatmulJob {
  Dtype dtype;  // of everything: f16, bf16, f32 or f64
  int64_t m, n, k;
  const void* a;  // (m, k): element (i, p) at i * a_row + p * a_col
  int64_t a_row, a_col;
  const void* b;  // (k, n): element (p, j) at p * b_row + j * b_col
  int64_t b_row, b_col;
  void* c;  // (m, n): element (i, j) at i * c_row + j
  int64_t c_row;
  const void* bias = nullptr;  // (n), or null
  Activation activation = Activation::none;
  const void* residual = nullptr;  // (m, n): element (i, j) at i * residual_row + j; may be c
  int64_t residual_row = 0;
  // A batch: where each pair's matrices start, in elements from a, b, c and residual; null means 0
  // for all. c of different pairs may not overlap.
  int64_t batch = 1;
  const int64_t* a_offsets = nullptr;
  const int64_t* b_offsets = nullptr;
  const int64_t* c_offsets = nullptr;
  const int64_t* residual_offsets = nullptr;
};

void matmul(const MatmulJob& job);

/// Rows [first, first + count) of a packed matrix, or those that are listed, as contiguous rows of
/// f16, bf16 or f32: the values of unpack_rows, rounded to dtype. In parallel.
void dequantize(const RawMatrix& m, int64_t in, int64_t first, int64_t count, Dtype dtype,
                void* out);
void dequantize(const RawMatrix& m, int64_t in, std::span<const int64_t> rows, Dtype dtype,
                void* out);

}  // namespace hearth::cpu
