// RAPL: counters of energy, which wrap. /sys/class/powercap/intel-rapl:0 is a package (of AMD's
// processors too), intel-rapl:0:1 a part of it.
#include <array>
#include <utility>

#include "hearth/base/error.h"
#include "hearth/lab/telemetry/files.h"
#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {
namespace {

constexpr const char* kPowercap = "/sys/class/powercap";

struct Zone {
  std::string folder;
  size_t field;                   // what it is a part of
  std::optional<double> energy;   // the last, in uJ
  std::optional<double> seconds;  // and when
};

class Rapl : public FileTelemetry {
 public:
  explicit Rapl(const Path& root)
      : FileTelemetry("rapl", root,
                      {{"cpu_power_w", "W"},
                       {"cpu_core_power_w", "W"},
                       {"memory_power_w", "W"},
                       {"system_power_w", "W"}}) {
    const auto names = list_names(root, kPowercap, "intel-rapl:");
    if (!names.value) {
      reasons_.fill(names.reason);
      return;
    }
    // Names are package-0, core, uncore, dram, psys.
    for (size_t i = 0; i < kNames.size(); ++i)
      reasons_[i] = concat(kPowercap, " has no zone named ", kNames[i]);
    for (const auto& name : *names.value) {
      const std::string folder = concat(kPowercap, "/", name);
      const auto what = read_text(root, folder + "/name");
      for (size_t i = 0; i < kNames.size(); ++i) {
        if (!what.value)
          reasons_[i] = what.reason;
        else if (what.value->starts_with(kNames[i]))
          zones_.push_back({folder, i, {}, {}});
      }
    }
  }

  std::vector<Reading<double>> sample(double now) override {
    std::vector<Reading<double>> out;
    for (const auto& reason : reasons_) out.push_back(Reading<double>::missing(reason));
    std::array<bool, kNames.size()> failed{};
    for (Zone& zone : zones_) {
      auto watts = power(zone, now);
      Reading<double>& sum = out[zone.field];
      if (failed[zone.field]) continue;
      if (!watts.value) {  // a sum without one of its parts is none
        failed[zone.field] = true;
        sum = std::move(watts);
      } else {
        sum = sum.value.value_or(0) + *watts.value;
      }
    }
    return out;
  }

 private:
  Reading<double> power(Zone& zone, double now) const {
    const auto energy = read_number(root_, zone.folder + "/energy_uj");
    const auto before = std::exchange(zone.energy, energy.value);
    const auto since = std::exchange(zone.seconds, now);
    if (!energy.value) return energy;
    if (!before || !since) return Reading<double>::missing("a rate needs a second sample");
    if (now <= *since) return Reading<double>::missing("no time has passed since the last sample");
    double used = *energy.value - *before;
    if (used < 0) {  // it went on from 0
      const auto range = read_number(root_, zone.folder + "/max_energy_range_uj");
      if (!range.value) return Reading<double>::missing("the counter wrapped, and " + range.reason);
      used += *range.value;
      if (used < 0)
        return Reading<double>::missing(zone.folder +
                                        "/energy_uj went back by more than its range");
    }
    return used * 1e-6 / (now - *since);
  }

  static constexpr std::array kNames = {"package-", "core", "dram", "psys"};
  std::array<std::string, kNames.size()> reasons_;
  std::vector<Zone> zones_;
};

}  // namespace

std::unique_ptr<Telemetry> rapl_telemetry(const Path& root) { return std::make_unique<Rapl>(root); }

namespace {
const TelemetrySource source{System::linux_os, 60,
                             [](const Path& root, pid_t) { return rapl_telemetry(root); }};
}  // namespace

}  // namespace hearth::lab
