// hearth lab telemetry, run as a user would.
#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;

TEST(LabTelemetry, ShowsTheSamplesOfACapture) {
  const std::string file = source_path("tests/lab/data/m1_max.plist");
  const auto json = json_of({"lab", "telemetry", "--powermetrics", file});
  ASSERT_EQ(json["samples"].size(), 2u);
  const auto& sample = json["samples"][0];
  EXPECT_DOUBLE_EQ(sample["elapsed_s"], 0.5);
  EXPECT_DOUBLE_EQ(sample["gpu_clock_mhz"], 388);
  EXPECT_DOUBLE_EQ(sample["gpu_active_fraction"], 0.95);
  EXPECT_EQ(sample["thermal_pressure"], "Nominal");
  EXPECT_EQ(sample["clusters"].size(), 3u);
  EXPECT_EQ(sample["clusters"][1]["name"], "P0-Cluster");
  const Finished text = run_hearth({"lab", "telemetry", "--powermetrics", file});
  EXPECT_THAT(text.out, HasSubstr("P0-Cluster 3036, 25 %"));
  EXPECT_THAT(text.out, HasSubstr("P1 100 %"));
  EXPECT_EQ(sample["gpu_requested_states"][0]["state"], "P1");
  EXPECT_EQ(sample["gpu_requested_states"][0]["fraction"], 1);
  EXPECT_EQ(sample["gpu_states"][0]["state"], "idle");
}

TEST(LabTelemetry, SaysWhatThisMachineTellsAndWhyNotTheRest) {
  const auto json = json_of({"lab", "telemetry", "--seconds", "0.2", "--period", "0.05"});
  ASSERT_FALSE(json["samples"].empty());
  const auto& sample = json["samples"][0];
  EXPECT_TRUE(sample["cpu_active_fraction"].is_number());
  EXPECT_TRUE(sample["cpu_clock_probe_mhz"].is_number());
  for (const auto& [key, value] : sample.items())
    EXPECT_EQ(value.is_null(), sample["reasons"].contains(key)) << key;
  EXPECT_TRUE(sample.contains("ane_power_w"));
  EXPECT_TRUE(sample.contains("gpu_requested_states"));
  EXPECT_TRUE(json["discrepancies"].empty());
  EXPECT_GT(json["sampler_cpu_ms_per_s"], 0);
}

TEST(LabTelemetry, FilesThatAreNoCaptureAreErrors) {
  TempFolder folder;
  const std::string cut = "<?xml version=\"1.0\"?><plist><dict><key>gpu</key>";
  for (const auto& [content, said] : {std::pair<std::string, const char*>{"", "empty"},
                                      {"garbage", "holds no sample"},
                                      {cut, "cut short"}}) {
    const std::string file = folder.write("capture", content);
    const Finished f = run_hearth({"lab", "telemetry", "--powermetrics", file});
    EXPECT_EQ(f.exit_code, 1);
    EXPECT_THAT(f.err, HasSubstr(said));
  }
  EXPECT_EQ(run_hearth({"lab", "telemetry", "--powermetrics", "/nowhere"}).exit_code, 1);
  EXPECT_EQ(run_hearth({"lab", "telemetry", "--seconds", "-1"}).exit_code, 2);
}

}  // namespace
}  // namespace hearth::testing
