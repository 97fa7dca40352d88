// One row of x with packed weights, whose codes are read as they lie in memory. Each weight is code
// * scale + offset, rounded once to f32.
#include "hearth/backend/cpu/products/packed_targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/products/packed_kernels.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>

#include "hearth/backend/cpu/products/kernels.h"
#include "hearth/backend/cpu/products/packed_source-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

using kernels::DotPacked;

/// Two running vectors for each sum, which take turns.
struct Sum {
  VF32 even, odd;
  HWY_INLINE Sum() : even(hn::Zero(F32())), odd(hn::Zero(F32())) {}
  float total() const { return hn::GetLane(hn::SumOfLanes(F32(), hn::Add(even, odd))); }
};

/// sum += x . block b of a row; x_at(i) is vector i of x there.
template <class F, class X>
HWY_INLINE void dot_block(const uint8_t* codes, const float* scales, const float* biases, int64_t b,
                          int shift, const X& x_at, Sum& sum) {
  for (int64_t at = 0; at < F::kBytes; at += 64)
    __builtin_prefetch(codes + b * F::kBytes + kAhead + at, 0, 3);
  VF32 even = sum.even, odd = sum.odd;
  unpack_block<F>(codes, scales, biases, b, shift, [&](int i, VF32 v, VF32 then) HEARTH_INLINE {
    even = hn::MulAdd(v, x_at(i), even);
    odd = hn::MulAdd(then, x_at(i + 1), odd);
  });
  sum.even = even, sum.odd = odd;
}

/// One row of x with four rows of w, `apart` rows apart (the first `rows` of them are wanted):
/// block by block of each, so that sums of several are on their way at once, in registers.
template <class F>
void dot_short(const DotPacked& job, const Source<F>& w, int64_t first, int64_t apart, int rows) {
  constexpr int kVectors = F::kWeights / kLanes;
  const int shift = w.shift;
  Sum s0, s1, s2, s3;
  typename Source<F>::Room r0, r1, r2, r3;
  const auto row = [&](int r) { return first + (r < rows ? r : 0) * apart; };
  const int64_t j1 = row(1), j2 = row(2), j3 = row(3);
  for (int64_t p = 0; p < job.k; p += kPiece) {
    const int64_t count = std::min(kPiece, job.k - p);
    const uint8_t *const c0 = w.piece(first, p, count, r0), *const c1 = w.piece(j1, p, count, r1),
                         *const c2 = w.piece(j2, p, count, r2),
                         *const c3 = w.piece(j3, p, count, r3);
    const float* x = job.x + p;
    for (int64_t b = 0; b < count / F::kWeights; ++b, x += F::kWeights) {
      VF32 all[kVectors];
      for (int i = 0; i < kVectors; ++i) all[i] = hn::LoadU(F32(), x + i * kLanes);
      const auto x_at = [&](int i) HEARTH_INLINE { return all[i]; };
      dot_block<F>(c0, r0.scales, r0.biases, b, shift, x_at, s0);
      dot_block<F>(c1, r1.scales, r1.biases, b, shift, x_at, s1);
      dot_block<F>(c2, r2.scales, r2.biases, b, shift, x_at, s2);
      dot_block<F>(c3, r3.scales, r3.biases, b, shift, x_at, s3);
    }
  }
  const float sums[] = {s0.total(), s1.total(), s2.total(), s3.total()};
  for (int r = 0; r < rows; ++r) job.sums[row(r)] = sums[r];
}

/// The same for long blocks. Of each row its scales are read one block before their codes.
template <class F>
void dot_long(const DotPacked& job, const Source<F>& w, int64_t first, int64_t apart, int rows) {
  constexpr int kGroups = F::kWeights / F::kGroup;
  struct alignas(64) Scales {
    float s[kGroups], m[kGroups];
  };
  Sum sums[kStreams];
  Scales scales[2][kStreams];
  const uint8_t* row[kStreams];
  for (int r = 0; r < rows; ++r) {
    row[r] = w.codes + (first + r * apart) * w.code_bytes;
    F::scales(row[r], scales[0][r].s, scales[0][r].m);
  }
  const float* x = job.x;
  const auto x_at = [&](int64_t i) HEARTH_INLINE { return hn::LoadU(F32(), x + i * kLanes); };
  for (int64_t p = 0, turn = 0; p < job.k; p += F::kWeights, x += F::kWeights, turn ^= 1) {
    const int64_t next = p + F::kWeights < job.k ? F::kBytes : 0;
#pragma GCC unroll 1
    for (int r = 0; r < rows; ++r) {
      const uint8_t* const block = row[r];
      Scales &now = scales[turn][r], &then = scales[turn ^ 1][r];
      F::scales(block + next, then.s, then.m);
      row[r] = block + next;
      dot_block<F>(block, now.s, now.m, 0, 0, x_at, sums[r]);
    }
  }
  for (int r = 0; r < rows; ++r) job.sums[first + r * apart] = sums[r].total();
}

template <class F>
void dot_tile(const DotPacked& job, const Source<F>& w, int64_t first, int64_t apart, int rows) {
  if constexpr (std::is_base_of_v<Long, F>)
    dot_long<F>(job, w, first, apart, rows);
  else
    dot_short<F>(job, w, first, apart, rows);
}

template <class F>
void dot_runs(const DotPacked& job) {
  if (job.k == 0) return void(std::fill_n(job.sums, job.n, 0.0f));  // no block to read
  const Source<F> w(job.w, job.k);
  const int64_t run = job.n / kStreams, rest = job.n % kStreams;
  for (int64_t j = 0; j < run; ++j) dot_tile<F>(job, w, j, run, kStreams);
  if (rest > 0) dot_tile<F>(job, w, run * kStreams, 1, int(rest));
}

/// Where registers are few, floats are as good; formats of which a model has few are not worth
/// code.
template <class F>
constexpr bool dots() {
  return (HWY_TARGET <= HWY_AVX2 || HWY_TARGET == HWY_NEON) && !std::is_base_of_v<Ternary, F> &&
         F::kWeights % (2 * kLanes) == 0;
}

bool dots_packed(Packing packing) {
  bool yes = false;
  with_format(packing, [&]<class F>() { yes = dots<F>(); });
  return yes;
}

void dot_packed(const DotPacked& job) {
  with_format(job.w.packing, [&]<class F>() HWY_ATTR {
    if constexpr (dots<F>()) dot_runs<F>(job);
  });
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu::kernels {

HEARTH_EXPORT(dots_packed);
HEARTH_EXPORT(dot_packed);

bool dots_packed(Packing packing) { return HEARTH_DISPATCH(dots_packed)(packing); }
void dot_packed(const DotPacked& job) { HEARTH_DISPATCH(dot_packed)(job); }

}  // namespace hearth::cpu::kernels
#endif
