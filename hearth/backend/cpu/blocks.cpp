#include "hearth/backend/cpu/blocks.h"

#include "hearth/backend/cpu/isa.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/blocks.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "hearth/backend/cpu/block_codes-inl.h"
#include "hearth/backend/cpu/block_scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace blocks {
namespace {

/// Up to 256 weights: blocks side by side.
struct Piece {
  const float *x, *importance;
  int count;
  float mean_square;  // of the whole row, where there is importance
};

template <Packing>
struct Is {};

/// The weights of a piece; by importance each error counts more the larger the weight is.
template <int n>
void fill(Tile<n>& t, const Piece& p, float mean_square) {
  turn<n>(p.x, p.count, t.x);
  if (!p.importance) return;
  turn<n>(p.importance, p.count, t.w);
  for (int i = 0; i < 256; ++i) t.w[i] *= std::sqrt(mean_square + t.x[i] * t.x[i]);
}
template <int n>
void count_squares(Tile<n>& t) {
  for (int i = 0; i < 256; ++i) t.w[i] = t.x[i] * t.x[i];
}
/// Of each group.
template <int n>
void sum_weights(const Tile<n>& t, float* sums) {
  std::fill_n(sums, t.kGroups, 0.0f);
  for (int i = 0; i < n; ++i)
    for (int g = 0; g < t.kGroups; ++g) sums[g] += t.w[i * t.kGroups + g];
}

/// q4_0 and q5_0: scale * (code - reach).
void symmetric(int bits, int bytes, const Piece& p, uint8_t* to) {
  const int reach = 1 << (bits - 1);
  if (p.importance) {
    Tile<32> t;
    fill(t, p, p.mean_square);
    search_symmetric(t, float(reach));
    uint8_t q[256];
    turn_back<32>(t.q, q);
    for (int b = 0; b < p.count / 32; ++b, to += bytes) {
      put_half(t.scale[b], to);
      put_codes(bits, q + 32 * b, to + 2);
    }
    return;
  }
  for (const float* x = p.x; x < p.x + p.count; x += 32, to += bytes) {
    float size = 0, extreme = 0;
    for (int i = 0; i < 32; ++i)
      if (size < std::abs(x[i])) size = std::abs(x[i]), extreme = x[i];
    const float scale = extreme / float(-reach), inverse = inverse_of(scale);
    uint8_t q[32];
    for (int i = 0; i < 32; ++i)
      q[i] = uint8_t(std::min(int(x[i] * inverse + (float(reach) + 0.5f)), 2 * reach - 1));
    put_half(scale, to);
    put_codes(bits, q, to + 2);
  }
}
/// q4_1 and q5_1: scale * code + least.
void offset(int bits, int bytes, const Piece& p, uint8_t* to) {
  const int most = (1 << bits) - 1;
  if (p.importance) {
    Tile<32> t;
    fill(t, p, p.mean_square);
    search_offset(t, float(most), kByImportance);
    uint8_t q[256];
    turn_back<32>(t.q, q);
    for (int b = 0; b < p.count / 32; ++b, to += bytes) {
      put_half(t.scale[b], to), put_half(-t.low[b], to + 2);
      put_codes(bits, q + 32 * b, to + 4);
    }
    return;
  }
  for (const float* x = p.x; x < p.x + p.count; x += 32, to += bytes) {
    float least = x[0], largest = x[0];
    for (int i = 1; i < 32; ++i) {
      least = x[i] < least ? x[i] : least;
      largest = x[i] > largest ? x[i] : largest;
    }
    const float scale = (largest - least) / float(most), inverse = inverse_of(scale);
    uint8_t q[32];
    for (int i = 0; i < 32; ++i)
      q[i] = uint8_t(std::min(int((x[i] - least) * inverse + 0.5f), most));
    put_half(scale, to), put_half(least, to + 2);
    put_codes(bits, q, to + 4);
  }
}
void pack(Is<Packing::q4_0>, const Piece& p, uint8_t* to) { symmetric(4, 18, p, to); }
void pack(Is<Packing::q5_0>, const Piece& p, uint8_t* to) { symmetric(5, 22, p, to); }
void pack(Is<Packing::q4_1>, const Piece& p, uint8_t* to) { offset(4, 20, p, to); }
void pack(Is<Packing::q5_1>, const Piece& p, uint8_t* to) { offset(5, 24, p, to); }

float largest_of(const float* x, int n) {
  float size = 0;
  for (int i = 0; i < n; ++i) size = std::max(size, std::abs(x[i]));
  return size;
}
void pack(Is<Packing::q8_0>, const Piece& p, uint8_t* to) {
  for (const float* x = p.x; x < p.x + p.count; x += 32, to += 34) {
    const float scale = largest_of(x, 32) / 127, inverse = inverse_of(scale);
    put_half(scale, to);
    for (int i = 0; i < 32; ++i) to[2 + i] = uint8_t(int8_t(rounded(x[i] * inverse)));
  }
}

float largest_positive(const float* x, int n) {
  float largest = 0;
  for (int i = 0; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

void pack(Is<Packing::q2_k>, const Piece& p, uint8_t* to) {
  Tile<16> t;
  float scale, low;
  uint8_t s[16], m[16];
  if (p.importance) {
    fill(t, p, square_sum(p.x, 256) / 256);
    float sums[16];
    sum_weights(t, sums);
    search_offset(t, 3, kByImportance);
    scale = search_positive(16, 15, t.scale, sums, s);
    low = search_positive(16, 15, t.low, sums, m);
  } else {
    fill(t, p, 0);
    for (int i = 0; i < 256; ++i) t.w[i] = std::abs(t.x[i]);
    search_offset(t, 3, {-0.5f, 0.1f, 15, true});
    const float scales = largest_positive(t.scale, 16), lows = largest_positive(t.low, 16);
    for (int g = 0; g < 16; ++g) {
      s[g] = scales > 0 ? uint8_t(int(nearest(15 / scales * t.scale[g]))) : 0;
      m[g] = lows > 0 ? uint8_t(int(nearest(15 / lows * t.low[g]))) : 0;
    }
    scale = scales > 0 ? scales / 15 : 0, low = lows > 0 ? lows / 15 : 0;
  }
  scale = put_half(scale, to + 80), low = put_half(low, to + 82);
  for (int g = 0; g < 16; ++g) {
    to[g] = uint8_t(s[g] | m[g] << 4);
    t.scale[g] = scale * float(to[g] & 15), t.low[g] = low * float(to[g] >> 4);
  }
  code_again(t, 0, 3, 0);
  uint8_t q[256];
  turn_back<16>(t.q, q);
  put_pairs(q, to + 16);
}

void pack(Is<Packing::q3_k>, const Piece& p, uint8_t* to) {
  Tile<16> t;
  float scale = 0;
  uint8_t s[16];
  fill(t, p, p.importance ? 2 * square_sum(p.x, 256) / 256 : 0);
  if (p.importance) {
    Tile<16> of_scales;  // in the first lane
    std::fill_n(of_scales.x, 256, 0.0f), std::fill_n(of_scales.w, 256, 0.0f);
    float sums[16];
    sum_weights(t, sums);
    search_symmetric(t, 4);
    for (int g = 0; g < 16; ++g) of_scales.x[16 * g] = t.scale[g], of_scales.w[16 * g] = sums[g];
    search_symmetric(of_scales, 32);
    for (int g = 0; g < 16; ++g) s[g] = uint8_t(int(of_scales.q[16 * g]));
    scale = of_scales.scale[0];
  } else {
    search_three_bits(t);
    float size = 0, extreme = 0;
    for (int g = 0; g < 16; ++g)
      if (std::abs(t.scale[g]) > size) size = std::abs(t.scale[g]), extreme = t.scale[g];
    const float inverse = extreme != 0 ? -32 / extreme : 0;
    for (int g = 0; g < 16; ++g)
      s[g] = extreme == 0
                 ? 0
                 : uint8_t(32 + int(std::clamp(nearest(inverse * t.scale[g]), -32.0f, 31.0f)));
    if (extreme != 0) scale = 1 / inverse;
  }
  scale = put_half(scale, to + 108);
  uint8_t* const bits = to + 96;
  std::fill_n(bits, 12, uint8_t(0));
  for (int g = 0; g < 16; ++g) {
    bits[g % 8] |= uint8_t((s[g] & 15) << g / 8 * 4);
    bits[8 + g % 4] |= uint8_t(s[g] >> 4 << g / 4 * 2);
    t.scale[g] = scale * float(int(s[g]) - 32), t.low[g] = 0;
  }
  code_again(t, -4, 3, 4);
  uint8_t q[256];
  turn_back<16>(t.q, q);
  std::fill_n(to, 32, uint8_t(0));
  for (int i = 0; i < 256; ++i) to[i % 32] |= uint8_t((q[i] > 3) << i / 32);
  put_pairs(q, to + 32);
}

/// q4_k and q5_k: scale * code - low, both of six bits.
template <int bits>
void six_bit_scales(const Piece& p, uint8_t* to) {
  constexpr float most = (1 << bits) - 1;
  Tile<32> t;
  float scale, low, sums[8];
  uint8_t s[8], m[8];
  if (p.importance) {
    fill(t, p, 2 * square_sum(p.x, 256) / 256);
    sum_weights(t, sums);
    search_offset(t, most, kByImportance);
    scale = search_positive(8, 63, t.scale, sums, s);
    low = search_positive(8, 63, t.low, sums, m);
  } else {
    fill(t, p, 0);
    count_squares(t);
    sum_weights(t, sums);
    for (float& sum : sums) sum = std::sqrt(sum / 32);
    for (int i = 0; i < 256; ++i) t.w[i] = sums[i % 8] + std::abs(t.x[i]);
    search_offset(t, most, bits == 4 ? Steps{-1, 0.1f, 20} : Steps{-0.5f, 0.1f, 15});
    const float scales = largest_positive(t.scale, 8), lows = largest_positive(t.low, 8);
    const float by_scale = scales > 0 ? 63 / scales : 0, by_low = lows > 0 ? 63 / lows : 0;
    for (int g = 0; g < 8; ++g) {
      s[g] = std::min<uint8_t>(63, uint8_t(int(nearest(by_scale * t.scale[g]))));
      m[g] = std::min<uint8_t>(63, uint8_t(int(nearest(by_low * t.low[g]))));
    }
    scale = scales / 63, low = lows / 63;
  }
  scale = put_half(scale, to), low = put_half(low, to + 2);
  uint8_t* const six = to + 4;
  for (int g = 0; g < 4; ++g) {
    six[g] = uint8_t(s[g] | s[g + 4] >> 4 << 6);
    six[g + 4] = uint8_t(m[g] | m[g + 4] >> 4 << 6);
    six[g + 8] = uint8_t((s[g + 4] & 15) | m[g + 4] << 4);
  }
  for (int g = 0; g < 8; ++g) t.scale[g] = scale * float(s[g]), t.low[g] = low * float(m[g]);
  code_again(t, 0, most, 0);
  uint8_t q[256];
  turn_back<32>(t.q, q);
  to += 16;
  if (bits == 5) {
    std::fill_n(to, 32, uint8_t(0));
    for (int i = 0; i < 256; ++i) to[i % 32] |= uint8_t((q[i] >> 4) << i / 32);
    to += 32;
  }
  for (int i = 0; i < 128; ++i) {
    const uint8_t* const c = q + i / 32 * 64 + i % 32;
    to[i] = uint8_t((c[0] & 15) | c[32] << 4);
  }
}
void pack(Is<Packing::q4_k>, const Piece& p, uint8_t* to) { six_bit_scales<4>(p, to); }
void pack(Is<Packing::q5_k>, const Piece& p, uint8_t* to) { six_bit_scales<5>(p, to); }

void pack(Is<Packing::q6_k>, const Piece& p, uint8_t* to) {
  Tile<16> t;
  turn<16>(p.x, 256, t.x);
  if (p.importance)
    turn<16>(p.importance, 256, t.w);
  else
    count_squares(t);
  search_symmetric(t, 32);
  float size = 0, extreme = 0;
  for (int g = 0; g < 16; ++g)
    if (std::abs(t.scale[g]) > size) size = std::abs(t.scale[g]), extreme = t.scale[g];
  if (size < kEmpty) return std::fill_n(to, 210, uint8_t(0)), void();
  const float inverse = -128 / extreme, scale = put_half(1 / inverse, to + 208);
  for (int g = 0; g < 16; ++g) {
    const auto s = int8_t(std::min(127, int(nearest(inverse * t.scale[g]))));
    to[192 + g] = uint8_t(s);
    t.scale[g] = scale * float(s), t.low[g] = 0;
  }
  code_again(t, -32, 31, 32);
  uint8_t q[256], top[256];
  turn_back<16>(t.q, q);
  for (int i = 0; i < 256; ++i) top[i] = q[i] >> 4;
  put_pairs(top, to + 128);
  for (int i = 0; i < 128; ++i) {
    const uint8_t* const c = q + i / 64 * 128 + i % 64;
    to[i] = uint8_t((c[0] & 15) | c[64] << 4);
  }
}

void weigh(Tile<32>& t, const Piece& p, float mean_square) {
  fill(t, p, mean_square);
  if (!p.importance) count_squares(t);
}
/// Codes of group g by the inverse of its scale.
void put_places(const float* x, float inverse, uint8_t* to) {
  uint8_t q[32];
  alignas(64) float places[32];
  for (int i = 0; i < 32; i += int(hn::Lanes(Groups())))
    hn::Store(of_table<true>(hn::Mul(value(inverse), hn::LoadU(Groups(), x + i))), Groups(),
              places + i);
  for (int i = 0; i < 32; ++i) q[i] = uint8_t(int(places[i]));
  put_nibbles(q, to);
}
void pack(Is<Packing::iq4_nl>, const Piece& p, uint8_t* to) {
  Tile<32> t;
  turn<32>(p.x, p.count, t.x);
  if (p.importance) {  // each block by its own mean
    turn<32>(p.importance, p.count, t.w);
    float means[8];
    for (int b = 0; b < 8; ++b)
      means[b] = b * 32 < p.count ? square_sum(p.x + 32 * b, 32) * (2.0f / 32) : 0;
    for (int i = 0; i < 256; ++i) t.w[i] *= std::sqrt(means[i % 8] + t.x[i] * t.x[i]);
  } else {
    count_squares(t);
  }
  search_table(t);
  for (int b = 0; b < p.count / 32; ++b, to += 18) {
    put_half(t.scale[b], to);
    put_places(p.x + 32 * b, inverse_of(t.scale[b]), to + 2);
  }
}
void pack(Is<Packing::iq4_xs>, const Piece& p, uint8_t* to) {
  Tile<32> t;
  weigh(t, p, p.importance ? square_sum(p.x, 256) * (2.0f / 256) : 0);
  search_table(t);
  float size = 0, extreme = 0;
  for (int g = 0; g < 8; ++g)
    if (std::abs(t.scale[g]) > size) size = std::abs(t.scale[g]), extreme = t.scale[g];
  const float scale = -extreme / 32, inverse = inverse_of(scale);
  put_half(scale, to);
  std::fill_n(to + 2, 6, uint8_t(0));
  for (int g = 0; g < 8; ++g) {
    const float s = std::clamp(nearest(inverse * t.scale[g]), -32.0f, 31.0f);
    const int code = int(s) + 32;
    to[2 + g / 4] |= uint8_t(code >> 4 << g % 4 * 2);
    to[4 + g / 2] |= uint8_t((code & 15) << g % 2 * 4);
    put_places(p.x + 32 * g, inverse_of(scale * s), to + 8 + 16 * g);
  }
}

/// Five digits to the base of 3 in a byte, as a fraction of 256 that is rounded up.
uint8_t digits(int number) { return uint8_t((number * 256 + 242) / 243); }
void pack(Is<Packing::tq1_0>, const Piece& p, uint8_t* to) {
  const float scale = largest_of(p.x, 256), inverse = inverse_of(scale);
  put_half(scale, to + 52);
  const auto put = [&](const float* x, int bytes, int count, uint8_t* at) {
    for (int j = 0; j < bytes; ++j) {
      int number = 0;
      for (int d = 0; d < 5; ++d)
        number = number * 3 + (d < count ? int(rounded(x[j + d * bytes] * inverse)) + 1 : 0);
      at[j] = digits(number);
    }
  };
  put(p.x, 32, 5, to), put(p.x + 160, 16, 5, to + 32), put(p.x + 240, 4, 4, to + 48);
}
void pack(Is<Packing::tq2_0>, const Piece& p, uint8_t* to) {
  const float scale = largest_of(p.x, 256), inverse = inverse_of(scale);
  put_half(scale, to + 64);
  uint8_t q[256];
  for (int i = 0; i < 256; ++i) q[i] = uint8_t(int(rounded(p.x[i] * inverse)) + 1);
  put_pairs(q, to);
}

/// The nearest of e2m1's values, the first of several.
void nearest_fp4(const float* x, int n, float scale, uint8_t* q) {
  for (int i = 0; i < n; ++i) {
    float best = std::abs(x[i]);
    int place = 0;
    for (int k = 1; k < 16; ++k) {
      const float error = std::abs(float(kFp4Twice[k]) * scale - x[i]);
      place = error < best ? k : place;
      best = error < best ? error : best;
    }
    q[i] = uint8_t(place);
  }
}
void pack(Is<Packing::ggml_mxfp4>, const Piece& p, uint8_t* to) {
  for (const float* x = p.x; x < p.x + p.count; x += 32, to += 17) {
    const float size = largest_of(x, 32);
    const float power = size > 0 ? std::floor(std::log2(size)) + 125 : 0;
    const int e = int(std::clamp(power, 0.0f, 254.0f));
    const float scale = std::bit_cast<float>(e < 2 ? 0x00200000u << e : uint32_t(e - 1) << 23);
    to[0] = uint8_t(e);
    uint8_t q[32];
    nearest_fp4(x, 32, scale, q);
    put_nibbles(q, to + 1);
  }
}
/// e4m3 of a number that is not negative, ties up; at most 448.
uint8_t to_e4m3(float v) {
  if (!(v > 0)) return 0;
  const uint32_t bits = std::bit_cast<uint32_t>(std::min(v, 448.0f));
  const int exponent = int(bits >> 23) - 120;
  if (exponent <= 0) return uint8_t(std::min(7, int(v * 512 + 0.5f)));
  const uint32_t code = (bits + (1u << 19) - (120u << 23)) >> 20;
  return uint8_t(code >> 3 < 15 ? code : 0x7e);  // above 240 ggml has but one
}
void pack(Is<Packing::ggml_nvfp4>, const Piece& p, uint8_t* to) {
  for (const float* x = p.x; x < p.x + p.count; x += 64, to += 36)
    for (int g = 0; g < 4; ++g) {
      const uint8_t code = to[g] = to_e4m3(largest_of(x + 16 * g, 16) / 6);
      const float scale = std::bit_cast<float>(uint32_t(code) << 20) * 0x1p119f;
      uint8_t q[16];
      nearest_fp4(x + 16 * g, 16, scale, q);
      for (int i = 0; i < 8; ++i) to[4 + 8 * g + i] = uint8_t(q[i] | q[i + 8] << 4);
    }
}

/// Of those that are blocks; one that has no pack() does not compile.
template <Packing P>
void pack_as(const Piece& p, uint8_t* to) {
  if constexpr (P != Packing::dense && packing_info(P).planes == 1) pack(Is<P>{}, p, to);
}

void pack_row(Packing packing, const float* row, const float* importance, int64_t in, uint8_t* to) {
  const PackingInfo& info = packing_info(packing);
  const float mean = importance && info.weights == 32 ? square_sum(row, in) / float(in) : 0;
  for (int64_t first = 0; first < in; first += 256) {
    const Piece p{row + first, importance ? importance + first : nullptr,
                  int(std::min<int64_t>(256, in - first)), mean};
    uint8_t* const at = to + first / info.weights * info.bytes;
    switch (packing) {
#define PACKING(name, ...)         \
  case Packing::name:              \
    pack_as<Packing::name>(p, at); \
    break;
#include "hearth/ops/packings.inc"
    }
  }
}

}  // namespace
}  // namespace blocks

void pack_row(Packing packing, const float* row, const float* importance, int64_t in, uint8_t* to) {
  blocks::pack_row(packing, row, importance, in, to);
}

}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu {

HEARTH_EXPORT(pack_row);

void pack_row(Packing packing, const float* row, const float* importance, int64_t in, uint8_t* to) {
  HEARTH_DISPATCH(pack_row)(packing, row, importance, in, to);
}

}  // namespace hearth::cpu
#endif
