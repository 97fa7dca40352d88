// Instruction sets: which the machine has, which is in use, and which ones kernels are built for.
// Kernel files include this before Highway's headers, so that all are built for the same targets.
#pragma once
#include <bit>
#include <cstdint>
#include <span>
#include <string_view>

// Highway builds each kernel for plain x86-64 (by g++ 12 one element at a time: HWY_SCALAR), SSE4,
// AVX2 and AVX-512, or for NEON.
#ifdef HEARTH_FEW_ISAS  // for instrumented builds: plain and AVX2
#define HEARTH_FEW_TARGETS (HWY_SSE4 | HWY_AVX3 | HWY_AVX3_DL)
#else
#define HEARTH_FEW_TARGETS 0
#endif
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HEARTH_FEW_TARGETS | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128)

namespace hearth::cpu {

/// What kernels may use, each level containing those before it. avx512_bf16 and amx_bf16 are not
/// Highway's (1.0.3): kernels of these levels are intrinsics in files of their own.
enum class Isa : uint8_t { portable, sse4, avx2, avx512, avx512_bf16, amx_bf16 };

/// "portable", "sse4", "avx2", "avx512", "avx512_bf16" or "amx_bf16".
std::string_view to_string(Isa level);

/// The levels that this machine can run and this build has kernels for, lowest first.
std::span<const Isa> isa_levels();

/// The level in use: the machine's best, or HEARTH_ISA's if that is lower (throws for an unknown
/// name).
Isa isa();

/// Changes it for all kernels; not while kernels run. For tests.
void set_isa(Isa level);

/// Highway's targets that this level contains and the machine has, a bit each as in its tables.
int64_t isa_targets();

/// Whether the processor itself prefetches four runs of memory as fast as one (AMD's Zen 5 and
/// later): software that fetches ahead then costs more than it gives.
bool prefetches_runs();
/// Changes it, for tests: no result depends on it.
void set_prefetches_runs(bool yes);

}  // namespace hearth::cpu

// Highway's HWY_EXPORT and HWY_DYNAMIC_DISPATCH without libhwy, which measures its clock for 2 ms
// before main. Which targets have kernels differs from file to file (packed_targets.h).
#define HEARTH_EXPORT(f)                                                     \
  static decltype(&HWY_STATIC_DISPATCH(f)) const HWY_DISPATCH_TABLE(f)[] = { \
      HWY_CHOOSE_TARGET_LIST(f), HWY_CHOOSE_FALLBACK(f)}
#define HEARTH_DISPATCH(f)                                                                \
  (*HWY_DISPATCH_TABLE(f)[std::countr_zero(                                               \
      uint64_t((hearth::cpu::isa_targets() & HWY_CHOSEN_TARGET_SHIFT(HWY_TARGETS)) >> 1 | \
               HWY_CHOSEN_TARGET_MASK_SCALAR >> 1))])
