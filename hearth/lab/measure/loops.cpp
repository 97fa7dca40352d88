#include "hearth/lab/measure/loops.h"

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/cpu/tile_config.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/lab/measure/loops.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace hearth::lab::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr hn::ScalableTag<uint64_t> kWords;

// Four vectors from p, folded into as many sums; enough to hide a load's latency from the cache.
template <class V>
HWY_INLINE void fold(const uint64_t* p, V& a, V& b, V& c, V& d) {
  const size_t n = hn::Lanes(kWords);
  a = hn::Xor(a, hn::LoadU(kWords, p));
  b = hn::Xor(b, hn::LoadU(kWords, p + n));
  c = hn::Xor(c, hn::LoadU(kWords, p + 2 * n));
  d = hn::Xor(d, hn::LoadU(kWords, p + 3 * n));
}

uint64_t read_memory(const std::byte* data, size_t size, Walk walk) {
  const size_t step = 4 * hn::Lanes(kWords);  // words
  constexpr size_t kAhead = 4096 / 8;         // words: a page, to look the next one up early
  const auto* p = reinterpret_cast<const uint64_t*>(data);
  const size_t streams = walk == Walk::four_streams ? 4 : 1;
  const size_t row = size / 8 / streams / step * step;
  auto a = hn::Zero(kWords), b = a, c = a, d = a;
  switch (walk) {
    case Walk::forward:
      for (size_t i = 0; i < row; i += step) fold(p + i, a, b, c, d);
      break;
    case Walk::prefetch:  // into the second level; with the first one Zen 4 loses 15 %
      for (size_t i = 0; i < row; i += step) {
        for (size_t line = 0; line < step; line += 8)
          __builtin_prefetch(p + i + kAhead + line, 0, 2);
        fold(p + i, a, b, c, d);
      }
      break;
    case Walk::four_streams:
      for (size_t i = 0; i < row; i += step)
        for (size_t s = 0; s < 4; s++) fold(p + s * row + i, a, b, c, d);
      break;
  }
  uint64_t sum = hn::GetLane(hn::SumOfLanes(kWords, hn::Xor(hn::Xor(a, b), hn::Xor(c, d))));
  for (const auto* rest = data + streams * row * 8; rest < data + size; rest++)
    sum ^= uint64_t(*rest);
  return sum;
}

#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR
int64_t fma_f32(int64_t) { return 0; }  // what the compiler makes of plain loops is no limit
#else
int64_t fma_f32(int64_t rounds) {
  // Latency times units is 8 on x86 (and its 16 registers hold no more than 12), 16 on large ARMs.
  // Every sum tends to 2, so that nothing overflows or becomes denormal.
  const hn::ScalableTag<float> f;
  volatile float start = 1;  // else the compiler sees that the sums are equal, and merges them
  const auto half = hn::Set(f, 0.5f), one = hn::Set(f, 1.0f);
  auto a0 = hn::Set(f, start), a1 = hn::Set(f, start), a2 = hn::Set(f, start),
       a3 = hn::Set(f, start), a4 = hn::Set(f, start), a5 = hn::Set(f, start),
       a6 = hn::Set(f, start), a7 = hn::Set(f, start), a8 = hn::Set(f, start),
       a9 = hn::Set(f, start), a10 = hn::Set(f, start), a11 = hn::Set(f, start);
#if HWY_ARCH_X86
  constexpr int64_t kSums = 12;
#else
  constexpr int64_t kSums = 16;
  auto a12 = hn::Set(f, start), a13 = hn::Set(f, start), a14 = hn::Set(f, start),
       a15 = hn::Set(f, start);
#endif
  for (int64_t i = 0; i < rounds; i++) {
    a0 = hn::MulAdd(a0, half, one);
    a1 = hn::MulAdd(a1, half, one);
    a2 = hn::MulAdd(a2, half, one);
    a3 = hn::MulAdd(a3, half, one);
    a4 = hn::MulAdd(a4, half, one);
    a5 = hn::MulAdd(a5, half, one);
    a6 = hn::MulAdd(a6, half, one);
    a7 = hn::MulAdd(a7, half, one);
    a8 = hn::MulAdd(a8, half, one);
    a9 = hn::MulAdd(a9, half, one);
    a10 = hn::MulAdd(a10, half, one);
    a11 = hn::MulAdd(a11, half, one);
#if !HWY_ARCH_X86
    a12 = hn::MulAdd(a12, half, one);
    a13 = hn::MulAdd(a13, half, one);
    a14 = hn::MulAdd(a14, half, one);
    a15 = hn::MulAdd(a15, half, one);
#endif
  }
  auto sum = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)),
                     hn::Add(hn::Add(hn::Add(a4, a5), hn::Add(a6, a7)),
                             hn::Add(hn::Add(a8, a9), hn::Add(a10, a11))));
#if !HWY_ARCH_X86
  sum = hn::Add(sum, hn::Add(hn::Add(a12, a13), hn::Add(a14, a15)));
#endif
  volatile float sink = hn::GetLane(hn::SumOfLanes(f, sum));
  (void)sink;
  return rounds * kSums * 2 * int64_t(hn::Lanes(f));
}
#endif

}  // namespace hearth::lab::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#if HWY_ARCH_X86_64
#include <immintrin.h>
#endif

namespace hearth::lab {

HEARTH_EXPORT(read_memory);
HEARTH_EXPORT(fma_f32);

uint64_t read_memory(const std::byte* data, size_t size, Walk walk) {
  return HEARTH_DISPATCH(read_memory)(data, size, walk);
}

int64_t fma_f32(int64_t rounds) { return HEARTH_DISPATCH(fma_f32)(rounds); }

#if HWY_ARCH_X86_64
namespace {

__attribute__((target("avx512f,avx512bf16"))) int64_t dot_bf16_avx512(int64_t rounds) {
  const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
  constexpr int kSums = 16;
  __m512 sums[kSums];
  volatile float start = 0;  // unknown to the compiler, which would merge equal sums
  for (auto& sum : sums) sum = _mm512_set1_ps(start);
  for (int64_t i = 0; i < rounds; i++)
    for (auto& sum : sums) sum = _mm512_dpbf16_ps(sum, ones, ones);
  for (int i = 1; i < kSums; i++) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  volatile float sink = _mm512_cvtss_f32(sums[0]);
  (void)sink;
  return rounds * kSums * 64;  // 16 lanes, two products each
}

__attribute__((target("avx512f,avx512vnni"))) int64_t dot_int8_avx512(int64_t rounds) {
  const __m512i ones = _mm512_set1_epi8(1);
  constexpr int kSums = 16;
  __m512i sums[kSums];
  volatile int start = 0;
  for (auto& sum : sums) sum = _mm512_set1_epi32(start);
  for (int64_t i = 0; i < rounds; i++)
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, ones, ones);
  for (int i = 1; i < kSums; i++) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  volatile int sink = _mm_cvtsi128_si32(_mm512_castsi512_si128(sums[0]));
  (void)sink;
  return rounds * kSums * 128;  // 16 lanes, four products each
}

#define HEARTH_TILES __attribute__((target("amx-tile,amx-bf16,amx-int8")))

/// Rounds of four tile products, of `products` each for every sum. The intrinsics take their tiles
/// as constants.
template <class Four>
HEARTH_TILES int64_t tile_rounds(int64_t rounds, int64_t products, const Four& four) {
  cpu::TileConfig config;
  for (int tile = 0; tile < 8; tile++) config.set(tile, 16);
  asm volatile("" ::: "memory");  // the intrinsics do not tell the compiler what they read
  _tile_loadconfig(&config);
  for (int64_t i = 0; i < rounds; i++) four();
  _tile_release();
  return rounds * 4 * 16 * 16 * 2 * products;
}

HEARTH_TILES int64_t tile_bf16_amx(int64_t rounds) {
  return tile_rounds(rounds, 32, []() HEARTH_TILES {
    _tile_dpbf16ps(0, 6, 7);
    _tile_dpbf16ps(1, 6, 7);
    _tile_dpbf16ps(2, 6, 7);
    _tile_dpbf16ps(3, 6, 7);
  });
}

HEARTH_TILES int64_t tile_int8_amx(int64_t rounds) {
  return tile_rounds(rounds, 64, []() HEARTH_TILES {
    _tile_dpbssd(0, 6, 7);
    _tile_dpbssd(1, 6, 7);
    _tile_dpbssd(2, 6, 7);
    _tile_dpbssd(3, 6, 7);
  });
}

}  // namespace

int64_t dot_bf16(int64_t rounds) {
  return cpu::isa() >= cpu::Isa::avx512_bf16 ? dot_bf16_avx512(rounds) : 0;
}

int64_t dot_int8(int64_t rounds) {
  static const bool has = __builtin_cpu_supports("avx512vnni");
  return has && cpu::isa() >= cpu::Isa::avx512 ? dot_int8_avx512(rounds) : 0;
}

// All processors with one kind of tiles have the other.
int64_t tile_bf16(int64_t rounds) {
  return cpu::isa() >= cpu::Isa::amx_bf16 ? tile_bf16_amx(rounds) : 0;
}

int64_t tile_int8(int64_t rounds) {
  return cpu::isa() >= cpu::Isa::amx_bf16 ? tile_int8_amx(rounds) : 0;
}

uint64_t ticks() { return __builtin_ia32_rdtsc(); }
#else
int64_t dot_bf16(int64_t) { return 0; }
int64_t dot_int8(int64_t) { return 0; }
int64_t tile_bf16(int64_t) { return 0; }
int64_t tile_int8(int64_t) { return 0; }

#if HWY_ARCH_ARM_A64
uint64_t ticks() {
  uint64_t count;
  asm volatile("mrs %0, cntvct_el0" : "=r"(count));
  return count;
}
#else
uint64_t ticks() { return 0; }
#endif
#endif

bool chain_of_adds(int64_t n) {
  [[maybe_unused]] int64_t x = 1, one = 1;
  for (int64_t i = 0; i < n; i += 64) {
#if HWY_ARCH_X86_64
    asm volatile(".rept 64\n\tadd %1, %0\n\t.endr" : "+r"(x) : "r"(one));
#elif HWY_ARCH_ARM_A64
    asm volatile(".rept 64\n\tadd %0, %0, %1\n\t.endr" : "+r"(x) : "r"(one));
#else
    return false;
#endif
  }
  return true;
}

}  // namespace hearth::lab
#endif  // HWY_ONCE
