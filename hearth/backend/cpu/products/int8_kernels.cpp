// Rows of x in eight bits, 32 elements to a scale, with packed weights: sums of code * x are
// integers, and exact.
#include "hearth/backend/cpu/products/packed_targets.h"
// What multiplies here are AVX2's instructions, whatever more there is.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/products/int8_kernels.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "hearth/backend/cpu/products/kernels.h"
#include "hearth/backend/cpu/products/packed_source-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

using kernels::DotCodes;
constexpr int kStep = 32;  // elements of x that share a scale

/// Formats whose codes stand for integers, and whose blocks are whole steps.
template <class F>
constexpr bool kMeetsInt8 =
    F::kWeights % kStep == 0 && !requires(hn::VFromD<hn::RebindToSigned<F32>> code) {
  F::value(code);
};

/// Eight sums of four products each of 32 codes with 32 elements of x, as floats.
#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
using Eight = __m256;
HWY_INLINE Eight zero() { return _mm256_setzero_ps(); }
HWY_INLINE Eight products(const int8_t* codes, const int8_t* x) {
  const __m256i c = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)),
                v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(c), _mm256_sign_epi8(v, c));
  return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
/// sum += of * scale, the upper four by `then`.
HWY_INLINE void add(Eight of, float scale, float then, Eight& sum) {
  const __m256 s = _mm256_insertf128_ps(_mm256_set1_ps(scale), _mm_set1_ps(then), 1);
  sum = _mm256_fmadd_ps(of, s, sum);
}
HWY_INLINE float total(Eight v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
#else
struct Eight {
  float at[8];
};
HWY_INLINE Eight zero() { return {}; }
HWY_INLINE Eight products(const int8_t* codes, const int8_t* x) {
  Eight out;
  for (int i = 0; i < 8; ++i) {
    int sum = 0;
    for (int j = 0; j < 4; ++j) sum += int(codes[4 * i + j]) * int(x[4 * i + j]);
    out.at[i] = float(sum);
  }
  return out;
}
HWY_INLINE void add(const Eight& of, float scale, float then, Eight& sum) {
  for (int i = 0; i < 8; ++i) sum.at[i] += of.at[i] * (i < 4 ? scale : then);
}
HWY_INLINE float total(const Eight& v) {
  return ((v.at[0] + v.at[4]) + (v.at[2] + v.at[6])) + ((v.at[1] + v.at[5]) + (v.at[3] + v.at[7]));
}
#endif

/// A row of x as it is laid: its codes, the scale of each step, and, for each 16 or 32 elements,
/// their sum.
template <class F>
struct Laid {
  static constexpr int kSummed = std::min(kStep, F::kGroup);
  const int8_t* codes;
  const float *scales, *sums;
  Laid(const std::byte* at, int64_t k)
      : codes(reinterpret_cast<const int8_t*>(at)),
        scales(reinterpret_cast<const float*>(at + k)),
        sums(scales + k / kStep) {}
};

template <class T>
void lay_of(const std::byte* x, int64_t k, int summed, std::byte* to) {
  auto* const codes = reinterpret_cast<int8_t*>(to);
  auto* const scales = reinterpret_cast<float*>(to + k);
  float* sums = scales + k / kStep;
  for (int64_t p = 0; p < k; p += kStep) {
    float v[kStep];
    int32_t most = 0;  // of the bits: the greatest magnitude
    for (int i = 0; i < kStep; ++i) {
      v[i] = load_one<T>(x + (p + i) * int64_t(sizeof(T)));
      most = std::max(most, std::bit_cast<int32_t>(v[i]) & 0x7fffffff);
    }
    const bool numbers = most < 0x7f800000;
    const float scale =
        numbers ? std::bit_cast<float>(most) / 127 : std::numeric_limits<float>::quiet_NaN();
    const float by = numbers && scale > 0 ? 1 / scale : 0;
    const float over = by < std::numeric_limits<float>::infinity() ? by : 0;  // of denormals
    int8_t* const at = codes + p;
    for (int i = 0; i < kStep; ++i) {
      constexpr float kRounds = 12582912;  // 1.5 * 2^23: what is added to it is rounded
      const float product = numbers ? v[i] * over : 0;
      at[i] = int8_t(std::bit_cast<int32_t>(product + kRounds) - std::bit_cast<int32_t>(kRounds));
    }
    scales[p / kStep] = scale;
    for (int i = 0; i < kStep; i += summed) {
      int sum = 0;
      for (int j = 0; j < summed; ++j) sum += at[i + j];
      *sums++ = scale * float(sum);
    }
  }
}

void lay_int8(Dtype dtype, Packing packing, const std::byte* x, int64_t k, std::byte* to) {
  int summed = 0;
  with_format(packing, [&]<class F>() { summed = Laid<F>::kSummed; });
  visit(Types<float, float16_t, bfloat16_t>{}, dtype, "matmul",
        [&]<class T>() { lay_of<T>(x, k, summed, to); });
}

/// M rows of x (the first job.m of them are wanted) with R rows of w, `apart` rows apart.
template <class F, int M, int R>
void dot_tile(const DotCodes& job, const Source<F>& w, int64_t first, int64_t apart) {
  constexpr bool kOwn = std::is_base_of_v<Short, F>;
  constexpr int kGroups = F::kWeights / F::kGroup;
  // Codes of eight bits without a sign become those less 128.
  constexpr bool kLess = F::kOffset && F::kPlanes && F::kBytes == F::kWeights;
  Eight sums[M][R];
  float offsets[M][R] = {};
  for (int m = 0; m < M; ++m)
    for (int r = 0; r < R; ++r) sums[m][r] = zero();
  typename Source<F>::Room room[R];
  for (int64_t p = 0; p < job.k; p += kPiece) {
    const int64_t count = std::min(kPiece, job.k - p);
    const uint8_t* row[R];
    for (int r = 0; r < R; ++r) row[r] = w.piece(first + r * apart, p, count, room[r]);
    for (int64_t b = 0; b < count / F::kWeights; ++b)
      for (int r = 0; r < R; ++r) {
        const uint8_t* const block = row[r] + b * F::kBytes;
        for (int64_t at = 0; at < F::kBytes; at += 64)
          __builtin_prefetch(block + kAhead + at, 0, 3);
        alignas(64) int8_t codes[F::kWeights];
        codes_of<F>(block, codes);
        if constexpr (kLess)
          for (int8_t& code : codes) code = int8_t(code ^ 0x80);
        float scale, bias = 0;
        const float *s = &scale, *o = &bias;
        if constexpr (kOwn)
          F::scales(block, &scale, &bias);
        else if constexpr (F::kPlanes)
          s = room[r].scales + (b >> w.shift), o = room[r].biases + (b >> w.shift);
        else
          s = room[r].scales + b * kGroups, o = room[r].biases + b * kGroups;
        const int64_t from = p + b * F::kWeights;
        for (int i = 0; i < F::kWeights; i += kStep)
          for (int m = 0; m < M; ++m) {
            const Laid<F> x(job.x + std::min(m, job.m - 1) * job.x_stride, job.k);
            const float of_x = x.scales[(from + i) / kStep];
            const int g = i / F::kGroup, then = (i + kStep / 2) / F::kGroup;
            add(products(codes + i, x.codes + from + i), s[g] * of_x, s[then] * of_x, sums[m][r]);
            if constexpr (F::kOffset)
              for (int j = 0; j < kStep; j += Laid<F>::kSummed) {
                const int at = (i + j) / F::kGroup;
                const float offset = kLess ? o[at] + 128 * s[at] : o[at];
                offsets[m][r] += offset * x.sums[(from + i + j) / Laid<F>::kSummed];
              }
          }
      }
  }
  for (int m = 0; m < std::min(M, job.m); ++m)
    for (int r = 0; r < R; ++r)
      job.sums[m * job.sums_stride + first + r * apart] = total(sums[m][r]) + offsets[m][r];
}

constexpr int kSome = 4;  // rows of x that meet a row of w at once
template <class F, int M>
void dot_rows_of(const DotCodes& job) {
  constexpr int R = M == 1 ? kStreams : 1;
  const Source<F> w(job.w, job.k);
  const int64_t run = job.n / R;
  for (int64_t j = 0; j < run; ++j) dot_tile<F, M, R>(job, w, j, run);
  for (int64_t j = run * R; j < job.n; ++j) dot_tile<F, kSome, 1>(job, w, j, 0);
}

template <class F>
void dot_int8_of(const DotCodes& job) {
  if (job.m == 1) return dot_rows_of<F, 1>(job);
  DotCodes some = job;
  for (int m = 0; m < job.m; m += kSome) {
    some.m = std::min(kSome, job.m - m);
    dot_rows_of<F, kSome>(some);
    some.x += kSome * job.x_stride;
    some.sums += kSome * job.sums_stride;
  }
}

bool meets_int8(Packing packing) {
  bool yes = false;
  with_format(packing, [&]<class F>() { yes = kMeetsInt8<F>; });
  return yes;
}

void dot_int8(const DotCodes& job) {
  with_format(job.w.packing, [&]<class F>() HWY_ATTR {
    if constexpr (kMeetsInt8<F>) dot_int8_of<F>(job);
  });
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu::kernels {

HEARTH_EXPORT(meets_int8);
HEARTH_EXPORT(dot_int8);
HEARTH_EXPORT(lay_int8);

bool meets_int8(Packing packing) { return HEARTH_DISPATCH(meets_int8)(packing); }
void dot_int8(const DotCodes& job) { HEARTH_DISPATCH(dot_int8)(job); }
void lay_int8(Dtype dtype, Packing packing, const std::byte* x, int64_t k, std::byte* to) {
  HEARTH_DISPATCH(lay_int8)(dtype, packing, x, k, to);
}

}  // namespace hearth::cpu::kernels
#endif
