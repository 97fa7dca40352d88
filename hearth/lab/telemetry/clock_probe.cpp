// Clocks without rights: of a processor, on which additions that wait for each other take a cycle
// each, and of a GPU, whose program counts cycles against time.
#include <algorithm>
#include <chrono>

#include "hearth/lab/measure/loops.h"
#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {
namespace {

class ClockProbe : public Telemetry {
 public:
  std::string_view source() const override { return "clock probe"; }
  const std::vector<Field>& fields() const override { return fields_; }

  std::vector<Reading<double>> sample(double) override {
    using Clock = std::chrono::steady_clock;
    // An interrupt only ever makes a chain slower, so the fastest is the clock. Four chains that
    // are short against a time slice cost the core 0.2 ms at 4 GHz.
    constexpr int64_t kAdditions = 200'000;
    double best = 0;
    for (int i = 0; i < 4; ++i) {
      const auto start = Clock::now();
      if (!chain_of_adds(kAdditions))
        return {Reading<double>::missing("no chain of additions is written for this processor")};
      const std::chrono::duration<double> took = Clock::now() - start;
      if (took.count() > 0) best = std::max(best, double(kAdditions) / took.count() * 1e-6);
    }
    if (best == 0) return {Reading<double>::missing("the clock of the system stood still")};
    return {best};
  }

 private:
  std::vector<Field> fields_ = {{"cpu_clock_probe_mhz", "MHz"}};
};

class GpuClockProbe : public Telemetry {
 public:
  GpuClockProbe(Backend* gpu, std::string why) : gpu_(gpu), why_(std::move(why)) {}
  std::string_view source() const override { return "GPU clock probe"; }
  const std::vector<Field>& fields() const override { return fields_; }

  std::vector<Reading<double>> sample(double) override {
    if (!gpu_) return {Reading<double>::missing(why_)};
    try {
      const auto samples = gpu_->clock_mhz(0, 0.0002);
      if (!samples.empty()) return {samples.back()};
      return {Reading<double>::missing("its backend measures no clock")};
    } catch (const std::exception& error) {
      return {Reading<double>::missing(error.what())};
    }
  }

 private:
  Backend* gpu_;
  std::string why_;
  std::vector<Field> fields_ = {{"gpu_clock_mhz", "MHz"}};
};

}  // namespace

std::unique_ptr<Telemetry> gpu_clock_probe_telemetry(Backend* gpu, const std::string& why) {
  return std::make_unique<GpuClockProbe>(gpu, why);
}

std::unique_ptr<Telemetry> clock_probe_telemetry() { return std::make_unique<ClockProbe>(); }

namespace {
const TelemetrySource clock_probe{System::linux_os, 40,
                                  [](const Path&, pid_t) { return clock_probe_telemetry(); }};
}  // namespace

namespace {
const TelemetrySource gpu_clock_probe{
    System::linux_os, 90, [](const Path&, pid_t) {
      // A program on the GPU and the engine's kernels wait for each other: only where nobody else
      // has the clock.
      static const bool told = nvml_clock_mhz(0).value.has_value();
      return told ? gpu_clock_probe_telemetry(nullptr, "not asked: NVML has the clock")
                  : gpu_clock_probe_telemetry(backend(Device::cuda), backend_absence(Device::cuda));
    }};
}  // namespace

}  // namespace hearth::lab
