#include <algorithm>

#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {

namespace {

// Filled before main(); a function, so that it is there before whoever registers.
std::vector<TelemetrySource>& registered() {
  static std::vector<TelemetrySource> all;
  return all;
}

}  // namespace

TelemetrySource::TelemetrySource(System system, int place, Make make)
    : system(system), place(place), make(make) {
  auto& all = registered();
  all.insert(std::ranges::upper_bound(all, place, {}, &TelemetrySource::place), *this);
}

TelemetryList find_telemetry(const Path& root, pid_t process) {
#if defined(__APPLE__)
  constexpr System here = System::mac_os;
#else
  constexpr System here = System::linux_os;
#endif
  TelemetryList found;
  for (const TelemetrySource& source : registered())
    if (source.system == here)
      if (auto made = source.make(root, process)) found.push_back(std::move(made));
  return found;
}

}  // namespace hearth::lab
