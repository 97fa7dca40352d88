// What products.cpp builds on: kernels of one thread, each chosen by the instruction set in use.
// Strides here are in bytes, so that one signature serves all dtypes.
#pragma once
#include <cstddef>
#include <cstdint>

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/cpu/products/products.h"
#include "hearth/core/dtype.h"

namespace hearth::cpu::kernels {

inline constexpr int kMaxRows = 6;  // rows of x at a time: their sums fill the registers
/// One row of x is a matter of waiting for memory: so many runs of rows of w are read at once, each
/// fetched so many bytes ahead into the second or the first level of the cache; 0: not fetched.
/// None of this changes a bit. docs/performance.md has what was tried.
struct Streams {
  int count;
  int second, first;
};
inline constexpr int kStreamsDivide = 12;  // each count does

/// body.operator()<Streams>() with those that suit w. On a processor that prefetches by itself,
/// fetching costs where one instruction waits for each line of w. Where several do, as for
/// conversions, the queue of those that wait is full before enough lines are asked for.
template <bool kConverts, class Body>
void with_streams(int64_t row_bytes, const Body& body) {
  if (prefetches_runs())
    body.template operator()<kConverts ? Streams{2, 0, 4096} : Streams{4, 0, 0}>();
  else if (row_bytes <= 16 << 10)
    body.template operator()<Streams{4, 1280, 256}>();
  else  // a long x, which the first level cannot keep, is better shared by more (Zen 4)
    body.template operator()<Streams{6, 1024, 256}>();
}

template <Streams S>
[[gnu::always_inline]] inline void fetch_ahead(const std::byte* w) {
  if constexpr (S.second > 0) __builtin_prefetch(w + S.second, 0, 2);
  if constexpr (S.first > 0) __builtin_prefetch(w + S.first, 0, 3);
}

/// The dtype in which sums are kept: f64 for f64, else f32.
constexpr size_t sum_size(Dtype d) { return d == float64 ? 8 : 4; }

/// Whether dot_rows converts every element that it reads: then x, if short, is better widened
/// before.
bool widens(Dtype dtype);
/// n elements of a half type, widened to float.
void widen(Dtype dtype, const std::byte* from, int64_t n, std::byte* to);

/// sums[i][j] = x[i] . w[j] for i < m <= kMaxRows, j < n; rows of k contiguous elements. Each sum
/// is added up in the same order whatever m and n are.
struct DotRows {
  int m;
  int64_t n, k;
  const std::byte* x;
  int64_t x_stride;
  bool wide_x;  // x is of the sums' dtype
  const std::byte* w;
  int64_t w_stride;
  float* sums;  // double for f64
  int64_t sums_stride;
  const std::byte* next = nullptr;  // the w that is read after this one, as far as known
};
void dot_rows(Dtype dtype, const DotRows& job);

/// The first lines of the streams of what is read next: a processor that prefetches by itself has
/// yet to find them.
template <Streams S>
[[gnu::always_inline]] inline void fetch_next(const DotRows& job) {
  for (int r = 0; job.next && r < S.count; ++r)
    for (int line = 0; line < 2; ++line)
      __builtin_prefetch(job.next + r * (job.n / S.count) * job.w_stride + line * 64, 0, 3);
}

/// sums[j] = x . w[j] for j < n: one row of floats with packed rows of k weights, each code * scale
/// + offset rounded to f32. Only where dots_packed(): others are unpacked first, for dot_floats.
struct DotPacked {
  int64_t n, k;
  const float* x;
  RawMatrix w;
  float* sums;
};
bool dots_packed(Packing packing);
void dot_packed(const DotPacked& job);
/// dot_rows for x and w in f32, in dot_packed's order of additions; k is a multiple of 16.
void dot_floats(const DotRows& job);

/// sums[i][j] = x[i] . w[j] for i < m <= kCodeRows, j < n, where meets_codes(): codes of w meet x
/// as they are, exactly, and what they give in a group (with f32 sums) is multiplied by its scale.
/// Rows of x, k elements each, are laid before, as w.packing wants them: laid_bytes(k) of memory.
/// Each sum is added up in the same order whatever m and n are.
inline constexpr int kCodeRows = 8;
struct DotCodes {
  int m;
  int64_t n, k;
  const std::byte* x;
  int64_t x_stride;
  RawMatrix w;
  float* sums;
  int64_t sums_stride;
};
bool meets_codes(Dtype dtype, Packing packing);
void dot_codes(const DotCodes& job);
void lay(Packing packing, const std::byte* x, int64_t k, std::byte* to);
/// Where the sums of x in the groups of w lie, behind whole chunks of 64 elements.
constexpr int64_t laid_sums(int64_t k) { return (k + 63) / 64 * 128; }
constexpr int64_t laid_bytes(int64_t k) { return laid_sums(k) * 3 / 2 + 64; }

/// The same with x in eight bits, each 32 elements with a scale of their own: sums of code * x are
/// integers. At most kMaxRows rows, laid by lay_int8 from any dtype: laid_int8_bytes(k) of memory.
/// x that is no number gives NaN.
bool meets_int8(Packing packing);
void dot_int8(const DotCodes& job);
void lay_int8(Dtype dtype, Packing packing, const std::byte* x, int64_t k, std::byte* to);
constexpr int64_t laid_int8_bytes(int64_t k) { return k + k / 32 * 4 + k / 16 * 4; }

/// Weights [first, first + count) of the n first rows of w, which have k; whole blocks. To
/// out, rows `stride` floats apart.
struct Unpack {
  int64_t n, k, first, count;
  RawMatrix w;
  float* out;
  int64_t stride;
};
void unpack(const Unpack& job);
/// n floats, rounded to dtype.
void narrow(Dtype dtype, const float* from, int64_t n, std::byte* to);

/// sums[i][j] = sum over p < k of x[i][p] w[p][j] for i < m <= kMaxRows, j < n, where rows of w are
/// contiguous along j; in the order of p.
struct AddRows {
  int m;
  int64_t n, k;
  const std::byte* x;
  int64_t x_stride;
  const std::byte* w;
  int64_t w_stride;
  float* sums;  // double for f64
  int64_t sums_stride;
};
void add_rows(Dtype dtype, const AddRows& job);

/// y = activation(sums + bias) (times + times_bias) + residual for one row of n, rounded to dtype;
/// null means none.
struct FinishRow {
  int64_t n;
  const void* sums;
  const std::byte* bias;
  Activation activation;
  const void* times;  // sums too
  const std::byte *times_bias, *residual;
  std::byte* y;
};
void finish_row(Dtype dtype, const FinishRow& job);

/// c (rows x panels * nr, c_stride elements apart) = or += one panel of a x panels of b, which lie
/// one after the other, over k steps of k_step elements.
struct Tiles {
  int64_t rows, k, panels;
  const std::byte *a, *b;
  void* c;  // of the sums' dtype
  int64_t c_stride;
  bool add;
};

/// Packs rows x k elements, element (i, p) at src + i * row_stride + p * k_stride, to a panel of
/// `width` rows.
using Pack = void (*)(const std::byte* src, int64_t row_stride, int64_t k_stride, int64_t rows,
                      int64_t k, int64_t width, std::byte* panel);

/// The parts of the blocked product. A panel is `width` rows (mr of a, or nr columns of b) packed
/// together for each step of k, zeros where rows or the last step's elements are missing.
struct BlockedKernels {
  int mr, nr;
  int k_step;     // packed k is a multiple of this
  size_t packed;  // bytes of a packed element
  Pack pack_a, pack_b;
  void (*tiles)(const Tiles& job);
};
const BlockedKernels& blocked_kernels(Dtype dtype);

// Level avx512_bf16: the same for bf16 by vdpbf16ps; only to be called from that level on.
void dot_rows_bf16(const DotRows& job);
const BlockedKernels& blocked_kernels_bf16();
/// Level amx_bf16: blocked products by tiles of 16 x 16 sums.
const BlockedKernels& blocked_kernels_amx();

}  // namespace hearth::cpu::kernels
