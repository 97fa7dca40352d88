// The formats of MLX's planes, compiled once per instruction set, and the list of all. Include
// after Highway, inside no namespace.
#if defined(HEARTH_BACKEND_CPU_PRODUCTS_PLANE_FORMATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_BACKEND_CPU_PRODUCTS_PLANE_FORMATS_INL_H_
#undef HEARTH_BACKEND_CPU_PRODUCTS_PLANE_FORMATS_INL_H_
#else
#define HEARTH_BACKEND_CPU_PRODUCTS_PLANE_FORMATS_INL_H_
#endif

#include <hwy/highway.h>

#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

#include "hearth/backend/cpu/products/packed_formats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {

/// e8m0 and e4m3, halved for formats whose values are doubled.
struct ScaleTables {
  float e8m0[256], half_e8m0[256], half_e4m3[256];
};
inline const ScaleTables& scale_tables() {
  static const ScaleTables the = [] {
    ScaleTables t;
    for (uint32_t i = 0; i < 256; ++i) {
      const float power = std::bit_cast<float>(i == 0 ? 0x00400000u : i << 23);
      const float magnitude = std::bit_cast<float>((i & 0x7f) << 20) * 0x1p120f;
      t.e8m0[i] = power;
      t.half_e8m0[i] = power * 0.5f;
      t.half_e4m3[i] = (i & 0x7f) == 0x7f ? std::numeric_limits<float>::quiet_NaN()
                                          : (i & 0x80 ? -0.5f : 0.5f) * magnitude;
    }
    return t;
  }();
  return the;
}

struct OfPlanes {
  static constexpr bool kPlanes = true;
  static constexpr bool kWide = false, kHalved = false;  // scales are floats; values are doubled
  static constexpr int kWeights = 32, kGroup = 32;
};
/// MLX's affine codes, 32 at a time whatever their group is.
template <int kBits>
struct Affine : OfPlanes {
  static constexpr bool kOffset = true;
  static constexpr int kBytes = kWeights * kBits / 8;
  static HWY_INLINE void codes(const uint8_t* q, int8_t* out) {  // of 8 bits: as unsigned
    if constexpr (kBits == 8) {
      std::memcpy(out, q, 32);
    } else {
      for (int i = 0; i < 2; ++i, q += 2 * kBits, out += 16) {
        const uint64_t first = eight(q), second = eight(q + kBits);
#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86_64
        constexpr uint64_t kBytes = kMask * 0x0101010101010101u;
        _mm_storeu_si128(
            reinterpret_cast<__m128i*>(out),
            _mm_set_epi64x(int64_t(_pdep_u64(second, kBytes)), int64_t(_pdep_u64(first, kBytes))));
#else
        for (int j = 0; j < 8; ++j) {
          out[j] = int8_t(first >> kBits * j & kMask);
          out[j + 8] = int8_t(second >> kBits * j & kMask);
        }
#endif
      }
    }
  }

 private:
  static constexpr uint64_t kMask = (1 << kBits) - 1;
  /// Eight codes, in one register from the start: what is put together in memory waits for it.
  static HWY_INLINE uint64_t eight(const uint8_t* q) {
    if constexpr (kBits == 2) return read<uint16_t>(q);
    if constexpr (kBits == 3) return read<uint16_t>(q) | uint64_t{q[2]} << 16;
    if constexpr (kBits == 5) return read<uint32_t>(q) | uint64_t{q[4]} << 32;
    if constexpr (kBits == 6) return read<uint32_t>(q) | uint64_t{read<uint16_t>(q + 4)} << 32;
    return 0;
  }
};
template <>
struct Affine<4> : OfPlanes {
  static constexpr bool kOffset = true;
  static constexpr int kBytes = 16;
  static constexpr const Values& kNeighbours = kUnsigned;
};
template <>
struct Format<Packing::mxfp4> : OfPlanes {
  static const float* scale_table(const ScaleTables& t) { return t.half_e8m0; }
  static constexpr bool kOffset = false;
  static constexpr int kBytes = 16;
  static constexpr const Values& kNeighbours = kFp4Twice;
};
template <>
struct Format<Packing::nvfp4> : OfPlanes {
  static const float* scale_table(const ScaleTables& t) { return t.half_e4m3; }
  static constexpr bool kOffset = false;
  static constexpr int kWeights = 16, kGroup = 16, kBytes = 8;
  static HWY_INLINE void codes(const uint8_t* q, int8_t* out) {
    for (int j = 0; j < 8; ++j) {
      out[2 * j] = kFp4Twice.at[q[j] & 15];
      out[2 * j + 1] = kFp4Twice.at[q[j] >> 4];
    }
  }
};
template <>
struct Format<Packing::mxfp8> : OfPlanes {
  static const float* scale_table(const ScaleTables& t) { return t.e8m0; }
  static constexpr bool kOffset = false;
  static constexpr int kBytes = 32;
  static HWY_INLINE void codes(const uint8_t* q, int8_t* out) { std::memcpy(out, q, 32); }
  /// e4m3
  template <class V>
  static HWY_INLINE VF32 value(V code) {
    const F32 d;
    const hn::RebindToSigned<F32> di;
    const auto rest = hn::And(code, hn::Set(di, 0x7f));
    const auto normal = hn::BitCast(d, hn::Add(hn::ShiftLeft<20>(rest), hn::Set(di, 120 << 23)));
    const auto denormal = hn::Mul(hn::ConvertTo(d, rest), hn::Set(d, 0x1p-9f));
    const auto below = [&](int limit)
                           HWY_ATTR { return hn::RebindMask(d, hn::Lt(rest, hn::Set(di, limit))); };
    const auto number = hn::IfThenElse(below(8), denormal, normal);
    return hn::CopySign(hn::IfThenElse(below(0x7f), number, hn::NaN(d)),
                        hn::BitCast(d, hn::ShiftLeft<24>(code)));
  }
};

/// Codes whose scales are floats.
struct WideFp8 : Format<Packing::mxfp8> {
  static constexpr bool kWide = true;
};
struct WideFp4 : Format<Packing::nvfp4> {
  static constexpr bool kWide = true, kHalved = true;
};
struct WideInt8 : OfPlanes {
  static constexpr bool kWide = true, kOffset = false;
  static constexpr int kBytes = 32;
  static HWY_INLINE void codes(const uint8_t* q, int8_t* out) { std::memcpy(out, q, 32); }
};

template <Packing P>
struct FormatOf {
  using type = Format<P>;
};
template <Packing P>
requires(packing_info(P).wide_scales) struct FormatOf<P> {
  using type = std::conditional_t<
      code_bits(P) == 4, WideFp4,
      std::conditional_t<packing_info(P).name.starts_with("int8"), WideInt8, WideFp8>>;
};
template <Packing P>
requires(packing_info(P).planes == 3) struct FormatOf<P> {
  using type = Affine<int(code_bits(P))>;
};

}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the toggle
