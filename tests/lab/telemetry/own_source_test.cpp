// A source of telemetry is one file: this one has it, and what holds it to that.
#include <gmock/gmock.h>

#include <algorithm>
#include <thread>

#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {
namespace {

bool asked_for = false;  // the other tests of this program have none of it

class Tea : public Telemetry {
 public:
  std::string_view source() const override { return "kettle"; }
  const std::vector<Field>& fields() const override { return fields_; }
  std::vector<Reading<double>> sample(double) override { return {96.0}; }

 private:
  std::vector<Field> fields_ = {{"tea_temperature_c", "degrees C"}};
};

#if defined(__APPLE__)
constexpr System here = System::mac_os, elsewhere = System::linux_os;
#else
constexpr System here = System::linux_os, elsewhere = System::mac_os;
#endif
std::unique_ptr<Telemetry> make_tea(const Path&, pid_t) {
  return asked_for ? std::make_unique<Tea>() : nullptr;
}
const TelemetrySource source{here, 75, make_tea};
const TelemetrySource foreign{elsewhere, 75, make_tea};

std::vector<std::string> names(const TelemetryList& list) {
  std::vector<std::string> all;
  for (const auto& one : list) all.emplace_back(one->source());
  return all;
}

TEST(TelemetrySources, AreWhatTheirFilesRegisterInTheOrderOfTheirPlaces) {
  const auto before = names(find_telemetry("/nowhere", 0));
  EXPECT_THAT(before, ::testing::Not(::testing::Contains("kettle")));
  asked_for = true;
  auto list = find_telemetry("/nowhere", 0);
  asked_for = false;
  const auto after = names(list);
  ASSERT_EQ(std::ranges::count(after, "kettle"), 1);
  auto without = after;
  std::erase(without, "kettle");
  EXPECT_EQ(without, before);

  Sampler sampler(std::move(list), 0.001);
  Timeline timeline;
  while (timeline.time_s.empty()) timeline = sampler.take();
  const Channel* tea = timeline.find("tea_temperature_c");
  ASSERT_TRUE(tea);
  EXPECT_EQ(tea->source, "kettle");
  EXPECT_EQ(tea->values.front(), 96.0);
}

#if !defined(__APPLE__)
TEST(TelemetrySources, OfLinuxComeInThisOrder) {
  EXPECT_THAT(names(find_telemetry("/nowhere", 0)),
              ::testing::ElementsAre("proc", "cpufreq", "clock probe", "rapl", "hwmon", "nvml",
                                     "GPU clock probe"));
  EXPECT_THAT(names(find_telemetry("/nowhere", 1)),
              ::testing::ElementsAre("proc", "proc", "cpufreq", "clock probe", "perf_event", "rapl",
                                     "hwmon", "nvml", "GPU clock probe"));
}
#endif

}  // namespace
}  // namespace hearth::lab
