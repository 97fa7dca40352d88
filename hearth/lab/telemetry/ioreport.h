// IOReport, macOS's own counters, which need no rights: a private library, opened at run time with
// CoreFoundation and IOKit. Nothing of Apple's is wanted to build this.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hearth/lab/machine.h"

namespace hearth::lab {

struct IoReportLibraries {
  std::string ioreport = "/usr/lib/libIOReport.dylib";
  std::string core_foundation =
      "/System/Library/Frameworks/CoreFoundation.framework/CoreFoundation";
  std::string iokit = "/System/Library/Frameworks/IOKit.framework/IOKit";
};

/// A channel, and what it counted between two samples: a number in its unit, or the time spent in
/// each state (ticks of any clock), in the library's order.
struct IoChannel {
  std::string name, unit;
  int64_t value = 0;
  std::vector<std::pair<std::string, int64_t>> states;
};

class IoReport {
 public:
  explicit IoReport(const IoReportLibraries& libraries = {});
  ~IoReport();
  IoReport(const IoReport&) = delete;

  /// Why it is not there; "" if it is.
  const std::string& reason() const { return reason_; }

  using Channels = Reading<std::vector<IoChannel>>;
  struct Sample {
    Channels energy, cpu, gpu;
  };
  /// What was counted since the last call; the first has nothing.
  Sample take();

  /// Bytes of a property of the power manager's node, at most 4096.
  Reading<std::vector<uint8_t>> power_manager(const std::string& property) const;

 private:
  struct State;
  std::string reason_;
  std::unique_ptr<State> state_;
};

/// MHz of each state, ascending, from pairs of 32 bits (clock, voltage). The clock is in Hz up to
/// the M3 and for GPUs, in kHz for later processors: its size tells. Entries of 0 or 1 are of no
/// state.
Reading<std::vector<double>> clock_table(std::span<const uint8_t> bytes);

/// A core by the name of its channel: "ECPU3", "PCPU140" (cluster 1, core 4), "DIE_1_PCPU1_CPU3".
struct IoCore {
  char tier = 0;  // 'E', 'M', 'P', or what is to come; 0: it is no core
  int die = 0, cluster = 0;
};
IoCore core_of(std::string_view channel);

/// Joules that a channel counted; missing for a unit that is not known, and a count below 0.
Reading<double> joules_of(const IoChannel& channel);

}  // namespace hearth::lab
