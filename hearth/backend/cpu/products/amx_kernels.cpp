// Blocked bf16 products by AMX (Intel, from Sapphire Rapids on): a tile holds 16 rows of 64 bytes,
// and one instruction adds the product of 16 x 32 and 32 x 16 elements to 16 x 16 sums in f32.
// Called only where the processor has tiles and Linux lets this process use them (isa.cpp).
#include <hwy/base.h>
#if HWY_ARCH_X86

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "hearth/backend/cpu/products/kernels.h"
#include "hearth/backend/cpu/tile_config.h"

#define HEARTH_AMX __attribute__((target("amx-tile,amx-bf16")))

namespace hearth::cpu::kernels {
namespace {

constexpr int kSide = 16;         // rows and columns of a tile of sums
constexpr int kSize = 2 * kSide;  // of a panel: 2 x 2 tiles of sums reuse each tile that is read
constexpr int kStep = 32;         // elements of k that one instruction takes
constexpr int kRowBytes = 2 * kStep;                        // of a tile's row
constexpr int64_t kStepBytes = int64_t{kSize} * kRowBytes;  // of a panel

int64_t steps(int64_t k) { return (k + kStep - 1) / kStep; }

/// For each step of k: `width` rows of 32 elements.
void pack_a(const std::byte* src, int64_t row_stride, int64_t k_stride, int64_t rows, int64_t k,
            int64_t width, std::byte* panel) {
  for (int64_t p = 0; p < k; p += kStep, panel += width * kRowBytes) {
    const int64_t count = std::min<int64_t>(kStep, k - p);
    if (count < kStep || rows < width) std::memset(panel, 0, size_t(width * kRowBytes));
    for (int64_t i = 0; i < rows; ++i) {
      const std::byte* from = src + i * row_stride + p * k_stride;
      std::byte* to = panel + i * kRowBytes;
      if (k_stride == 2)
        std::memcpy(to, from, size_t(count * 2));
      else
        for (int64_t q = 0; q < count; ++q) std::memcpy(to + q * 2, from + q * k_stride, 2);
    }
  }
}

/// For each pair of elements of k: the pairs of `width` columns, as for vdpbf16ps.
void pack_b(const std::byte* src, int64_t row_stride, int64_t k_stride, int64_t rows, int64_t k,
            int64_t width, std::byte* panel) {
  blocked_kernels_bf16().pack_b(src, row_stride, k_stride, rows, k, width, panel);
  const int64_t written = (k + 1) / 2 * width * 4;
  std::memset(panel + written, 0, size_t(steps(k) * width * kRowBytes - written));
}

/// Two tiles of a's rows (4, 5) by two of b's columns (6, 7) give four of sums (0 to 3); without a
/// second tile of rows, two.
template <bool kBoth>
HEARTH_AMX void panels_of(const Tiles& job) {
  auto* c = static_cast<float*>(job.c);
  const int64_t c_bytes = job.c_stride * int64_t(sizeof(float));
  const std::byte* b = job.b;
  for (int64_t j = 0; j < job.panels; ++j, c += kSize) {
    float *const c0 = c, *const c1 = c + kSide * job.c_stride;
    if (job.add) {
      _tile_loadd(0, c0, c_bytes);
      _tile_loadd(1, c0 + kSide, c_bytes);
      if constexpr (kBoth) {
        _tile_loadd(2, c1, c_bytes);
        _tile_loadd(3, c1 + kSide, c_bytes);
      }
    } else {
      _tile_zero(0);
      _tile_zero(1);
      if constexpr (kBoth) {
        _tile_zero(2);
        _tile_zero(3);
      }
    }
    const std::byte* a = job.a;
    for (int64_t p = 0; p < job.k; ++p, a += kStepBytes, b += kStepBytes) {
      _tile_loadd(6, b, kSize * 4);
      _tile_loadd(4, a, kRowBytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, b + kSide * 4, kSize * 4);
      _tile_dpbf16ps(1, 4, 7);
      if constexpr (kBoth) {
        _tile_loadd(5, a + kSide * kRowBytes, kRowBytes);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
    _tile_stored(0, c0, c_bytes);
    _tile_stored(1, c0 + kSide, c_bytes);
    if constexpr (kBoth) {
      _tile_stored(2, c1, c_bytes);
      _tile_stored(3, c1 + kSide, c_bytes);
    }
  }
}

HEARTH_AMX void tiles(const Tiles& job) {
  const int64_t upper = std::min<int64_t>(job.rows, kSide), lower = job.rows - upper;
  TileConfig config;
  for (const int tile : {0, 1, 4}) config.set(tile, upper);
  for (const int tile : {2, 3, 5}) config.set(tile, lower);
  for (const int tile : {6, 7}) config.set(tile, kSide);
  asm volatile("" ::: "memory");  // the intrinsics do not tell the compiler what they read
  _tile_loadconfig(&config);
  lower ? panels_of<true>(job) : panels_of<false>(job);
  _tile_release();  // else every switch of the thread saves 8 KB
  asm volatile("" ::: "memory");
}

}  // namespace

const BlockedKernels& blocked_kernels_amx() {
  static const BlockedKernels the{kSize, kSize, kStep, 2, pack_a, pack_b, tiles};
  return the;
}

}  // namespace hearth::cpu::kernels

#endif  // HWY_ARCH_X86
