// Softmax and logsumexp of rows: one pass each for the maximum, the exponentials and the scale,
// over a row that stays in cache. Halves are computed in f32.
#include "hearth/backend/cpu/isa.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/softmax.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <cmath>
#include <memory>

#include "hearth/backend/cpu/copy.h"
#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/fold-inl.h"
#include "hearth/backend/cpu/narrow.h"
#include "hearth/backend/pool.h"
#include "hearth/ops/primitives.h"

#ifndef HEARTH_BACKEND_CPU_SOFTMAX_JOB
#define HEARTH_BACKEND_CPU_SOFTMAX_JOB
namespace hearth::cpu {
namespace {

struct RowsJob {
  const std::byte* in;
  std::byte* out;
  Dtype type;
  bool logsumexp;
  WalkAxes rows;
  int64_t n, stride;
};

}  // namespace
}  // namespace hearth::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

/// exp(x) for x <= 0, relative error below 1.2e-7 until results are denormal; 0 below -104.
HWY_INLINE float exp_negative(float x) {
  constexpr float kRound = 0x1.8p23f;  // adding it rounds to an integer
  float n = (x * 1.44269504f + kRound) - kRound;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;  // ln 2 in two parts
  float p = 1.9875691500e-4f;                                    // Cephes' expf
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // 2^n in two factors, so that results may be denormal.
  const int32_t whole = int32_t(n > -150.0f ? n : -150.0f), half = whole / 2;
  const float y = p * std::bit_cast<float>((half + 127) << 23) *
                  std::bit_cast<float>((whole - half + 127) << 23);
  return x < -104.0f ? 0.0f : y;
}
HWY_INLINE double exp_negative(double x) { return std::exp(x); }

/// x[i] becomes exp(x[i] - highest); their sum, blocks of which are joined in double.
template <class C>
double exponentials(C* x, int64_t n, C highest) {
  double sum = 0;
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t m = n - i < kBlock ? n - i : kBlock;
    for (int64_t k = i; k < i + m; ++k) x[k] = exp_negative(x[k] - highest);
    sum += double(fold<Sum<C>>(reinterpret_cast<const std::byte*>(x + i), m));
  }
  return sum;
}

template <class T, class C>
void one_row(const RowsJob& j, const std::byte* in, T* out, C* row) {
  stage<C>(j.type, in, j.stride, j.n, row);
  const C highest = fold<Max<C>>(reinterpret_cast<const std::byte*>(row), j.n);
  // Infinities: exp(inf - inf) is NaN for softmax, as in the definition; their logsumexp is known.
  if (j.logsumexp) {
    if (highest - highest != 0)
      *out = T(highest);
    else
      *out = narrow<T>(std::log(exponentials(row, j.n, highest)) + double(highest));
    return;
  }
  const C scale = C(1 / exponentials(row, j.n, highest));
  int64_t i = 0;
  if constexpr (is_half<T>) {
    const F32 d;
    for (const int64_t lanes = int64_t(hn::Lanes(d)); i + lanes <= j.n; i += lanes)
      store_narrow<T>(hn::Mul(hn::LoadU(d, row + i), hn::Set(d, scale)),
                      reinterpret_cast<std::byte*>(out + i));
  }
  for (; i < j.n; ++i) out[i] = T(row[i] * scale);
}

template <class T, class C>
void rows_as(const RowsJob& j, int64_t first, int64_t last, void* room) {
  Walk at(j.rows, first);
  for (int64_t r = first; r < last; ++r, at.next())
    one_row<T, C>(j, j.in + at.from * int64_t(sizeof(T)),
                  reinterpret_cast<T*>(j.out) + (j.logsumexp ? r : r * j.n), static_cast<C*>(room));
}

/// Rows [first, last); `room` holds one row, widened.
void rows_part(const RowsJob& j, int64_t first, int64_t last, void* room) {
  switch (j.type) {
    case float16: return rows_as<float16_t, float>(j, first, last, room);
    case bfloat16: return rows_as<bfloat16_t, float>(j, first, last, room);
    case float64: return rows_as<double, double>(j, first, last, room);
    default: return rows_as<float, float>(j, first, last, room);
  }
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu {
namespace {

HEARTH_EXPORT(rows_part);

void run_rows(bool logsumexp, const Args& args) {
  const array &in = args.in[0], &out = args.out[0];
  if (out.size() == 0) return;
  RowsJob j{};
  j.in = ptr<const std::byte>(in), j.out = ptr<std::byte>(out);
  j.type = in.dtype();
  j.logsumexp = logsumexp;
  const auto& strides = in.node().strides;
  for (int i = 0; i + 1 < in.ndim(); ++i) j.rows.push_back({in.shape()[i], strides[i], 0});
  j.n = in.shape(-1), j.stride = strides.back();
  std::unique_ptr<std::byte[]> packed;
  if (j.stride != 1 && j.n > 1) {  // copied in tiles, not read line by line
    packed.reset(new std::byte[in.nbytes()]);
    const Strides to = row_major(in.shape());
    copy_strided(j.in, strides, packed.get(), to, in.shape(), in.itemsize());
    j.in = packed.get(), j.stride = 1;
    for (size_t i = 0; i < j.rows.size(); ++i) j.rows[i].stride = to[i];
  }
  const int64_t rows = count(j.rows);
  const int64_t each = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(j.n, 1));
  parallel_for((rows + each - 1) / each, [&](int64_t i) {
    thread_local std::vector<double> room;
    const size_t size = size_t(j.n) * (j.type == float64 ? 8 : 4);
    if (room.size() * 8 < size) room.resize((size + 7) / 8);
    HEARTH_DISPATCH(rows_part)(j, i * each, std::min(rows, (i + 1) * each), room.data());
  });
}

}  // namespace

void softmax(const Softmax&, const Args& args, CpuQueue&) { run_rows(false, args); }
void log_sum_exp(const LogSumExp&, const Args& args, CpuQueue&) { run_rows(true, args); }

}  // namespace hearth::cpu
#endif
