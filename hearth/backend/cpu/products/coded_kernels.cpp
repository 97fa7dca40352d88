// Rows of bf16 with packed weights whose codes become bf16 too, exactly: vdpbf16ps meets 32 at a
// time. A group's sum of code * x is multiplied by its scale, once; offsets meet the sums of x.
// Highway 1.0.3 has no such level: called only where the processor has it and VBMI.
#include "hearth/backend/cpu/products/packed_targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/products/coded_kernels.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#if defined(__GNUC__) && !defined(__clang__)  // g++ 12 blames its own _mm512_undefined_pd
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <algorithm>
#include <cstring>

#include "hearth/backend/cpu/products/coded_formats-inl.h"
#include "hearth/backend/cpu/products/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

bool looks_up(Packing packing) {
  bool yes = false;
  with_format(packing, [&]<class F>() { yes = LooksUp<F>; });
  return yes;
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

// Outside of Highway's region: clang takes one target attribute of a function.
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

using kernels::DotCodes;
using kernels::laid_bytes;
using kernels::laid_sums;

#if HWY_TARGET <= HWY_AVX3_DL

#define HEARTH_CODED __attribute__((target(HWY_TARGET_STR ",avx512bf16")))
#define HEARTH_CODED_INLINE HEARTH_CODED __attribute__((always_inline)) inline

HEARTH_CODED_INLINE __m512bh load32(const std::byte* p) { return (__m512bh)_mm512_loadu_si512(p); }

/// Codes in the lowest bits of 16-bit lanes, as bf16.
template <class C>
HEARTH_CODED_INLINE __m512bh look_up(__m512i codes) {
  constexpr int kSize = std::max(32, 1 << C::kBits);  // what is above a code does not matter
  alignas(64) static constexpr auto kTable = table_of<uint16_t, kSize>(
      [](int i) { return std::bit_cast<uint32_t>(C::value(i & ((1 << C::kBits) - 1))) >> 16; });
  const __m512i low = _mm512_load_si512(kTable.data());
  if constexpr (kSize == 32) return (__m512bh)_mm512_permutexvar_epi16(codes, low);
  return (__m512bh)_mm512_permutex2var_epi16(low, codes, _mm512_load_si512(kTable.data() + 32));
}

template <int M, int R>
struct Sums {
  __m512 at[M][R];
};

/// One chunk of R rows of w with M rows of x, which are laid in its order.
template <class C, int M, int R>
HEARTH_CODED_INLINE void meet(const Codes (&codes)[R], const __m512 (&scale)[R], const std::byte* x,
                              int64_t x_stride, Sums<M, R>& sums) {
  __m512bh first[R], second[R];
  HWY_UNROLL(4) for (int r = 0; r < R; ++r) {
    first[r] = look_up<C>(codes[r].first);
    second[r] = look_up<C>(codes[r].second);
  }
  HWY_UNROLL(8) for (int m = 0; m < M; ++m) {
    const __m512bh x0 = load32(x + m * x_stride), x1 = load32(x + m * x_stride + 64);
    HWY_UNROLL(4) for (int r = 0; r < R; ++r) {
      __m512 sum = _mm512_dpbf16_ps(_mm512_setzero_ps(), first[r], x0);
      sum = _mm512_dpbf16_ps(sum, second[r], x1);
      sums.at[m][r] = _mm512_fmadd_ps(sum, scale[r], sums.at[m][r]);
    }
  }
}

/// Offsets of some groups with the sums of x there, which begin at x.
template <int M, int R, class Load>
HEARTH_CODED_INLINE void meet_offsets(const __m512 (&offset)[R], const std::byte* x,
                                      int64_t x_stride, const Load& load, Sums<M, R>& sums) {
  HWY_UNROLL(8) for (int m = 0; m < M; ++m) {
    const __m512 of_x = load(reinterpret_cast<const float*>(x + m * x_stride));
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) sums.at[m][r] = _mm512_fmadd_ps(offset[r], of_x, sums.at[m][r]);
  }
}

struct LoadSome {
  __mmask16 mask;
  HEARTH_CODED_INLINE __m512 operator()(const float* p) const {
    return _mm512_maskz_loadu_ps(mask, p);
  }
};

/// Rows of w that are read at once: `apart` rows apart, fetched so many bytes ahead.
struct Streams {
  int64_t apart, ahead;
  HEARTH_CODED_INLINE void fetch(const uint8_t* block, int64_t bytes) const {
    for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(block + ahead + at, 0, 3);
  }
};

template <class F, int i, int M, int R>
HEARTH_CODED_INLINE void meet_chunk(const uint8_t* const (&block)[R], const LongScales (&scales)[R],
                                    const std::byte* x, int64_t x_stride, Sums<M, R>& sums) {
  alignas(64) static constexpr auto kGroupOf =
      table_of<int32_t, 16>([](int lane) { return (i * kChunk + lane * 4) / F::kGroup; });
  Codes codes[R];
  __m512 scale[R];
  HWY_UNROLL(4) for (int r = 0; r < R; ++r) {
    codes[r] = Coded<F>::template codes<i>(block[r]);
    scale[r] = _mm512_permutexvar_ps(load_table(kGroupOf), scales[r].scale);
  }
  meet<Coded<F>, M, R>(codes, scale, x + i * kChunk * 2, x_stride, sums);
}
/// Scales are read one block before their codes: what waits for them would fill the queues.
template <class F, int M, int R>
HEARTH_CODED_INLINE void dot_long(const DotCodes& job, const Streams& streams,
                                  const uint8_t* (&row)[R], Sums<M, R>& sums) {
  using C = Coded<F>;
  static_assert(F::kWeights == 4 * kChunk);
  constexpr int kGroups = F::kWeights / F::kGroup;
  LongScales now[R], then[R];
  HWY_UNROLL(4) for (int r = 0; r < R; ++r) then[r] = C::scales(row[r]);
  const std::byte *x = job.x, *x_sums = job.x + laid_sums(job.k) - C::kSumsFrom * sizeof(float);
  const LoadSome load{__mmask16(((1u << kGroups) - 1) << C::kSumsFrom)};
  for (int64_t p = 0; p < job.k; p += F::kWeights) {
    const int64_t next = p + F::kWeights < job.k ? F::kBytes : 0;
    const uint8_t* block[R];
    HWY_UNROLL(4) for (int r = 0; r < R; ++r) {
      block[r] = row[r];
      row[r] += next;
      streams.fetch(block[r], F::kBytes);
      now[r] = then[r];
      then[r] = C::scales(row[r]);
    }
    meet_chunk<F, 0, M, R>(block, now, x, job.x_stride, sums);
    meet_chunk<F, 1, M, R>(block, now, x, job.x_stride, sums);
    meet_chunk<F, 2, M, R>(block, now, x, job.x_stride, sums);
    meet_chunk<F, 3, M, R>(block, now, x, job.x_stride, sums);
    x += F::kWeights * 2;
    if constexpr (F::kOffset) {
      __m512 offset[R];
      HWY_UNROLL(4) for (int r = 0; r < R; ++r) offset[r] = now[r].offset;
      meet_offsets<M, R>(offset, x_sums, job.x_stride, load, sums);
      x_sums += kGroups * sizeof(float);
    }
  }
}

/// Two short blocks at a time.
template <class F, int M, int R>
HEARTH_CODED_INLINE void dot_pairs(const DotCodes& job, const Streams& streams,
                                   const uint8_t* (&row)[R], Sums<M, R>& sums) {
  static_assert(F::kWeights * 2 == kChunk);
  constexpr __mmask64 kOne = (__mmask64{1} << F::kBytes) - 1,
                      kBoth = (__mmask64{1} << 2 * F::kBytes) - 1;
  const std::byte *x = job.x, *x_sums = job.x + laid_sums(job.k);
  for (int64_t p = 0; p < job.k; p += kChunk) {
    const __mmask64 mask = p + kChunk <= job.k ? kBoth : kOne;
    Codes codes[R];
    __m512 scale[R];
    [[maybe_unused]] __m512 offset[R];
    HWY_UNROLL(4) for (int r = 0; r < R; ++r) {
      streams.fetch(row[r], F::kBytes * 2);
      const __m512i both = _mm512_maskz_loadu_epi8(mask, row[r]);
      row[r] += 2 * F::kBytes;
      codes[r] = Coded<F>::codes(both);
      const auto halves = Coded<F>::halves(both);
      scale[r] = Coded<F>::scale(halves);
      if constexpr (F::kOffset) offset[r] = halves;
    }
    meet<Coded<F>, M, R>(codes, scale, x, job.x_stride, sums);
    x += kChunk * 2;
    if constexpr (F::kOffset) {  // sums of x stand where offsets do, zeros elsewhere
      meet_offsets<M, R>(offset, x_sums, job.x_stride, LoadSome{0xffff}, sums);
      x_sums += 16 * sizeof(float);
    }
  }
}

/// kSplit: groups of 32, of which a chunk has two.
template <class F, int M, int R, bool kSplit>
HEARTH_CODED_INLINE void dot_planes(const DotCodes& job, const Source<F>& w, int64_t first,
                                    const Streams& streams, Sums<M, R>& sums) {
  typename Source<F>::Room room[R];
  const std::byte *x = job.x, *x_sums = job.x + laid_sums(job.k);
  for (int64_t p = 0; p < job.k; p += kPiece) {
    const int64_t count = std::min(kPiece, job.k - p);
    const uint8_t* row[R];
    for (int r = 0; r < R; ++r) row[r] = w.piece(first + r * streams.apart, p, count, room[r]);
    for (int64_t at = 0; at < count; at += kChunk, x += kChunk * 2) {
      const bool whole = !kSplit || at + kChunk <= count;
      Codes codes[R];
      __m512 scale[R];
      HWY_UNROLL(4) for (int r = 0; r < R; ++r) {
        if (at % (2 * kChunk) == 0) streams.fetch(row[r] + at / F::kWeights * F::kBytes, 1);
        codes[r] = Coded<F>::codes(row[r] + at / F::kWeights * F::kBytes, whole);
        const float* const s = room[r].scales + (at / F::kWeights >> w.shift);
        scale[r] = _mm512_set1_ps(*s);
        if constexpr (kSplit)  // lanes of the second 32 weights: see ByNeighbours
          scale[r] = _mm512_mask_broadcastss_ps(scale[r], 0xf0f0, _mm_load_ss(s + whole));
      }
      meet<Coded<F>, M, R>(codes, scale, x, job.x_stride, sums);
    }
    if constexpr (F::kOffset)
      for (int64_t g = 0, groups = count / w.group; g < groups; g += 16) {
        const int64_t some = std::min<int64_t>(16, groups - g);
        const LoadSome load{__mmask16((1u << some) - 1)};
        __m512 offset[R];
        for (int r = 0; r < R; ++r) offset[r] = load(room[r].biases + g);
        meet_offsets<M, R>(offset, x_sums, job.x_stride, load, sums);
        x_sums += some * int64_t(sizeof(float));
      }
  }
}

HEARTH_CODED_INLINE float sum_of(__m512 all) {
  const __m256 v = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/// M rows of x with R rows of w.
template <class F, int M, int R>
HEARTH_CODED void dot_tile(const DotCodes& job, const Source<F>& w, int64_t first,
                           const Streams& streams) {
  Sums<M, R> sums;
  HWY_UNROLL(8) for (int m = 0; m < M; ++m) {
    HWY_UNROLL(4) for (int r = 0; r < R; ++r) sums.at[m][r] = _mm512_setzero_ps();
  }
  const uint8_t* row[R];
  for (int r = 0; r < R; ++r) row[r] = w.codes + (first + r * streams.apart) * w.code_bytes;
  if constexpr (F::kPlanes)
    w.group < kChunk ? dot_planes<F, M, R, true>(job, w, first, streams, sums)
                     : dot_planes<F, M, R, false>(job, w, first, streams, sums);
  else if constexpr (std::is_base_of_v<Long, F>)
    dot_long<F, M, R>(job, streams, row, sums);
  else
    dot_pairs<F, M, R>(job, streams, row, sums);
  HWY_UNROLL(8) for (int m = 0; m < M; ++m) {
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r)
      job.sums[m * job.sums_stride + first + r * streams.apart] = sum_of(sums.at[m][r]);
  }
}

/// Few rows of x wait for memory: four rows of w are read at once. Short ones are neighbours, each
/// fetched some tiles ahead: runs of them would be too short for that.
template <class F, int M>
void dot_rows_of(const DotCodes& job) {
  constexpr int R = M <= 2 ? 4 : 2;
  constexpr int64_t kShortTile = 8 << 10;
  const Source<F> w(job.w, job.k);
  const int64_t tiles = job.n / R, bytes = std::max<int64_t>(1, R * w.code_bytes);
  const bool runs = bytes > kShortTile;
  const Streams streams =
      runs ? Streams{tiles, kAhead} : Streams{1, (R * kAhead + bytes - 1) / bytes * bytes};
  for (int64_t j = 0; j < tiles; ++j) dot_tile<F, M, R>(job, w, runs ? j : j * R, streams);
  for (int64_t j = tiles * R; j < job.n; ++j) dot_tile<F, M, 1>(job, w, j, {0, kAhead});
}

template <class F>
void dot_codes_of(const DotCodes& job) {
  static_assert(kernels::kCodeRows == 8);
  switch (job.m) {
    case 1: return dot_rows_of<F, 1>(job);
    case 2: return dot_rows_of<F, 2>(job);
    case 3: return dot_rows_of<F, 3>(job);
    case 4: return dot_rows_of<F, 4>(job);
    case 5: return dot_rows_of<F, 5>(job);
    case 6: return dot_rows_of<F, 6>(job);
    case 7: return dot_rows_of<F, 7>(job);
    case 8: return dot_rows_of<F, 8>(job);
  }
}

/// x in the order of a format's codes, and the sums of its groups where there are offsets.
template <class F>
HEARTH_CODED void lay_of(int64_t group, const std::byte* x, int64_t k, std::byte* to) {
  using C = Coded<F>;
  alignas(64) static constexpr auto kFirst =
      table_of<uint16_t, 32>([](int lane) { return C::element(0, lane); });
  alignas(64) static constexpr auto kSecond =
      table_of<uint16_t, 32>([](int lane) { return C::element(1, lane); });
  auto* const sums = reinterpret_cast<float*>(to + laid_sums(k));
  if constexpr (F::kOffset) std::memset(sums, 0, size_t(laid_bytes(k) - laid_sums(k)));
  const auto sum_at = [group](int64_t p) {
    if constexpr (std::is_base_of_v<Short, F>)
      return p / kChunk * 16 + C::scale_at(p % kChunk / F::kWeights) + 1;
    return p / group;
  };
  const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
  for (int64_t p = 0; p < k; p += kChunk) {
    const int64_t count = std::min<int64_t>(kChunk, k - p);
    const __mmask64 mask = count == kChunk ? ~__mmask64{0} : (__mmask64{1} << count) - 1;
    const __m512i low = _mm512_maskz_loadu_epi16(__mmask32(mask), x + p * 2),
                  high = _mm512_maskz_loadu_epi16(__mmask32(mask >> 32), x + p * 2 + 64);
    _mm512_storeu_si512(to + p * 2, _mm512_permutex2var_epi16(low, load_table(kFirst), high));
    _mm512_storeu_si512(to + p * 2 + 64, _mm512_permutex2var_epi16(low, load_table(kSecond), high));
    if constexpr (F::kOffset) {
      alignas(64) float pairs[32];
      _mm512_store_ps(pairs, _mm512_dpbf16_ps(_mm512_setzero_ps(), ones, (__m512bh)low));
      _mm512_store_ps(pairs + 16, _mm512_dpbf16_ps(_mm512_setzero_ps(), ones, (__m512bh)high));
      for (int64_t i = 0; i < count; i += 16) {  // no group is shorter
        const float* const v = pairs + i / 2;
        sums[sum_at(p + i)] += ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
      }
    }
  }
}

void dot_codes(const DotCodes& job) {
  with_format(job.w.packing, [&]<class F>() {
    if constexpr (LooksUp<F>) dot_codes_of<F>(job);
  });
}
void lay(Packing packing, const std::byte* x, int64_t k, std::byte* to) {
  with_format(packing, [&]<class F>() {
    if constexpr (LooksUp<F>)
      lay_of<F>(F::kPlanes ? packing_info(packing).weights : F::kGroup, x, k, to);
  });
}

#else

void dot_codes(const DotCodes&) {}
void lay(Packing, const std::byte*, int64_t, std::byte*) {}

#endif

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE

#if HWY_ONCE
namespace hearth::cpu::kernels {

HEARTH_EXPORT(looks_up);
HEARTH_EXPORT(dot_codes);
HEARTH_EXPORT(lay);

bool meets_codes(Dtype dtype, Packing packing) {
  return dtype == bfloat16 && isa() >= Isa::avx512_bf16 && HEARTH_DISPATCH(looks_up)(packing);
}
void dot_codes(const DotCodes& job) { HEARTH_DISPATCH(dot_codes)(job); }
void lay(Packing packing, const std::byte* x, int64_t k, std::byte* to) {
  HEARTH_DISPATCH(lay)(packing, x, k, to);
}

}  // namespace hearth::cpu::kernels
#endif
