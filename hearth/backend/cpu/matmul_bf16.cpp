// bf16 products by AVX512-BF16's vdpbf16ps, which multiplies pairs and adds them in f32.
// Highway 1.0.3 has no such level, so this file is intrinsics; it is called only where the
// processor has them.
#include <hwy/detect_compiler_arch.h>
#if HWY_ARCH_X86

#if defined(__GNUC__) && !defined(__clang__)  // g++ 12 blames its own _mm512_undefined_pd
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include <array>
#include <cstring>
#include <utility>

#include "hearth/backend/cpu/matmul_kernels.h"

#define HEARTH_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define HEARTH_BF16_INLINE HEARTH_BF16 __attribute__((always_inline)) inline

namespace hearth::cpu::kernels {
namespace {

HEARTH_BF16_INLINE __m512bh load32(const std::byte* p) { return (__m512bh)_mm512_loadu_si512(p); }

/// The first n < 32 elements, zeros after.
HEARTH_BF16_INLINE __m512bh load32(const std::byte* p, int64_t n) {
  return (__m512bh)_mm512_maskz_loadu_epi16((uint32_t{1} << n) - 1, p);
}

template <int M, int R>
HEARTH_BF16_INLINE void dot_tile(const DotRows& job, const std::byte* w, float* sums) {
  __m512 sum[M][R];
  for (int m = 0; m < M; ++m)
    for (int r = 0; r < R; ++r) sum[m][r] = _mm512_setzero_ps();
  int64_t p = 0;
  for (; p + 32 <= job.k; p += 32) {
    __m512bh x[M];
    for (int m = 0; m < M; ++m) x[m] = load32(job.x + m * job.x_stride + p * 2);
    for (int r = 0; r < R; ++r) {
      const __m512bh row = load32(w + r * job.w_stride + p * 2);
      for (int m = 0; m < M; ++m) sum[m][r] = _mm512_dpbf16_ps(sum[m][r], x[m], row);
    }
  }
  if (const int64_t rest = job.k - p) {
    __m512bh x[M];
    for (int m = 0; m < M; ++m) x[m] = load32(job.x + m * job.x_stride + p * 2, rest);
    for (int r = 0; r < R; ++r) {
      const __m512bh row = load32(w + r * job.w_stride + p * 2, rest);
      for (int m = 0; m < M; ++m) sum[m][r] = _mm512_dpbf16_ps(sum[m][r], x[m], row);
    }
  }
  for (int m = 0; m < M; ++m)
    for (int r = 0; r < R; ++r) sums[m * job.sums_stride + r] = _mm512_reduce_add_ps(sum[m][r]);
}

template <int M>
HEARTH_BF16 void dot_rows_of(const DotRows& job) {
  constexpr int R = M == 1 ? 8 : M <= 4 ? 4 : 2;
  int64_t j = 0;
  for (; j + R <= job.n; j += R) dot_tile<M, R>(job, job.w + j * job.w_stride, job.sums + j);
  for (; j < job.n; ++j) dot_tile<M, 1>(job, job.w + j * job.w_stride, job.sums + j);
}

constexpr int kRows = 14, kColumns = 32;

/// A panel holds, for each pair of k steps, `width` pairs.
HEARTH_BF16 void pack(const std::byte* src, int64_t row_stride, int64_t k_stride, int64_t rows,
                      int64_t k, int64_t width, std::byte* panel) {
  for (int64_t p = 0; p < k; ++p) {
    std::byte* out = panel + (p / 2 * width * 2 + p % 2) * 2;
    for (int64_t i = 0; i < rows; ++i)
      std::memcpy(out + i * 4, src + i * row_stride + p * k_stride, 2);
    for (int64_t i = rows; i < width; ++i) std::memset(out + i * 4, 0, 2);
  }
  if (k % 2)
    for (int64_t i = 0; i < width; ++i)
      std::memset(panel + (k / 2 * width * 2 + i * 2 + 1) * 2, 0, 2);
}

template <int R>
HEARTH_BF16 void tile_of(int64_t pairs, const std::byte* a, const std::byte* b, float* c,
                         int64_t c_stride, bool add) {
  __m512 sum[R][2];
  for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_ps();
  for (int64_t p = 0; p < pairs; ++p, a += kRows * 4, b += kColumns * 4) {
    const __m512bh b0 = load32(b), b1 = load32(b + 64);
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      std::memcpy(&pair, a + r * 4, 4);
      const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, b0);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, b1);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < 2; ++v) {
      float* to = c + r * c_stride + v * 16;
      _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), sum[r][v]) : sum[r][v]);
    }
}

using TileOf = void (*)(int64_t, const std::byte*, const std::byte*, float*, int64_t, bool);

void tile(int64_t rows, int64_t k, const std::byte* a, const std::byte* b, void* c,
          int64_t c_stride, bool add) {
  static constexpr auto tiles = []<int... R>(std::integer_sequence<int, R...>) {
    return std::array<TileOf, sizeof...(R)>{tile_of<R + 1>...};
  }
  (std::make_integer_sequence<int, kRows>());
  tiles[size_t(rows - 1)](k, a, b, static_cast<float*>(c), c_stride, add);
}

}  // namespace

void dot_rows_bf16(const DotRows& job) {
  switch (job.m) {
    case 1: return dot_rows_of<1>(job);
    case 2: return dot_rows_of<2>(job);
    case 3: return dot_rows_of<3>(job);
    case 4: return dot_rows_of<4>(job);
    case 5: return dot_rows_of<5>(job);
    case 6: return dot_rows_of<6>(job);
    case 7: return dot_rows_of<7>(job);
    case 8: return dot_rows_of<8>(job);
  }
}

const Gemm& gemm_parts_bf16() {
  static const Gemm the{kRows, kColumns, 2, 2, pack, tile};
  return the;
}

}  // namespace hearth::cpu::kernels

#endif  // HWY_ARCH_X86
