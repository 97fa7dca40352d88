// Codes of packed weights as bf16, looked up in registers: AVX-512 with VBMI. Include after
// Highway, inside no namespace.
//
// A chunk is 64 weights of a row. Its codes stand in the lowest bits of the 16-bit lanes of two
// vectors; what stands above them is not looked at. Which weight stands where is the format's own
// affair, element(half, lane): x is laid in the same order, once for a product. The weights of a
// 32-bit lane, of both halves, are of one group.
#if defined(HEARTH_BACKEND_CPU_PRODUCTS_CODED_FORMATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_BACKEND_CPU_PRODUCTS_CODED_FORMATS_INL_H_
#undef HEARTH_BACKEND_CPU_PRODUCTS_CODED_FORMATS_INL_H_
#else
#define HEARTH_BACKEND_CPU_PRODUCTS_CODED_FORMATS_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <bit>

#include "hearth/backend/cpu/products/packed_source-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {

/// Formats whose codes are looked up have a specialisation.
template <class F>
struct Coded {};

#if HWY_TARGET <= HWY_AVX3_DL

constexpr int kChunk = 64;
struct Codes {
  __m512i first, second;
};

template <class T, size_t N, class At>
constexpr std::array<T, N> table_of(const At& at) {
  std::array<T, N> t{};
  for (size_t i = 0; i < N; ++i) t[i] = T(at(int(i)));
  return t;
}
template <class T>
HWY_INLINE __m512i load_table(const T& table) {
  static_assert(sizeof(T) % 64 == 0);
  return _mm512_loadu_si512(table.data());
}

/// What a code of some bits stands for: itself less `kZero`, or one of 16 values over `kOver`.
template <int kBitsOf, int kZero>
struct Counted {
  static constexpr int kBits = kBitsOf;
  static constexpr float value(int code) { return float(code - kZero); }
};
template <const Values& kOf, int kOver = 1>
struct Listed {
  static constexpr int kBits = 4;
  static constexpr float value(int code) { return float(kOf.at[code]) / kOver; }
};

/// 64 bytes, a code each: even ones and odd ones.
struct ByBytes {
  static constexpr int element(int half, int lane) { return 2 * lane + half; }
  static HWY_INLINE Codes split(__m512i bytes) { return {bytes, _mm512_srli_epi16(bytes, 8)}; }
};
/// 32 bytes in lanes of 16 bits, two codes each: those of 16 bytes are the halves of 32 weights.
struct ByHalves {
  static constexpr int element(int half, int lane) {
    return lane / 16 * 32 + lane % 16 + half * 16;
  }
  static HWY_INLINE Codes split(__m512i lanes) { return {lanes, _mm512_srli_epi16(lanes, 4)}; }
};
/// 32 bytes of neighbouring codes of four bits: from each eight bytes, twice, four codes.
struct ByNeighbours {
  static constexpr int element(int half, int lane) {
    return lane / 4 % 4 * 16 + half * 8 + lane / 16 * 4 + lane % 4;
  }
  static HWY_INLINE Codes split(__m512i twice) {
    // Lane i of the first half of a word of 64 bits starts at bit 4 i, of its second at 4 (i + 4).
    alignas(64) static constexpr auto kFirst =
        table_of<uint8_t, 64>([](int i) { return (i / 32 * 4 + i % 8 / 2) * 4; });
    alignas(64) static constexpr auto kSecond =
        table_of<uint8_t, 64>([](int i) { return (8 + i / 32 * 4 + i % 8 / 2) * 4; });
    return {_mm512_multishift_epi64_epi8(load_table(kFirst), twice),
            _mm512_multishift_epi64_epi8(load_table(kSecond), twice)};
  }
};
/// The bits of `mask` from a, the others from b.
template <int kMask>
HWY_INLINE __m512i pick(__m512i a, __m512i b) {
  return _mm512_ternarylogic_epi32(_mm512_set1_epi8(kMask), a, b, 0xca);
}

// Long blocks: chunk i of four, and the scale and offset of group g in lane g of registers.
struct LongScales {
  __m512 scale, offset;
};
template <class F>
struct StoredScales {
  static constexpr int kSumsFrom = 0;  // the lane of the first group's offset
  static HWY_INLINE LongScales scales(const uint8_t* b) {
    alignas(64) float s[16], m[16];
    F::scales(b, s, m);
    if constexpr (F::kWeights / F::kGroup < 16)
      return {_mm512_castps256_ps512(_mm256_load_ps(s)), _mm512_setzero_ps()};
    if constexpr (!F::kOffset) return {_mm512_load_ps(s), _mm512_setzero_ps()};
    return {_mm512_load_ps(s), _mm512_load_ps(m)};
  }
};
/// Eight scales and, behind them, eight minima, of six bits each.
struct SixBitScales : ByBytes {
  static constexpr int kSumsFrom = 8;
  static HWY_INLINE LongScales scales(const uint8_t* b) {
    const __m128i header = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b));
    const __m128i low = _mm_srlv_epi32(
        _mm_shuffle_epi8(header,
                         _mm_setr_epi8(4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15)),
        _mm_setr_epi32(0, 0, 0, 4));
    const __m128i high = _mm_and_si128(
        _mm_srli_epi32(_mm_shuffle_epi8(header, _mm_setr_epi8(-1, -1, -1, -1, 4, 5, 6, 7, -1, -1,
                                                              -1, -1, 8, 9, 10, 11)),
                       2),
        _mm_set1_epi8(0x30));
    const __m128i whole = _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f);
    const __m512 codes =
        _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_ternarylogic_epi32(whole, low, high, 0xca)));
    alignas(64) static constexpr auto kWhich =
        table_of<int32_t, 16>([](int lane) { return lane / 8; });
    alignas(64) static constexpr auto kSign =
        table_of<uint32_t, 16>([](int lane) { return lane < 8 ? 0 : int(0x80000000u); });
    const __m512 d =
        _mm512_permutexvar_ps(load_table(kWhich), _mm512_castps128_ps512(_mm_cvtph_ps(header)));
    const __m512 all =
        _mm512_mul_ps(codes, _mm512_xor_ps(d, _mm512_castsi512_ps(load_table(kSign))));
    return {all, all};
  }
};
template <>
struct Coded<Format<Packing::q4_k>> : SixBitScales, Counted<4, 0> {
  template <int i>
  static HWY_INLINE Codes codes(const uint8_t* b) {
    return split(_mm512_srlv_epi16(twice(b + 16 + 32 * i), shifts(0, 4)));
  }
};
template <>
struct Coded<Format<Packing::q5_k>> : SixBitScales, Counted<5, 0> {
  template <int i>
  static HWY_INLINE Codes codes(const uint8_t* b) {
    const __m512i low = _mm512_srlv_epi16(twice(b + 48 + 32 * i), shifts(0, 4));
    const __m512i bits = twice(b + 16);  // bit 2 i of the lower half, and 2 i + 1, to bit 4
    const __m512i top = i < 2 ? _mm512_sllv_epi16(bits, shifts(4 - 2 * i, 3 - 2 * i))
                              : _mm512_srlv_epi16(bits, shifts(2 * i - 4, 2 * i - 3));
    return split(pick<15>(low, top));
  }
};
template <>
struct Coded<Format<Packing::q6_k>> : ByBytes, Counted<6, 32> {
  static constexpr int kSumsFrom = 0;
  static HWY_INLINE LongScales scales(const uint8_t* b) {
    const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + 192));
    const __m512 d = _mm512_cvtph_ps(_mm256_set1_epi16(read<int16_t>(b + 208)));
    return {_mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)), d), d};
  }
  template <int i>
  static HWY_INLINE Codes codes(const uint8_t* b) {
    const __m512i low = _mm512_loadu_si512(b + i / 2 * 64), two = twice(b + 128 + i / 2 * 32);
    if constexpr (i % 2 == 0) return split(pick<15>(low, _mm512_sllv_epi16(two, shifts(4, 2))));
    return split(pick<15>(_mm512_srli_epi16(low, 4), _mm512_srlv_epi16(two, shifts(0, 2))));
  }
};
template <int i>
HWY_INLINE __m512i two_bits_at(const uint8_t* q) {
  return _mm512_srlv_epi16(twice(q + i / 2 * 32), shifts(i % 2 * 4, i % 2 * 4 + 2));
}
template <>
struct Coded<Format<Packing::q2_k>> : ByBytes, Counted<2, 0>, StoredScales<Format<Packing::q2_k>> {
  template <int i>
  static HWY_INLINE Codes codes(const uint8_t* b) {
    return split(two_bits_at<i>(b + 16));
  }
};
template <>
struct Coded<Format<Packing::q3_k>> : ByBytes, Counted<3, 4>, StoredScales<Format<Packing::q3_k>> {
  template <int i>
  static HWY_INLINE Codes codes(const uint8_t* b) {
    const __m512i bits = twice(b);  // bit 2 i of the lower half, and 2 i + 1, to bit 2
    const __m512i top = i == 0 ? _mm512_sllv_epi16(bits, shifts(2, 1))
                               : _mm512_srlv_epi16(bits, shifts(2 * i - 2, 2 * i - 1));
    return split(pick<3>(two_bits_at<i>(b + 32), top));
  }
};
template <>
struct Coded<Format<Packing::iq4_xs>>
    : ByHalves, Listed<kIq4>, StoredScales<Format<Packing::iq4_xs>> {
  template <int i>
  static HWY_INLINE Codes codes(const uint8_t* b) {
    return split(
        _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 8 + 32 * i))));
  }
};

/// Two short blocks, `both`, whose nibbles begin at kHeader.
template <class F, int kHeader>
struct Pair : ByHalves {
  static HWY_INLINE __m512i lanes(__m512i both) {
    alignas(64) static constexpr auto kAt =
        table_of<uint8_t, 64>([](int i) { return kHeader + i / 32 * F::kBytes + i % 32 / 2; });
    return _mm512_permutexvar_epi8(load_table(kAt), both);
  }
  static HWY_INLINE Codes codes(__m512i both) { return split(lanes(both)); }
  /// Where block i's scale, and after it its offset, stand among the halves.
  static constexpr int scale_at(int i) { return i * F::kBytes / 2; }
  static HWY_INLINE __m512 halves(__m512i both) {
    constexpr int kUsed = F::kOffset ? 3 : 1;  // others are no numbers
    return _mm512_maskz_cvtph_ps(kUsed | kUsed << scale_at(1), _mm512_castsi512_si256(both));
  }
  static HWY_INLINE __m512 scale(__m512 halves) {
    alignas(64) static constexpr auto kAt =
        table_of<int32_t, 16>([](int lane) { return scale_at(lane / 8); });
    return _mm512_permutexvar_ps(load_table(kAt), halves);
  }
};
template <>
struct Coded<Format<Packing::q4_0>> : Pair<Format<Packing::q4_0>, 2>, Counted<4, 8> {};
template <>
struct Coded<Format<Packing::q4_1>> : Pair<Format<Packing::q4_1>, 4>, Counted<4, 0> {};
template <>
struct Coded<Format<Packing::iq4_nl>> : Pair<Format<Packing::iq4_nl>, 2>, Listed<kIq4> {};
template <>
struct Coded<Format<Packing::ggml_mxfp4>> : Pair<Format<Packing::ggml_mxfp4>, 1>,
                                            Listed<kFp4Twice, 2> {
  static HWY_INLINE __m512i halves(__m512i both) { return both; }
  static HWY_INLINE __m512 scale(__m512i both) {  // 2^(e - 127), and 2^-127 for 0
    alignas(64) static constexpr auto kAt =
        table_of<uint8_t, 64>([](int i) { return i / 32 * 17; });
    const __m512i e = _mm512_maskz_permutexvar_epi8(0x1111111111111111, load_table(kAt), both);
    return _mm512_castsi512_ps(
        _mm512_max_epu32(_mm512_slli_epi32(e, 23), _mm512_set1_epi32(0x00400000)));
  }
};
/// Codes of five bits, the highest of a block in 32 bits at kHeader - 4.
template <class F, int kHeader>
struct PairOf5 : Pair<F, kHeader> {
  static HWY_INLINE Codes codes(__m512i both) {
    const Codes four = Pair<F, kHeader>::codes(both), low{nibble(four.first), nibble(four.second)};
    // Bit i of a block's, which are 16-bit lanes of two: to the lane whose code it belongs to.
    return {highest<0>(both, low.first), highest<2>(both, low.second)};
  }

 private:
  static HWY_INLINE __m512i nibble(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi16(15)); }
  template <int kFrom>
  static HWY_INLINE __m512i highest(__m512i both, __m512i low) {
    alignas(64) static constexpr auto kWord = table_of<uint16_t, 32>(
        [](int i) { return (kHeader - 4 + kFrom + i / 16 * F::kBytes) / 2; });
    alignas(64) static constexpr auto kBit =
        table_of<uint16_t, 32>([](int i) { return 1 << i % 16; });
    const __m512i bits = _mm512_permutexvar_epi16(load_table(kWord), both);
    return _mm512_mask_add_epi16(low, _mm512_test_epi16_mask(bits, load_table(kBit)), low,
                                 _mm512_set1_epi16(16));
  }
};
template <>
struct Coded<Format<Packing::q5_0>> : PairOf5<Format<Packing::q5_0>, 6>, Counted<5, 16> {};
template <>
struct Coded<Format<Packing::q5_1>> : PairOf5<Format<Packing::q5_1>, 8>, Counted<5, 0> {};

// Planes.
struct NeighboursOf4 : ByNeighbours {
  /// `whole`: 64 codes, not 32.
  static HWY_INLINE Codes codes(const uint8_t* q, bool whole) {
    return split(whole ? twice(q)
                       : _mm512_broadcast_i64x4(_mm256_zextsi128_si256(
                             _mm_loadu_si128(reinterpret_cast<const __m128i*>(q)))));
  }
};
template <>
struct Coded<Affine<4>> : NeighboursOf4, Counted<4, 0> {};
template <>
struct Coded<Format<Packing::mxfp4>> : NeighboursOf4, Listed<kFp4Twice> {};

#endif

/// Are codes of this format looked up?
template <class F>
concept LooksUp = requires {
  Coded<F>::kBits;
};

}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the toggle
