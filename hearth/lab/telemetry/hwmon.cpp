// Temperatures: /sys/class/hwmon/hwmon*/temp*_input, in thousandths of a degree.
#include <set>

#include "hearth/base/error.h"
#include "hearth/lab/telemetry/files.h"
#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {
namespace {

constexpr const char* kHwmon = "/sys/class/hwmon";
constexpr size_t kMostSensors = 1024;

class Hwmon : public FileTelemetry {
 public:
  explicit Hwmon(const Path& root) : FileTelemetry("hwmon", root) {
    const auto chips = list_names(root, kHwmon, "hwmon");
    std::string none = chips.value ? concat(kHwmon, " has no temperature") : chips.reason;
    std::set<std::string> used;
    for (const auto& chip : chips.value.value_or(std::vector<std::string>())) {
      const std::string folder = concat(kHwmon, "/", chip);
      const auto inputs = list_names(root, folder, "temp");
      if (!inputs.value) continue;
      const std::string name = read_text(root, folder + "/name").value.value_or(chip);
      for (const auto& file : *inputs.value) {
        if (!file.ends_with("_input") || files_.size() == kMostSensors) continue;
        const std::string sensor = file.substr(0, file.size() - 6);
        const auto label = read_text(root, folder + "/" + sensor + "_label");
        std::string field = "temperature_c." + name + "." + label.value.value_or(sensor);
        if (!used.insert(field).second) {  // two disks of one kind
          field = "temperature_c." + chip + "." + sensor;
          if (!used.insert(field).second) continue;
        }
        fields_.push_back({std::move(field), "degrees C"});
        files_.push_back(folder + "/" + file);
      }
    }
    if (files_.empty()) {
      fields_ = {{"temperature_c", "degrees C"}};
      none_ = std::move(none);
    }
  }

  std::vector<Reading<double>> sample(double) override {
    if (files_.empty()) return {Reading<double>::missing(none_)};
    std::vector<Reading<double>> out;
    for (const auto& file : files_) {
      out.push_back(read_number(root_, file));
      if (auto& value = out.back().value) *value /= 1e3;
    }
    return out;
  }

 private:
  std::string none_;
  std::vector<std::string> files_;
};

}  // namespace

std::unique_ptr<Telemetry> hwmon_telemetry(const Path& root) {
  return std::make_unique<Hwmon>(root);
}

namespace {
const TelemetrySource source{System::linux_os, 70,
                             [](const Path& root, pid_t) { return hwmon_telemetry(root); }};
}  // namespace

}  // namespace hearth::lab
