#include "hearth/lab/telemetry/powermetrics.h"

#include <nlohmann/json.hpp>
#include <random>

#include "hearth/base/error.h"
#include "tests/lab/telemetry/readings.h"
#include "tests/shared.h"

namespace hearth::lab {
namespace {

using testing::content_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::read;
using testing::Readings;
using testing::source_path;
using testing::TempFolder;

// A property list of one sample.
std::string plist(const std::string& inside) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict>" + inside +
         "</dict></plist>\n";
}
std::string real(const std::string& key, const std::string& value) {
  return "<key>" + key + "</key><real>" + value + "</real>";
}
std::string whole(const std::string& key, const std::string& value) {
  return "<key>" + key + "</key><integer>" + value + "</integer>";
}
std::string dict(const std::string& key, const std::string& inside) {
  return "<key>" + key + "</key><dict>" + inside + "</dict>";
}
std::string cluster(const std::string& name, const std::string& hz, const std::string& idle) {
  return "<dict><key>name</key><string>" + name + "</string>" + real("freq_hz", hz) +
         real("idle_ratio", idle) + "</dict>";
}
const std::string kSecond = whole("elapsed_ns", "1000000000");

Powermetrics one(const std::string& inside) {
  const Capture capture = read_powermetrics(plist(kSecond + inside));
  EXPECT_EQ(capture.samples.size(), 1u);
  return capture.samples.empty() ? Powermetrics{} : capture.samples.front();
}

double sum_of(const Powermetrics::States& states) {
  double sum = 0;
  for (const Residency& state : states.value.value_or(std::vector<Residency>()))
    sum += state.fraction;
  return sum;
}

void expect_cluster(const Cluster& cluster, const char* name, double mhz, double active) {
  EXPECT_EQ(cluster.name, name);
  ASSERT_TRUE(cluster.clock_mhz.value && cluster.active_fraction.value) << name;
  EXPECT_NEAR(*cluster.clock_mhz.value, mhz, 1e-9 * mhz) << name;
  EXPECT_NEAR(*cluster.active_fraction.value, active, 1e-9) << name;
}

// Figures that plistlib of Python gives for the captures of others, read by eye.

TEST(PowermetricsCapture, OfAnM1) {
  HEARTH_SHARED_OR_SKIP(file, "data/powermetrics/m1_macbookpro17.plist");
  const Capture capture = read_powermetrics(content_of(file));
  ASSERT_EQ(capture.samples.size(), 1u);
  EXPECT_TRUE(capture.notes.empty());
  const Powermetrics& s = capture.samples[0];
  EXPECT_DOUBLE_EQ(*s.elapsed_s.value, 2.01917875);
  EXPECT_EQ(*s.hardware.value, "MacBookPro17,1");
  EXPECT_EQ(*s.thermal_pressure.value, "Nominal");
  EXPECT_NEAR(*s.cpu_power_w.value, 0.0440773, 1e-6);
  EXPECT_NEAR(*s.gpu_power_w.value, 0.0153528, 1e-6);
  EXPECT_DOUBLE_EQ(*s.ane_power_w.value, 0);
  EXPECT_NEAR(*s.package_power_w.value, 0.0594301, 1e-6);
  EXPECT_DOUBLE_EQ(*s.gpu_clock_mhz.value, 714.836);
  EXPECT_NEAR(*s.gpu_active_fraction.value, 0.016659, 1e-9);
  ASSERT_EQ(s.clusters.value->size(), 2u);
  expect_cluster((*s.clusters.value)[0], "E-Cluster", 1022.87, 0.227007);
  expect_cluster((*s.clusters.value)[1], "P-Cluster", 618.173, 0.016043);
  EXPECT_EQ(s.gpu_states.value->size(), 1 + 6u);
  EXPECT_EQ(s.gpu_states.value->front().state, "idle");
  EXPECT_NEAR(sum_of(s.gpu_states), 1, 1e-3);
  EXPECT_THAT(s.gpu_requested_states.reason, HasSubstr("no gpu.sw_requested_state"));
}

TEST(PowermetricsCapture, OfAnM2Ultra) {
  HEARTH_SHARED_OR_SKIP(file, "data/powermetrics/m2_ultra.plist");
  const Capture capture = read_powermetrics(content_of(file));
  ASSERT_EQ(capture.samples.size(), 1u);
  const Powermetrics& s = capture.samples[0];
  EXPECT_NEAR(*s.cpu_power_w.value, 0.835188, 1e-6);
  EXPECT_NEAR(*s.gpu_power_w.value, 70.9246, 1e-4);
  EXPECT_NEAR(*s.package_power_w.value, 71.7598, 1e-4);
  EXPECT_DOUBLE_EQ(*s.gpu_clock_mhz.value, 1360.85);
  EXPECT_NEAR(*s.gpu_active_fraction.value, 0.9463218, 1e-9);
  ASSERT_EQ(s.clusters.value->size(), 6u);
  expect_cluster((*s.clusters.value)[0], "E0-Cluster", 990.818, 0.9587284);
  expect_cluster((*s.clusters.value)[1], "P0-Cluster", 2775.02, 0.209313);
  expect_cluster((*s.clusters.value)[3], "E1-Cluster", 912.2, 0.55496);
  expect_cluster((*s.clusters.value)[4], "P2-Cluster", 702.001, 0.000007);
  // Software asked for the highest state all the time.
  ASSERT_EQ(s.gpu_requested_states.value->size(), 8u);
  EXPECT_EQ(s.gpu_requested_states.value->back().state, "P8");
  EXPECT_NEAR(s.gpu_requested_states.value->back().fraction, 1, 1e-3);
  EXPECT_NEAR(sum_of(s.gpu_requested_states), 1, 1e-3);
  EXPECT_NEAR(sum_of(s.gpu_states), 1, 1e-3);
  EXPECT_EQ(s.gpu_sw_states.value->back().state, "SW_P8");
  EXPECT_EQ(sum_of(s.gpu_sw_states), 0);  // as the capture has it
}

TEST(PowermetricsCapture, OfAnM4ProsGpuAlone) {
  HEARTH_SHARED_OR_SKIP(file, "data/powermetrics/m4_pro_gpu_only_5_samples.plist");
  const Capture capture = read_powermetrics(content_of(file));
  ASSERT_EQ(capture.samples.size(), 5u);
  const double elapsed[] = {5.004758375, 5.014447083, 5.010073541, 5.014230916, 5.0091785};
  const double mhz[] = {426.525, 479.398, 867.616, 483.431, 458.421};
  const double active[] = {0.017483, 0.030276, 0.082553, 0.032242, 0.039327};
  const double millijoules[] = {19, 107, 788, 146, 126};
  for (int i = 0; i < 5; ++i) {
    const Powermetrics& s = capture.samples[i];
    EXPECT_DOUBLE_EQ(*s.elapsed_s.value, elapsed[i]);
    EXPECT_DOUBLE_EQ(*s.gpu_clock_mhz.value, mhz[i]);
    EXPECT_NEAR(*s.gpu_active_fraction.value, active[i], 1e-6);
    EXPECT_NEAR(*s.gpu_power_w.value, millijoules[i] * 1e-3 / elapsed[i], 1e-12);
    EXPECT_FALSE(s.cpu_power_w.value);
    EXPECT_THAT(s.clusters.reason, HasSubstr("no processor.clusters"));
    EXPECT_THAT(s.thermal_pressure.reason, HasSubstr("no thermal_pressure"));
    // 1182 MHz is there twice: a list, not a map.
    ASSERT_EQ(s.gpu_states.value->size(), 1 + 15u);
    EXPECT_EQ((*s.gpu_states.value)[8].state, "1182");
    EXPECT_EQ((*s.gpu_states.value)[9].state, "1182");
    EXPECT_NEAR(sum_of(s.gpu_states), 1, 1e-3);
    EXPECT_NEAR(sum_of(s.gpu_requested_states), 1, 1e-3);
    EXPECT_NEAR(sum_of(s.gpu_sw_states), active[i], 1e-3);
  }
}

TEST(PowermetricsCapture, OfTheThermalSamplerAlone) {
  HEARTH_SHARED_OR_SKIP(file, "data/powermetrics/thermal_only.plist");
  const Capture capture = read_powermetrics(content_of(file));
  ASSERT_EQ(capture.samples.size(), 1u);
  const nlohmann::json json = to_json(capture.samples[0]);
  EXPECT_EQ(json["thermal_pressure"], "Nominal");
  EXPECT_DOUBLE_EQ(json["elapsed_s"], 1.01730475);
  for (const char* key : {"gpu_clock_mhz", "gpu_active_fraction", "cpu_power_w", "gpu_power_w",
                          "ane_power_w", "clusters"}) {
    EXPECT_TRUE(json.at(key).is_null()) << key;
    EXPECT_TRUE(json["reasons"].contains(key)) << key;
  }
}

// Fixtures of our own.

TEST(Powermetrics, OfAnM1MaxHasHertzForProcessorsAndMegahertzForTheGpu) {
  const Capture capture = read_powermetrics(content_of(source_path("tests/lab/data/m1_max.plist")));
  ASSERT_EQ(capture.samples.size(), 2u);
  const Powermetrics& s = capture.samples[0];
  ASSERT_EQ(s.clusters.value->size(), 3u);
  expect_cluster((*s.clusters.value)[0], "E-Cluster", 1200, 0.5);
  expect_cluster((*s.clusters.value)[1], "P0-Cluster", 3036, 0.25);
  expect_cluster((*s.clusters.value)[2], "P1-Cluster", 600, 0.125);  // an eighth idle, 3/4 off
  EXPECT_DOUBLE_EQ(*s.gpu_clock_mhz.value, 388);
  EXPECT_DOUBLE_EQ(*s.gpu_active_fraction.value, 0.95);
  EXPECT_DOUBLE_EQ(*s.gpu_power_w.value, 2);  // 1000 mJ in half a second
  EXPECT_EQ(s.gpu_requested_states.value->front().state, "P1");
  for (const Powermetrics& sample : capture.samples) {
    EXPECT_NEAR(sum_of(sample.gpu_states), 1, 1e-3);
    EXPECT_NEAR(sum_of(sample.gpu_requested_states), 1, 1e-3);
  }
  // Two samples 1.03 s apart whose dates are 2 s apart: only elapsed_ns is used.
  EXPECT_DOUBLE_EQ(*capture.samples[1].elapsed_s.value, 1.03);
}

TEST(Powermetrics, TakesTheClustersOfAnM5AsTheyAreNamed) {
  const auto s =
      one(dict("processor", "<key>clusters</key><array>" + cluster("S-Cluster", "4.6e9", "0.75") +
                                cluster("M0-Cluster", "3000000000", "0.5") + "<dict/></array>"));
  ASSERT_EQ(s.clusters.value->size(), 3u);
  expect_cluster((*s.clusters.value)[0], "S-Cluster", 4600, 0.25);
  expect_cluster((*s.clusters.value)[1], "M0-Cluster", 3000, 0.5);
  EXPECT_EQ((*s.clusters.value)[2].name, "?");
  EXPECT_EQ((*s.clusters.value)[2].clock_mhz.reason,
            "the sample has no processor.clusters[2].freq_hz");
}

TEST(Powermetrics, KeepsAllClustersOfAnUltra) {
  std::string clusters;
  for (const char* name : {"E0", "P0", "P1", "E1", "P2", "P3"})
    clusters += cluster(std::string(name) + "-Cluster", name[0] == 'E' ? "9.72e8" : "3.2e9",
                        name[1] == '0' ? "0.25" : "1");
  const auto s = one(dict("processor", "<key>clusters</key><array>" + clusters + "</array>"));
  ASSERT_EQ(s.clusters.value->size(), 6u);
  expect_cluster((*s.clusters.value)[0], "E0-Cluster", 972, 0.75);
  expect_cluster((*s.clusters.value)[1], "P0-Cluster", 3200, 0.75);
  expect_cluster((*s.clusters.value)[5], "P3-Cluster", 3200, 0);
  std::string many;
  for (int i = 0; i < 300; ++i) many += "<dict/>";  // side by side, not deep
  const auto more = one(dict("processor", "<key>clusters</key><array>" + many + "</array>"));
  ASSERT_TRUE(more.clusters.value.has_value());
  EXPECT_EQ(more.clusters.value->size(), 256u);  // no machine has so many
}

TEST(Powermetrics, AFrequencyThatIsThereTwiceIsTwoStates) {
  const auto state = [](const char* mhz, const char* share) {
    return "<dict>" + whole("freq", mhz) + real("used_ratio", share) + "</dict>";
  };
  const auto s = one(dict("gpu", real("idle_ratio", "0.5") + "<key>dvfm_states</key><array>" +
                                     state("1062", "0.1") + state("1182", "0.25") +
                                     state("1182", "0.15") + "</array>"));
  ASSERT_EQ(s.gpu_states.value->size(), 4u);
  EXPECT_EQ((*s.gpu_states.value)[2].state, "1182");
  EXPECT_DOUBLE_EQ((*s.gpu_states.value)[2].fraction, 0.25);
  EXPECT_EQ((*s.gpu_states.value)[3].state, "1182");
  EXPECT_DOUBLE_EQ((*s.gpu_states.value)[3].fraction, 0.15);
  EXPECT_NEAR(sum_of(s.gpu_states), 1, 1e-12);
}

TEST(Powermetrics, ReadsTheKeysOfMacOS12) {
  const auto s =
      one(dict("processor", whole("package_energy", "5000") + whole("dram_energy", "700") +
                                whole("cpu_energy", "4000") + whole("gpu_energy", "900") +
                                whole("ane_energy", "0")));
  EXPECT_DOUBLE_EQ(*s.package_power_w.value, 5);
  EXPECT_DOUBLE_EQ(*s.memory_power_w.value, 0.7);
  EXPECT_DOUBLE_EQ(*s.cpu_power_w.value, 4);
}

TEST(Powermetrics, PowerIsEnergyOverTheTimeThatPassed) {
  const std::string energy = dict("processor", whole("cpu_energy", "3000"));
  const auto s = read_powermetrics(plist(whole("elapsed_ns", "1500000000") + energy)).samples.at(0);
  EXPECT_DOUBLE_EQ(*s.cpu_power_w.value, 2);
  const auto timeless = read_powermetrics(plist(energy)).samples.at(0);
  EXPECT_THAT(timeless.cpu_power_w.reason, HasSubstr("elapsed_ns"));
  const auto zero = read_powermetrics(plist(whole("elapsed_ns", "0") + energy)).samples.at(0);
  EXPECT_FALSE(zero.cpu_power_w.value);
  EXPECT_DOUBLE_EQ(*one(dict("processor", real("cpu_power", "1234"))).cpu_power_w.value, 1.234);
}

TEST(Powermetrics, WhatIsNoQuantityIsMissing) {
  for (const auto& [value, reason] : {std::pair{"nan", "not finite"},
                                      {"NaN", "not finite"},
                                      {"inf", "not finite"},
                                      {"-0.5", "negative"},
                                      {"1.5", "above 1"}}) {
    const auto s = one(dict("gpu", real("idle_ratio", value)));
    EXPECT_THAT(s.gpu_active_fraction.reason, HasSubstr(reason)) << value;
  }
  EXPECT_THAT(one(dict("gpu", real("freq_hz", "200000"))).gpu_clock_mhz.reason,
              HasSubstr("neither Hz nor MHz"));
  EXPECT_THAT(one("<key>gpu</key><array/>").gpu_clock_mhz.reason, HasSubstr("no gpu.freq_hz"));
  EXPECT_THAT(one(dict("gpu", "<key>freq_hz</key><string>fast</string>")).gpu_clock_mhz.reason,
              HasSubstr("not a number"));
  EXPECT_THAT(one(dict("gpu", whole("freq_hz", "-5"))).gpu_clock_mhz.reason, HasSubstr("negative"));
  EXPECT_FALSE(one("<key>thermal_pressure</key><true/>").thermal_pressure.value);
}

// libplist reads these as 0, and a cluster that is idle for 0 of the time is fully active.
TEST(Powermetrics, TextInPlaceOfANumberIsMissing) {
  for (const char* text : {"0,5", "n/a", "", "-", "0.5 s", "0.5.1", "1e", "half"})
    for (const std::string& number : {std::string("<real>") + text + "</real>",
                                      std::string("<integer>") + text + "</integer>"}) {
      const auto s =
          one(dict("processor", "<key>cpu_energy</key>" + number +
                                    "<key>clusters</key><array><dict><key>idle_ratio</key>" +
                                    number + "<key>freq_hz</key>" + number + "</dict></array>") +
              dict("gpu", "<key>idle_ratio</key>" + number) +
              "<key>thermal_pressure</key><string>Heavy</string>");
      const Cluster& cluster = s.clusters.value.value().at(0);
      EXPECT_EQ(cluster.active_fraction.reason,
                concat("processor.clusters[0].idle_ratio is not a number: \"", text, "\""));
      EXPECT_THAT(cluster.clock_mhz.reason, HasSubstr("is not a number"));
      EXPECT_THAT(s.gpu_active_fraction.reason, HasSubstr("is not a number")) << number;
      EXPECT_THAT(s.cpu_power_w.reason, HasSubstr("is not a number")) << number;
      EXPECT_EQ(s.thermal_pressure.value, "Heavy");
    }
  for (const char* empty : {"<real/>", "<integer/>", "<real />"})
    EXPECT_THAT(
        one(dict("gpu", std::string("<key>idle_ratio</key>") + empty)).gpu_active_fraction.reason,
        HasSubstr("gpu.idle_ratio is not a number"))
        << empty;
  EXPECT_THAT(one(dict("gpu", real("freq_hz", "1e30"))).gpu_clock_mhz.reason,
              HasSubstr("too large"));
  for (const char* number : {"0.25", " 0.25\n", "+0.25", "2.5e-1", "25E-2"})
    EXPECT_EQ(one(dict("gpu", real("idle_ratio", number))).gpu_active_fraction.value, 0.75)
        << number;
  EXPECT_EQ(one(dict("gpu", whole("freq_hz", "0x100"))).gpu_clock_mhz.value, 256);
}

// The parts of the time that are left would look like all of it.
TEST(Powermetrics, OnePartThatIsNoNumberMakesItsListMissing) {
  const auto gpu = [](const std::string& idle, const std::string& down, const std::string& share,
                      const std::string& mhz) {
    return one(dict("gpu", real("idle_ratio", idle) + real("down_ratio", down) +
                               "<key>dvfm_states</key><array><dict>" + whole("freq", mhz) +
                               real("used_ratio", share) + "</dict><dict>" + whole("freq", "1300") +
                               real("used_ratio", "0.25") + "</dict></array>"));
  };
  const auto good = gpu("0.25", "0.25", "0.25", "400");
  EXPECT_EQ(good.gpu_active_fraction.value, 0.5);
  EXPECT_EQ(good.gpu_clock_mhz.value, 850);
  EXPECT_EQ(good.gpu_states.value.value().size(), 3u);
  EXPECT_EQ(gpu("0.25", "?", "0.25", "400").gpu_active_fraction.reason,
            "gpu.down_ratio is not a number: \"?\"");
  EXPECT_THAT(gpu("?", "0.25", "0.25", "400").gpu_states.reason, HasSubstr("gpu.idle_ratio"));
  EXPECT_THAT(gpu("0.25", "0.25", "?", "400").gpu_states.reason, HasSubstr("[0].used_ratio"));
  EXPECT_FALSE(gpu("0.25", "0.25", "?", "400").gpu_clock_mhz.value);
  EXPECT_THAT(gpu("0.25", "0.25", "0.25", "?").gpu_states.reason, HasSubstr("[0].freq"));
  EXPECT_FALSE(gpu("0.25", "0.25", "0.25", "?").gpu_clock_mhz.value);
}

TEST(Powermetrics, TheClockIsTheMeanOfTheStatesWhereItIsNotTold) {
  const auto state = [](const char* mhz, const char* share) {
    return "<dict>" + whole("freq", mhz) + real("used_ratio", share) + "</dict>";
  };
  const auto s = one(dict("gpu", "<key>dvfm_states</key><array>" + state("400", "0.6") +
                                     state("1300", "0.2") + "</array>"));
  EXPECT_DOUBLE_EQ(*s.gpu_clock_mhz.value, (400 * 0.6 + 1300 * 0.2) / 0.8);
  const auto twice = one(dict("gpu", "<key>dvfm_states</key><array>" + state("400", "0.6") +
                                         state("1300", "0.6") + "</array>"));
  EXPECT_THAT(twice.gpu_states.reason, HasSubstr("sum up to 1.2 times the time"));
}

TEST(Powermetrics, KeepsWhatCanBeReadOfABrokenStream) {
  const std::string good = plist(kSecond);
  const std::string nul(1, '\0');
  const Capture cut = read_powermetrics(good + nul + good.substr(0, good.size() / 2));
  EXPECT_EQ(cut.samples.size(), 1u);
  EXPECT_THAT(cut.notes, ElementsAre("sample 2 is cut short"));
  const Capture middle = read_powermetrics(good + nul + "garbage" + nul + "\n" + good);
  EXPECT_EQ(middle.samples.size(), 2u);
  EXPECT_THAT(middle.notes, ElementsAre("sample 2 is cut short"));
  EXPECT_EQ(read_powermetrics(good + good + good).samples.size(), 3u);  // NULs lost
  EXPECT_TRUE(read_powermetrics("").samples.empty());
  EXPECT_TRUE(read_powermetrics(nul + nul + "\n").samples.empty());
  const Capture list = read_powermetrics("<plist><array/></plist>");
  EXPECT_THAT(list.notes, ElementsAre("sample 1 is not a property list"));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "<array>";
  // Nor does what only looks like an end make it less deep.
  std::string ends;
  for (int i = 0; i < 100'000; ++i) ends += "</array>";
  for (const std::string& before : {std::string(), ends, "<!--" + ends + "-->",
                                    "<string><![CDATA[" + ends + "]]></string>", "<?" + ends})
    EXPECT_THAT(read_powermetrics("<plist>" + before + deep + "</plist>").notes,
                ElementsAre("sample 1 is nested too deep"));
  EXPECT_THAT(read_powermetrics("<plist><key a=\"" + ends + "\">" + deep + "</plist>").notes,
              ElementsAre("sample 1 is not well-formed"));
}

TEST(Powermetrics, JsonHasTheReasonOfEveryNull) {
  const nlohmann::json json =
      to_json(one(dict("processor", "<key>clusters</key><array>" +
                                        cluster("P-Cluster", "3e9", "nan") + "</array>")));
  EXPECT_DOUBLE_EQ(json["clusters"][0]["clock_mhz"], 3000);
  EXPECT_TRUE(json["clusters"][0]["active_fraction"].is_null());
  EXPECT_THAT(std::string(json["reasons"]["P-Cluster.active_fraction"]), HasSubstr("not finite"));
  for (const auto& [key, value] : json.items())
    EXPECT_EQ(value.is_null(), json["reasons"].contains(key)) << key;
}

// Bytes changed, cut, doubled and dropped: any text must be read without a crash, and under the
// address sanitizer without a fault.
TEST(Powermetrics, AHundredThousandMutationsDoNoHarm) {
  const std::string seeds[] = {
      content_of(source_path("tests/lab/data/m1_max.plist")),
      plist(kSecond + dict("gpu", real("idle_ratio", "nan") + whole("freq_hz", "388"))),
      plist("<key>a&lt;b</key><data>AAAA</data><key>d</key><date>2023-04-01T13:18:36Z</date>"
            "<!-- c --><key>t</key><true/><key>e</key><string>&#x41;</string>")};
  const std::string tokens[] = {"<dict>",
                                "</dict>",
                                "<array>",
                                "</array>",
                                "<key>",
                                "</key>",
                                "<integer>99999999999999999999</integer>",
                                "<real>1e999</real>",
                                "<data>",
                                "&amp",
                                "<![CDATA[",
                                "<!--",
                                std::string(1, '\0'),
                                "/>",
                                "<plist>",
                                "<string/>",
                                "<date>x</date>",
                                "\xff\xfe"};
  std::mt19937_64 random(7);
  const auto below = [&](size_t n) { return size_t(random() % std::max<size_t>(n, 1)); };
  size_t read = 0;
  for (int i = 0; i < 100'000; ++i) {
    std::string text = seeds[i % 3];
    for (size_t changes = 1 + below(4); changes > 0; --changes) {
      const size_t at = below(text.size()), span = below(40);
      switch (below(5)) {
        case 0: text[at] = char(random()); break;
        case 1: text.erase(at, span); break;
        case 2: text.insert(at, tokens[below(std::size(tokens))]); break;
        case 3: text.insert(at, text.substr(below(text.size()), span)); break;
        case 4: text.resize(at + 1); break;
      }
    }
    for (const Powermetrics& sample : read_powermetrics(text).samples) {
      read += 1;
      const double active = sample.gpu_active_fraction.value.value_or(0);
      ASSERT_TRUE(active >= 0 && active <= 1) << active;
      if (i % 16 == 0)
        to_json(sample).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    }
  }
  EXPECT_GT(read, 10'000u);  // the mutations leave enough to read
}

// powermetrics as a child: a script that writes what it would.
class PowermetricsLive : public ::testing::Test {
 protected:
  std::unique_ptr<Telemetry> start(const std::string& script) {
    const auto program = folder.write("powermetrics", "#!/bin/sh\n" + script);
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    return powermetrics_telemetry(program, 0.05);
  }
  TempFolder folder;
};

TEST_F(PowermetricsLive, TellsTheLatestSample) {
  const std::string file = source_path("tests/lab/data/m1_max.plist");
  const auto source = start("echo \"$@\" > '" + (folder / "args").string() + "'; cat '" + file +
                            "'; printf '\\000'; exec sleep 100");
  Readings r = read(*source, 0);
  while (r["gpu_clock_mhz"] != 1296) r = read(*source, 0);  // until the second sample has come
  EXPECT_DOUBLE_EQ(r["cpu_clock_mhz.P0-Cluster"], 3200);
  EXPECT_DOUBLE_EQ(r["cpu_active_fraction.E-Cluster"], 0.25);
  EXPECT_DOUBLE_EQ(r["thermal_pressure_level"], 1);
  EXPECT_DOUBLE_EQ(r["gpu_clock_max_mhz"], 1296);
  EXPECT_DOUBLE_EQ(r["gpu_state_fraction.0.idle"], 0.11);
  EXPECT_DOUBLE_EQ(r["gpu_state_fraction.6.1296"], 0.89);
  EXPECT_DOUBLE_EQ(r["gpu_requested_state_fraction.5.P6"], 1);
  EXPECT_THAT(read(*source, 10).why("gpu_clock_mhz"), HasSubstr("no new sample"));
  EXPECT_EQ(content_of(folder / "args"), "--samplers cpu_power,gpu_power,thermal -i 50 -f plist\n");
}

TEST_F(PowermetricsLive, StatesThatChangeTheirNamesAreMissing) {
  const auto states = [](const char* second) {
    return plist(kSecond + dict("gpu",
                                "<key>sw_requested_state</key><array><dict><key>sw_req_state"
                                "</key><string>P1</string>" +
                                    real("used_ratio", "0.25") +
                                    "</dict><dict><key>sw_req_state</key><string>" + second +
                                    "</string>" + real("used_ratio", "0.75") + "</dict></array>"));
  };
  const std::string first = folder.write("first", states("P1")),
                    later = folder.write("later", states("P2"));
  const auto go = folder / "go";
  const auto source =
      start("cat '" + first + "'; printf '\\000'; while [ ! -e '" + go.string() +
            "' ]; do sleep 0.01; done; cat '" + later + "'; printf '\\000'; exec sleep 100");
  const Readings r = read(*source, 0);  // one name twice: a list, not a map
  EXPECT_DOUBLE_EQ(r["gpu_requested_state_fraction.0.P1"], 0.25);
  EXPECT_DOUBLE_EQ(r["gpu_requested_state_fraction.1.P1"], 0.75);
  folder.write("go", "");
  Readings changed = read(*source, 0);
  while (changed.by_name.at("gpu_requested_state_fraction.0.P1").value)
    changed = read(*source, 0);  // until the second sample has come
  EXPECT_THAT(changed.why("gpu_requested_state_fraction.1.P1"), HasSubstr("are others now"));
}

TEST_F(PowermetricsLive, SaysWhyThereIsNothing) {
  const auto refused = start("echo 'powermetrics must be invoked as the superuser' >&2; exit 1");
  EXPECT_THAT(read(*refused, 0).why("gpu_power_w"), HasSubstr("as the superuser"));
  const auto silent = start("exit 0");
  EXPECT_THAT(read(*silent, 0).why("gpu_power_w"), HasSubstr("ended without a sample"));
  const auto garbage = start("head -c 300000 /dev/zero | tr '\\0' 'x'");
  EXPECT_THAT(read(*garbage, 0).why("gpu_power_w"), HasSubstr("powermetrics"));
  const auto absent = powermetrics_telemetry("/nowhere/powermetrics", 0.05);
  EXPECT_THAT(read(*absent, 0).why("gpu_power_w"), HasSubstr("cannot be started"));
}

}  // namespace
}  // namespace hearth::lab
