#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {

TelemetryList find_telemetry(const Path& root, pid_t process) {
  TelemetryList found;
  const auto add = [&](std::unique_ptr<Telemetry> source) { found.push_back(std::move(source)); };
#if defined(__APPLE__)
  (void)root, (void)process;
  add(ioreport_telemetry());  // the first: it is sampled when we ask, and powermetrics when it
                              // likes
  add(powermetrics_telemetry());
#else
  add(proc_telemetry(root));
  if (process != 0) add(process_telemetry(process, root));
  add(cpufreq_telemetry(root));
  add(clock_probe_telemetry());
  if (process != 0) add(perf_telemetry(process, root));
  add(rapl_telemetry(root));
  add(hwmon_telemetry(root));
  add(nvml_telemetry());
  // A program on the GPU and the engine's kernels wait for each other: only where nobody else has
  // the clock.
  static const bool told = nvml_clock_mhz(0).value.has_value();
  add(told ? gpu_clock_probe_telemetry(nullptr, "not asked: NVML has the clock")
           : gpu_clock_probe_telemetry(backend(Device::cuda), backend_absence(Device::cuda)));
#endif
  return found;
}

}  // namespace hearth::lab
