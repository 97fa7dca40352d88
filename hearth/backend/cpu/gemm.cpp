// The parts of the blocked product for f32 sums (f64 for f64): packing, which widens half types,
// and the register tile.
#include "hearth/backend/cpu/isa.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/gemm.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <array>
#include <utility>

#include "hearth/backend/cpu/matmul_kernels.h"
#include "hearth/backend/cpu/simd-inl.h"

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

template <class T>
T load(const std::byte* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
void pack(const std::byte* src, int64_t row_stride, int64_t k_stride, int64_t rows, int64_t k,
          int64_t width, std::byte* panel) {
  auto* out = reinterpret_cast<Wide<T>*>(panel);
  const int64_t lanes = int64_t(hn::Lanes(WideTag<T>())), size = sizeof(T);
  if (row_stride == size && rows == width && width % lanes == 0) {
    for (int64_t p = 0; p < k; ++p)
      for (int64_t i = 0; i < width; i += lanes)
        hn::StoreU(load_wide<T>(src + p * k_stride + i * size), WideTag<T>(), out + p * width + i);
    return;
  }
  for (int64_t p = 0; p < k; ++p) {
    for (int64_t i = 0; i < rows; ++i)
      out[p * width + i] = Wide<T>(load<T>(src + i * row_stride + p * k_stride));
    for (int64_t i = rows; i < width; ++i) out[p * width + i] = 0;
  }
}

template <class W, int R>
void tile_of(int64_t k, const std::byte* a_panel, const std::byte* b_panel, void* c_start,
             int64_t c_stride, bool add) {
  const hn::ScalableTag<W> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  const W* a = reinterpret_cast<const W*>(a_panel);
  const W* b = reinterpret_cast<const W*>(b_panel);
  W* c = static_cast<W*>(c_start);
  hn::Vec<decltype(d)> sum[R][kVectors];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
  for (int64_t p = 0; p < k; ++p, a += kRows, b += kVectors * lanes) {
    const auto b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + lanes);
    for (int r = 0; r < R; ++r) {
      const auto x = hn::Set(d, a[r]);
      sum[r][0] = hn::MulAdd(x, b0, sum[r][0]);
      sum[r][1] = hn::MulAdd(x, b1, sum[r][1]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < kVectors; ++v) {
      W* to = c + r * c_stride + v * lanes;
      hn::StoreU(add ? hn::Add(hn::LoadU(d, to), sum[r][v]) : sum[r][v], d, to);
    }
}

using TileOf = void (*)(int64_t, const std::byte*, const std::byte*, void*, int64_t, bool);

template <class W>
void tile(int64_t rows, int64_t k, const std::byte* a, const std::byte* b, void* c,
          int64_t c_stride, bool add) {
  static constexpr auto tiles = []<int... R>(std::integer_sequence<int, R...>) {
    return std::array<TileOf, sizeof...(R)>{tile_of<W, R + 1>...};
  }
  (std::make_integer_sequence<int, kRows>());
  tiles[size_t(rows - 1)](k, a, b, c, c_stride, add);
}

const kernels::Gemm* gemm_parts(Dtype dtype) {
  const kernels::Gemm* parts = nullptr;
  visit(Floats{}, dtype, "matmul", [&]<class T>() {
    static const kernels::Gemm the{
        kRows, kVectors * int(hn::Lanes(WideTag<T>())), 1, sizeof(Wide<T>), pack<T>, tile<Wide<T>>};
    parts = &the;
  });
  return parts;
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu::kernels {

HWY_EXPORT(gemm_parts);

const Gemm& gemm_parts(Dtype dtype) {
#if HWY_ARCH_X86
  if (dtype == bfloat16 && isa() == Isa::avx512_bf16) return gemm_parts_bf16();
#endif
  return *HWY_DYNAMIC_DISPATCH(gemm_parts)(dtype);
}

}  // namespace hearth::cpu::kernels
#endif
