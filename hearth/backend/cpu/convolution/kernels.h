// The register tiles of a convolution and of its gradient by the weight. Both read the input where
// it lies: no element is copied for each place of the kernel that sees it.
#pragma once
#include <cstdint>

#include "hearth/backend/cpu/products/kernels.h"

namespace hearth::cpu::kernels {

/// Rows of sums in registers, and outputs of a panel.
struct ConvolutionTile {
  int rows, columns;
};
/// `pairs`: of the kernels that multiply bf16 in pairs, which are of one level.
ConvolutionTile convolution_tile(bool pairs);

/// sums[i][j] = sum over taps t and channels c of x[places[i] + taps[t] + c] w[t][c][j], for
/// tiles * rows places i and one panel of w, j < columns. Added up in the order of w.
struct Convolve {
  bool pairs;
  int64_t tiles;
  const float* x;
  const int64_t *places, *taps;
  int64_t tap_count, channels;
  const float* w;
  float* sums;
  int64_t sums_stride;
};
void convolve(const Convolve& job);

/// sums[i][j] += sum over p < count of x[elements[i] + places[p]] d[p][j] for tiles * rows elements
/// i, j < columns; rows of d lie d_stride apart. Added up in the order of p.
struct ConvolveWeight {
  bool pairs;
  int64_t tiles, count;
  const float* x;
  const int64_t *elements, *places;
  const float* d;
  int64_t d_stride;
  float* sums;  // (tiles * rows, columns)
};
void convolve_weight(const ConvolveWeight& job);

/// With `pairs` an element of x and of w or d is a pair of bf16, moved as if it were a float; both
/// products are added to the sum. Where the processor can.
bool convolves_pairs(Dtype dtype);
/// Pack for k steps in pairs, as d is wanted.
void pack_pairs(const std::byte* src, int64_t row_stride, int64_t k_stride, int64_t rows, int64_t k,
                int64_t width, std::byte* panel);

// Level avx512_bf16: those of pairs.
ConvolutionTile convolution_tile_bf16();
void convolve_bf16(const Convolve& job);
void convolve_weight_bf16(const ConvolveWeight& job);

}  // namespace hearth::cpu::kernels
