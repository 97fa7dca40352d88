// What each packing's codes and scales are, told once for the device: for the products of few rows,
// and for dequantisation.
//
// A format has blocks of kWeights weights in kBytes of the first plane; kGroup of them, 16 or 32,
// share a scale and an offset: a weight is code * scale + offset. Codes become halves, which hold
// each of them exactly. Four threads share 16 neighbouring weights: thread t has those from 4 t on,
// as the pairs (0, 2) and (1, 3), since bytes and nibbles of one word come apart so.
#pragma once
#include <cuda_fp16.h>

#include <cstring>

#include "hearth/ops/packing.h"
#include "hearth/ops/packing_values.h"

#define HEARTH_BOTH __host__ __device__ __forceinline__

namespace hearth::cuda::packed {

/// Where blocks of a row begin in each plane.
struct Pieces {
  const uint8_t *codes, *scales, *biases;
};
/// What planes of scales are: 2^shift weights to each.
struct Scales {
  int shift = 0;
  Dtype dtype = float32;
};
struct Scale {
  float scale, offset;
};
/// Four codes as two pairs of halves.
struct Codes {
  uint32_t even, odd;  // (0, 2), (1, 3)
};

template <int kAlign>
HEARTH_BOTH uint32_t word(const uint8_t* p) {
  if constexpr (kAlign % 4 == 0) {
    return *reinterpret_cast<const uint32_t*>(p);
  } else if constexpr (kAlign % 2 == 0) {
    const auto* const at = reinterpret_cast<const uint16_t*>(p);
    return at[0] | uint32_t(at[1]) << 16;
  } else {
    return p[0] | uint32_t(p[1]) << 8 | uint32_t(p[2]) << 16 | uint32_t(p[3]) << 24;
  }
}
HEARTH_BOTH float half_at(const uint8_t* p) {
  return __half2float(*reinterpret_cast<const __half*>(p));
}
template <class To, class From>
HEARTH_BOTH To same_bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(static_cast<void*>(&to), static_cast<const void*>(&from), sizeof to);
  return to;
}
HEARTH_BOTH float float_of(uint32_t bits) { return same_bits<float>(bits); }
HEARTH_BOTH uint32_t bytes_of(uint32_t a, uint32_t b, uint32_t selector) {
#ifdef __CUDA_ARCH__
  return __byte_perm(a, b, selector);
#else
  const uint64_t both = uint64_t(b) << 32 | a;
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i)
    out |= uint32_t(both >> (selector >> 4 * i & 7) * 8 & 255) << 8 * i;
  return out;
#endif
}
HEARTH_BOTH uint32_t bits_of(__half2 v) { return same_bits<uint32_t>(v); }
HEARTH_BOTH __half2 halves_of(uint32_t bits) { return same_bits<__half2>(bits); }
/// The bits of a half, in both halves of a word.
HEARTH_BOTH __half2 twice(uint32_t half) { return halves_of(half << 16 | half); }
constexpr uint32_t kMinus1024 = 0xe400, kMinus64 = 0xd400, kSixteenth = 0x2c00, k256 = 0x5c00,
                   k16384 = 0x7400, k32768 = 0x7800;

/// w & mask | 0x64006400 in one instruction, where the compiler makes two: both are constants.
HEARTH_BOTH __half2 with_1024(uint32_t w, uint32_t mask) {
#ifdef __CUDA_ARCH__
  uint32_t out;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(out) : "r"(w), "r"(mask), "r"(0x64006400));
  return halves_of(out);
#else
  return halves_of((w & mask) | 0x64006400);
#endif
}
/// The numbers below 1024 in both halves of a word under a mask, less `zero`: 1024 + n is a half
/// whose last bits are n.
HEARTH_BOTH uint32_t numbers(uint32_t w, uint32_t mask, int zero) {
  return bits_of(__hadd2(with_1024(w, mask), twice(kMinus1024 + uint32_t(zero))));
}
/// The same of 16 n.
HEARTH_BOTH uint32_t sixteenths(uint32_t w, uint32_t mask, int zero) {
  const __half2 all = with_1024(w, mask), scale = twice(kSixteenth),
                rest = twice(kMinus64 + 16 * uint32_t(zero));
#ifdef __CUDA_ARCH__
  return bits_of(__hfma2(all, scale, rest));
#else
  return bits_of(__hadd2(__hmul2(all, scale), rest));  // as exact
#endif
}

/// The lower or the upper nibbles of four bytes.
template <bool kHigh>
HEARTH_BOTH Codes nibbles(uint32_t w, int zero) {
  constexpr uint32_t k15 = 0x000f000f, k240 = 0x00f000f0;
  return kHigh ? Codes{sixteenths(w, k240, zero), sixteenths(w >> 8, k240, zero)}
               : Codes{numbers(w, k15, zero), numbers(w >> 8, k15, zero)};
}
/// Bytes without sign, less `zero`.
HEARTH_BOTH Codes of_bytes(uint32_t w, int zero) {
  const auto pair = [&](uint32_t selector) {
    return bits_of(__hadd2(halves_of(bytes_of(w, 0x64646464, selector)),
                           twice(kMinus1024 + uint32_t(zero))));
  };
  return {pair(0x4240), pair(0x4341)};
}
/// Bytes with sign.
HEARTH_BOTH Codes of_signed(uint32_t w) { return of_bytes(w ^ 0x80808080, 128); }

/// Four neighbouring nibbles, as pairs with a byte to each half.
HEARTH_BOTH uint32_t spread(uint32_t four) { return bytes_of(four, 0, 0x4140); }

/// Entries of a table of 16 bytes: four nibbles give four bytes.
constexpr uint32_t four_of(const int8_t (&table)[16], int first) {
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i) out |= uint32_t(uint8_t(table[first + i])) << 8 * i;
  return out;
}
HEARTH_BOTH uint32_t iq4_values(uint32_t four) {
  constexpr uint32_t a = four_of(kIq4, 0), b = four_of(kIq4, 4), c = four_of(kIq4, 8),
                     d = four_of(kIq4, 12);
  const uint32_t at = four & 0x7777, upper = (four & 0x8888) >> 1 | 0x3210;
  return bytes_of(bytes_of(a, b, at), bytes_of(c, d, at), upper);
}
/// The nibbles of four bytes, of which the others are 0, side by side.
HEARTH_BOTH uint32_t close_up(uint32_t w) {
  w |= w >> 4;
  return (w & 0xff) | (w >> 8 & 0xff00);
}
template <bool kHigh>
HEARTH_BOTH Codes iq4_codes(uint32_t w) {
  return of_signed(iq4_values(close_up((kHigh ? w >> 4 : w) & 0x0f0f0f0f)));
}

/// e2m1 codes of four bits in both halves: their bits are a half's, 2^14 times smaller.
HEARTH_BOTH uint32_t e2m1(uint32_t n, uint32_t times) {
  return bits_of(
      __hmul2(halves_of((n & 0x00070007) << 9 | (n & 0x00080008) << 12), twice(times)));
}
/// Twice those of the lower or the upper nibbles of four bytes.
template <bool kHigh>
HEARTH_BOTH Codes e2m1_twice(uint32_t w) {
  if (kHigh) w >>= 4;
  return {e2m1(w, k32768), e2m1(w >> 8, k32768)};
}
/// e4m3 in both halves' lower bytes: 2^8 times smaller as a half; 0x7f is no number.
HEARTH_BOTH uint32_t e4m3(uint32_t n) {
  const uint32_t rest = n & 0x007f007f, none = (rest + 0x00010001 & 0x00800080) * 0xf8;
  return bits_of(
      __hmul2(halves_of(rest << 7 | none | (n & 0x00800080) << 8), twice(k256)));
}
/// Their values as bytes of scales.
HEARTH_BOTH float e4m3_at(const uint8_t* p) {
  return __low2float(halves_of(e4m3(*p)));
}
HEARTH_BOTH float e8m0_at(const uint8_t* p) {
  return float_of(*p == 0 ? 0x00400000u : uint32_t(*p) << 23);
}

/// Pairs of one bit of each of four bytes, at the place of 16.
HEARTH_BOTH uint32_t fifth(uint32_t w, int bit) {
  return (bit < 4 ? w << (4 - bit) : w >> (bit - 4)) & 0x00100010;
}
/// The same of four neighbouring bits.
HEARTH_BOTH Codes fifths(uint32_t bits) {
  return {(bits << 4 & 0x10) | (bits << 18 & 0x100000), (bits << 3 & 0x10) | (bits << 17 & 0x100000)};
}
constexpr uint32_t kFive = 0x001f001f;
HEARTH_BOTH uint32_t nibbles_of(uint32_t w, bool high) {
  return (high ? w >> 4 : w) & 0x000f000f;
}

// Blocks of GGUF files.

template <int kOfBlock, int kSize, int kOfScale>
struct OfBlocks {
  static constexpr int kWeights = kOfBlock, kBytes = kSize, kGroup = kOfScale;
  static constexpr int kPlanes = 1;
  static constexpr bool kOffset = false;
  /// What the blocks' addresses are multiples of.
  static constexpr int kAlign = kSize % 16 == 0  ? 16
                                : kSize % 4 == 0 ? 4
                                : kSize % 2 == 0 ? 2
                                                 : 1;
  static HEARTH_BOTH uint32_t at(const uint8_t* p) { return word<kAlign>(p); }
};
template <int kSize, int kHeader, bool kHasOffset>
struct Short : OfBlocks<32, kSize, 32> {
  static constexpr bool kOffset = kHasOffset;
  static HEARTH_BOTH uint32_t quarter(const uint8_t* block, int t) {
    return Short::at(block + kHeader + 4 * t);
  }
  static HEARTH_BOTH Scale scale(const Pieces& p, const Scales&, int block, int) {
    const uint8_t* const b = p.codes + block * kSize;
    return {half_at(b), kHasOffset ? half_at(b + 2) : 0.0f};
  }
};

template <Packing P>
struct Format;

template <>
struct Format<Packing::q4_0> : Short<18, 2, false> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    return nibbles<I == 1>(quarter(b, t), 8);
  }
};
template <>
struct Format<Packing::q4_1> : Short<20, 4, true> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    return nibbles<I == 1>(quarter(b, t), 0);
  }
};
template <class Of, int kBits, int kZero>
struct FiveBits : Of {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    const uint32_t w = Of::quarter(b, t);
    const Codes top = fifths(Of::at(b + kBits) >> (16 * I + 4 * t));
    return {numbers(nibbles_of(w, I == 1) | top.even, kFive, kZero),
            numbers(nibbles_of(w >> 8, I == 1) | top.odd, kFive, kZero)};
  }
};
template <>
struct Format<Packing::q5_0> : FiveBits<Short<22, 6, false>, 2, 16> {};
template <>
struct Format<Packing::q5_1> : FiveBits<Short<24, 8, true>, 4, 0> {};
template <>
struct Format<Packing::q8_0> : Short<34, 2, false> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    return of_signed(quarter(b + 16 * I, t));
  }
};
template <>
struct Format<Packing::iq4_nl> : Short<18, 2, false> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    return iq4_codes<I == 1>(quarter(b, t));
  }
};
template <>
struct Format<Packing::ggml_mxfp4> : Short<17, 1, false> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    return e2m1_twice<I == 1>(quarter(b, t));
  }
  static HEARTH_BOTH Scale scale(const Pieces& p, const Scales&, int block, int) {
    const uint32_t e = p.codes[block * kBytes];  // 2^(e - 128)
    return {float_of(e < 2 ? 0x00200000u << e : (e - 1) << 23), 0};
  }
};
template <>
struct Format<Packing::ggml_nvfp4> : OfBlocks<64, 36, 16> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    return e2m1_twice<false>(at(b + 4 + I * 8 + t % 2 * 4) >> t / 2 * 4);
  }
  static HEARTH_BOTH Scale scale(const Pieces& p, const Scales&, int block, int group) {
    const uint32_t s = p.codes[block * kBytes + group];  // without a sign; 0x7f is 0, 0xff 480
    return {s == 0x7f ? 0.0f : float_of((s & 0x7f) << 20) * 0x1p119f, 0};
  }
};

/// 256 codes of two bits in 64 bytes: where the word of 16 weights is, and how far it is shifted.
template <int I>
struct TwoBits {
  static constexpr int kAt = I / 8 * 32 + I % 2 * 16, kShift = I % 8 / 2 * 2;
  static HEARTH_BOTH uint32_t pair(uint32_t w, int zero) {
    return numbers(w >> kShift, 0x00030003, zero);
  }
};
template <>
struct Format<Packing::q2_k> : OfBlocks<256, 84, 16> {
  static constexpr bool kOffset = true;
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    const uint32_t w = at(b + 16 + TwoBits<I>::kAt + 4 * t);
    return {TwoBits<I>::pair(w, 0), TwoBits<I>::pair(w >> 8, 0)};
  }
  static HEARTH_BOTH Scale scale(const Pieces& p, const Scales&, int block, int group) {
    const uint8_t* const b = p.codes + block * kBytes;
    return {half_at(b + 80) * float(b[group] & 15), -(half_at(b + 82) * float(b[group] >> 4))};
  }
};
template <>
struct Format<Packing::q3_k> : OfBlocks<256, 110, 16> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    const uint32_t w = at(b + 32 + TwoBits<I>::kAt + 4 * t), top = at(b + I % 2 * 16 + 4 * t);
    const auto code = [](uint32_t two, uint32_t high) {
      return numbers((two >> TwoBits<I>::kShift & 0x00030003) | fifth(high, I / 2) >> 2, 0x00070007,
                     4);
    };
    return {code(w, top), code(w >> 8, top >> 8)};
  }
  static HEARTH_BOTH Scale scale(const Pieces& p, const Scales&, int block, int g) {
    const uint8_t *const b = p.codes + block * kBytes, *const s = b + 96;
    const int low = (g < 8 ? s[g] : s[g - 8] >> 4) & 15, top = s[8 + g % 4] >> g / 4 * 2 & 3;
    return {half_at(b + 108) * float((low | top << 4) - 32), 0};
  }
};

/// Scales and minima of q4_k and q5_k: six bits each.
template <int kSize>
struct SixBits : OfBlocks<256, kSize, 32> {
  static constexpr bool kOffset = true;
  static HEARTH_BOTH Scale scale(const Pieces& p, const Scales&, int block, int group) {
    const auto* const head = reinterpret_cast<const uint4*>(p.codes + block * kSize);
    const uint4 all = *head;  // two halves, twelve bytes
    constexpr uint32_t k15 = 0x0f0f0f0f, k48 = 0x30303030, k63 = 0x3f3f3f3f;
    const bool late = group >= 4;
    const uint32_t scales = late ? (all.w & k15) | (all.y >> 2 & k48) : all.y & k63;
    const uint32_t minima = late ? (all.w >> 4 & k15) | (all.z >> 2 & k48) : all.z & k63;
    const int shift = group % 4 * 8;
    const __half2 both = halves_of(all.x);
    return {__low2float(both) * float(scales >> shift & 255),
            -(__high2float(both) * float(minima >> shift & 255))};
  }
};
template <>
struct Format<Packing::q4_k> : SixBits<144> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    return nibbles<I / 2 % 2 == 1>(at(b + 16 + I / 4 * 32 + I % 2 * 16 + 4 * t), 0);
  }
};
template <>
struct Format<Packing::q5_k> : SixBits<176> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    const uint32_t w = at(b + 48 + I / 4 * 32 + I % 2 * 16 + 4 * t),
                   top = at(b + 16 + I % 2 * 16 + 4 * t);
    const auto code = [](uint32_t low, uint32_t high) {
      return numbers(nibbles_of(low, I / 2 % 2 == 1) | fifth(high, I / 2), kFive, 0);
    };
    return {code(w, top), code(w >> 8, top >> 8)};
  }
};
template <>
struct Format<Packing::q6_k> : OfBlocks<256, 210, 16> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    constexpr int kShift = I % 8 / 2 * 2;
    const uint32_t w = at(b + I / 8 * 64 + I % 4 * 16 + 4 * t),
                   top = at(b + 128 + I / 8 * 32 + I % 2 * 16 + 4 * t);
    const auto code = [](uint32_t low, uint32_t high) {
      const uint32_t two = (kShift < 4 ? high << (4 - kShift) : high >> (kShift - 4)) & 0x00300030;
      return numbers(nibbles_of(low, I % 8 >= 4) | two, 0x003f003f, 32);
    };
    return {code(w, top), code(w >> 8, top >> 8)};
  }
  static HEARTH_BOTH Scale scale(const Pieces& p, const Scales&, int block, int group) {
    const uint8_t* const b = p.codes + block * kBytes;
    return {half_at(b + 208) * float(int8_t(b[192 + group])), 0};
  }
};
template <>
struct Format<Packing::iq4_xs> : OfBlocks<256, 136, 32> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    return iq4_codes<I % 2 == 1>(at(b + 8 + I / 2 * 16 + 4 * t));
  }
  static HEARTH_BOTH Scale scale(const Pieces& p, const Scales&, int block, int g) {
    const uint8_t* const b = p.codes + block * kBytes;
    const int low = b[4 + g / 2] >> g % 2 * 4 & 15,
              top = *reinterpret_cast<const uint16_t*>(b + 2) >> g * 2 & 3;
    return {half_at(b) * float((low | top << 4) - 32), 0};
  }
};
/// Five digits to the base of 3 in a byte, as a fraction of 256: the highest comes first. 32 bytes
/// hold 160 weights, 16 hold 80, four hold 16.
template <>
struct Format<Packing::tq1_0> : OfBlocks<256, 54, 16> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    const uint32_t w = at(b + (I < 10 ? I % 2 * 16 + 4 * t : I < 15 ? 32 + 4 * t : 48));
    const uint32_t power = power_of(I < 10 ? I / 2 : I < 15 ? I - 10 : t);
    const auto digit = [&](uint32_t bytes) {
      const uint32_t rest = (bytes & 0x00ff00ff) * power & 0x00ff00ff;
      return numbers(rest * 3 >> 8, 0x00030003, 1);
    };
    return {digit(w), digit(w >> 8)};
  }
  static HEARTH_BOTH Scale scale(const Pieces& p, const Scales&, int block, int) {
    return {half_at(p.codes + block * kBytes + 52), 0};
  }

 private:
  static HEARTH_BOTH uint32_t power_of(int digit) {
    return digit == 0 ? 1 : digit == 1 ? 3 : digit == 2 ? 9 : digit == 3 ? 27 : 81;
  }
};
template <>
struct Format<Packing::tq2_0> : OfBlocks<256, 66, 16> {
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    const uint32_t w = at(b + TwoBits<I>::kAt + 4 * t);
    return {TwoBits<I>::pair(w, 1), TwoBits<I>::pair(w >> 8, 1)};
  }
  static HEARTH_BOTH Scale scale(const Pieces& p, const Scales&, int block, int) {
    return {half_at(p.codes + block * kBytes + 64), 0};
  }
};

// Codes as one string of bits, scales in planes of their own. Blocks are of 32 weights whatever
// share a scale, or of 16.

template <int kBits, int kOfBlock>
struct OfPlanes {
  static constexpr int kWeights = kOfBlock, kBytes = kOfBlock * kBits / 8, kGroup = kOfBlock;
  static constexpr int kAlign = 4;
  static constexpr bool kOffset = false;
  static HEARTH_BOTH int place(const Scales& s, int block) { return block * kOfBlock >> s.shift; }
};
HEARTH_BOTH float float_at(const uint8_t* p, Dtype dtype, int i) {
  if (dtype == float16) return half_at(p + 2 * i);
  if (dtype == bfloat16) return float_of(uint32_t(reinterpret_cast<const uint16_t*>(p)[i]) << 16);
  return reinterpret_cast<const float*>(p)[i];
}

template <int kBits>
struct Affine : OfPlanes<kBits, 32> {
  static constexpr int kPlanes = 3;
  static constexpr bool kOffset = true;
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    b += I * 2 * kBits;
    if constexpr (kBits == 8) return of_bytes(word<4>(b + 4 * t), 0);
    if constexpr (kBits == 4) {
      const uint32_t two = spread(reinterpret_cast<const uint16_t*>(b)[t]);
      return {numbers(two, 0x000f000f, 0), sixteenths(two, 0x00f000f0, 0)};
    }
    const uint8_t* const p = b + t * kBits / 2;  // four codes begin in this byte
    uint32_t all = p[0];
    if (kBits > 2) all |= uint32_t(p[1]) << 8;
    if (kBits > 3) all |= uint32_t(p[2]) << 16;
    all >>= t * kBits % 2 * 4;
    constexpr uint32_t kMask = (1 << kBits) - 1;
    const auto code = [&](int i) { return all >> i * kBits & kMask; };
    return {numbers(code(0) | code(2) << 16, kMask << 16 | kMask, 0),
            numbers(code(1) | code(3) << 16, kMask << 16 | kMask, 0)};
  }
  static HEARTH_BOTH Scale scale(const Pieces& p, const Scales& s, int block, int) {
    const int i = Affine::place(s, block);
    return {float_at(p.scales, s.dtype, i), float_at(p.biases, s.dtype, i)};
  }
};

enum class Value { e2m1, e4m3, integer };
enum class ScaleOf { e8m0, e4m3, number };
template <Value V, int kOfBlock, ScaleOf S>
struct Valued : OfPlanes<V == Value::e2m1 ? 4 : 8, kOfBlock> {
  static constexpr int kPlanes = 2;
  template <int I>
  static HEARTH_BOTH Codes codes(const uint8_t* b, int t) {
    if constexpr (V == Value::e2m1) {
      const uint32_t two = spread(reinterpret_cast<const uint16_t*>(b + 8 * I)[t]);
      return {e2m1(two, k16384), e2m1(two >> 4, k16384)};
    } else {
      const uint32_t w = word<4>(b + 16 * I + 4 * t);
      if constexpr (V == Value::integer) return of_signed(w);
      return {e4m3(w), e4m3(w >> 8)};
    }
  }
  static HEARTH_BOTH Scale scale(const Pieces& p, const Scales& s, int block, int) {
    const int i = Valued::place(s, block);
    if constexpr (S == ScaleOf::e8m0) return {e8m0_at(p.scales + i), 0};
    if constexpr (S == ScaleOf::e4m3) return {e4m3_at(p.scales + i), 0};
    return {float_at(p.scales, s.dtype, i), 0};
  }
};

template <Packing P>
struct FormatOf {
  using type = Format<P>;
};
template <Packing P>
requires(packing_info(P).planes == 3) struct FormatOf<P> {
  using type = Affine<int(code_bits(P))>;
};
template <Packing P>
requires(packing_info(P).planes == 2) struct FormatOf<P> {
  static constexpr Value kValue = packing_info(P).name.starts_with("int8") ? Value::integer
                                  : code_bits(P) == 8                      ? Value::e4m3
                                                                           : Value::e2m1;
  static constexpr ScaleOf kScale = packing_info(P).wide_scales       ? ScaleOf::number
                                    : packing_info(P).weights == 16 ? ScaleOf::e4m3
                                                                      : ScaleOf::e8m0;
  using type = Valued<kValue, packing_info(P).weights == 16 ? 16 : 32, kScale>;
};

/// f<F>() for the format F of a packing, which is not dense.
template <class Do>
void with_format(Packing p, const Do& f) {
  switch (p) {
    case Packing::dense: return;
#define PACKING(name, ...) \
  case Packing::name: return f.template operator()<typename FormatOf<Packing::name>::type>();
#define DENSE(...)
#include "hearth/ops/packings.inc"
  }
}

/// How many weights share a scale, where planes hold these.
inline Scales scales_of(Packing p, Dtype dtype) {
  const PackingInfo& info = packing_info(p);
  Scales s{0, dtype};
  if (info.planes > 1)
    while (int64_t{1} << s.shift < info.weights) ++s.shift;
  return s;
}

}  // namespace hearth::cuda::packed
