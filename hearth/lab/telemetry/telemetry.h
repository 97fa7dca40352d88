// What the machine did while it was measured: sources of telemetry, and one thread that asks them
// all at a fixed pace. A quantity is a value or null with a reason; null is never written as 0.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// What a source has. The names are listed in docs/lab.md; each ends in its unit, or is a
/// fraction of 0 to 1. A part of several has its name after a dot: "cpu_active_fraction.3".
struct Field {
  std::string name;
  std::string unit;  // "MHz", "W", "fraction", "bytes", "degrees C", "per s"
};

/// A source of telemetry: /proc, NVML, ... One that is absent on this machine has its fields
/// nevertheless, each with the reason.
class Telemetry {
 public:
  virtual ~Telemetry() = default;
  virtual std::string_view source() const = 0;
  /// The same for as long as it lives.
  virtual const std::vector<Field>& fields() const = 0;
  /// A reading for each field. Rates are over the time since the last call: the first has none.
  /// `now` is in seconds on any steady clock. Never throws for what the system does not show.
  virtual std::vector<Reading<double>> sample(double now) = 0;
};
using TelemetryList = std::vector<std::unique_ptr<Telemetry>>;

/// Every source that is for this system, found or not. The files are read under `root`. With a
/// `process`, also what is of it alone (its cores and memory, its cycles by perf_event).
TelemetryList find_telemetry(const std::filesystem::path& root = "/", pid_t process = 0);

/// Samples from a thread of its own until it is stopped or destroyed. Times are seconds since
/// `origin`; a rate stands at the end of the interval that it was measured over.
class Sampler {
 public:
  using Clock = std::chrono::steady_clock;
  /// The first sample comes after one period. Throws std::invalid_argument for a period outside
  /// 1 ms to 1 hour.
  explicit Sampler(TelemetryList sources, double period_s = 0.1,
                   Clock::time_point origin = Clock::now());
  ~Sampler();
  Sampler(const Sampler&) = delete;

  /// The samples since the start or the last take(); sampling goes on.
  Timeline take();
  /// Ends the thread; the samples that are left.
  Timeline stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hearth::lab
