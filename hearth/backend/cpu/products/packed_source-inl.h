// Rows of packed weights and their scales, compiled once per instruction set. Include after
// Highway, inside no namespace.
#if defined(HEARTH_BACKEND_CPU_PRODUCTS_PACKED_SOURCE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_BACKEND_CPU_PRODUCTS_PACKED_SOURCE_INL_H_
#undef HEARTH_BACKEND_CPU_PRODUCTS_PACKED_SOURCE_INL_H_
#else
#define HEARTH_BACKEND_CPU_PRODUCTS_PACKED_SOURCE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "hearth/backend/cpu/products/unpack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {

constexpr int kStreams = 4;       // runs of rows that are read at once
constexpr int64_t kPiece = 4096;  // weights of a row whose scales are read at once
/// Bytes between what is read and what is fetched, into the first level of the cache. Codes are
/// many instructions each: few lines would be on their way otherwise (two threads of a Zen 5, q4_k:
/// 17 GB/s without, 31 with 1 KB, 33 with 2, 30 with 4).
constexpr int64_t kAhead = 2048, kScalesAhead = 512;

template <class T>
void widen_some(const uint8_t* from, int64_t n, float* to) {
  const F32 d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  const auto* at = reinterpret_cast<const std::byte*>(from);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(load_wide<T>(at + i * sizeof(T)), d, to + i);
  for (; i < n; ++i) to[i] = load_one<T>(at + i * sizeof(T));
}

/// Where the rows of a packed matrix of format F lie.
template <class F>
struct Source {
  /// Scales and biases of a piece.
  struct Room {
    static constexpr int64_t kScales = kPiece / F::kGroup;
    alignas(64) float scales[kScales];
    alignas(64) float biases[F::kOffset ? kScales : 1];
  };

  const uint8_t *codes, *scales, *biases;
  Dtype dtype;
  int64_t group;  // weights of planes that share a scale: 2^shift blocks
  int shift;
  int64_t code_bytes, scale_bytes, size;

  Source(const RawMatrix& m, int64_t k)
      : codes(static_cast<const uint8_t*>(m.planes[0])),
        scales(static_cast<const uint8_t*>(m.planes[1])),
        biases(static_cast<const uint8_t*>(m.planes[2])),
        dtype(m.scales),
        group(packing_info(m.packing).weights),
        shift(std::countr_zero(uint64_t(group / F::kWeights))),
        code_bytes(k / F::kWeights * F::kBytes),
        scale_bytes(0),
        size(F::kOffset || F::kWide ? int64_t(size_of(dtype)) : 1) {
    if (F::kPlanes) scale_bytes = k / group * size;
  }

  /// Where weights [p, p + count) of row j begin, p and count being whole groups; their scales.
  HWY_INLINE const uint8_t* piece(int64_t j, int64_t p, int64_t count, Room& room) const {
    const uint8_t* const first = codes + j * code_bytes + p / F::kWeights * F::kBytes;
    if constexpr (F::kPlanes) {
      const int64_t at = j * scale_bytes + p / group * size, n = count / group;
      for (int64_t line = 0; line < n * size; line += 64) {
        __builtin_prefetch(scales + at + kScalesAhead + line, 0, 3);
        if constexpr (F::kOffset) __builtin_prefetch(biases + at + kScalesAhead + line, 0, 3);
      }
      if constexpr (F::kWide) {
        visit(Types<bfloat16_t, float16_t, float>{}, dtype, "matmul",
              [&]<class T>() HWY_ATTR { widen_some<T>(scales + at, n, room.scales); });
        if (F::kHalved)
          for (int64_t i = 0; i < n; ++i) room.scales[i] *= 0.5f;
      } else if constexpr (F::kOffset) {
        visit(Types<bfloat16_t, float16_t, float>{}, dtype, "matmul", [&]<class T>() HWY_ATTR {
          widen_some<T>(scales + at, n, room.scales);
          widen_some<T>(biases + at, n, room.biases);
        });
      } else {
        const float* const table = F::scale_table(scale_tables());
        for (int64_t i = 0; i < n; ++i) room.scales[i] = table[scales[at + i]];
      }
    } else if constexpr (!std::is_base_of_v<Short, F>) {
      constexpr int64_t kGroups = F::kWeights / F::kGroup;
      for (int64_t i = 0; i < count / F::kWeights; ++i)
        F::scales(first + i * F::kBytes, room.scales + i * kGroups,
                  room.biases + (F::kOffset ? i * kGroups : 0));
    }
    return first;
  }
};

/// f<F>() for the format F of a packing, which is not dense.
template <class Do>
void with_format(Packing p, const Do& f) {
  switch (p) {
    case Packing::dense: return;
#define PACKING(name, ...) \
  case Packing::name:      \
    return f.template operator()<FormatOf<Packing::name>::type>();
#define DENSE(...)
#include "hearth/ops/packings.inc"
  }
}

}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the toggle
