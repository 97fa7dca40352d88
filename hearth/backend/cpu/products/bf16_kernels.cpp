// bf16 products by AVX512-BF16's vdpbf16ps, which multiplies pairs and adds them in f32.
#include "hearth/backend/cpu/bf16_intrinsics.h"
#if HWY_ARCH_X86

#include <array>
#include <cstring>
#include <utility>

#include "hearth/backend/cpu/products/kernels.h"

namespace hearth::cpu::kernels {
namespace {

HEARTH_BF16_INLINE __m512bh load32(const std::byte* p) { return (__m512bh)_mm512_loadu_si512(p); }

/// The first n < 32 elements, zeros after.
HEARTH_BF16_INLINE __m512bh load32(const std::byte* p, int64_t n) {
  return (__m512bh)_mm512_maskz_loadu_epi16((1u << n) - 1, p);
}

HEARTH_BF16_INLINE __m256i load16(const std::byte* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

/// Where w is fetched ahead, in halves: Zen 4's prefetcher likes loads of 32 bytes better.
template <Streams S>
HEARTH_BF16_INLINE __m512bh load_streamed(const std::byte* p) {
  if constexpr (S.first == 0) return load32(p);
  return (__m512bh)_mm512_inserti64x4(_mm512_castsi256_si512(load16(p)), load16(p + 32), 1);
}

HEARTH_BF16_INLINE float sum_of_lanes(__m512 all) {
  const __m256 v = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/// As in streamed_kernels.cpp. The less there is to do beside waiting for lines, the more of them
/// are waited for at once: so four of each stream for one pass of the loop.
template <int M, Streams S>
HEARTH_BF16_INLINE void dot_tile(const DotRows& job, const std::byte* w, int64_t apart, float* sums,
                                 int64_t sums_apart) {
  constexpr int R = S.count;
  __m512 sum[M][R];
  for (int m = 0; m < M; ++m)
    for (int r = 0; r < R; ++r) sum[m][r] = _mm512_setzero_ps();
  const auto line = [&](int64_t p) HEARTH_BF16 __attribute__((always_inline)) {
    for (int r = 0; r < R; ++r) fetch_ahead<S>(w + r * apart + p * 2);
    __m512bh x[M];
    for (int m = 0; m < M; ++m) x[m] = load32(job.x + m * job.x_stride + p * 2);
    for (int r = 0; r < R; ++r) {
      const __m512bh row = load_streamed<S>(w + r * apart + p * 2);
      for (int m = 0; m < M; ++m) sum[m][r] = _mm512_dpbf16_ps(sum[m][r], x[m], row);
    }
  };
  int64_t p = 0;
  if constexpr (M == 1)
    for (; p + 4 * 32 <= job.k; p += 4 * 32)
      for (int u = 0; u < 4; ++u) line(p + u * 32);
  for (; p + 32 <= job.k; p += 32) line(p);
  if (const int64_t rest = job.k - p; rest > 0)
    for (int r = 0; r < R; ++r) {
      const __m512bh row = load32(w + r * apart + p * 2, rest);
      for (int m = 0; m < M; ++m)
        sum[m][r] =
            _mm512_dpbf16_ps(sum[m][r], load32(job.x + m * job.x_stride + p * 2, rest), row);
    }
  for (int m = 0; m < M; ++m)
    for (int r = 0; r < R; ++r)
      sums[m * job.sums_stride + r * sums_apart] = sum_of_lanes(sum[m][r]);
}

template <int M, Streams S>
HEARTH_BF16 void dot_runs(const DotRows& job) {
  const int64_t run = job.n / S.count;
  for (int64_t j = 0; j < run; ++j) {
    if (j + 1 == run) fetch_next<S>(job);
    dot_tile<M, S>(job, job.w + j * job.w_stride, run * job.w_stride, job.sums + j, run);
  }
  constexpr Streams one{1, S.second, S.first};
  for (int64_t j = run * S.count; j < job.n; ++j)
    dot_tile<M, one>(job, job.w + j * job.w_stride, 0, job.sums + j, 0);
}

template <int M>
HEARTH_BF16 void dot_rows_of(const DotRows& job) {
  if constexpr (M == 1)
    with_streams<false>(job.k * 2, [&]<Streams S>() HEARTH_BF16 { dot_runs<M, S>(job); });
  else
    dot_runs<M, Streams{4, 0, 0}>(job);
}

constexpr int kRows = 14, kColumns = 32;

/// A panel holds, for each pair of k steps, `width` pairs.
HEARTH_BF16 void pack(const std::byte* src, int64_t row_stride, int64_t k_stride, int64_t rows,
                      int64_t k, int64_t width, std::byte* panel) {
  int64_t p = 0;
  if (k_stride == 2) {  // pairs as stored: 32-bit elements
    blocked_kernels(float32).pack_b(src, row_stride, 4, rows, k / 2, width, panel);
    p = k / 2 * 2;
  }
  for (; p < k; p += 2) {
    const std::byte* at = src + p * k_stride;
    std::byte* out = panel + p * width * 2;
    const bool last = p + 1 == k;  // paired with zeros
    int64_t i = 0;
    if (row_stride == 2)
      for (; i + 16 <= rows; i += 16) {
        const auto half = [&](const std::byte* from)
                              HEARTH_BF16 { return _mm512_cvtepu16_epi32(load16(from + i * 2)); };
        const __m512i second = last ? _mm512_setzero_si512() : half(at + k_stride);
        _mm512_storeu_si512(out + i * 4, _mm512_or_si512(half(at), _mm512_slli_epi32(second, 16)));
      }
    for (; i < rows; ++i) {
      uint16_t pair[2] = {};
      std::memcpy(&pair[0], at + i * row_stride, 2);
      if (!last) std::memcpy(&pair[1], at + i * row_stride + k_stride, 2);
      std::memcpy(out + i * 4, pair, 4);
    }
    if (i < width) std::memset(out + i * 4, 0, size_t(width - i) * 4);
  }
}

template <int R>
HEARTH_BF16 void tile_of(int64_t pairs, const std::byte* a, const std::byte* b, float* c,
                         int64_t c_stride, bool add) {
  constexpr int V = kColumns / 16;
  __m512 sum[R][V];
  HWY_UNROLL(16) for (int r = 0; r < R; ++r) HWY_UNROLL(4) for (int v = 0; v < V; ++v) {
    sum[r][v] = _mm512_setzero_ps();
    __builtin_prefetch(c + r * c_stride + v * 16);
  }
  for (int64_t p = 0; p < pairs; ++p, a += kRows * 4, b += kColumns * 4) {
    __m512bh row[V];
    HWY_UNROLL(4) for (int v = 0; v < V; ++v) row[v] = load32(b + v * 64);
    HWY_UNROLL(16) for (int r = 0; r < R; ++r) {
      int32_t pair;
      std::memcpy(&pair, a + r * 4, 4);
      const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
      HWY_UNROLL(4) for (int v = 0; v < V; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], x, row[v]);
    }
  }
  HWY_UNROLL(16) for (int r = 0; r < R; ++r) HWY_UNROLL(4) for (int v = 0; v < V; ++v) {
    float* to = c + r * c_stride + v * 16;
    _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), sum[r][v]) : sum[r][v]);
  }
}

using TileOf = void (*)(int64_t, const std::byte*, const std::byte*, float*, int64_t, bool);

void tiles(const Tiles& job) {
  static constexpr auto of_rows = []<int... R>(std::integer_sequence<int, R...>) {
    return std::array<TileOf, sizeof...(R)>{tile_of<R + 1>...};
  }
  (std::make_integer_sequence<int, kRows>());
  for (int64_t j = 0; j < job.panels; ++j)
    of_rows[size_t(job.rows - 1)](job.k, job.a, job.b + j * kColumns * job.k * 4,
                                  static_cast<float*>(job.c) + j * kColumns, job.c_stride, job.add);
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
  }
}

const BlockedKernels& blocked_kernels_bf16() {
  static const BlockedKernels the{kRows, kColumns, 2, 2, pack, pack, tiles};
  return the;
}

}  // namespace hearth::cpu::kernels

#endif  // HWY_ARCH_X86
