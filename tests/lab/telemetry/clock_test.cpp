// The clock of a device, measured on the device.
#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "hearth/lab/measure/limits.h"
#include "tests/lab/telemetry/readings.h"

namespace hearth::lab {
namespace {

using ::testing::HasSubstr;
using testing::read;

// A card whose clock is what a test says.
class Card : public Backend {
 public:
  explicit Card(std::vector<double> clocks) : clocks_(std::move(clocks)) {}
  Device::DeviceType type() const override { return Device::vulkan; }
  int device_count() const override { return 1; }
  std::string describe(int) const override { return "a card"; }
  DeviceMemory memory(int) const override { return {}; }
  std::unique_ptr<Queue> queue(Stream) override { return nullptr; }
  std::vector<double> clock_mhz(int, double seconds) override {
    if (clocks_.empty()) return {};
    if (clocks_.front() < 0) throw std::runtime_error("the card is lost");
    asked_s += seconds;
    return clocks_;
  }
  double asked_s = 0;

 private:
  std::vector<double> clocks_;
};

TEST(DeviceClock, IsTheLastSampleOfAShortProgram) {
  Card card({345, 1410});
  const auto source = gpu_clock_probe_telemetry(&card);
  EXPECT_EQ(source->source(), "GPU clock probe");
  EXPECT_EQ(read(*source, 1)["gpu_clock_mhz"], 1410);
  EXPECT_LT(card.asked_s, 0.001);
}

TEST(DeviceClock, WhatIsNotMeasuredHasAReason) {
  Card none({}), lost({-1});
  EXPECT_THAT(read(*gpu_clock_probe_telemetry(&none), 1).why("gpu_clock_mhz"),
              HasSubstr("measures no clock"));
  EXPECT_THAT(read(*gpu_clock_probe_telemetry(&lost), 1).why("gpu_clock_mhz"),
              HasSubstr("the card is lost"));
  EXPECT_THAT(read(*gpu_clock_probe_telemetry(nullptr, "no card here"), 1).why("gpu_clock_mhz"),
              HasSubstr("no card here"));
}

TEST(DeviceClock, OfADeviceWithoutBackendHasAReason) {
  if (backend(Device::cuda)) GTEST_SKIP() << "there is a CUDA device";
  EXPECT_EQ(measure_clock_mhz(Device::cuda, 0.001).reason, backend_absence(Device::cuda));
}

// NVML's clock moves every 20 ms or so: the middle of what it says while the card is at work.
TEST(DeviceClock, AgreesWithNvmlWithinThreePercent) {
  if (!backend(Device::cuda)) GTEST_SKIP() << backend_absence(Device::cuda);
  if (!nvml_clock_mhz(0).value) GTEST_SKIP() << nvml_clock_mhz(0).reason;
  measure_clock_mhz(Device::cuda, 0.4);  // awake
  std::vector<double> told, measured;
  for (int i = 0; i < 15; ++i) {
    const Reading<Samples> probe = measure_clock_mhz(Device::cuda, 0.04);
    ASSERT_TRUE(probe.value) << probe.reason;
    measured.push_back(probe.value->median);
    told.push_back(nvml_clock_mhz(0).value.value_or(0));
  }
  const Samples by_probe = summarize(std::move(measured)), by_nvml = summarize(std::move(told));
  RecordProperty("probe_mhz", std::to_string(by_probe.median));
  RecordProperty("nvml_mhz", std::to_string(by_nvml.median));
  EXPECT_NEAR(by_probe.median / by_nvml.median, 1, 0.03)
      << "probe " << by_probe.median << ", NVML " << by_nvml.median << " MHz";
}

}  // namespace
}  // namespace hearth::lab
