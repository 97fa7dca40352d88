// Where the codes of blocks go, and the numbers beside them. Include after Highway, inside no
// namespace.
#if defined(HEARTH_BACKEND_CPU_BLOCK_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_BACKEND_CPU_BLOCK_CODES_INL_H_
#undef HEARTH_BACKEND_CPU_BLOCK_CODES_INL_H_
#else
#define HEARTH_BACKEND_CPU_BLOCK_CODES_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "hearth/core/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace blocks {

/// As a GGUF file has it, and as a float again.
inline float put_half(float v, uint8_t* to) {
  const float16_t half(v);
  std::memcpy(to, &half, sizeof half);
  return float(half);
}
inline float inverse_of(float v) { return v != 0 ? 1 / v : 0; }
/// To the nearest whole number, ties away from zero.
inline float rounded(float v) {
  const float size = std::abs(v), whole = std::floor(size);
  return std::copysign(size - whole >= 0.5f ? whole + 1 : whole, v);
}
inline float square_sum(const float* x, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

template <int n>
void turn(const float* from, int count, float* tile) {
  constexpr int groups = 256 / n;
  for (int g = 0; g < groups; ++g)
    for (int i = 0; i < n; ++i) tile[i * groups + g] = g * n + i < count ? from[g * n + i] : 0;
}
template <int n>
void turn_back(const float* tile, uint8_t* to) {
  constexpr int groups = 256 / n;
  for (int g = 0; g < groups; ++g)
    for (int i = 0; i < n; ++i) to[g * n + i] = uint8_t(int(tile[i * groups + g]));
}
// Codes of four bits of 32 weights, and where the fifth bits are.
inline void put_nibbles(const uint8_t* q, uint8_t* to) {
  for (int j = 0; j < 16; ++j) to[j] = uint8_t((q[j] & 15) | q[j + 16] << 4);
}
inline void put_fifth_bits(const uint8_t* q, uint8_t* to) {
  for (int k = 0; k < 4; ++k) {
    int byte = 0;
    for (int j = 0; j < 8; ++j) byte |= (q[8 * k + j] >> 4 & 1) << j;
    to[k] = uint8_t(byte);
  }
}
inline void put_codes(int bits, const uint8_t* q, uint8_t* to) {
  if (bits == 5) put_fifth_bits(q, to), to += 4;
  put_nibbles(q, to);
}

/// Two bits each, 128 codes in 32 bytes.
inline void put_pairs(const uint8_t* q, uint8_t* to) {
  for (int half = 0; half < 2; ++half)
    for (int i = 0; i < 32; ++i) {
      const uint8_t* const c = q + 128 * half + i;
      to[32 * half + i] =
          uint8_t((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
    }
}
}  // namespace blocks
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the toggle
