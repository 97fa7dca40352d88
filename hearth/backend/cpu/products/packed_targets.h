// Instruction sets of the kernels for packed weights, which are many: AVX-512 with what Ice Lake
// and Zen 4 brought (vpmultishiftqb), and AVX2 for machines with less. Instead of isa.h, before
// Highway's headers.
#pragma once
#define HWY_WANT_AVX3_DL
#include "hearth/backend/cpu/isa.h"

#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3 | HEARTH_FEW_TARGETS | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128)
