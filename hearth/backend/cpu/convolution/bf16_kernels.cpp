// The register tiles for bf16 by AVX512-BF16's vdpbf16ps, which multiplies pairs and adds them in
// f32: an element of x and of w is a pair.
#include "hearth/backend/cpu/bf16_intrinsics.h"
#if HWY_ARCH_X86

#include <algorithm>

#include "hearth/backend/cpu/convolution/kernels.h"

namespace hearth::cpu::kernels {
namespace {

constexpr int kRows = 14, kVectors = 2, kColumns = 16 * kVectors;
constexpr int64_t kLine = 16;  // pairs
using Sums = __m512[kRows][kVectors];

HEARTH_BF16_INLINE void step(const float* const (&rows)[kRows], int64_t at, const float* w,
                             Sums& sums) {
  __m512bh row[kVectors];
  HWY_UNROLL(4)
  for (int v = 0; v < kVectors; ++v) row[v] = (__m512bh)_mm512_loadu_si512(w + v * 16);
  HWY_UNROLL(16) for (int r = 0; r < kRows; ++r) {
    const __m512bh x = (__m512bh)_mm512_set1_ps(rows[r][at]);
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], x, row[v]);
  }
}

}  // namespace

ConvolutionTile convolution_tile_bf16() { return {kRows, kColumns}; }

HEARTH_BF16 void convolve_bf16(const Convolve& job) {
  for (int64_t tile = 0; tile < job.tiles; ++tile) {
    const float* rows[kRows];
    Sums sums;
    HWY_UNROLL(16) for (int r = 0; r < kRows; ++r) {
      rows[r] = job.x + job.places[tile * kRows + r];
      HWY_UNROLL(4) for (int v = 0; v < kVectors; ++v) { sums[r][v] = _mm512_setzero_ps(); }
    }
    const float* w = job.w;
    for (int64_t t = 0; t < job.tap_count; ++t) {
      const int64_t end = job.taps[t] + job.channels;
      for (int64_t c = job.taps[t]; c < end;) {
        if (job.channels >= kLine) HWY_UNROLL(16) for (int r = 0; r < kRows; ++r) {
            __builtin_prefetch(rows[r] + c + kLine);
          }
        for (const int64_t stop = std::min(end, c + kLine); c < stop; ++c, w += kColumns)
          step(rows, c, w, sums);
      }
    }
    float* to = job.sums + tile * kRows * job.sums_stride;
    HWY_UNROLL(16) for (int r = 0; r < kRows; ++r, to += job.sums_stride) {
      HWY_UNROLL(4) for (int v = 0; v < kVectors; ++v) {
        _mm512_storeu_ps(to + v * 16, sums[r][v]);
      }
    }
  }
}

HEARTH_BF16 void convolve_weight_bf16(const ConvolveWeight& job) {
  for (int64_t tile = 0; tile < job.tiles; ++tile) {
    const float* rows[kRows];
    float* const to = job.sums + tile * kRows * kColumns;
    Sums sums;
    HWY_UNROLL(16) for (int r = 0; r < kRows; ++r) {
      rows[r] = job.x + job.elements[tile * kRows + r];
      HWY_UNROLL(4) for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = _mm512_loadu_ps(to + r * kColumns + v * 16);
      }
    }
    const float* from = job.d;
    for (int64_t p = 0; p < job.count; ++p, from += job.d_stride)
      step(rows, job.places[p], from, sums);
    HWY_UNROLL(16) for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(4) for (int v = 0; v < kVectors; ++v) {
        _mm512_storeu_ps(to + r * kColumns + v * 16, sums[r][v]);
      }
    }
  }
}

}  // namespace hearth::cpu::kernels

#endif  // HWY_ARCH_X86
