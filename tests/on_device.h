// What differs by design between the CPU and other devices (docs/design.md), for the tests of what
// the CPU alone promises.
#pragma once
#include <gtest/gtest.h>

#include "hearth/core/device.h"

namespace hearth::testing {

/// Do operations run elsewhere than on the CPU (HEARTH_DEVICE)?
inline bool on_device() { return default_device() != Device::cpu; }

}  // namespace hearth::testing

/// Skips the rest of a test of the CPU alone, with the reason.
#define HEARTH_CPU_ONLY(why) \
  if (::hearth::testing::on_device()) GTEST_SKIP() << "of the CPU alone: " << (why)

namespace hearth::testing {
inline constexpr const char* kBits = "products elsewhere have the bits of their number of rows";
inline constexpr const char* kThrows = "a kernel elsewhere cannot throw";
}  // namespace hearth::testing
