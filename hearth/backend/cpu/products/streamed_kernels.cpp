// Dot products of a few rows of x with many rows of w, which are read once, as stored; and the end
// of every product: bias, activation, residual, rounding.
#include "hearth/backend/cpu/isa.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/products/streamed_kernels.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "hearth/backend/cpu/products/kernels.h"
#include "hearth/backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

using kernels::AddRows;
using kernels::DotRows;
using kernels::FinishRow;
using kernels::Streams;

/// Sums of lanes of several vectors, each in the same order whatever the others hold.
template <class D, class V>
HWY_INLINE void sums_of_lanes(D d, const V* v, int count, hn::TFromD<D>* sums, int64_t step) {
  for (int r = 0; r < count; ++r) sums[r * step] = hn::GetLane(hn::SumOfLanes(d, v[r]));
}

/// M rows of x with one of each of S.count streams of w, which lie `apart` bytes apart. One running
/// vector for each sum: S and M change no bits.
template <class T, class X, int M, Streams S>
HWY_INLINE void dot_tile(const DotRows& job, const std::byte* w, int64_t apart, Wide<T>* sums,
                         int64_t sums_apart) {
  const WideTag<T> d;
  constexpr int R = S.count;
  constexpr int U = M == 1 && sizeof(T) == 2 ? 2 : 1;  // a cache line of each row at a time
  const int64_t lanes = int64_t(hn::Lanes(d)), size = sizeof(T);
  WideVec<T> sum[M][R];
  for (int m = 0; m < M; ++m)
    for (int r = 0; r < R; ++r) sum[m][r] = hn::Zero(d);
  const auto x_at = [&](int m, int64_t p) {
    return job.x + m * job.x_stride + p * int64_t(sizeof(X));
  };
  int64_t p = 0;
  for (; p + U * lanes <= job.k; p += U * lanes) {
    for (int r = 0; r < R; ++r) kernels::fetch_ahead<S>(w + r * apart + p * size);
    WideVec<T> x[M][U];
    for (int m = 0; m < M; ++m)
      for (int u = 0; u < U; ++u) x[m][u] = load_wide<X>(x_at(m, p + u * lanes));
    for (int r = 0; r < R; ++r)
      for (int u = 0; u < U; ++u) {
        const auto row = load_wide<T>(w + r * apart + (p + u * lanes) * size);
        for (int m = 0; m < M; ++m) sum[m][r] = hn::MulAdd(x[m][u], row, sum[m][r]);
      }
  }
  while (p < job.k) {
    const size_t count = size_t(std::min(lanes, job.k - p));
    for (int r = 0; r < R; ++r) {
      const auto row = load_wide<T>(w + r * apart + p * size, count);
      for (int m = 0; m < M; ++m)
        sum[m][r] = hn::MulAdd(load_wide<X>(x_at(m, p), count), row, sum[m][r]);
    }
    p += lanes;
  }
  for (int m = 0; m < M; ++m) sums_of_lanes(d, sum[m], R, sums + m * job.sums_stride, sums_apart);
}

/// Each of R streams is a run of neighbouring rows: processors prefetch long runs well, and rows
/// taken side by side badly (measured on Zen 4: half the bandwidth at K = 2560).
template <class T, class X, int M, Streams S>
void dot_runs(const DotRows& job) {
  auto* sums = reinterpret_cast<Wide<T>*>(job.sums);
  const int64_t run = job.n / S.count;
  for (int64_t j = 0; j < run; ++j) {
    if (j + 1 == run) kernels::fetch_next<S>(job);
    dot_tile<T, X, M, S>(job, job.w + j * job.w_stride, run * job.w_stride, sums + j, run);
  }
  constexpr Streams one{1, S.second, S.first};
  for (int64_t j = run * S.count; j < job.n; ++j)
    dot_tile<T, X, M, one>(job, job.w + j * job.w_stride, 0, sums + j, 0);
}

template <class T, class X, int M>
void dot_rows_of(const DotRows& job) {
  constexpr int kRegisters = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON ? 24 : 12;
  if constexpr (M == 1)
    kernels::with_streams<sizeof(T) == 2>(job.k * int64_t(sizeof(T)),
                                          [&]<Streams S>() HWY_ATTR { dot_runs<T, X, M, S>(job); });
  else
    dot_runs<T, X, M, Streams{M * 4 <= kRegisters ? 4 : M * 2 <= kRegisters ? 2 : 1, 0, 0}>(job);
}

template <class T, class X>
void dot_rows_of(const DotRows& job) {
#if HWY_TARGET == HWY_SCALAR  // no registers to share: a row at a time, the same bits
  DotRows row = job;
  for (; row.m > 0; --row.m, row.x += job.x_stride) {
    dot_rows_of<T, X, 1>(row);
    row.sums = reinterpret_cast<float*>(reinterpret_cast<Wide<T>*>(row.sums) + job.sums_stride);
  }
#else
  switch (job.m) {
    case 1: return dot_rows_of<T, X, 1>(job);
    case 2: return dot_rows_of<T, X, 2>(job);
    case 3: return dot_rows_of<T, X, 3>(job);
    case 4: return dot_rows_of<T, X, 4>(job);
    case 5: return dot_rows_of<T, X, 5>(job);
    case 6: return dot_rows_of<T, X, 6>(job);
  }
#endif
}

void dot_rows(Dtype dtype, const DotRows& job) {
  visit(Floats{}, dtype, "matmul", [&]<class T>() HWY_ATTR {
    job.wide_x ? dot_rows_of<T, Wide<T>>(job) : dot_rows_of<T, T>(job);
  });
}

/// sums += x w for P rows of w, of which each element is read once.
template <class T, int P>
void add_some(const AddRows& job, int64_t p) {
  const WideTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d)), size = sizeof(T);
  const std::byte* const w = job.w + p * job.w_stride;
  Wide<T> x[kernels::kMaxRows][P];
  for (int m = 0; m < job.m; ++m)
    for (int i = 0; i < P; ++i) x[m][i] = load_one<T>(job.x + m * job.x_stride + (p + i) * size);
  auto* const sums = reinterpret_cast<Wide<T>*>(job.sums);
  int64_t j = 0;
  for (; j + lanes <= job.n; j += lanes) {
    WideVec<T> row[P];
    for (int i = 0; i < P; ++i) {
      const std::byte* const at = w + i * job.w_stride + j * size;
      __builtin_prefetch(at + P * job.w_stride);  // what the next call reads
      row[i] = load_wide<T>(at);
    }
    for (int m = 0; m < job.m; ++m) {
      auto sum = hn::LoadU(d, sums + m * job.sums_stride + j);
      for (int i = 0; i < P; ++i) sum = hn::MulAdd(hn::Set(d, x[m][i]), row[i], sum);
      hn::StoreU(sum, d, sums + m * job.sums_stride + j);
    }
  }
  for (; j < job.n; ++j)
    for (int i = 0; i < P; ++i) {
      const Wide<T> one = load_one<T>(w + i * job.w_stride + j * size);
      for (int m = 0; m < job.m; ++m) sums[m * job.sums_stride + j] += x[m][i] * one;
    }
}

void add_rows(Dtype dtype, const AddRows& job) {
  visit(Floats{}, dtype, "matmul", [&]<class T>() HWY_ATTR {
    for (int m = 0; m < job.m; ++m)
      std::memset(reinterpret_cast<Wide<T>*>(job.sums) + m * job.sums_stride, 0,
                  size_t(job.n) * sizeof(Wide<T>));
    int64_t p = 0;
    for (; p + 4 <= job.k; p += 4) add_some<T, 4>(job, p);
    for (; p < job.k; ++p) add_some<T, 1>(job, p);
  });
}

void widen(Dtype dtype, const std::byte* from, int64_t n, std::byte* to) {
  visit(Types<float16_t, bfloat16_t>{}, dtype, "matmul", [&]<class T>() HWY_ATTR {
    const F32 d;
    const int64_t lanes = int64_t(hn::Lanes(d));
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) store_narrow<float>(load_wide<T>(from + i * 2), to + i * 4);
    for (; i < n; ++i) {
      const float v = load_one<T>(from + i * 2);
      std::memcpy(to + i * 4, &v, 4);
    }
  });
}

template <Activation A, class V>  // VF32 or double
HWY_INLINE V activate(V v) {
  if constexpr (A == Activation::none) return v;
#define X(name) \
  if constexpr (A == Activation::name) return name(v);
  HEARTH_ACTIVATIONS(X)
#undef X
}

template <class T, Activation A>
void finish(const FinishRow& job) {
  const int64_t n = job.n, size = sizeof(T);
  const auto* from = static_cast<const std::byte*>(job.sums);
  const auto* times = static_cast<const std::byte*>(job.times);
  if constexpr (std::is_same_v<T, double>) {
    const auto at = [](const std::byte* p, int64_t j, double none) {
      if (p) std::memcpy(&none, p + 8 * j, 8);
      return none;
    };
    for (int64_t j = 0; j < n; ++j) {
      double v = activate<A>(at(from, j, 0) + at(job.bias, j, 0));
      if (times) v *= at(times, j, 0) + at(job.times_bias, j, 0);
      v += at(job.residual, j, 0);
      std::memcpy(job.y + 8 * j, &v, 8);
    }
  } else {
    const F32 d;
    const int64_t lanes = int64_t(hn::Lanes(d));
    // `rest`: nothing, or how many elements are left.
    const auto some = [&](int64_t j, auto... rest) HWY_ATTR {
      auto v = load_wide<float>(from + 4 * j, rest...);
      if (job.bias) v = hn::Add(v, load_wide<T>(job.bias + j * size, rest...));
      v = activate<A>(v);
      if (times) {
        auto t = load_wide<float>(times + 4 * j, rest...);
        if (job.times_bias) t = hn::Add(t, load_wide<T>(job.times_bias + j * size, rest...));
        v = hn::Mul(v, t);
      }
      if (job.residual) v = hn::Add(v, load_wide<T>(job.residual + j * size, rest...));
      store_narrow<T>(v, job.y + j * size, rest...);
    };
    int64_t j = 0;
    for (; j + lanes <= n; j += lanes) some(j);
    if (j < n) some(j, size_t(n - j));
  }
}

#define FINISH(name) \
  case Activation::name: return finish<T, Activation::name>(job);
void finish_row(Dtype dtype, const FinishRow& job) {
  visit(Floats{}, dtype, "matmul", [&]<class T>() HWY_ATTR {
    switch (job.activation) { FINISH(none) HEARTH_ACTIVATIONS(FINISH) }
  });
}
#undef FINISH

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu::kernels {

HEARTH_EXPORT(dot_rows);
HEARTH_EXPORT(add_rows);
HEARTH_EXPORT(widen);
HEARTH_EXPORT(finish_row);

bool widens(Dtype dtype) {
#if HWY_ARCH_X86
  if (dtype == bfloat16 && isa() >= Isa::avx512_bf16) return false;
#endif
  return size_of(dtype) == 2;
}

void widen(Dtype dtype, const std::byte* from, int64_t n, std::byte* to) {
  HEARTH_DISPATCH(widen)(dtype, from, n, to);
}

void dot_rows(Dtype dtype, const DotRows& job) {
#if HWY_ARCH_X86
  if (dtype == bfloat16 && isa() >= Isa::avx512_bf16) return dot_rows_bf16(job);
#endif
  HEARTH_DISPATCH(dot_rows)(dtype, job);
}

void add_rows(Dtype dtype, const AddRows& job) { HEARTH_DISPATCH(add_rows)(dtype, job); }

void finish_row(Dtype dtype, const FinishRow& job) { HEARTH_DISPATCH(finish_row)(dtype, job); }

}  // namespace hearth::cpu::kernels
#endif
