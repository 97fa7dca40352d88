// The clock as the frequency driver has it. In virtual machines the folder is there and empty.
#include "hearth/base/error.h"
#include "hearth/lab/telemetry/files.h"
#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {
namespace {

constexpr const char* kCpus = "/sys/devices/system/cpu";

class Cpufreq : public FileTelemetry {
 public:
  explicit Cpufreq(const Path& root) : FileTelemetry("cpufreq", root, {{"cpu_clock_mhz", "MHz"}}) {
    const auto names = list_names(root, kCpus, "cpu");
    if (!names.value) {
      none_ = names.reason;
      return;
    }
    for (const auto& name : *names.value) {
      if (name.size() == 3 || name.find_first_not_of("0123456789", 3) != name.npos) continue;
      const std::string folder = concat(kCpus, "/", name, "/cpufreq");
      if (!list_names(root, folder, "").value) continue;
      files_.push_back(folder + "/scaling_cur_freq");
      fields_.push_back({"cpu_clock_mhz." + name.substr(3), "MHz"});
    }
    none_ =
        "no processor under /sys/devices/system/cpu has a cpufreq folder (usual in a virtual "
        "machine)";
  }

  std::vector<Reading<double>> sample(double) override {
    std::vector<Reading<double>> out = {Reading<double>::missing(none_)};
    double sum = 0;
    int known = 0;
    for (const auto& file : files_) {
      auto khz = read_number(root_, file);
      if (khz.value && *khz.value <= 0) khz = Reading<double>::missing(file + " is not positive");
      if (khz.value) {
        *khz.value /= 1e3;
        sum += *khz.value;
        ++known;
      }
      out.push_back(std::move(khz));
    }
    if (known)
      out[0] = sum / known;
    else if (!files_.empty())
      out[0] = out[1];
    return out;
  }

 private:
  std::string none_;
  std::vector<std::string> files_;
};

}  // namespace

std::unique_ptr<Telemetry> cpufreq_telemetry(const Path& root) {
  return std::make_unique<Cpufreq>(root);
}

namespace {
const TelemetrySource source{System::linux_os, 30,
                             [](const Path& root, pid_t) { return cpufreq_telemetry(root); }};
}  // namespace

}  // namespace hearth::lab
