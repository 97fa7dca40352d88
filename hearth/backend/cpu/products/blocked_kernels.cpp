// The parts of the blocked product for f32 sums (f64 for f64): packing, which widens half types,
// and the register tile.
#include "hearth/backend/cpu/isa.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/products/blocked_kernels.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <array>
#include <utility>

#include "hearth/backend/cpu/convert-inl.h"
#include "hearth/backend/cpu/products/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

// Rows x vectors of sums in registers: of 32 registers with AVX-512, of 16 without.
#if HWY_TARGET <= HWY_AVX3
constexpr int kRows = 14;
#else
constexpr int kRows = 6;
#endif
constexpr int kVectors = 2;
constexpr int64_t kPackSteps = 64;

/// Rows that are contiguous along i: one widened copy for each step of k.
template <class T>
void pack_rows(const std::byte* src, int64_t rows, int64_t k_stride, int64_t k, int64_t width,
               Wide<T>* out) {
  const WideTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d)), size = sizeof(T);
  for (int64_t p = 0; p < k; ++p, src += k_stride, out += width) {
    int64_t i = 0;
    for (; i + lanes <= rows; i += lanes) hn::StoreU(load_wide<T>(src + i * size), d, out + i);
    for (; i < rows; ++i) out[i] = load_one<T>(src + i * size);
    for (; i < width; ++i) out[i] = 0;
  }
}

#if HWY_TARGET != HWY_SCALAR
/// Stores 4 (or the first 2) lanes of each 128-bit block of v, blocks `apart` elements apart.
template <int N, class D>
HWY_INLINE void store_blocks(D d, hn::Vec<D> v, float* out, int64_t apart) {
  if constexpr (hn::MaxLanes(D()) > 4) {
    const hn::Half<D> half;
    store_blocks<N>(half, hn::LowerHalf(half, v), out, apart);
    store_blocks<N>(half, hn::UpperHalf(half, v), out + int64_t(hn::MaxLanes(D()) / 8) * apart,
                    apart);
  } else if constexpr (N == 4) {
    hn::StoreU(v, d, out);
  } else {
    const hn::Half<D> half;
    hn::StoreU(hn::LowerHalf(half, v), half, out);
  }
}

/// Rows that are contiguous along k: N (4 or 2) of them are transposed in registers.
template <class T, int N>
HWY_INLINE void pack_columns(const std::byte* src, int64_t row_stride, int64_t k, int64_t width,
                             float* out) {
  const F32 d;
  const hn::Repartition<double, F32> pairs;
  const int64_t lanes = int64_t(hn::Lanes(d)), size = sizeof(T);
  int64_t p = 0;
  for (; p + lanes <= k; p += lanes, src += lanes * size, out += lanes * width) {
    const auto r0 = load_wide<T>(src), r1 = load_wide<T>(src + row_stride);
    const auto r2 = N == 4 ? load_wide<T>(src + 2 * row_stride) : r0;
    const auto r3 = N == 4 ? load_wide<T>(src + 3 * row_stride) : r1;
    const auto lo01 =
        hn::BitCast(pairs, hn::InterleaveLower(d, r0, r1));  // block b: k = 4b, 4b + 1
    const auto hi01 = hn::BitCast(pairs, hn::InterleaveUpper(d, r0, r1));
    const auto lo23 = hn::BitCast(pairs, hn::InterleaveLower(d, r2, r3));
    const auto hi23 = hn::BitCast(pairs, hn::InterleaveUpper(d, r2, r3));
    const auto store = [&](auto v, int64_t q) HWY_ATTR {
      store_blocks<N>(d, hn::BitCast(d, v), out + q * width, 4 * width);
    };
    store(hn::InterleaveLower(pairs, lo01, lo23), 0);
    store(hn::InterleaveUpper(pairs, lo01, lo23), 1);
    store(hn::InterleaveLower(pairs, hi01, hi23), 2);
    store(hn::InterleaveUpper(pairs, hi01, hi23), 3);
  }
  for (; p < k; ++p, src += size, out += width)
    for (int i = 0; i < N; ++i) out[i] = load_one<T>(src + i * row_stride);
}
#endif

template <class T>
void pack(const std::byte* src, int64_t row_stride, int64_t k_stride, int64_t rows, int64_t k,
          int64_t width, std::byte* panel) {
  auto* out = reinterpret_cast<Wide<T>*>(panel);
  if (row_stride == int64_t(sizeof(T))) return pack_rows<T>(src, rows, k_stride, k, width, out);
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  if constexpr (!std::is_same_v<T, double>)
    if (k_stride == int64_t(sizeof(T))) {
      // Few steps of k at a time: each is written by all rows while it lies in the first level.
      for (int64_t p = 0; p < k; p += kPackSteps) {
        const int64_t steps = std::min(kPackSteps, k - p);
        const std::byte* const from = src + p * k_stride;
        for (i = 0; i + 4 <= rows; i += 4)
          pack_columns<T, 4>(from + i * row_stride, row_stride, steps, width, out + p * width + i);
        for (; i + 2 <= rows; i += 2)
          pack_columns<T, 2>(from + i * row_stride, row_stride, steps, width, out + p * width + i);
      }
    }
#endif
  for (; i < rows; ++i)
    for (int64_t p = 0; p < k; ++p)
      out[p * width + i] = load_one<T>(src + i * row_stride + p * k_stride);
  for (; i < width; ++i)
    for (int64_t p = 0; p < k; ++p) out[p * width + i] = 0;
}

template <class W, int R>
void tile_of(int64_t k, const std::byte* a_panel, const std::byte* b_panel, void* c_start,
             int64_t c_stride, bool add) {
  const hn::ScalableTag<W> d;
  constexpr int V = kVectors;
  const int64_t lanes = int64_t(hn::Lanes(d));
  const W* a = reinterpret_cast<const W*>(a_panel);
  const W* b = reinterpret_cast<const W*>(b_panel);
  W* c = static_cast<W*>(c_start);
  hn::Vec<decltype(d)> sum[R][V];
  HWY_UNROLL(16) for (int r = 0; r < R; ++r) HWY_UNROLL(4) for (int v = 0; v < V; ++v) {
    sum[r][v] = hn::Zero(d);
    hwy::Prefetch(c + r * c_stride + v * lanes);
  }
  for (int64_t p = 0; p < k; ++p, a += kRows, b += V * lanes) {
    hn::Vec<decltype(d)> row[V];
    HWY_UNROLL(4) for (int v = 0; v < V; ++v) row[v] = hn::LoadU(d, b + v * lanes);
    HWY_UNROLL(16) for (int r = 0; r < R; ++r) {
      const auto x = hn::Set(d, a[r]);
      HWY_UNROLL(4) for (int v = 0; v < V; ++v) sum[r][v] = hn::MulAdd(x, row[v], sum[r][v]);
    }
  }
  HWY_UNROLL(16) for (int r = 0; r < R; ++r) HWY_UNROLL(4) for (int v = 0; v < V; ++v) {
    W* to = c + r * c_stride + v * lanes;
    hn::StoreU(add ? hn::Add(hn::LoadU(d, to), sum[r][v]) : sum[r][v], d, to);
  }
}

using TileOf = void (*)(int64_t, const std::byte*, const std::byte*, void*, int64_t, bool);

template <class W>
void tiles(const kernels::Tiles& job) {
  static constexpr auto of_rows = []<int... R>(std::integer_sequence<int, R...>) {
    return std::array<TileOf, sizeof...(R)>{tile_of<W, R + 1>...};
  }
  (std::make_integer_sequence<int, kRows>());
  const int64_t columns = kVectors * int64_t(hn::Lanes(hn::ScalableTag<W>()));
  const int64_t panel = columns * job.k * int64_t(sizeof(W));
  for (int64_t j = 0; j < job.panels; ++j)
    of_rows[size_t(job.rows - 1)](job.k, job.a, job.b + j * panel,
                                  static_cast<W*>(job.c) + j * columns, job.c_stride, job.add);
}

const kernels::BlockedKernels* blocked_kernels(Dtype dtype) {
  const kernels::BlockedKernels* parts = nullptr;
  visit(Floats{}, dtype, "matmul", [&]<class T>() {
    static const kernels::BlockedKernels the{kRows,
                                             kVectors * int(hn::Lanes(WideTag<T>())),
                                             1,
                                             sizeof(Wide<T>),
                                             pack<T>,
                                             pack<T>,
                                             tiles<Wide<T>>};
    parts = &the;
  });
  return parts;
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu::kernels {

HEARTH_EXPORT(blocked_kernels);

const BlockedKernels& blocked_kernels(Dtype dtype) {
#if HWY_ARCH_X86
  if (dtype == bfloat16 && isa() == Isa::amx_bf16) return blocked_kernels_amx();
  if (dtype == bfloat16 && isa() == Isa::avx512_bf16) return blocked_kernels_bf16();
#endif
  return *HEARTH_DISPATCH(blocked_kernels)(dtype);
}

}  // namespace hearth::cpu::kernels
#endif
