// Which stream an operation goes to: its own, the scope's, the device's.
#include "hearth/core/device.h"

#include <gtest/gtest.h>

#include <thread>

#include "hearth/ops/ops.h"
#include "tests/on_device.h"

namespace hearth {
namespace {

TEST(Streams, ScopesNestAndEnd) {
  const Stream outside = ambient_stream(), a = new_stream(Device::cpu), b = new_stream(Device::cpu);
  EXPECT_NE(a, b);
  EXPECT_NE(a, outside);
  {
    const StreamScope first(a);
    EXPECT_EQ(ambient_stream(), a);
    {
      const StreamScope second(b);
      EXPECT_EQ(ambient_stream(), b);
      const StreamScope nothing{StreamOrDevice()};
      EXPECT_EQ(ambient_stream(), b);
      const StreamScope device{Device::cpu};
      EXPECT_EQ(ambient_stream(), default_stream(Device::cpu));
      EXPECT_EQ(add(array(1.0f), array(1.0f), a).node().stream, a);  // its own goes before all
    }
    EXPECT_EQ(ambient_stream(), a);
    EXPECT_EQ(add(array(1.0f), array(1.0f)).node().stream, a);
    std::thread([&] { EXPECT_EQ(ambient_stream(), outside); }).join();  // of this thread alone
  }
  EXPECT_EQ(ambient_stream(), outside);
}

TEST(Streams, EachDeviceHasADefaultThatCanBeChosen) {
  HEARTH_CPU_ONLY("the ambient stream is of another device");
  const Stream before = default_stream(Device::cpu), other = new_stream(Device::cpu);
  set_default_stream(other);
  EXPECT_EQ(default_stream(Device::cpu), other);
  EXPECT_EQ(ambient_stream(), other);
  EXPECT_EQ(to_string(other), "cpu#" + std::to_string(other.index));
  set_default_stream(before);
  EXPECT_EQ(ambient_stream(), before);
  EXPECT_THROW(new_stream({Device::cpu, 1}), std::invalid_argument);
  EXPECT_THROW(set_default_stream({0, {Device::cpu, 1}}), std::invalid_argument);
  EXPECT_THROW(set_default_device({Device::cpu, 1}), std::invalid_argument);
  EXPECT_FALSE(is_available({Device::cpu, -1}));
  EXPECT_EQ(device_count(Device::cpu), 1);
}

}  // namespace
}  // namespace hearth
