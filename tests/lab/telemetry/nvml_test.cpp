// NVML through a library of our own that answers as we tell it to.
#include <dlfcn.h>

#include "tests/lab/telemetry/readings.h"
#include "tests/paths.h"

namespace hearth::lab {
namespace {

using ::testing::HasSubstr;
using testing::read;
using testing::Readings;

const std::string kFake = testing::fake_library("nvml");

// Opens the fake, and tells it what it is.
class Fake {
 public:
  explicit Fake(const char* what) : handle_(dlopen(kFake.c_str(), RTLD_NOW)) {
    if (!handle_) throw std::runtime_error(dlerror());
    reinterpret_cast<void (*)(const char*)>(dlsym(handle_, "fake_nvml"))(what);
  }
  ~Fake() { dlclose(handle_); }
  void limit(unsigned long long bits) {
    reinterpret_cast<void (*)(unsigned long long)>(dlsym(handle_, "fake_nvml_limits"))(bits);
  }
  Fake(const Fake&) = delete;

 private:
  void* handle_;
};

TEST(Nvml, TellsOfEveryGpu) {
  Fake fake("ok");
  const auto source = nvml_telemetry(kFake);
  EXPECT_THAT(read(*source, 1).why("gpu_counted_power_w"), HasSubstr("second sample"));
  const Readings r = read(*source, 1.5);
  EXPECT_DOUBLE_EQ(r["gpu_active_fraction"], 0.32);
  EXPECT_DOUBLE_EQ(r["gpu_memory_active_fraction"], 0.11);
  EXPECT_DOUBLE_EQ(r["gpu_clock_mhz"], 1755);
  EXPECT_DOUBLE_EQ(r["gpu_clock_max_mhz"], 1980);
  EXPECT_DOUBLE_EQ(r["gpu_memory_clock_mhz"], 2500);
  EXPECT_DOUBLE_EQ(r["gpu_power_w"], 123.456);
  EXPECT_NEAR(r["gpu_counted_power_w"], 200, 1e-9);  // both GPUs count: 100 J in 0.5 s
  EXPECT_DOUBLE_EQ(r["gpu_temperature_c"], 41);
  EXPECT_DOUBLE_EQ(r["gpu_memory_used_bytes"], 30'000);
  EXPECT_DOUBLE_EQ(r["gpu_limit_power_cap"], 1);
  EXPECT_DOUBLE_EQ(r["gpu_limit_hardware_heat"], 1);
  EXPECT_DOUBLE_EQ(r["gpu_limit_sync_boost"], 1);
  EXPECT_DOUBLE_EQ(r["gpu_limit_idle"], 0);
  EXPECT_DOUBLE_EQ(r["gpu_limit_display"], 0);
  EXPECT_DOUBLE_EQ(r["gpu_clock_mhz.1"], 1756);
  EXPECT_DOUBLE_EQ(r["gpu_clock_max_mhz.1"], 1981);
}

TEST(Nvml, TellsEachReasonOfALowClockByItsBit) {
  Fake fake("ok");
  const auto source = nvml_telemetry(kFake);
  const char* names[] = {"idle",          "settings",      "power_cap",   "hardware", "sync_boost",
                         "software_heat", "hardware_heat", "power_brake", "display"};
  for (size_t bit = 0; bit < std::size(names); ++bit) {
    fake.limit(1ull << bit);
    const Readings r = read(*source, double(bit));
    for (size_t i = 0; i < std::size(names); ++i)
      EXPECT_EQ(r[std::string("gpu_limit_") + names[i]], i == bit) << names[i] << " by bit " << bit;
  }
}

TEST(Nvml, TellsFreeMemory) {
  Fake fake("ok");
  EXPECT_EQ(nvml_free_bytes(0, kFake).value, 50'000);
  EXPECT_EQ(nvml_free_bytes(1, kFake).value, 50'001);
  EXPECT_THAT(nvml_free_bytes(-1, kFake).reason, HasSubstr("no GPU -1"));
}

TEST(Nvml, TellsWhatTheMemorysClockAndWidthGive) {
  Fake fake("ok");
  EXPECT_NEAR(*nvml_nominal_gb_s(1, kFake).value, 2 * 2.620 * 5120 / 8, 1e-9);
  EXPECT_THAT(nvml_nominal_gb_s(2, kFake).reason, HasSubstr("no GPU 2"));
  Fake refuses("not supported");
  EXPECT_THAT(nvml_nominal_gb_s(0, kFake).reason, HasSubstr("Not Supported"));
  EXPECT_FALSE(nvml_nominal_gb_s(0, "/nowhere/libnvidia-ml.so.1").value);
}

TEST(Nvml, TellsTheClockAlone) {
  Fake fake("ok");
  EXPECT_EQ(nvml_clock_mhz(1, kFake).value, 1756);
  EXPECT_THAT(nvml_clock_mhz(2, kFake).reason, HasSubstr("no GPU 2"));
  Fake refuses("not supported");
  EXPECT_THAT(nvml_clock_mhz(0, kFake).reason, HasSubstr("Not Supported"));
}

TEST(Nvml, WithoutTheLibraryEveryFieldHasTheReason) {
  const auto source = nvml_telemetry("/nowhere/libnvidia-ml.so.1");
  const Readings r = read(*source, 1);
  for (const auto& [name, reading] : r.by_name)
    EXPECT_THAT(r.why(name), HasSubstr("no NVIDIA driver")) << name;
  EXPECT_TRUE(r.by_name.contains("gpu_power_w"));
}

TEST(Nvml, ALibraryThatIsNoneHasTheReason) {
  const auto source = nvml_telemetry("libm.so.6");
  EXPECT_THAT(read(*source, 1).why("gpu_power_w"), HasSubstr("lacks nvmlInit_v2"));
}

TEST(Nvml, SaysWhatTheLibrarySays) {
  for (const auto& [what, said] : {std::pair{"no driver", "Driver Not Loaded (9)"},
                                   {"no GPU", "finds no GPU"},
                                   {"permission", "Insufficient Permissions (4)"},
                                   {"not supported", "Not Supported (3)"}}) {
    Fake fake(what);
    const auto source = nvml_telemetry(kFake);
    read(*source, 1);
    const Readings r = read(*source, 2);
    for (const char* field : {"gpu_active_fraction", "gpu_clock_mhz", "gpu_power_w",
                              "gpu_counted_power_w", "gpu_limit_idle"})
      EXPECT_THAT(r.why(field), HasSubstr(said)) << what;
  }
}

}  // namespace
}  // namespace hearth::lab
