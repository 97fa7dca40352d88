#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "hearth/lab/telemetry/samples.h"
#include "hearth/lab/telemetry/telemetry.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

// Counts its calls, and knows no odd ones.
class Odd : public Telemetry {
 public:
  explicit Odd(std::atomic<int>* calls) : calls_(calls) {}
  std::string_view source() const override { return "odd"; }
  const std::vector<Field>& fields() const override { return fields_; }
  std::vector<Reading<double>> sample(double) override {
    const int call = (*calls_)++;
    return {double(call), call % 2 ? Reading<double>::missing("it is odd") : double(call)};
  }

 private:
  std::atomic<int>* calls_;
  std::vector<Field> fields_ = {{"calls", "per s"}, {"even", "W"}};
};

TelemetryList odd(std::atomic<int>& calls) {
  TelemetryList list;
  list.push_back(std::make_unique<Odd>(&calls));
  return list;
}

void wait_for(const std::atomic<int>& calls, int wanted) {
  while (calls < wanted) std::this_thread::yield();
}

TEST(TelemetrySampler, KeepsEverySampleWithItsTimeAndTheReasonOfWhatIsMissing) {
  std::atomic<int> calls = 0;
  Sampler sampler(odd(calls), 0.001);
  wait_for(calls, 6);
  const Timeline timeline = sampler.stop();
  ASSERT_GE(timeline.time_s.size(), 4u);
  ASSERT_EQ(timeline.channels.size(), 2u);
  const Channel &all = timeline.channels[0], &even = timeline.channels[1];
  EXPECT_EQ(all.name, "calls");
  EXPECT_EQ(all.source, "odd");
  EXPECT_EQ(even.unit, "W");
  EXPECT_EQ(even.reason, "it is odd");
  EXPECT_EQ(all.reason, "");
  for (size_t i = 0; i < timeline.time_s.size(); ++i) {
    ASSERT_EQ(all.values[i], double(i + 1));  // the first call only begins the rates
    ASSERT_EQ(even.values[i].has_value(), i % 2 == 1);
  }
  EXPECT_TRUE(std::ranges::is_sorted(timeline.time_s));
  EXPECT_GT(*timeline.sampler_cpu_s.value, 0);
}

TEST(TelemetrySampler, TakesWhatThereIsAndGoesOn) {
  std::atomic<int> calls = 0;
  Sampler sampler(odd(calls), 0.001);
  wait_for(calls, 3);
  const Timeline first = sampler.take();
  wait_for(calls, calls + 3);
  const Timeline second = sampler.stop();
  ASSERT_FALSE(first.time_s.empty());
  ASSERT_FALSE(second.time_s.empty());
  EXPECT_GT(second.time_s.front(), first.time_s.back());
  EXPECT_EQ(*second.channels[0].values.front(), *first.channels[0].values.back() + 1);
  EXPECT_TRUE(sampler.stop().time_s.empty());
}

TEST(TelemetrySampler, RefusesAPeriodThatIsNone) {
  for (double period : {0.0, -1.0, 1e-6, 1e9, double(NAN)}) {
    std::atomic<int> calls = 0;
    EXPECT_THAT(error_of<std::invalid_argument>([&] { Sampler(odd(calls), period); }),
                HasSubstr("period"));
  }
}

// Made-up samples of a Mac.
Timeline mac() {
  Timeline t;
  t.time_s = {0.5, 1.0};
  t.channels = {{"gpu_power_w", "W", "ioreport", "", {10, 12}},
                {"cpu_active_fraction.P-Cluster", "fraction", "ioreport", "", {0.25, 0.5}},
                {"cpu_clock_mhz.P-Cluster", "MHz", "ioreport", "not active", {3000, {}}},
                {"gpu_power_w", "W", "powermetrics", "no sample yet", {{}, 11}},
                {"thermal_pressure_level", "0 to 4", "powermetrics", "no sample yet", {{}, 1}}};
  return t;
}

TEST(TelemetrySamples, HaveTheKeysOfACaptureAndTheReasonOfEveryNull) {
  const auto samples = samples_json(mac());
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[1]["elapsed_s"], 0.5);
  EXPECT_EQ(samples[1]["gpu_power_w"], 12);  // of the first source
  EXPECT_EQ(samples[1]["thermal_pressure"], "Moderate");
  EXPECT_EQ(samples[0]["clusters"][0]["name"], "P-Cluster");
  EXPECT_EQ(samples[0]["clusters"][0]["clock_mhz"], 3000);
  EXPECT_EQ(samples[0]["clusters"][0]["active_fraction"], 0.25);
  EXPECT_TRUE(samples[1]["clusters"][0]["clock_mhz"].is_null());
  EXPECT_EQ(samples[1]["reasons"]["cpu_clock_mhz.P-Cluster"], "not active");
  for (const auto& sample : samples)
    for (const auto& [key, value] : sample.items())
      EXPECT_EQ(value.is_null(), sample["reasons"].contains(key)) << key;
  Timeline garbage = mac();
  garbage.channels[4].values = {-1, 1e9};
  EXPECT_TRUE(samples_json(garbage)[1]["thermal_pressure"].is_null());
}

TEST(TelemetrySamples, OfSeveralTurnsAreOneTimeline) {
  const auto turn = [](double from, std::vector<Channel> channels) {
    Timeline t;
    t.time_s = {from, from + 1};
    t.channels = std::move(channels);
    t.sampler_cpu_s = 0.25;
    return t;
  };
  Timeline all;
  append(all, turn(1, {{"a", "W", "x", "", {1, 2}}, {"b", "W", "x", "", {5, 6}}}));
  for (const Channel& c : all.channels) EXPECT_EQ(c.reason, "");
  append(all, turn(3, {{"a", "W", "x", "lost", {3, {}}}, {"a", "W", "y", "", {7, 8}}}));
  append(all, turn(5, {{"a", "W", "x", "", {4, 5}}, {"a", "W", "y", "", {9, 10}}}));
  EXPECT_THAT(all.time_s, ElementsAre(1, 2, 3, 4, 5, 6));
  ASSERT_EQ(all.channels.size(), 3u);
  const std::optional<double> none;
  EXPECT_THAT(all.channels[0].values, ElementsAre(1, 2, 3, none, 4, 5));
  EXPECT_EQ(all.channels[0].reason, "lost");
  EXPECT_THAT(all.channels[1].values, ElementsAre(5, 6, none, none, none, none));
  EXPECT_EQ(all.channels[1].reason, "not sampled all the time");
  EXPECT_EQ(all.channels[2].source, "y");
  EXPECT_THAT(all.channels[2].values, ElementsAre(none, none, 7, 8, 9, 10));
  EXPECT_EQ(all.channels[2].reason, "not sampled all the time");
  EXPECT_EQ(all.sampler_cpu_s.value, 0.75);
}

TEST(TelemetrySamples, SourcesThatAreMoreThanATenthApartAreNamed) {
  Timeline t = mac();
  EXPECT_TRUE(discrepancies(t).empty());  // 12 against 11
  t.channels[3].values[1] = 10;
  EXPECT_THAT(discrepancies(t),
              ElementsAre("gpu_power_w: ioreport says 12, powermetrics says 10 W"));
  t.channels[3].source = "ioreport";  // two GPUs of one source, say
  EXPECT_TRUE(discrepancies(t).empty());
  t.channels[3].source = "powermetrics";
  for (const auto& [a, b, said] : {std::tuple(10.0, 9.0, 0), {10.0, 8.9, 1}, {9.0, 10.0, 0}}) {
    t.channels[0].values = {a, a + 4}, t.channels[3].values = {b, b + 4};
    t.channels[0].values[0] = a - 4, t.channels[3].values[0] = b - 4;  // the means count
    EXPECT_EQ(discrepancies(t).size(), size_t(said)) << a << " " << b;
  }
  t.channels[0].unit = t.channels[3].unit = "fraction";
  for (const auto& [b, said] : {std::pair(0.12, 0), {0.121, 1}}) {
    t.channels[0].values = {0.1, 0.1}, t.channels[3].values = {b, b};
    EXPECT_EQ(discrepancies(t).size(), size_t(said)) << b;
  }
  t = mac();
  t.channels[0].values[1] = 0.02;
  t.channels[3].values[1] = 0.05;  // far apart, and nothing
  EXPECT_TRUE(discrepancies(t).empty());
  t.channels[3].values[1] = std::nullopt;
  EXPECT_TRUE(discrepancies(t).empty());
}

TEST(TelemetrySamples, StatesAreListsInTheirOrder) {
  EXPECT_EQ(state_field("gpu_states", 7, "1182"), "gpu_state_fraction.7.1182");
  EXPECT_EQ(parse_state_field("gpu_sw_state_fraction.0.a.b")->list, "gpu_sw_states");
  EXPECT_EQ(parse_state_field("gpu_sw_state_fraction.0.a.b")->state, "a.b");
  for (const char* other : {"gpu_clock_mhz", "cpu_active_fraction.0", "gpu_state_fraction.0"})
    EXPECT_FALSE(parse_state_field(other)) << other;
  Timeline t = mac();
  for (const char* source : {"ioreport", "powermetrics"})
    for (size_t i = 0; i < 2; ++i)  // the same name twice, and a second source that does not mix in
      t.channels.push_back({state_field("gpu_states", i, "1182") + (source[0] == 'p' ? "x" : ""),
                            "fraction",
                            source,
                            "no sample yet",
                            {std::nullopt, i ? 0.75 : 0.25}});
  const auto samples = samples_json(t);
  EXPECT_TRUE(samples[0]["gpu_states"].is_null());
  EXPECT_EQ(samples[0]["reasons"]["gpu_states"], "no sample yet");
  ASSERT_EQ(samples[1]["gpu_states"].size(), 2u);
  EXPECT_EQ(samples[1]["gpu_states"][0]["state"], "1182");
  EXPECT_EQ(samples[1]["gpu_states"][0]["fraction"], 0.25);
  EXPECT_EQ(samples[1]["gpu_states"][1]["fraction"], 0.75);
  EXPECT_TRUE(samples[1]["gpu_requested_states"].is_null());
}

}  // namespace
}  // namespace hearth::lab
