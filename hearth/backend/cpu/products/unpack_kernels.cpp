// Packed weights as floats, for several rows of x, for the panels of many and for themselves.
#include "hearth/backend/cpu/products/packed_targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/products/unpack_kernels.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>

#include "hearth/backend/cpu/products/kernels.h"
#include "hearth/backend/cpu/products/packed_source-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

using kernels::DotRows;
using kernels::Unpack;

template <class F>
void unpack_of(const Unpack& job) {
  const F32 d;
  const Source<F> w(job.w, job.k);
  typename Source<F>::Room room;
  for (int64_t j = 0; j < job.n; ++j)
    for (int64_t p = 0; p < job.count; p += kPiece) {
      const int64_t count = std::min(kPiece, job.count - p);
      const uint8_t* const codes = w.piece(j, job.first + p, count, room);
      float* to = job.out + j * job.stride + p;
      for (int64_t b = 0; b < count / F::kWeights; ++b, to += F::kWeights) {
        for (int64_t at = 0; at < F::kBytes; at += 64)
          __builtin_prefetch(codes + b * F::kBytes + kAhead + at, 0, 3);
        unpack_block<F>(codes, room.scales, room.biases, b, w.shift,
                        [&](int i, auto... v) HEARTH_INLINE {
                          float* at = to + i * kLanes;
                          ((hn::StoreU(v, d, at), at += kLanes), ...);
                        });
      }
    }
}

void unpack(const Unpack& job) {
  with_format(job.w.packing, [&]<class F>() HWY_ATTR { unpack_of<F>(job); });
}

/// The same order of additions as of packed_kernels.cpp.
template <int M, int R>
void dot_float_rows(const DotRows& job, int64_t j) {
  const F32 d;
  const int64_t L = int64_t(hn::Lanes(d));
  VF32 sum[2][M][R];
  for (int m = 0; m < M; ++m)
    for (int r = 0; r < R; ++r) sum[0][m][r] = sum[1][m][r] = hn::Zero(d);
  const auto step = [&](int64_t p, auto& sums) HWY_ATTR {
    VF32 w[R];
    for (int r = 0; r < R; ++r) w[r] = load_wide<float>(job.w + (j + r) * job.w_stride + p * 4);
    for (int m = 0; m < M; ++m) {
      const auto x = load_wide<float>(job.x + m * job.x_stride + p * 4);
      for (int r = 0; r < R; ++r) sums[m][r] = hn::MulAdd(w[r], x, sums[m][r]);
    }
  };
  int64_t p = 0;
  for (; p + 2 * L <= job.k; p += 2 * L) step(p, sum[0]), step(p + L, sum[1]);
  if (p < job.k) step(p, sum[0]);
  for (int m = 0; m < M; ++m)
    for (int r = 0; r < R; ++r)
      job.sums[m * job.sums_stride + j + r] =
          hn::GetLane(hn::SumOfLanes(d, hn::Add(sum[0][m][r], sum[1][m][r])));
}

template <int M>
void dot_floats_of(const DotRows& job) {
  constexpr int kRegisters = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON ? 24 : 12;
  constexpr int R = M * 4 <= kRegisters ? 2 : 1;
  int64_t j = 0;
  for (; j + R <= job.n; j += R) dot_float_rows<M, R>(job, j);
  for (; j < job.n; ++j) dot_float_rows<M, 1>(job, j);
}

void dot_floats(const DotRows& job) {
  switch (job.m) {
    case 1: return dot_floats_of<1>(job);
    case 2: return dot_floats_of<2>(job);
    case 3: return dot_floats_of<3>(job);
    case 4: return dot_floats_of<4>(job);
    case 5: return dot_floats_of<5>(job);
    case 6: return dot_floats_of<6>(job);
  }
}

void narrow(Dtype dtype, const float* from, int64_t n, std::byte* to) {
  visit(Types<float16_t, bfloat16_t, float>{}, dtype, "dequantize", [&]<class T>() HWY_ATTR {
    const F32 d;
    const int64_t lanes = int64_t(hn::Lanes(d));
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes)
      store_narrow<T>(hn::LoadU(d, from + i), to + i * int64_t(sizeof(T)));
    for (; i < n; ++i) {
      const T v = T(from[i]);
      std::memcpy(to + i * int64_t(sizeof(T)), &v, sizeof v);
    }
  });
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu::kernels {

HEARTH_EXPORT(dot_floats);
HEARTH_EXPORT(unpack);
HEARTH_EXPORT(narrow);

void dot_floats(const DotRows& job) { HEARTH_DISPATCH(dot_floats)(job); }
void unpack(const Unpack& job) { HEARTH_DISPATCH(unpack)(job); }
void narrow(Dtype dtype, const float* from, int64_t n, std::byte* to) {
  HEARTH_DISPATCH(narrow)(dtype, from, n, to);
}

}  // namespace hearth::cpu::kernels
#endif
