// Devices by name, and those that are not there.
#include "hearth/core/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "hearth/core/allocate.h"
#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "hearth/ops/ops.h"

namespace hearth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A device of a kind that there is, and of one that there may not be.
std::vector<Device> absent_devices() {
  std::vector<Device> all;
  for (const auto type : {Device::cpu, Device::cuda, Device::vulkan}) {
    all.emplace_back(type, device_count(type));
    all.emplace_back(type, -1);
  }
  return all;
}

TEST(Devices, OneThatIsNotThereIsAnErrorWhereverItIsNamed) {
  const array x({1.0f, 2.0f}), y({3.0f, 4.0f});
  for (const Device device : absent_devices()) {
    const std::pair<const char*, std::function<void()>> uses[] = {
        {"add", [&] { add(x, y, device); }},
        {"add on a stream",
         [&] {
           add(x, y, Stream{0, device});
         }},
        {"matmul", [&] { matmul(x, y, device); }},
        {"zeros", [&] { zeros({2}, float32, device); }},
        {"random", [&] { random::uniform({2}, float32, std::nullopt, device); }},
        {"positive", [&] { positive(x, device); }},
        {"scope", [&] { StreamScope scope{device}; }},
        {"default device", [&] { set_default_device(device); }},
        {"default stream",
         [&] {
           set_default_stream({0, device});
         }},
        {"new stream", [&] { new_stream(device); }},
        {"place",
         [&] {
           place({&x, 1}, device);
         }},
        {"uninitialized",
         [&] {
           uninitialized({2}, float32, {0, device});
         }},
    };
    for (const auto& [name, use] : uses) {
      try {
        use();
        ADD_FAILURE() << name << " took " << to_string(device);
      } catch (const std::invalid_argument& error) {
        EXPECT_THAT(error.what(), AllOf(HasSubstr("there is no device " + to_string(device)),
                                        HasSubstr("there are: cpu")))
            << name;
      }
    }
  }
  EXPECT_EQ(ambient_stream().device, default_device());  // nothing of them stays
  clear_cache();                                         // which waits for every stream there is
}

TEST(Devices, ANameThatIsNoneSaysWhichThereAre) {
  for (const std::string name : {"metal", "", "cpu:", "cpu:x", "cpu:1000", "CPU", "gpu"}) try {
      parse_device(name);
      ADD_FAILURE() << name;
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(),
                  AllOf(HasSubstr("there is no '" + name + "'"), HasSubstr("there are: cpu")));
      const bool vulkan = device_count(Device::vulkan) > 0;
      EXPECT_TRUE(vulkan || std::string(error.what()).find("vulkan") == std::string::npos);
    }
  EXPECT_EQ(parse_device("cpu"), Device(Device::cpu));
}

}  // namespace
}  // namespace hearth
