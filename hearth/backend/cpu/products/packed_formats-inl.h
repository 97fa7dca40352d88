// What each packing's codes and scales are, compiled once per instruction set: most are plain
// loops, which the compiler vectorises. Include after Highway, inside no namespace.
//
// A format has blocks of kWeights weights. Its codes become small integers (codes), which stand for
// themselves or for a value; each kGroup of them share a scale and, with kOffset, an
// offset, so that a weight is code * scale + offset. Scales of long blocks are read before the
// codes of the same part of a row: the way to a float is long, and what waits for it would fill the
// processor's queues (Zen 5: 14 GB/s of q4_k from its caches, and 23 so).
#if defined(HEARTH_BACKEND_CPU_PRODUCTS_PACKED_FORMATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_BACKEND_CPU_PRODUCTS_PACKED_FORMATS_INL_H_
#undef HEARTH_BACKEND_CPU_PRODUCTS_PACKED_FORMATS_INL_H_
#else
#define HEARTH_BACKEND_CPU_PRODUCTS_PACKED_FORMATS_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "hearth/backend/cpu/convert-inl.h"
#include "hearth/ops/packing.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {

template <class T>
HWY_INLINE T read(const uint8_t* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
HWY_INLINE float half(const uint8_t* p) {
#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
  return _cvtsh_ss(read<uint16_t>(p));
#else
  return float(read<float16_t>(p));
#endif
}

inline constexpr int kLanes = int(hn::MaxLanes(F32()));
using U8x16 = hn::FixedTag<uint8_t, HWY_TARGET == HWY_SCALAR ? 1 : 16>;

/// to[i] = d * (bytes[i] - bias) for N scales in bytes.
template <int N, class Byte>
HWY_INLINE void scale_bytes(const Byte* bytes, int bias, float d, float* to) {
  const hn::CappedTag<float, N> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<Byte, decltype(df)> d8;
  for (size_t i = 0; i < N; i += hn::Lanes(df)) {
    const auto byte = hn::PromoteTo(di, hn::LoadU(d8, bytes + i));
    const auto number = hn::ConvertTo(df, hn::Sub(byte, hn::Set(di, bias)));
    hn::StoreU(hn::Mul(number, hn::Set(df, d)), df, to + i);
  }
}
/// The same for eight bytes in a word.
HWY_INLINE void scale_bytes(uint64_t bytes, float d, float* to) {
#if HWY_TARGET <= HWY_AVX2  // without a way through memory
  const hn::FixedTag<float, 8> df;
  const auto eight =
      hn::BitCast(hn::FixedTag<uint8_t, 8>(), hn::Set(hn::FixedTag<uint64_t, 1>(), bytes));
  const auto number = hn::ConvertTo(df, hn::PromoteTo(hn::FixedTag<int32_t, 8>(), eight));
  hn::StoreU(hn::Mul(number, hn::Set(df, d)), df, to);
#else
  uint8_t each[8];
  std::memcpy(each, &bytes, 8);
  scale_bytes<8>(each, 0, d, to);
#endif
}
/// Two words as bytes that can be read at once: what was written in two would be waited for.
struct Bytes16 {
  alignas(16) uint8_t at[16];
  HWY_INLINE Bytes16(uint64_t first, uint64_t second) {
#if HWY_TARGET == HWY_SCALAR
    std::memcpy(at, &first, 8), std::memcpy(at + 8, &second, 8);
#else
    const hn::FixedTag<uint64_t, 2> d;
    hn::Store(hn::InterleaveLower(d, hn::Set(d, first), hn::Set(d, second)), d,
              reinterpret_cast<uint64_t*>(at));
#endif
  }
};

/// Sixteen values that a code of four bits may have.
struct Values {
  alignas(16) int8_t at[16];
};
constexpr Values counted(int from) {
  Values v{};
  for (int i = 0; i < 16; ++i) v.at[i] = int8_t(from + i);
  return v;
}
inline constexpr Values kUnsigned = counted(0), kSigned = counted(-8);
inline constexpr Values kIq4 = {{-127, -104, -83, -65, -49, -35, -22, -10,  //
                                 1, 13, 25, 38, 53, 69, 89, 113}};
inline constexpr Values kFp4Twice = {{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}};

/// Where 16 codes of four bits lie: one half of each of 16 bytes.
struct Nibbles {
  int byte;
  bool high;
};

/// The codes of a format whose nibbles lie as F::place(i) says, 16 at a time.
template <class F>
HWY_INLINE void halves(const uint8_t* block, int8_t* out) {
  for (int i = 0; i < F::kWeights / 16; ++i, out += 16) {
    constexpr Values values = F::kValues;
    const uint8_t* const q = block + F::place(i).byte;
#if HWY_TARGET == HWY_SCALAR
    for (int j = 0; j < 16; ++j) out[j] = values.at[F::place(i).high ? q[j] >> 4 : q[j] & 15];
#else
    const U8x16 d;
    const hn::FixedTag<int8_t, 16> di;
    const auto bytes = hn::LoadU(d, q);
    const auto codes =
        F::place(i).high ? hn::ShiftRight<4>(bytes) : hn::And(bytes, hn::Set(d, uint8_t{15}));
    hn::StoreU(hn::TableLookupBytes(hn::Load(di, values.at), hn::BitCast(di, codes)), di, out);
#endif
  }
}

/// Those of 32 neighbouring nibbles.
HWY_INLINE void neighbours(const uint8_t* q, const Values& values, int8_t* out) {
#if HWY_TARGET == HWY_SCALAR
  for (int j = 0; j < 32; ++j) out[j] = values.at[j % 2 ? q[j / 2] >> 4 : q[j / 2] & 15];
#else
  const U8x16 d;
  const hn::FixedTag<int8_t, 16> di;
  const auto bytes = hn::LoadU(d, q);
  const auto table = hn::Load(di, values.at);
  const auto value = [&](auto codes)
                         HWY_ATTR { return hn::TableLookupBytes(table, hn::BitCast(di, codes)); };
  const auto low = value(hn::And(bytes, hn::Set(d, uint8_t{15})));
  const auto high = value(hn::ShiftRight<4>(bytes));
  hn::StoreU(hn::InterleaveLower(di, low, high), di, out);
  hn::StoreU(hn::InterleaveUpper(di, low, high), di, out + 16);
#endif
}

struct OfBlocks {  // a GGUF file's: one scale for all of a short block
  static constexpr bool kPlanes = false, kOffset = false, kWide = false;
};
struct Short : OfBlocks {
  static constexpr int kWeights = 32, kGroup = 32;
  static HWY_INLINE void scales(const uint8_t* b, float* s, float*) { *s = half(b); }
  static constexpr Nibbles place_after(int header, int i) { return {header, i == 1}; }
};
struct WithOffset : Short {
  static constexpr bool kOffset = true;
  static HWY_INLINE void scales(const uint8_t* b, float* s, float* m) {
    *s = half(b), *m = half(b + 2);
  }
};

template <Packing P>
struct Format;

template <>
struct Format<Packing::q4_0> : Short {
  static constexpr int kBytes = 18;
  static constexpr const Values& kValues = kSigned;
  static constexpr Nibbles place(int i) { return place_after(2, i); }
};
template <>
struct Format<Packing::q4_1> : WithOffset {
  static constexpr int kBytes = 20;
  static constexpr const Values& kValues = kUnsigned;
  static constexpr Nibbles place(int i) { return place_after(4, i); }
};
template <>
struct Format<Packing::iq4_nl> : Short {
  static constexpr int kBytes = 18;
  static constexpr const Values& kValues = kIq4;
  static constexpr Nibbles place(int i) { return place_after(2, i); }
};
template <>
struct Format<Packing::ggml_mxfp4> : Short {
  static constexpr int kBytes = 17;
  static constexpr const Values& kValues = kFp4Twice;
  static constexpr Nibbles place(int i) { return place_after(1, i); }
  static HWY_INLINE void scales(const uint8_t* b, float* s, float*) {  // 2^(e - 128)
    *s = std::bit_cast<float>(b[0] < 2 ? 0x00200000u << b[0] : uint32_t(b[0] - 1) << 23);
  }
};

/// Codes of 32 weights in five bits, their highest in 4 bytes.
HWY_INLINE void codes5(const uint8_t* highest, const uint8_t* q, int bias, int8_t* out) {
#if HWY_TARGET == HWY_SCALAR
  const uint32_t top = read<uint32_t>(highest);
  for (int j = 0; j < 32; ++j)
    out[j] = int8_t(((j < 16 ? q[j] & 15 : q[j - 16] >> 4) | (top >> j & 1) << 4) - unsigned(bias));
#else
  const U8x16 d;
  const auto bytes = hn::LoadU(d, q);
  const auto store = [&](auto low, const uint8_t* bits, int8_t* to) HWY_ATTR {
    const auto top = hn::IfThenElseZero(hn::LoadMaskBits(d, bits), hn::Set(d, uint8_t{16}));
    const auto code = hn::Sub(hn::Or(low, top), hn::Set(d, uint8_t(bias)));
    hn::StoreU(code, d, reinterpret_cast<uint8_t*>(to));
  };
  store(hn::And(bytes, hn::Set(d, uint8_t{15})), highest, out);
  store(hn::ShiftRight<4>(bytes), highest + 2, out + 16);
#endif
}
template <>
struct Format<Packing::q5_0> : Short {
  static constexpr int kBytes = 22;
  static HWY_INLINE void codes(const uint8_t* b, int8_t* out) { codes5(b + 2, b + 6, 16, out); }
};
template <>
struct Format<Packing::q5_1> : WithOffset {
  static constexpr int kBytes = 24;
  static HWY_INLINE void codes(const uint8_t* b, int8_t* out) { codes5(b + 4, b + 8, 0, out); }
};
template <>
struct Format<Packing::q8_0> : Short {
  static constexpr int kBytes = 34;
  static HWY_INLINE void codes(const uint8_t* b, int8_t* out) { std::memcpy(out, b + 2, 32); }
};

#if HWY_TARGET <= HWY_AVX3_DL
// Codes of long blocks, 64 at a time, in bytes: codes64(block, i).

/// 32 bytes, twice.
HWY_INLINE __m512i twice(const uint8_t* p) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
/// For 16-bit lanes of the lower and of the upper half; what a byte gets from its neighbour is
/// masked away.
HWY_INLINE __m512i shifts(int16_t lower, int16_t upper) {
  return _mm512_inserti64x4(_mm512_set1_epi16(lower), _mm256_set1_epi16(upper), 1);
}
/// Codes of two bits: 128 in 32 bytes.
HWY_INLINE __m512i two_bits(const uint8_t* q, int i) {
  const int16_t at = int16_t(i % 2 * 4);
  return _mm512_and_si512(_mm512_srlv_epi16(twice(q + i / 2 * 32), shifts(at, int16_t(at + 2))),
                          _mm512_set1_epi8(3));
}
/// Bits 2 i and 2 i + 1 of 32 bytes.
HWY_INLINE __mmask64 bits_of(const uint8_t* q, int i) {
  const __m512i bits =
      _mm512_inserti64x4(_mm512_set1_epi8(char(1 << 2 * i)), _mm256_set1_epi8(char(2 << 2 * i)), 1);
  return _mm512_test_epi8_mask(twice(q), bits);
}
#endif

/// 128 codes of two bits in 32 bytes, those of 32 in the same bits.
HWY_INLINE void codes2(const uint8_t* q, int8_t* out) {
  for (int shift = 0; shift < 8; shift += 2, out += 32)
    for (int j = 0; j < 32; ++j) out[j] = int8_t(q[j] >> shift & 3);
}
struct Long : OfBlocks {
  static constexpr int kWeights = 256;
};
template <>
struct Format<Packing::q2_k> : Long {
  static constexpr int kBytes = 84, kGroup = 16;
  static constexpr bool kOffset = true;
#if HWY_TARGET <= HWY_AVX3_DL
  static HWY_INLINE __m512i codes64(const uint8_t* b, int i) { return two_bits(b + 16, i); }
#else
  static HWY_INLINE void codes(const uint8_t* b, int8_t* out) {
    for (int i = 0; i < 2; ++i) codes2(b + 16 + 32 * i, out + 128 * i);
  }
#endif
  static HWY_INLINE void scales(const uint8_t* b, float* s, float* m) {
    constexpr uint64_t k15 = 0x0f0f0f0f0f0f0f0f;
    const uint64_t first = read<uint64_t>(b), second = read<uint64_t>(b + 8);
    const Bytes16 low(first & k15, second & k15), high(first >> 4 & k15, second >> 4 & k15);
    scale_bytes<16>(low.at, 0, half(b + 80), s);
    scale_bytes<16>(high.at, 0, -half(b + 82), m);
  }
};
template <>
struct Format<Packing::q3_k> : Long {
  static constexpr int kBytes = 110, kGroup = 16;
#if HWY_TARGET <= HWY_AVX3_DL
  static HWY_INLINE __m512i codes64(const uint8_t* b, int i) {
    const __m512i code = two_bits(b + 32, i);
    return _mm512_mask_sub_epi8(code, ~bits_of(b, i), code, _mm512_set1_epi8(4));
  }
#else
  static HWY_INLINE void codes(const uint8_t* b, int8_t* out) {
    for (int i = 0; i < 2; ++i) codes2(b + 32 + 32 * i, out + 128 * i);
    for (int i = 0; i < 8; ++i)
      for (int j = 0; j < 32; ++j) out[i * 32 + j] = int8_t(out[i * 32 + j] - (~b[j] >> i & 1) * 4);
  }
#endif
  static HWY_INLINE void scales(const uint8_t* b, float* s, float*) {
    const uint64_t low = read<uint64_t>(b + 96), high = read<uint32_t>(b + 104);
    const auto top = [high](int shift) {  // two bits for each of eight scales
      constexpr uint64_t k3 = 0x03030303;
      return ((high >> shift & k3) | (high >> (shift + 2) & k3) << 32) << 4;
    };
    constexpr uint64_t k15 = 0x0f0f0f0f0f0f0f0f;
    const Bytes16 all((low & k15) | top(0), (low >> 4 & k15) | top(4));
    scale_bytes<16>(all.at, 32, half(b + 108), s);
  }
};
/// Scales and minima of q4_k and q5_k: six bits each.
struct SixBits : Long {
  static constexpr int kGroup = 32;
  static constexpr bool kOffset = true;
  static HWY_INLINE void scales(const uint8_t* b, float* s, float* m) {
    const uint32_t first = read<uint32_t>(b + 4), second = read<uint32_t>(b + 8),
                   upper = read<uint32_t>(b + 12);
    const auto both = [](uint32_t low, uint32_t high) { return uint64_t{high} << 32 | low; };
    constexpr uint32_t k63 = 0x3f3f3f3f, k15 = 0x0f0f0f0f, k48 = 0x30303030;
    const uint64_t scale = both(first & k63, (upper & k15) | (first >> 2 & k48));
    const uint64_t min = both(second & k63, (upper >> 4 & k15) | (second >> 2 & k48));
    scale_bytes(scale, half(b), s);
    scale_bytes(min, -half(b + 2), m);
  }
};
template <>
struct Format<Packing::q4_k> : SixBits {
  static constexpr int kBytes = 144;
  static constexpr const Values& kValues = kUnsigned;
  static constexpr Nibbles place(int i) { return {16 + i / 4 * 32 + i % 2 * 16, i / 2 % 2 == 1}; }
};
template <>
struct Format<Packing::q5_k> : SixBits {
  static constexpr int kBytes = 176;
#if HWY_TARGET <= HWY_AVX3_DL
  static HWY_INLINE __m512i codes64(const uint8_t* b, int i) {
    const __m512i low = _mm512_and_si512(_mm512_srlv_epi16(twice(b + 48 + i * 32), shifts(0, 4)),
                                         _mm512_set1_epi8(15));
    return _mm512_mask_add_epi8(low, bits_of(b + 16, i), low, _mm512_set1_epi8(16));
  }
#else
  static HWY_INLINE void codes(const uint8_t* b, int8_t* out) {
    for (int g = 0; g < 8; ++g, out += 32)
      for (int j = 0; j < 32; ++j) {
        const uint8_t q = b[48 + g / 2 * 32 + j];
        out[j] = int8_t((g % 2 ? q >> 4 : q & 15) | (b[16 + j] >> g & 1) << 4);
      }
  }
#endif
};
template <>
struct Format<Packing::q6_k> : Long {
  static constexpr int kBytes = 210, kGroup = 16;
#if HWY_TARGET <= HWY_AVX3_DL
  static HWY_INLINE __m512i codes64(const uint8_t* b, int i) {
    const __m512i low = _mm512_loadu_si512(b + i / 2 * 64), two = twice(b + 128 + i / 2 * 32);
    const __m512i four = i % 2 ? _mm512_srli_epi16(low, 4) : low;
    const __m512i high =
        i % 2 ? _mm512_srlv_epi16(two, shifts(0, 2)) : _mm512_sllv_epi16(two, shifts(4, 2));
    const __m512i code = _mm512_ternarylogic_epi32(_mm512_and_si512(four, _mm512_set1_epi8(15)),
                                                   high, _mm512_set1_epi8(48), 0xf8);
    return _mm512_sub_epi8(code, _mm512_set1_epi8(32));
  }
#else
  static HWY_INLINE void codes(const uint8_t* b, int8_t* out) {
    const uint8_t* top = b + 128;
    for (int i = 0; i < 2; ++i, b += 64, top += 32, out += 128)
      for (int j = 0; j < 32; ++j) {
        out[j] = int8_t(((b[j] & 15) | (top[j] & 3) << 4) - 32);
        out[j + 32] = int8_t(((b[j + 32] & 15) | (top[j] >> 2 & 3) << 4) - 32);
        out[j + 64] = int8_t((b[j] >> 4 | (top[j] >> 4 & 3) << 4) - 32);
        out[j + 96] = int8_t((b[j + 32] >> 4 | top[j] >> 6 << 4) - 32);
      }
  }
#endif
  static HWY_INLINE void scales(const uint8_t* b, float* s, float*) {
    scale_bytes<16>(reinterpret_cast<const int8_t*>(b + 192), 0, half(b + 208), s);
  }
};
template <>
struct Format<Packing::iq4_xs> : Long {
  static constexpr int kBytes = 136, kGroup = 32;
  static constexpr const Values& kValues = kIq4;
  static constexpr Nibbles place(int i) { return {8 + i / 2 * 16, i % 2 == 1}; }
  static HWY_INLINE void scales(const uint8_t* b, float* s, float*) {
    const float d = half(b);
    const uint32_t low = read<uint32_t>(b + 4), high = read<uint16_t>(b + 2);
    for (int g = 0; g < 8; ++g)
      s[g] = d * float(int((low >> 4 * g & 15) | (high >> 2 * g & 3) << 4) - 32);
  }
};
struct Ternary : Long {
  static constexpr int kGroup = 256;
};
template <>
struct Format<Packing::tq1_0> : Ternary {
  static constexpr int kBytes = 54;
  static HWY_INLINE void codes(const uint8_t* b, int8_t* out) {
    const auto digits = [&](const uint8_t* q, int bytes, int count) {
      for (int digit = 0, power = 1; digit < count; ++digit, power *= 3, out += bytes)
        for (int j = 0; j < bytes; ++j) out[j] = int8_t((uint8_t(q[j] * power) * 3 >> 8) - 1);
    };
    digits(b, 32, 5), digits(b + 32, 16, 5), digits(b + 48, 4, 4);
  }
  static HWY_INLINE void scales(const uint8_t* b, float* s, float*) { *s = half(b + 52); }
};
template <>
struct Format<Packing::tq2_0> : Ternary {
  static constexpr int kBytes = 66;
#if HWY_TARGET <= HWY_AVX3_DL
  static HWY_INLINE __m512i codes64(const uint8_t* b, int i) {
    return _mm512_sub_epi8(two_bits(b, i), _mm512_set1_epi8(1));
  }
#else
  static HWY_INLINE void codes(const uint8_t* b, int8_t* out) {
    for (int i = 0; i < 2; ++i) codes2(b + 32 * i, out + 128 * i);
    for (int j = 0; j < 256; ++j) out[j] = int8_t(out[j] - 1);
  }
#endif
  static HWY_INLINE void scales(const uint8_t* b, float* s, float*) { *s = half(b + 64); }
};
template <>
struct Format<Packing::ggml_nvfp4> : OfBlocks {
  static constexpr int kWeights = 64, kBytes = 36, kGroup = 16;
  static HWY_INLINE void codes(const uint8_t* b, int8_t* out) {
    for (int i = 0; i < 64; ++i) {
      const uint8_t q = b[4 + i / 16 * 8 + i % 8];
      out[i] = kFp4Twice.at[i % 16 < 8 ? q & 15 : q >> 4];
    }
  }
  static HWY_INLINE void scales(const uint8_t* b, float* s, float*) {
    for (int g = 0; g < 4; ++g)
      s[g] = b[g] == 0x7f ? 0 : std::bit_cast<float>(uint32_t(b[g] & 0x7f) << 20) * 0x1p119f;
  }
};

}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the toggle
