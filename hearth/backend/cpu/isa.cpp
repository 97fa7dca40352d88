#include "hearth/backend/cpu/isa.h"

#include <hwy/targets.h>
#if HWY_ARCH_X86
#include <cpuid.h>
#if defined(__linux__) && HWY_ARCH_X86_64
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#include <algorithm>
#include <atomic>

#include "hearth/base/error.h"
#include "hearth/base/listed.h"
#include "hearth/base/system.h"

namespace hearth::cpu {
namespace {

// Those with kernels of their own in this build: see HWY_DISABLED_TARGETS in isa.h.
#ifdef HEARTH_FEW_ISAS
constexpr Isa kLevels[] = {Isa::portable, Isa::avx2, Isa::avx512_bf16, Isa::amx_bf16};
#else
constexpr Isa kLevels[] = {Isa::portable, Isa::sse4,        Isa::avx2,
                           Isa::avx512,   Isa::avx512_bf16, Isa::amx_bf16};
#endif
constexpr std::string_view kNames[] = {"portable", "sse4",        "avx2",
                                       "avx512",   "avx512_bf16", "amx_bf16"};
static_assert(std::size(kNames) == size_t(Isa::amx_bf16) + 1);

#if HWY_ARCH_X86
/// Tiles have 8 KB of registers a thread, which Linux gives only to a process that asks for them.
bool may_use_tiles() {
#if defined(__linux__) && HWY_ARCH_X86_64
  unsigned a, b, c, d;
  constexpr unsigned kTile = 1u << 24, kBf16 = 1u << 22;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kTile) == 0 || (d & kBf16) == 0)
    return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // asm/prctl.h; XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

/// Those of Highway's targets that this machine has, each as Highway defines it.
int64_t find_targets() {
#if HWY_ARCH_X86
  const auto all = [](auto... has) { return (has && ...); };
#define HAS(feature) bool(__builtin_cpu_supports(feature))
  if (!all(HAS("ssse3"), HAS("sse4.1"), HAS("sse4.2"), HAS("aes"), HAS("pclmul"))) return 0;
  unsigned a = 0, b = 0, c = 0, d = 0;
  __get_cpuid(1, &a, &b, &c, &d);
  constexpr unsigned kF16c = 1u << 29;
  if (!all(HAS("avx2"), HAS("fma"), HAS("bmi"), HAS("bmi2"), (c & kF16c) != 0)) return HWY_SSE4;
  if (!all(HAS("avx512f"), HAS("avx512vl"), HAS("avx512dq"), HAS("avx512bw"), HAS("avx512cd")))
    return HWY_SSE4 | HWY_AVX2;
#undef HAS
  // vbmi, vbmi2, gfni, vaes, vpclmulqdq, vnni, bitalg, vpopcntdq
  constexpr unsigned kIceLake = 0x5f42;
  __get_cpuid_count(7, 0, &a, &b, &c, &d);
  return HWY_SSE4 | HWY_AVX2 | HWY_AVX3 | ((c & kIceLake) == kIceLake ? int64_t{HWY_AVX3_DL} : 0);
#else
  return HWY_TARGETS;
#endif
}
int64_t machine_targets() {
  static const int64_t found = find_targets();
  return found;
}

Isa best() {
#if HWY_ARCH_X86
  const int64_t targets = machine_targets();
  if (!(targets & HWY_SSE4)) return Isa::portable;
  if (!(targets & HWY_AVX2)) return Isa::sse4;
  if (!(targets & HWY_AVX3)) return Isa::avx2;
  if (!__builtin_cpu_supports("avx512bf16")) return Isa::avx512;
  static const bool tiles = may_use_tiles();
  return tiles ? Isa::amx_bf16 : Isa::avx512_bf16;
#else
  return Isa::portable;
#endif
}

bool is_zen5_or_later() {
#if HWY_ARCH_X86
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_AMD_ebx) return false;
  __get_cpuid(1, &a, &b, &c, &d);
  const unsigned family = (a >> 8 & 0xf) + (a >> 20 & 0xff);
  return family >= 0x1a;
#else
  return false;
#endif
}

std::atomic<bool>& prefetching() {
  static std::atomic<bool> the{is_zen5_or_later()};
  return the;
}

int64_t targets_of(Isa level) {
  int64_t targets = machine_targets();
#if HWY_ARCH_X86
  if (level < Isa::avx512) targets &= ~int64_t{HWY_AVX3 | HWY_AVX3_DL};
  if (level < Isa::avx2) targets &= ~int64_t{HWY_AVX2};
  if (level < Isa::sse4) targets &= ~int64_t{HWY_SSE4};
#endif
  return HWY_CHOSEN_TARGET_SHIFT(targets);
}

struct State {
  std::atomic<Isa> level{best()};
  std::atomic<int64_t> targets;
  const char* unknown = nullptr;  // HEARTH_ISA, when it names no level: thrown at the first use
  State() {
    if (const char* text = setting("HEARTH_ISA")) {
      const auto* name = std::find(std::begin(kNames), std::end(kNames), text);
      if (name == std::end(kNames))
        unknown = text;
      else
        level = std::min(best(), Isa(name - kNames));
    }
    targets = targets_of(level);
  }
};

State& state() {
  static State the;
  return the;
}

}  // namespace

std::string_view to_string(Isa level) { return kNames[size_t(level)]; }

std::span<const Isa> isa_levels() {
  return {kLevels, std::upper_bound(std::begin(kLevels), std::end(kLevels), best())};
}

Isa isa() {
  const State& s = state();
  if (s.unknown) [[unlikely]]
    check(false, "HEARTH_ISA: '", std::string_view(s.unknown), "' is not one of ",
          listed(std::span(kNames)));
  return s.level.load(std::memory_order_relaxed);
}

void set_isa(Isa level) {
  check(level <= best(), "set_isa: this machine has no ", to_string(level), "; its best is ",
        to_string(best()));
  state().level = level;
  state().targets = targets_of(level);
}

int64_t isa_targets() { return state().targets.load(std::memory_order_relaxed); }

bool prefetches_runs() { return prefetching().load(std::memory_order_relaxed); }
void set_prefetches_runs(bool yes) { prefetching() = yes; }

}  // namespace hearth::cpu
