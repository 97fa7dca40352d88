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
#endif
  return found;
}

}  // namespace hearth::lab
