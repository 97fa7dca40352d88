// The sources of telemetry, one file each, which registers itself: find_telemetry() has them all.
// docs/lab.md has what each field means and where it lies. What stands here is for the tests.
#pragma once
#include <functional>
#include <string>

#include "hearth/core/backend.h"
#include "hearth/lab/telemetry/ioreport_library.h"
#include "hearth/lab/telemetry/telemetry.h"

struct perf_event_attr;

namespace hearth::lab {

using Path = std::filesystem::path;

/// Registers a source, from its own file:
///     const TelemetrySource source{System::linux_os, 70, [](const Path& root, pid_t) {
///       return hwmon_telemetry(root);
///     }};
/// Sources come in the order of their `place`: of two with the same quantity the lab uses the
/// first. `make` gives null for one that there is only with a process, or without.
enum class System { linux_os, mac_os };
struct TelemetrySource {
  using Make = std::unique_ptr<Telemetry> (*)(const Path& root, pid_t process);
  System system;
  int place;
  Make make;
  TelemetrySource(System system, int place, Make make);
};

/// What sources that read files share.
class FileTelemetry : public Telemetry {
 public:
  FileTelemetry(std::string_view source, Path root, std::vector<Field> fields = {})
      : root_(std::move(root)), fields_(std::move(fields)), source_(source) {}
  std::string_view source() const final { return source_; }
  const std::vector<Field>& fields() const final { return fields_; }

 protected:
  const Path root_;
  std::vector<Field> fields_;

 private:
  const std::string_view source_;
};

/// /proc/stat and /proc/pressure: cpu_active_fraction (also of each core: .0, .1, ...),
/// cpu_steal_fraction, and pressure_{cpu,memory,io}_fraction, the part of the time in which some
/// task waited for it.
std::unique_ptr<Telemetry> proc_telemetry(const Path& root = "/");

/// /proc/PID: process_active_cores (2.0: two cores' whole time), process_resident_bytes.
std::unique_ptr<Telemetry> process_telemetry(pid_t process, const Path& root = "/");

/// cpufreq: cpu_clock_mhz, the mean of the cores, and of each core, as the driver has it.
std::unique_ptr<Telemetry> cpufreq_telemetry(const Path& root = "/");

/// RAPL's energy counters: cpu_power_w (all packages), cpu_core_power_w, memory_power_w and
/// system_power_w (psys). Root only since Linux 5.10; absent in virtual machines.
std::unique_ptr<Telemetry> rapl_telemetry(const Path& root = "/");

/// hwmon: temperature_c.CHIP.SENSOR for each that there is.
std::unique_ptr<Telemetry> hwmon_telemetry(const Path& root = "/");

/// The clock of the core that the sampler runs on, from a chain of additions of 50 us, the best of
/// four: cpu_clock_probe_mhz. Needs no rights; there is always this one.
std::unique_ptr<Telemetry> clock_probe_telemetry();

/// The clock of the backend's first device, by a program of 0.2 ms on it: gpu_clock_mhz. With
/// no backend, `why` is the reason.
std::unique_ptr<Telemetry> gpu_clock_probe_telemetry(Backend* gpu, const std::string& why = {});

/// The two calls that perf_event needs, so that tests can stand in for the kernel.
struct PerfCalls {
  std::function<int(perf_event_attr*, pid_t)> open;  // a file, or -errno
  std::function<long(int, void*, size_t)> read;      // bytes, or -errno
};
PerfCalls perf_of_kernel();
/// Counters of a process, its threads of now and its children to come, in user mode:
/// process_clock_mhz (cycles over time on a processor: the true busy clock) and
/// process_instructions_per_cycle.
std::unique_ptr<Telemetry> perf_telemetry(pid_t process, const Path& root = "/",
                                          PerfCalls calls = perf_of_kernel());

/// NVIDIA's library of the driver, opened at run time. Of the first GPU; of others with .1, .2:
/// gpu_active_fraction, gpu_memory_active_fraction, gpu_clock_mhz, gpu_clock_max_mhz,
/// gpu_memory_clock_mhz, gpu_power_w (the driver's average), gpu_counted_power_w (from the energy
/// counter), gpu_temperature_c, gpu_memory_used_bytes, and gpu_limit_NAME, 1 while the clock is
/// held down by NAME.
std::unique_ptr<Telemetry> nvml_telemetry(const std::string& library = "libnvidia-ml.so.1");

/// Memory of the GPU that nobody uses, in bytes.
Reading<double> nvml_free_bytes(int gpu, const std::string& library = "libnvidia-ml.so.1");
/// The clock of its multiprocessors, now, in MHz.
Reading<double> nvml_clock_mhz(int gpu, const std::string& library = "libnvidia-ml.so.1");
/// 1e9 bytes a second that its memory moves at its highest clock: two bits a line and clock.
Reading<double> nvml_nominal_gb_s(int gpu, const std::string& library = "libnvidia-ml.so.1");

/// macOS's powermetrics, run as a child for as long as this lives (it wants root):
/// cpu_power_w, gpu_power_w, ane_power_w, gpu_clock_mhz, gpu_active_fraction, and
/// thermal_pressure_level (0 nominal, 1 moderate, 2 heavy, 3 trapping, 4 sleeping).
std::unique_ptr<Telemetry> powermetrics_telemetry(const std::string& program = "powermetrics",
                                                  double period_s = 0.5);

/// macOS's IOReport, which needs no rights: cpu_power_w, gpu_power_w, ane_power_w, memory_power_w,
/// gpu_clock_mhz, gpu_clock_max_mhz, gpu_active_fraction, cpu_clock_mhz and cpu_active_fraction,
/// the last two also of each cluster: .E-Cluster, .P0-Cluster, ...
std::unique_ptr<Telemetry> ioreport_telemetry(const IoReportLibraries& libraries = {});

}  // namespace hearth::lab
