// IOReport through a library of our own that stands for a Mac's three, and counts its objects.
#include "hearth/lab/telemetry/ioreport.h"
#include "hearth/lab/telemetry/samples.h"

#include <dlfcn.h>

#include <random>
#include <thread>

#include "tests/lab/telemetry/readings.h"
#include "tests/paths.h"

namespace hearth::lab {
namespace {

using ::testing::HasSubstr;
using testing::read;
using testing::Readings;

const std::string kFakeLibrary = testing::fake_library("ioreport");
const IoReportLibraries kFake = {kFakeLibrary, kFakeLibrary, kFakeLibrary};

// Tells the fake what it is; what was created must be released in the end, and no more than that.
class Fake {
 public:
  explicit Fake(const char* what) : handle_(dlopen(kFakeLibrary.c_str(), RTLD_NOW)) {
    if (!handle_) throw std::runtime_error(dlerror());
    reinterpret_cast<void (*)(const char*)>(dlsym(handle_, "fake_ioreport"))(what);
  }
  ~Fake() {
    EXPECT_EQ(reinterpret_cast<long (*)()>(dlsym(handle_, "fake_ioreport_objects"))(), 0);
    dlclose(handle_);
  }
  Fake(const Fake&) = delete;

 private:
  void* handle_;
};

// What a Mac tells between seconds 1 and 3.
Readings two_seconds(const char* mac) {
  Fake fake(mac);
  const auto source = ioreport_telemetry(kFake);
  read(*source, 1);
  return read(*source, 3);
}

TEST(IoReport, TellsOfAnM1Max) {
  const Readings r = two_seconds("m1_max");
  EXPECT_DOUBLE_EQ(r["cpu_power_w"], 2);  // 4000 mJ, of which ECPU's 1000 are a part
  EXPECT_DOUBLE_EQ(r["gpu_power_w"], 1.25);
  EXPECT_DOUBLE_EQ(r["ane_power_w"], 0.0625);
  EXPECT_DOUBLE_EQ(r["memory_power_w"], 0.3);
  EXPECT_DOUBLE_EQ(r["gpu_clock_mhz"], (60 * 400 + 30 * 1200) / 90.0);
  EXPECT_DOUBLE_EQ(r["gpu_clock_max_mhz"], 1200);
  EXPECT_DOUBLE_EQ(r["gpu_active_fraction"], 0.9);
  EXPECT_DOUBLE_EQ(r["cpu_active_fraction.E-Cluster"], 80 / 200.0);
  EXPECT_DOUBLE_EQ(r["cpu_clock_mhz.E-Cluster"], (60 * 600 + 20 * 2064) / 80.0);
  EXPECT_DOUBLE_EQ(r["cpu_active_fraction.P0-Cluster"], 0.25);
  EXPECT_DOUBLE_EQ(r["cpu_clock_mhz.P0-Cluster"], 3228);
  EXPECT_DOUBLE_EQ(r["cpu_active_fraction.P1-Cluster"], 1);
  EXPECT_DOUBLE_EQ(r["cpu_clock_mhz.P1-Cluster"], (25 * 600 + 75 * 3228) / 100.0);
  EXPECT_DOUBLE_EQ(r["cpu_active_fraction"], 230 / 500.0);
  EXPECT_DOUBLE_EQ(r["cpu_clock_mhz"], (85 * 600 + 20 * 2064 + 125 * 3228) / 230.0);
  EXPECT_DOUBLE_EQ(r["gpu_state_fraction.0.OFF"], 0.1);
  EXPECT_DOUBLE_EQ(r["gpu_state_fraction.1.P1"], 0.6);
  EXPECT_DOUBLE_EQ(r["gpu_state_fraction.3.P3"], 0.3);
  EXPECT_EQ(r.by_name.size(), 9u + 6 + 6);  // no cluster of what is no core
}

TEST(IoReport, TellsBothDiesOfAnUltra) {
  const Readings r = two_seconds("ultra");
  EXPECT_DOUBLE_EQ(r["cpu_power_w"], 3);
  EXPECT_DOUBLE_EQ(r["gpu_power_w"], 4.5);
  EXPECT_DOUBLE_EQ(r["ane_power_w"], 0.2);
  EXPECT_DOUBLE_EQ(r["memory_power_w"], 0.5);
  EXPECT_DOUBLE_EQ(r["cpu_active_fraction.E0-Cluster"], 0.4);
  EXPECT_DOUBLE_EQ(r["cpu_active_fraction.E1-Cluster"], 0);
  EXPECT_THAT(r.why("cpu_clock_mhz.E1-Cluster"), HasSubstr("not active"));
  EXPECT_DOUBLE_EQ(r["cpu_active_fraction.P0-Cluster"], 1);
  EXPECT_DOUBLE_EQ(r["cpu_clock_mhz.P1-Cluster"], 600);
  EXPECT_DOUBLE_EQ(r["cpu_active_fraction.P2-Cluster"], 0);
  EXPECT_DOUBLE_EQ(r["cpu_clock_mhz.P3-Cluster"], 3228);
}

TEST(IoReport, ReadsTheKilohertzOfAnM4) {
  const Readings r = two_seconds("m4");
  EXPECT_DOUBLE_EQ(r["cpu_clock_mhz.P0-Cluster"], 4512);
  EXPECT_DOUBLE_EQ(r["cpu_clock_mhz.E-Cluster"], (60 * 1020 + 20 * 2592) / 80.0);
  EXPECT_DOUBLE_EQ(r["gpu_clock_max_mhz"], 1200);  // its table is in Hz
}

TEST(IoReport, FindsTheTablesOfAnM5InItsListOfClusters) {
  const Readings max = two_seconds("m5");
  EXPECT_DOUBLE_EQ(max["cpu_clock_mhz.M0-Cluster"], 1344);
  EXPECT_DOUBLE_EQ(max["cpu_clock_mhz.M1-Cluster"], 4380);
  EXPECT_DOUBLE_EQ(max["cpu_clock_mhz.P-Cluster"], 4608);
  // Three tiers, of which the list names two: no table is guessed.
  const Readings base = two_seconds("m5 base");
  for (const char* cluster : {"E", "M", "P"}) {
    EXPECT_THAT(base.why(std::string("cpu_clock_mhz.") + cluster + "-Cluster"),
                HasSubstr("no table of clocks"));
    EXPECT_GT(base[std::string("cpu_active_fraction.") + cluster + "-Cluster"], 0);
  }
}

TEST(IoReport, WithoutTablesThereAreNoClocksAndAllElseIs) {
  for (const auto& [what, said] : {std::pair{"no tables", "pmgr has no voltage-states"},
                                   {"no pmgr", "the registry has no pmgr"}}) {
    const Readings r = two_seconds(what);
    for (const char* clock :
         {"gpu_clock_mhz", "gpu_clock_max_mhz", "cpu_clock_mhz", "cpu_clock_mhz.P0-Cluster"})
      EXPECT_THAT(r.why(clock), HasSubstr(said)) << what;
    EXPECT_DOUBLE_EQ(r["gpu_active_fraction"], 0.9);
    EXPECT_DOUBLE_EQ(r["cpu_power_w"], 2);
  }
}

TEST(IoReport, AStateThatTheTableDoesNotHaveIsNoClock) {
  const Readings r = two_seconds("beyond the table");
  EXPECT_THAT(r.why("gpu_clock_mhz"), HasSubstr("was in P4"));
  EXPECT_DOUBLE_EQ(r["gpu_active_fraction"], 95 / 105.0);
}

TEST(IoReport, CountersThatStandStillGiveThePowerOfTheWholeTime) {
  Fake fake("slow counters");
  const auto source = ioreport_telemetry(kFake);
  read(*source, 0);
  Readings r = read(*source, 0.5);
  EXPECT_DOUBLE_EQ(r["cpu_power_w"], 8);  // 4000 mJ
  for (const double now : {1.0, 1.5}) {
    r = read(*source, now);
    EXPECT_THAT(r.why("cpu_power_w"), HasSubstr("of the sample before"));
    EXPECT_THAT(r.why("ane_power_w"), HasSubstr("of the sample before"));
    EXPECT_DOUBLE_EQ(r["gpu_power_w"], 1);  // its own counter goes on
  }
  r = read(*source, 2);
  EXPECT_NEAR(r["cpu_power_w"], 4 / 1.5, 1e-12);
  EXPECT_NEAR(r["ane_power_w"], 0.125 / 1.5, 1e-12);
}

TEST(IoReport, EveryFieldHasItsReason) {
  struct Wrong {
    const char *what, *field, *said;
  };
  for (const Wrong& wrong :
       {Wrong{"no groups", "cpu_power_w", "no group Energy Model"},
        {"no groups", "gpu_clock_mhz", "no group GPU Stats: GPU Performance States"},
        {"refused", "gpu_active_fraction", "refuses to sample GPU Stats"},
        {"no samples", "cpu_active_fraction", "gives no sample"},
        {"no delta", "cpu_power_w", "has no channels"},
        {"no channels", "gpu_clock_mhz", "has no channels"},
        {"wrong types", "gpu_clock_mhz", "has no channels"},
        {"wrong types", "gpu_clock_max_mhz", "is not data"},
        {"no states", "gpu_clock_mhz", "has no states"},
        {"no states", "cpu_active_fraction.E-Cluster", "has no states"},
        {"other GPU", "gpu_active_fraction", "no GPUPH"},
        {"states without end", "gpu_clock_mhz", "has no states"},
        {"huge", "gpu_active_fraction", "claims 1099511627776 channels"},
        {"huge", "gpu_clock_max_mhz", "has 1099511627776 bytes"},
        {"strange unit", "cpu_power_w", "is in 'W', not mJ, uJ or nJ"},
        {"strange unit", "gpu_power_w", "counts no energy of the GPU"},
        {"no units", "gpu_power_w", "is in ''"},
        {"goes back", "cpu_power_w", "went back"},
        {"goes back", "gpu_active_fraction", "went back"}})
    EXPECT_THAT(two_seconds(wrong.what).why(wrong.field), HasSubstr(wrong.said)) << wrong.what;
}

TEST(IoReport, IsNotOnThisMachine) {
  const auto source = ioreport_telemetry();
  read(*source, 1);
  const Readings r = read(*source, 2);
  for (const char* field : {"cpu_power_w", "gpu_clock_mhz", "cpu_active_fraction"})
    EXPECT_THAT(r.why(field), HasSubstr("no IOReport: /usr/lib/libIOReport.dylib"));
  IoReportLibraries none = kFake;
  none.core_foundation = "libm.so.6";
  const auto half = ioreport_telemetry(none);
  EXPECT_THAT(read(*half, 1).why("gpu_power_w"), HasSubstr("libm.so.6 lacks CFRelease"));
}

TEST(IoReport, ARateNeedsTwoSamplesAndTime) {
  Fake fake("m1_max");
  const auto source = ioreport_telemetry(kFake);
  EXPECT_THAT(read(*source, 5).why("gpu_power_w"), HasSubstr("second sample"));
  EXPECT_THAT(read(*source, 5).why("gpu_power_w"), HasSubstr("no time has passed"));
}

TEST(IoReport, CoresAreOfTheClustersThatTheirNamesSay) {
  const auto is = [](const char* name, char tier, int die, int cluster) {
    const IoCore core = core_of(name);
    EXPECT_EQ(core.tier, tier) << name;
    EXPECT_EQ(core.die, die) << name;
    EXPECT_EQ(core.cluster, cluster) << name;
  };
  is("ECPU0", 'E', 0, 0);
  is("PCPU12", 'P', 0, 0);
  is("PCPU140", 'P', 0, 1);
  is("MCPU", 'M', 0, 0);
  is("DIE_1_PCPU1_CPU3", 'P', 1, 1);
  is("DIE_0_ECPU_CPU0", 'E', 0, 0);
  is("DIE_3_SCPU200", 'S', 3, 2);
  for (const char* none : {"", "ECPM", "CPU", "PCPUX", "PCPU0_X", "DIE_", "DIE_x_PCPU0", "GPUPH",
                           "PCPU99999999999_CPU0", "eCPU0"})
    EXPECT_EQ(core_of(none).tier, 0) << none;
}

TEST(IoReport, ATableOfClocksIsInHertzOrKilohertzByItsSize) {
  const auto table = [](std::vector<uint32_t> clocks, size_t cut = 0) {
    std::vector<uint8_t> bytes;
    for (const uint32_t clock : clocks)
      for (const uint32_t word : {clock, 0u})
        for (int shift = 0; shift < 32; shift += 8) bytes.push_back(uint8_t(word >> shift));
    bytes.resize(bytes.size() - cut);
    return clock_table(bytes);
  };
  EXPECT_EQ(*table({600'000'000, 4'200'000'000}).value, (std::vector<double>{600, 4200}));
  EXPECT_EQ(*table({1'020'000, 4'512'000}).value, (std::vector<double>{1020, 4512}));
  EXPECT_EQ(*table({0, 1, 400'000'000, 400'000'000}).value, (std::vector<double>{400, 400}));
  EXPECT_EQ(*table({400'000'000, 800'000'000}, 3).value, (std::vector<double>{400}));
  EXPECT_THAT(table({}).reason, HasSubstr("empty"));
  EXPECT_THAT(table({0, 0}).reason, HasSubstr("empty"));
  EXPECT_THAT(table({600, 1200}).reason, HasSubstr("neither in Hz nor in kHz"));
  EXPECT_THAT(table({1'200'000, 600'000}).reason, HasSubstr("does not ascend"));
}

TEST(IoReport, AnyNamesAndTablesDoNoHarm) {
  std::mt19937_64 random(5);
  const std::string parts[] = {"DIE_", "PCPU", "ECPU",        "_CPU", "0",
                               "17",   "_",    "99999999999", "\xff"};
  size_t cores = 0, tables = 0;
  for (int i = 0; i < 100'000; ++i) {
    std::string name;
    for (size_t n = random() % 6; n > 0; --n) name += parts[random() % std::size(parts)];
    const IoCore core = core_of(name);
    cores += core.tier != 0;
    ASSERT_TRUE(core.cluster >= 0 && core.cluster < 100) << name;
    std::vector<uint8_t> bytes(random() % 40);
    for (uint8_t& byte : bytes) byte = uint8_t(random());
    const auto clocks = clock_table(bytes);
    ASSERT_TRUE(clocks.value || !clocks.reason.empty());
    for (const double mhz : clocks.value.value_or(std::vector<double>())) {
      ++tables;
      ASSERT_TRUE(mhz > 0 && mhz < 1e5);
    }
  }
  EXPECT_GT(cores, 1000u);
  EXPECT_GT(tables, 1000u);
}

// IOReport and powermetrics at once, as root on a Mac.
TEST(IoReport, WhereItAndPowermetricsDisagreeIsSaid) {
  Fake fake("m1_max");
  testing::TempFolder folder;
  const std::string plist = folder.write(
      "plist",
      "<?xml version=\"1.0\"?><plist><dict><key>elapsed_ns</key><integer>1000000000</integer>"
      "<key>gpu</key><dict><key>freq_hz</key><real>450</real><key>idle_ratio</key><real>0.1</real>"
      "</dict></dict></plist>");
  const auto program = folder.write(
      "powermetrics", "#!/bin/sh\ncat '" + plist + "'; printf '\\000'; exec sleep 100\n");
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  TelemetryList sources;
  sources.push_back(ioreport_telemetry(kFake));
  sources.push_back(powermetrics_telemetry(program, 3600));
  Timeline all;
  {
    Sampler sampler(std::move(sources), 0.001);
    do {
      std::this_thread::yield();
      all = sampler.take();
    } while (all.time_s.empty());
  }
  // 667 against 450 MHz; both say 90 % of the time; power is of one source alone.
  EXPECT_THAT(discrepancies(all),
              ::testing::ElementsAre(HasSubstr("gpu_clock_mhz: ioreport says 666.7, powermetrics "
                                               "says 450 MHz")));
}

}  // namespace
}  // namespace hearth::lab
