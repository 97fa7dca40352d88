#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include "hearth/lab/telemetry.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

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

}  // namespace
}  // namespace hearth::lab
