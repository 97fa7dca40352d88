#include "hearth/backend/cpu/convolution/kernels.h"

#include "hearth/backend/cpu/isa.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/convolution/kernels.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Rows x vectors of sums in registers: of 32 registers with AVX-512, of 16 without.
#if HWY_TARGET <= HWY_AVX3
constexpr int kRows = 14;
#else
constexpr int kRows = 6;
#endif
constexpr int kVectors = 2;
constexpr int64_t kLine = 16;  // floats
using F32 = hn::ScalableTag<float>;
using Sums = hn::Vec<F32>[kRows][kVectors];

kernels::ConvolutionTile convolution_tile() { return {kRows, kVectors * int(hn::Lanes(F32()))}; }

/// sums[r] += rows[r][at] w for the next vectors at w.
HWY_INLINE void step(const float* const (&rows)[kRows], int64_t at, const float* w, Sums& sums) {
  const F32 d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  hn::Vec<F32> row[kVectors];
  HWY_UNROLL(4) for (int v = 0; v < kVectors; ++v) row[v] = hn::LoadU(d, w + v * lanes);
  HWY_UNROLL(16) for (int r = 0; r < kRows; ++r) {
    const auto x = hn::Set(d, rows[r][at]);
    HWY_UNROLL(4) for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(x, row[v], sums[r][v]);
  }
}

void convolve(const kernels::Convolve& job) {
  const F32 d;
  const int64_t lanes = int64_t(hn::Lanes(d)), columns = kVectors * lanes;
  for (int64_t tile = 0; tile < job.tiles; ++tile) {
    const float* rows[kRows];
    Sums sums;
    HWY_UNROLL(16) for (int r = 0; r < kRows; ++r) {
      rows[r] = job.x + job.places[tile * kRows + r];
      HWY_UNROLL(4) for (int v = 0; v < kVectors; ++v) { sums[r][v] = hn::Zero(d); }
    }
    const float* w = job.w;
    for (int64_t t = 0; t < job.tap_count; ++t) {
      const int64_t end = job.taps[t] + job.channels;
      for (int64_t c = job.taps[t]; c < end;) {
        // The next line of each row, which otherwise are all waited for in one step.
        if (job.channels >= kLine) HWY_UNROLL(16) for (int r = 0; r < kRows; ++r) {
            hwy::Prefetch(rows[r] + c + kLine);
          }
        for (const int64_t stop = std::min(end, c + kLine); c < stop; ++c, w += columns)
          step(rows, c, w, sums);
      }
    }
    float* to = job.sums + tile * kRows * job.sums_stride;
    HWY_UNROLL(16) for (int r = 0; r < kRows; ++r, to += job.sums_stride) {
      HWY_UNROLL(4) for (int v = 0; v < kVectors; ++v) {
        hn::StoreU(sums[r][v], d, to + v * lanes);
      }
    }
  }
}

void convolve_weight(const kernels::ConvolveWeight& job) {
  const F32 d;
  const int64_t lanes = int64_t(hn::Lanes(d)), columns = kVectors * lanes;
  for (int64_t tile = 0; tile < job.tiles; ++tile) {
    const float* rows[kRows];
    float* const to = job.sums + tile * kRows * columns;
    Sums sums;
    HWY_UNROLL(16) for (int r = 0; r < kRows; ++r) {
      rows[r] = job.x + job.elements[tile * kRows + r];
      HWY_UNROLL(4) for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = hn::LoadU(d, to + r * columns + v * lanes);
      }
    }
    const float* from = job.d;
    for (int64_t p = 0; p < job.count; ++p, from += job.d_stride)
      step(rows, job.places[p], from, sums);
    HWY_UNROLL(16) for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(4) for (int v = 0; v < kVectors; ++v) {
        hn::StoreU(sums[r][v], d, to + r * columns + v * lanes);
      }
    }
  }
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu::kernels {

HEARTH_EXPORT(convolution_tile);
HEARTH_EXPORT(convolve);
HEARTH_EXPORT(convolve_weight);

#if HWY_ARCH_X86
bool convolves_pairs(Dtype dtype) { return dtype == bfloat16 && isa() >= Isa::avx512_bf16; }
void pack_pairs(const std::byte* src, int64_t row_stride, int64_t k_stride, int64_t rows, int64_t k,
                int64_t width, std::byte* panel) {
  blocked_kernels_bf16().pack_b(src, row_stride, k_stride, rows, k, width, panel);
}
ConvolutionTile convolution_tile(bool pairs) {
  return pairs ? convolution_tile_bf16() : HEARTH_DISPATCH(convolution_tile)();
}
void convolve(const Convolve& job) {
  job.pairs ? convolve_bf16(job) : HEARTH_DISPATCH(convolve)(job);
}
void convolve_weight(const ConvolveWeight& job) {
  job.pairs ? convolve_weight_bf16(job) : HEARTH_DISPATCH(convolve_weight)(job);
}
#else
bool convolves_pairs(Dtype) { return false; }
void pack_pairs(const std::byte*, int64_t, int64_t, int64_t, int64_t, int64_t, std::byte*) {}
ConvolutionTile convolution_tile(bool) { return HEARTH_DISPATCH(convolution_tile)(); }
void convolve(const Convolve& job) { HEARTH_DISPATCH(convolve)(job); }
void convolve_weight(const ConvolveWeight& job) { HEARTH_DISPATCH(convolve_weight)(job); }
#endif

}  // namespace hearth::cpu::kernels
#endif
