// Threefry2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
// 2011): plain functions for every backend, so that all draw the same bits.
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define HEARTH_EVERYWHERE __host__ __device__ __forceinline__
#else
#define HEARTH_EVERYWHERE [[gnu::always_inline]] inline
#endif

namespace hearth {

template <int r>
HEARTH_EVERYWHERE void threefry_round(uint32_t& x, uint32_t& y) {
  x += y;
  y = (y << r | y >> (32 - r)) ^ x;
}

template <int r0, int r1, int r2, int r3>
HEARTH_EVERYWHERE void threefry_rounds(uint32_t& x, uint32_t& y) {
  threefry_round<r0>(x, y), threefry_round<r1>(x, y);
  threefry_round<r2>(x, y), threefry_round<r3>(x, y);
}

/// Turns the counter (x, y) into two random words, by the key (a, b).
HEARTH_EVERYWHERE void threefry(uint32_t a, uint32_t b, uint32_t& x, uint32_t& y) {
  const uint32_t c = a ^ b ^ 0x1BD11BDAu;
  x += a, y += b;
  threefry_rounds<13, 15, 26, 6>(x, y);
  x += b, y += c + 1;
  threefry_rounds<17, 29, 16, 24>(x, y);
  x += c, y += a + 2;
  threefry_rounds<13, 15, 26, 6>(x, y);
  x += a, y += b + 3;
  threefry_rounds<17, 29, 16, 24>(x, y);
  x += b, y += c + 4;
  threefry_rounds<13, 15, 26, 6>(x, y);
  x += c, y += a + 5;
}

}  // namespace hearth
#undef HEARTH_EVERYWHERE
