// The weights of a block as vectors of floats, compiled once per instruction set. Include after
// Highway, inside no namespace.
#if defined(HEARTH_BACKEND_CPU_PRODUCTS_UNPACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_BACKEND_CPU_PRODUCTS_UNPACK_INL_H_
#undef HEARTH_BACKEND_CPU_PRODUCTS_UNPACK_INL_H_
#else
#define HEARTH_BACKEND_CPU_PRODUCTS_UNPACK_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <type_traits>
#include <utility>

#include "hearth/backend/cpu/products/plane_formats-inl.h"

#undef HEARTH_INLINE  // lambdas in the innermost loops
#define HEARTH_INLINE HWY_ATTR __attribute__((always_inline))

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {

/// Codes of four bits: one of 16 values.
template <class F>
concept OfFourBits = requires {
  F::kValues;
}
|| requires { F::kNeighbours; };

#if HWY_TARGET <= HWY_AVX3_DL
/// A dword for each of the 16 codes i of a block, which stands in its lowest four bits; above them
/// is anything.
template <class F, int i>
HWY_INLINE __m512i four_bits(const uint8_t* block) {
  if constexpr (requires { F::kNeighbours; }) {
    const uint8_t* const at = block + i * 8;
    const __m512i control =
        _mm512_setr_epi64(0x0400000000, 0x0c00000008, 0x1400000010, 0x1c00000018, 0x2400000020,
                          0x2c00000028, 0x3400000030, 0x3c00000038);
    return _mm512_multishift_epi64_epi8(control, _mm512_set1_epi64(read<int64_t>(at)));
  } else {
    constexpr Nibbles place = F::place(i);
    const __m512i bytes =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + place.byte)));
    return place.high ? _mm512_srli_epi32(bytes, 4) : bytes;
  }
}

/// The values of a format as floats.
template <class F>
HWY_INLINE VF32 float_values() {
  alignas(64) static constexpr auto kFloats = [] {
    Values values;
    if constexpr (requires { F::kNeighbours; })
      values = F::kNeighbours;
    else
      values = F::kValues;
    std::array<float, 16> floats{};
    for (size_t i = 0; i < 16; ++i) floats[i] = values.at[i];
    return floats;
  }();
  return hn::Load(F32(), kFloats.data());
}

/// The 16 weights that a group may have are looked up.
template <class F, class Scaled, class Body>
HWY_INLINE void unpack_four_bits(const uint8_t* block, const Scaled& scaled, const Body& body) {
  constexpr int kEach = F::kGroup / kLanes;
  VF32 table;
  const auto weight = [&]<int i>() HEARTH_INLINE {
    if constexpr (i % kEach == 0) table = scaled(i, float_values<F>());
    return VF32{_mm512_permutexvar_ps(four_bits<F, i>(block), table.raw)};
  };
  const auto two = [&]<int i>() HEARTH_INLINE {
    const VF32 first = weight.template operator()<i>();
    body(i, first, weight.template operator()<i + 1>());
  };
  [&]<int... pair>(std::integer_sequence<int, pair...>) HEARTH_INLINE {
    (two.template operator()<2 * pair>(), ...);
  }
  (std::make_integer_sequence<int, F::kWeights / kLanes / 2>());
}

/// 64 codes at a time, in a register: memory between would be waited for.
template <class F, class Scaled, class Body>
HWY_INLINE void unpack_64(const uint8_t* block, const Scaled& scaled, const Body& body) {
  const auto some = [&]<int i>() HEARTH_INLINE {
    const __m512i codes = F::codes64(block, i);
    const auto weight = [&]<int part>() HEARTH_INLINE {
      const __m128i bytes = _mm512_extracti32x4_epi32(codes, part);
      return scaled(4 * i + part, VF32{_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))});
    };
    body(4 * i, weight.template operator()<0>(), weight.template operator()<1>());
    body(4 * i + 2, weight.template operator()<2>(), weight.template operator()<3>());
  };
  [&]<int... k>(std::integer_sequence<int, k...>) HEARTH_INLINE {
    (some.template operator()<k>(), ...);
  }
  (std::make_integer_sequence<int, F::kWeights / 64>());
}
#endif

/// The codes of a block as small integers in memory: as unsigned ones where they have offsets.
template <class F>
HWY_INLINE void codes_of(const uint8_t* block, int8_t* codes) {
  if constexpr (requires { F::kNeighbours; })
    neighbours(block, F::kNeighbours, codes);
  else if constexpr (requires { F::kValues; })
    halves<F>(block, codes);
#if HWY_TARGET <= HWY_AVX3_DL
  else if constexpr (requires { F::codes64(block, 0); })
    for (int i = 0; i < F::kWeights / 64; ++i)
      _mm512_storeu_si512(codes + i * 64, F::codes64(block, i));
#endif
  else
    F::codes(block, codes);
}

/// By integers in memory.
template <class F, class Scaled, class Body>
HWY_INLINE void unpack_bytes(const uint8_t* block, const Scaled& scaled, const Body& body) {
  const F32 d;
  constexpr int kVectors = F::kWeights / kLanes;
  alignas(64) int8_t codes[F::kWeights];
  codes_of<F>(block, codes);
  const hn::Rebind<int32_t, F32> di;
  using Code = std::conditional_t<F::kOffset, uint8_t, int8_t>;
  const hn::Rebind<Code, F32> d8;
  const auto weight = [&](int i) HEARTH_INLINE {
    const auto* const at = reinterpret_cast<const Code*>(codes) + i * kLanes;
    const auto code = hn::PromoteTo(di, hn::LoadU(d8, at));
    if constexpr (requires { F::value(code); })
      return scaled(i, F::value(code));
    else
      return scaled(i, hn::ConvertTo(d, code));
  };
  if constexpr (kVectors == 1) body(0, weight(0));
  for (int i = 0; i + 2 <= kVectors; i += 2) body(i, weight(i), weight(i + 1));
}

/// body(i, v, w) for the vectors of the weights of block b in their order, v being the i-th, two at
/// a time; body(0, v) where there is one. The row begins at `codes`; `scales` and `biases` are its
/// own as floats, of planes one for 2^shift blocks.
template <class F, class Body>
HWY_INLINE void unpack_block(const uint8_t* codes, const float* scales, const float* biases,
                             int64_t b, int shift, const Body& body) {
  const F32 d;
  constexpr bool kOwn = std::is_base_of_v<Short, F>;  // its scale is read here
  constexpr int kGroups = F::kWeights / F::kGroup, kEach = F::kGroup / kLanes;
  const uint8_t* const block = codes + b * F::kBytes;
  const int64_t at = F::kPlanes ? b >> shift : b * kGroups;
  [[maybe_unused]] float scale = 0, bias = 0;
  if constexpr (kOwn) F::scales(block, &scale, &bias);
  const auto scaled = [&](int i, VF32 code) HEARTH_INLINE {
    const VF32 s = hn::Set(d, kOwn ? scale : scales[at + i / kEach]);
    if constexpr (F::kOffset)
      return hn::MulAdd(code, s, hn::Set(d, kOwn ? bias : biases[at + i / kEach]));
    return hn::Mul(code, s);
  };
#if HWY_TARGET <= HWY_AVX3_DL
  if constexpr (OfFourBits<F>)
    unpack_four_bits<F>(block, scaled, body);
  else if constexpr (requires { F::codes64(block, 0); })
    unpack_64<F>(block, scaled, body);
  else
#endif
    unpack_bytes<F>(block, scaled, body);
}

}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the toggle
