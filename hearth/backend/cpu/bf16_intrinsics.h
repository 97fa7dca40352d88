// AVX512-BF16 by intrinsics, since Highway 1.0.3 has no such level: what is marked HEARTH_BF16 is
// called only where the processor has it.
#pragma once
#include <hwy/base.h>
#if HWY_ARCH_X86

#if defined(__GNUC__) && !defined(__clang__)  // g++ 12 blames its own _mm512_undefined_pd
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#define HEARTH_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define HEARTH_BF16_INLINE HEARTH_BF16 __attribute__((always_inline)) inline

#endif  // HWY_ARCH_X86
