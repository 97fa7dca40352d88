// The sources that read files, each from a tree of files that is present, absent, forbidden, empty
// or garbage, and counters that wrap or go back.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "hearth/lab/telemetry/files.h"
#include "tests/lab/telemetry/readings.h"
#include "tests/shared.h"

namespace hearth::lab {
namespace {

using ::testing::AnyOf;
using ::testing::DoubleNear;
using ::testing::HasSubstr;
using testing::read;
using testing::Readings;
using testing::TempFolder;

constexpr const char* kCpufreq0 = "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq";
constexpr const char* kPackage = "sys/class/powercap/intel-rapl:0/";

struct Source {
  const char* name;
  std::function<std::unique_ptr<Telemetry>(const Path&)> make;
  std::vector<std::string> files;  // that it reads its first field from
  std::string field;
};

std::vector<Source> sources() {
  return {{"proc", proc_telemetry, {"proc/stat"}, "cpu_active_fraction"},
          {"pressure", proc_telemetry, {"proc/pressure/cpu"}, "pressure_cpu_fraction"},
          {"process",
           [](const Path& root) { return process_telemetry(42, root); },
           {"proc/42/stat", "proc/42/statm"},
           "process_active_cores"},
          {"memory of a process",
           [](const Path& root) { return process_telemetry(42, root); },
           {"proc/42/statm"},
           "process_resident_bytes"},
          {"cpufreq", cpufreq_telemetry, {kCpufreq0}, "cpu_clock_mhz"},
          {"rapl", rapl_telemetry, {std::string(kPackage) + "energy_uj"}, "cpu_power_w"},
          {"hwmon", hwmon_telemetry, {"sys/class/hwmon/hwmon0/temp1_input"}, ""}};
}

// A machine where everything is there, at a first and a second moment.
void write_machine(const TempFolder& root, bool later) {
  // Guests' time, the last two, is in that of users already.
  root.write("proc/stat", later
                              ? "cpu  120 5 60 300 10 7 8 40 30 3\ncpu0 100 0 0 100 0 0 0 0 20 0\n"
                                "cpu1 0 0 0 200 0 0 0 0 0 0\nintr 5\n"
                              : "cpu  100 0 50 250 0 0 0 0 10 1\ncpu0 50 0 0 100 0 0 0 0 0 0\n"
                                "cpu1 0 0 0 100 0 0 0 0 0 0\nintr 5\n");
  for (const auto& [what, total] :
       {std::pair("cpu", "1500000"), {"memory", "1400000"}, {"io", "1200000"}})
    root.write(std::string("proc/pressure/") + what,
               std::string("some avg10=0.00 avg60=0.00 avg300=0.00 total=") +
                   (later ? total : "1000000") + "\nfull avg10=0.00 total=0\n");
  const std::string ticks = std::to_string((later ? 3 : 0) * sysconf(_SC_CLK_TCK));
  root.write("proc/42/stat", "42 (a name) with ) in it) S 1 1 1 0 -1 0 0 0 0 0 " + ticks + " " +
                                 ticks + " 0 0 20 0 1 0 100 0 0");
  root.write("proc/42/statm", "1000 100 50 1 0 200 0");
  root.write(kCpufreq0, later ? "3000000\n" : "2000000\n");
  root.write("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "1000000\n");
  root.write("sys/devices/system/cpu/cpuidle/x", "");
  root.write("sys/devices/system/cpu/cpu2/online", "1");  // its cpufreq is absent
  for (const char* zone : {"intel-rapl:0", "intel-rapl:1"}) {
    const std::string folder = std::string("sys/class/powercap/") + zone + "/";
    root.write(folder + "name",
               zone == std::string("intel-rapl:0") ? "package-0\n" : "package-1\n");
    root.write(folder + "energy_uj", later ? "60000000\n" : "20000000\n");
    root.write(folder + "max_energy_range_uj", "262143328850\n");
  }
  root.write("sys/class/powercap/intel-rapl:0:0/name", "dram");
  root.write("sys/class/powercap/intel-rapl:0:0/energy_uj", later ? "7000000" : "5000000");
  root.write("sys/class/powercap/intel-rapl/enabled", "1");
  root.write("sys/class/hwmon/hwmon0/name", "k10temp");
  root.write("sys/class/hwmon/hwmon0/temp1_input", "45250");
  root.write("sys/class/hwmon/hwmon0/temp1_label", "Tctl");
  root.write("sys/class/hwmon/hwmon1/name", "nvme");
  root.write("sys/class/hwmon/hwmon1/temp1_input", "-5000");
  root.write("sys/class/hwmon/hwmon2/name", "nvme");
  root.write("sys/class/hwmon/hwmon2/temp1_input", "31000");
}

// The second reading of a source, two seconds after the first.
Readings second(Telemetry& source, const TempFolder& root) {
  write_machine(root, false);
  read(source, 10);
  write_machine(root, true);
  return read(source, 12);
}

TEST(TelemetryFiles, ProcTellsSharesOfTheTimeBetweenSamples) {
  TempFolder root;
  write_machine(root, false);
  const auto source = proc_telemetry(root.path());
  const Readings r = second(*source, root);
  EXPECT_DOUBLE_EQ(r["cpu_active_fraction"], 50.0 / 150);  // iowait is idle, steal is not ours
  EXPECT_DOUBLE_EQ(r["cpu_steal_fraction"], 40.0 / 150);
  EXPECT_DOUBLE_EQ(r["cpu_active_fraction.0"], 1);
  EXPECT_DOUBLE_EQ(r["cpu_active_fraction.1"], 0);
  EXPECT_DOUBLE_EQ(r["pressure_cpu_fraction"], 0.25);
  EXPECT_DOUBLE_EQ(r["pressure_memory_fraction"], 0.2);
  EXPECT_DOUBLE_EQ(r["pressure_io_fraction"], 0.1);
}

TEST(TelemetryFiles, ProcTellsCoresAndMemoryOfAProcess) {
  TempFolder root;
  write_machine(root, false);
  const auto source = process_telemetry(42, root.path());
  const Readings r = second(*source, root);
  EXPECT_DOUBLE_EQ(r["process_active_cores"], 3);  // 6 s of processors in 2 s
  EXPECT_DOUBLE_EQ(r["process_resident_bytes"], 100.0 * double(sysconf(_SC_PAGESIZE)));
}

TEST(TelemetryFiles, CpufreqTellsTheClocksAndTheirMean) {
  TempFolder root;
  write_machine(root, false);
  const auto source = cpufreq_telemetry(root.path());
  const Readings r = second(*source, root);
  EXPECT_DOUBLE_EQ(r["cpu_clock_mhz"], 2000);
  EXPECT_DOUBLE_EQ(r["cpu_clock_mhz.0"], 3000);
  EXPECT_DOUBLE_EQ(r["cpu_clock_mhz.1"], 1000);
  EXPECT_EQ(r.by_name.size(), 3u);
}

TEST(TelemetryFiles, AClockThatIsNoneIsNotInTheMean) {
  TempFolder root;
  write_machine(root, false);
  const auto source = cpufreq_telemetry(root.path());
  for (const char* none : {"0", "-1000", "x"}) {
    root.write(kCpufreq0, none);
    EXPECT_DOUBLE_EQ(read(*source, 1)["cpu_clock_mhz"], 1000) << none;
    EXPECT_NE(read(*source, 1).why("cpu_clock_mhz.0"), "") << none;
  }
  root.write("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "0");
  root.write(kCpufreq0, "0");
  EXPECT_THAT(read(*source, 2).why("cpu_clock_mhz"), HasSubstr("cpu0/cpufreq/scaling_cur_freq is"));
}

TEST(TelemetryFiles, EveryZoneOfRaplHasItsField) {
  TempFolder root;
  write_machine(root, false);
  const auto write = [&](bool later) {
    for (const auto& [zone, name, joules] : {std::tuple("0:1", "core", 3),
                                             {"0:2", "uncore", 50},
                                             {"1:0", "core", 4},
                                             {"2", "psys", 9}}) {
      root.write(concat("sys/class/powercap/intel-rapl:", zone, "/name"), name);
      root.write(concat("sys/class/powercap/intel-rapl:", zone, "/energy_uj"),
                 concat(later ? joules * 1000000 : 0));
    }
  };
  write(false);
  const auto source = rapl_telemetry(root.path());
  read(*source, 10);
  write_machine(root, true);
  write(true);
  const Readings r = read(*source, 12);
  EXPECT_DOUBLE_EQ(r["cpu_core_power_w"], 3.5);  // of both packages
  EXPECT_DOUBLE_EQ(r["system_power_w"], 4.5);
  EXPECT_DOUBLE_EQ(r["cpu_power_w"], 40);
  EXPECT_DOUBLE_EQ(r["memory_power_w"], 1);
}

TEST(TelemetryFiles, RaplTellsPowerOfAllPackages) {
  TempFolder root;
  write_machine(root, false);
  const auto source = rapl_telemetry(root.path());
  const Readings r = second(*source, root);
  EXPECT_DOUBLE_EQ(r["cpu_power_w"], 40);  // twice 40 J in 2 s
  EXPECT_DOUBLE_EQ(r["memory_power_w"], 1);
  EXPECT_THAT(r.why("system_power_w"), HasSubstr("no zone named psys"));
}

TEST(TelemetryFiles, RaplGoesOnOverAWrap) {
  TempFolder root;
  write_machine(root, false);
  const std::string energy = std::string(kPackage) + "energy_uj";
  root.write(std::string(kPackage) + "max_energy_range_uj", "100000000");
  root.write("sys/class/powercap/intel-rapl:1/name", "core");
  const auto source = rapl_telemetry(root.path());
  root.write(energy, "90000000");
  EXPECT_THAT(read(*source, 1).why("cpu_power_w"), HasSubstr("second sample"));
  root.write(energy, "10000000");
  EXPECT_DOUBLE_EQ(read(*source, 2)["cpu_power_w"], 20);
  root.write(energy, "40000000");
  EXPECT_DOUBLE_EQ(read(*source, 3)["cpu_power_w"], 30);
  EXPECT_THAT(read(*source, 3).why("cpu_power_w"), HasSubstr("no time has passed"));
  // A wrap whose range is not known is no power.
  std::filesystem::remove(root / (std::string(kPackage) + "max_energy_range_uj"));
  root.write(energy, "5");
  EXPECT_THAT(read(*source, 4).why("cpu_power_w"), HasSubstr("wrapped"));
  root.write(std::string(kPackage) + "max_energy_range_uj", "1");
  root.write(energy, "2");
  EXPECT_THAT(read(*source, 5).why("cpu_power_w"), HasSubstr("more than its range"));
}

TEST(TelemetryFiles, HwmonTellsEachSensorByItsNames) {
  TempFolder root;
  write_machine(root, false);
  const auto source = hwmon_telemetry(root.path());
  const Readings r = second(*source, root);
  EXPECT_DOUBLE_EQ(r["temperature_c.k10temp.Tctl"], 45.25);
  EXPECT_DOUBLE_EQ(r["temperature_c.nvme.temp1"], -5);
  EXPECT_DOUBLE_EQ(r["temperature_c.hwmon2.temp1"], 31);  // the second nvme
}

// What each source says of its field when its files are as `spoil` leaves them.
std::vector<std::string> reasons(
    const std::function<void(const TempFolder&, const std::string&)>& spoil, bool from_the_start) {
  std::vector<std::string> all;
  for (const Source& one : sources()) {
    TempFolder root;
    write_machine(root, false);
    auto spoil_all = [&] {
      for (const auto& file : one.files) spoil(root, file);
    };
    if (from_the_start) spoil_all();
    const auto source = one.make(root.path());
    read(*source, 1);
    write_machine(root, true);
    spoil_all();
    const Readings r = read(*source, 2);
    all.push_back(r.why(one.field.empty() ? source->fields()[0].name : one.field));
  }
  return all;
}

TEST(TelemetryFiles, WhatIsAbsentHasThatReason) {
  const auto remove = [](const TempFolder& root, const std::string& file) {
    std::filesystem::remove(root / file);
  };
  // cpufreq's second core and RAPL's second package are still there: a sum of a part is none, a
  // mean of those that are known is one.
  for (const std::string& reason : reasons(
           [&](const TempFolder&root, const std::string&file) {
             remove(root, file);
             std::filesystem::remove(root / "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq");
           },
           false))
    EXPECT_THAT(reason, HasSubstr("is absent"));
}

TEST(TelemetryFiles, AMachineWithNothingHasAReasonForEveryField) {
  TempFolder root;
  for (const Source& one : sources()) {
    const auto source = one.make(root.path());
    read(*source, 1);
    const Readings r = read(*source, 2);
    ASSERT_FALSE(r.by_name.empty());
    for (const auto& [name, reading] : r.by_name)
      EXPECT_THAT(r.why(name), AnyOf(HasSubstr("is absent"), HasSubstr("no processor")))
          << one.name;
  }
}

TEST(TelemetryFiles, FoldersThatAreThereAndEmptyHaveAReason) {
  TempFolder root;  // as in a virtual machine
  for (const char* folder : {"sys/devices/system/cpu/cpufreq", "sys/devices/system/cpu/cpu0",
                             "sys/class/powercap", "sys/class/hwmon"})
    std::filesystem::create_directories(root / folder);
  EXPECT_THAT(read(*cpufreq_telemetry(root.path()), 1).why("cpu_clock_mhz"),
              HasSubstr("usual in a virtual machine"));
  EXPECT_THAT(read(*rapl_telemetry(root.path()), 1).why("cpu_power_w"),
              HasSubstr("/sys/class/powercap has no intel-rapl:*"));
  EXPECT_THAT(read(*hwmon_telemetry(root.path()), 1).why("temperature_c"),
              HasSubstr("/sys/class/hwmon has no hwmon*"));
}

TEST(TelemetryFiles, WhatMayNotBeReadHasThatReason) {
  if (geteuid() == 0 && setegid(65534) == 0 && seteuid(65534) != 0) GTEST_SKIP() << "runs as root";
  TempFolder root;
  const auto put_back = [] {
    if (getuid() == 0) return seteuid(0) == 0 && setegid(0) == 0;
    return true;
  };
  // As an ordinary user the folder is ours and the files are without any right to read.
  for (const std::string& reason : reasons(
           [](const TempFolder&at, const std::string&file) {
             std::filesystem::permissions(at / file, std::filesystem::perms::none);
             const auto other = at / "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq";
             std::filesystem::permissions(other, std::filesystem::perms::none);
           },
           false))
    EXPECT_THAT(reason, HasSubstr("may not be read (Permission denied)"));
  ASSERT_TRUE(put_back());
}

TEST(TelemetryFiles, WhatIsEmptyHasThatReason) {
  for (const std::string& reason : reasons(
           [](const TempFolder&root, const std::string&file) {
             root.write(file, "");
             root.write("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", " \n");
           },
           false))
    EXPECT_THAT(reason, HasSubstr("is empty"));
}

TEST(TelemetryFiles, GarbageIsNeverAValue) {
  const std::string long_text(3 << 20, '7');
  for (const std::string& garbage :
       {std::string("\xff\xfe\0 garbage", 12), std::string("nan"), std::string("1e999"),
        std::string("1e308"), std::string("cpu 1e308 1e308 1e308 1e308 1"), std::string("1 1e308"),
        std::string("-inf -inf -inf -inf"), std::string("cpu"), std::string("cpu nan 1 1 1 1 1"),
        std::string("some total=x"), std::string("42 (x) S"), std::string("12abc"), long_text})
    for (const bool from_the_start : {false, true})
      for (const std::string& reason : reasons(
               [&](const TempFolder&root, const std::string&file) {
                 root.write(file, garbage);
                 root.write("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", garbage);
               },
               from_the_start))
        EXPECT_FALSE(reason.empty());
}

// Bytes changed, cut, doubled and put in: what is read is finite, or missing with a reason.
TEST(TelemetryFiles, MutatedFilesDoNoHarm) {
  TempFolder root;
  write_machine(root, false);
  std::vector<std::string> files;
  for (const Source& one : sources()) files.insert(files.end(), one.files.begin(), one.files.end());
  for (const char* more : {"sys/class/powercap/intel-rapl:0/name", "sys/class/hwmon/hwmon0/name",
                           "sys/class/powercap/intel-rapl:0/max_energy_range_uj",
                           "sys/class/hwmon/hwmon0/temp1_label"})
    files.push_back(more);
  std::map<std::string, std::string> good;
  for (const std::string& file : files) good[file] = testing::content_of(root / file);
  const char* tokens[] = {
      "-",  "999999999999999999999999", "1e308", "nan", " ", "\n", "cpu77", "\xff\xfe", ")", "=",
      "../"};
  std::mt19937_64 random(11);
  const auto below = [&](size_t n) { return size_t(random() % std::max<size_t>(n, 1)); };
  size_t known = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string& file = files[below(files.size())];
    std::string text = good[file];
    for (size_t changes = 1 + below(3); changes > 0; --changes) {
      const size_t at = below(text.size() + 1);
      switch (below(4)) {
        case 0: text.insert(at, 1, char(random())); break;
        case 1: text.erase(at, below(8)); break;
        case 2: text.insert(at, tokens[below(std::size(tokens))]); break;
        case 3: text.insert(at, text.substr(below(text.size()), below(30))); break;
      }
    }
    const Source one = sources()[below(sources().size())];
    if (i % 2) root.write(file, text);
    const auto source = one.make(root.path());
    read(*source, 1);
    root.write(file, text);
    for (const auto& [name, reading] : read(*source, 2).by_name) known += reading.value.has_value();
    root.write(file, good[file]);
  }
  EXPECT_GT(known, 3000u);  // the mutations leave enough to read
}

TEST(TelemetryFiles, CountersThatGoBackAreNoRate) {
  TempFolder root;
  write_machine(root, true);
  const auto proc = proc_telemetry(root.path());
  const auto process = process_telemetry(42, root.path());
  read(*proc, 1);
  read(*process, 1);
  write_machine(root, false);
  EXPECT_THAT(read(*proc, 2).why("cpu_active_fraction"), HasSubstr("less than a tick"));
  EXPECT_THAT(read(*process, 2).why("process_active_cores"), HasSubstr("went back"));
}

TEST(TelemetryFiles, AFolderInPlaceOfAFileHasAReason) {
  TempFolder root;
  std::filesystem::create_directories(root / "proc/stat");
  EXPECT_THAT(read(*proc_telemetry(root.path()), 1).why("cpu_active_fraction"),
              HasSubstr("cannot be read (Is a directory)"));
}

TEST(TelemetryFiles, NumbersAreSortedAsNumbers) {
  TempFolder root;
  for (const char* name : {"cpu10", "cpu2", "cpu1"}) std::filesystem::create_directory(root / name);
  EXPECT_EQ(*list_names(root.path(), "/", "cpu").value,
            (std::vector<std::string>{"cpu1", "cpu2", "cpu10"}));
}

TEST(TelemetryFiles, ThisMachineTellsSomething) {
  TelemetryList all = find_telemetry("/", getpid());
  ASSERT_GE(all.size(), 5u);
  for (auto& source : all) read(*source, 1);
  for (auto& source : all) {
    const Readings r = read(*source, 2);
    if (source->source() == "clock probe") {
      EXPECT_GT(r["cpu_clock_probe_mhz"], 200);
      EXPECT_LT(r["cpu_clock_probe_mhz"], 9000);
    }
  }
}

}  // namespace
}  // namespace hearth::lab
