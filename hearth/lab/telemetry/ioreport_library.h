// IOReport, macOS's own counters, which need no rights: a private library, opened at run time with
// CoreFoundation and IOKit. Nothing of Apple's is wanted to build this.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hearth/lab/measure/reading.h"

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

}  // namespace hearth::lab
